"""Errors of trained networks on corrupted test images, and mCE relative to a baseline network.

Source: Hendrycks & Dietterich 2019; section S2.5 and Tables S4 to S6 of the DE paper. Errors on
images that were corrupted here (``origin`` "generated") are not errors on the published sets.
"""

import math
from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd
from torch import nn

from nslab.analysis.run_tables import trained_model
from nslab.configs import EvolveConfig, TrainConfig
from nslab.configs.serialization import decode
from nslab.datasets import DATASETS, ImageData, load
from nslab.datasets.corruption.sets import CORRUPTIONS, RELEASED, CorruptedSet, corrupted
from nslab.datasets.loader import Loader, on_device
from nslab.experiments.de.robustness import network_row
from nslab.runs.store import Result
from nslab.system.distributed import process_group
from nslab.system.paths import cache_dir
from nslab.system.validation import unknown
from nslab.training.loop import evaluate
from nslab.training.metrics import corruption_errors, mean_corruption_error
from nslab.training.setup import evaluation_batch

CLEAN, AVERAGE = "clean", "average"  # in place of a corruption's name; clean images have severity 0
GROUP = ["dataset", "set", "network", "method"]
Test = tuple[str, int, str, np.ndarray, np.ndarray]  # corruption, severity, origin, images, labels


def robustness_table(
    results: Sequence[Result],
    corruptions: Sequence[str] | None = None,
    severities: Sequence[int] | None = None,
    seed: int = 0,
    *,
    kind: CorruptedSet | None = None,
    images: int | None = None,
) -> pd.DataFrame:
    """Errors in percent: a line per run, corruption and severity, clean images (severity 0) first.

    Columns: dataset, network, method, seed, run, set, corruption, severity, origin (``released``,
    ``generated``, or ``clean``), images, error. A run given twice counts once.

    Args:
        results: finished trainings and evolutions whose weights are here, see `trained_model`.
        corruptions, severities: names and levels; all of the set if None.
        seed: of images that are corrupted here; all networks see the same images.
        kind: the set of corruptions, for images of any size; None: CIFAR-10-C's for colour images,
            MNIST-C's for grey ones.
        images: number of test images, from the first; all if None.

    Raises ``ValueError`` for unknown corruptions and ``images`` below 1, and what `trained_model`
    does.
    """
    if images is not None and images < 1:
        raise ValueError(f"images must be at least 1, not {images}")
    device, lines = process_group().device, []
    by_data: dict[str, list[tuple[dict, nn.Module]]] = {}
    for result in {result.id: result for result in results}.values():
        config: TrainConfig | EvolveConfig = decode(result.config)
        about = network_row(config) | {"seed": config.seed, "run": result.id}
        by_data.setdefault(config.dataset, []).append((about, trained_model(result).to(device)))
    for dataset, networks in by_data.items():
        data = load(dataset)
        layout = data.dataset.layout
        own = kind or ("cifar10_c" if layout.shape[2] == 3 else "mnist_c")
        for corruption, severity, origin, x, y in corrupted_sets(
            data, own, corruptions, severities, seed, images
        ):
            loader = Loader(
                *on_device(x, y, device), data.dataset, batch_size=evaluation_batch(device)
            )
            about = {"set": own, "corruption": corruption, "severity": severity, "origin": origin}
            for run, network in networks:
                error = 100 - evaluate(network, loader, layout.num_classes).accuracy
                lines.append(run | about | {"images": len(y), "error": error})
    return pd.DataFrame(lines)


def corrupted_sets(
    data: ImageData,
    kind: CorruptedSet,
    corruptions: Sequence[str] | None,
    severities: Sequence[int] | None,
    seed: int,
    images: int | None,
) -> Iterator[Test]:
    """The test sets one after another, each made once: the clean one, then each corruption and
    severity."""
    known = CORRUPTIONS[kind]
    chosen = list(known) if corruptions is None else list(corruptions)
    if odd := [name for name in chosen if name not in known]:
        raise unknown(f"corruption of {kind}", odd[0], known)
    clean = data.arrays.test_x[:images], data.arrays.test_y[:images]
    source, folder = RELEASED[kind]
    published = data.name == source and (cache_dir() / folder).is_dir()
    yield CLEAN, 0, CLEAN, *clean
    for name in chosen:
        every = range(1, len(known[name].severities) + 1)
        for severity in every if severities is None else severities:
            made = corrupted(kind, name, severity, data if published else clean, seed=seed)
            yield name, severity, made.origin, made.x[:images], made.y[:images]


def relative_runs(errors: pd.DataFrame, baseline: str = "lenet1 adam") -> pd.DataFrame:
    """A line per run and corruption of a `robustness_table`, and one for their ``average``:
    ``error``, the mean over severities, and ``mce``, the error in percent of the baseline's on the
    same corruption.

    ``baseline`` names a network and a method; the mean error of its runs counts, so its own runs
    vary around 100. Clean images come first, without ``mce``. Raises ``ValueError`` if there is no
    baseline, a seed occurs twice, or runs lack corruptions or severities that others have.
    """
    lines = []
    for (dataset, kind), part in errors.groupby(["dataset", "set"], sort=False):
        index = ["network", "method", "seed"]
        places = [*index, "corruption", "severity"]
        if part.duplicated(places).any():
            raise ValueError(
                f"{dataset}: two runs have the same network, method and seed: leave one of them out"
            )
        wide = part.pivot(index=index, columns=places[3:], values="error")
        if wide.isna().any(axis=None):
            raise ValueError(
                f"{dataset}: not all runs have the same corruptions and severities: measure all of "
                "them alike"
            )
        reference = wide[[" ".join(key[:2]) == baseline for key in wide.index]].mean()
        if reference.isna().all():
            there = sorted({" ".join(key[:2]) for key in wide.index})
            raise unknown(f"baseline on {dataset}", baseline, there)
        order = [name for name in part["corruption"].unique() if name != CLEAN]
        base = {name: reference[name].tolist() for name in order}
        about = part.groupby(index, sort=False)[["run", "images"]].first()
        for key in about.index:
            own = {name: wide.loc[key, name].tolist() for name in order}
            mean = {name: sum(values) / len(values) for name, values in own.items()}
            relative = corruption_errors(own, base)
            mean[AVERAGE] = sum(mean.values()) / len(mean)
            relative[AVERAGE] = mean_corruption_error(own, base)
            if CLEAN in wide:
                mean = {CLEAN: float(wide.loc[key, (CLEAN, 0)])} | mean
            run = {"dataset": dataset, "set": kind} | dict(zip(index, key, strict=True))
            run |= dict(about.loc[key])
            for name, error in mean.items():
                mce = relative.get(name, math.nan)
                lines.append(run | {"corruption": name, "error": error, "mce": mce})
    return pd.DataFrame(lines)


def relative_table(errors: pd.DataFrame, baseline: str = "lenet1 adam") -> pd.DataFrame:
    """`relative_runs` averaged over ``n`` seeds, with sample standard deviations ``error_sd`` and
    ``mce_sd`` (NaN for one seed), and ``origin`` and ``severities`` of the corrupted images."""
    groups = relative_runs(errors, baseline).groupby([*GROUP, "corruption"], sort=False)
    table = groups[["error", "mce"]].mean()
    table[["error_sd", "mce_sd"]] = groups[["error", "mce"]].std()
    table["n"], table["images"] = groups["seed"].size(), groups["images"].first()
    made = errors[errors["corruption"] != CLEAN].groupby(GROUP[:2], sort=False)
    about = made.agg(origin=("origin", distinct), severities=("severity", distinct)).reset_index()
    return table.reset_index().merge(about, on=GROUP[:2])


def distinct(values: pd.Series) -> str:
    """The distinct values, sorted, as text."""
    return ", ".join(map(str, sorted(set(values))))


def mce_table(errors: pd.DataFrame, baseline: str = "lenet1 adam") -> pd.DataFrame:
    """A line per network and method: ``error`` and ``mce`` over all corruptions, see
    `relative_table`."""
    table = relative_table(errors, baseline)
    return table[table["corruption"] == AVERAGE].drop(columns="corruption").reset_index(drop=True)


def corruption_numbers(errors: pd.DataFrame, baseline: str = "lenet1 adam") -> pd.DataFrame:
    """`relative_runs` as a measure, see `nslab.analysis.measures`: a line per run, corruption and
    metric (``error``, ``mce``); ``dataset`` is the set of corruptions, as in the papers' tables.

    ``differs`` names what is unlike the paper: images corrupted here, a part of the test images or
    of the severities. ``part`` says if an average lacks corruptions.
    """
    columns = ["run", "dataset", "corruption", "metric", "value", "part", "differs", "note"]
    lines: list[dict] = []
    for (dataset, kind), part in errors.groupby(["dataset", "set"], sort=False):
        known, made = CORRUPTIONS[str(kind)], part[part["corruption"] != CLEAN]
        levels, count = distinct(made["severity"]), int(part["images"].max())
        whole = ", ".join(map(str, range(1, 1 + max(len(c.severities) for c in known.values()))))
        unlike = [
            "" if set(made["origin"]) == {"released"} else "generated corruptions",
            "" if count == DATASETS[str(dataset)].layout.test else f"{count} images",
            "" if levels == whole else f"severity {levels}",
        ]
        about = {"dataset": kind, "differs": ", ".join(filter(None, unlike))}
        about["note"] = f"{distinct(made['origin'])}, severity {levels}, {count} images"
        there = made["corruption"].nunique()
        fewer = "" if there == len(known) else f"{there} of {len(known)} corruptions"
        for row in relative_runs(part, baseline).to_dict("records"):
            line = about | {"run": row["run"], "corruption": row["corruption"]}
            line["part"] = fewer if row["corruption"] == AVERAGE else ""
            for metric in ("error", "mce"):
                if not math.isnan(row[metric]):
                    lines.append(line | {"metric": metric, "value": row[metric]})
    return pd.DataFrame(lines, columns=columns)
