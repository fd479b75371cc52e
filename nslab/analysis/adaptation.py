"""Tables of adaptation runs: pseudo-labels and scores by class, and whether weights tell right
pseudo-labels from wrong ones."""

import math
from collections.abc import Sequence
from contextlib import closing

import pandas as pd
import torch

from nslab.analysis.run_tables import run_columns
from nslab.analysis.statistics import ALIKE, Line, excludes_zero, regression
from nslab.configs.adapt import AdaptConfig
from nslab.configs.labels import text_of
from nslab.configs.serialization import decode
from nslab.datasets import Dataset, dataset_of, load
from nslab.datasets.batches import make_batches
from nslab.datasets.domains import in_form_of
from nslab.experiments.ns.adaptation import adaptation_row
from nslab.objectives import NS
from nslab.runs.results import Result
from nslab.system.renamed import refuse_old_names
from nslab.types import Batch, ObjectiveConfig


def task_table(results: Sequence[Result]) -> pd.DataFrame:
    """A line per run: ``task``, ``method``, ``seed``, test accuracy ``value``, and whether it has
    ``learnt`` (is above chance). A training on the target's labels has no source: it gets a line
    for each task with that target."""
    configs = [decode(result.config) for result in results]
    rows = [adaptation_row(config) for config in configs]
    pairs = [(row["source_domain"], row["target_domain"]) for row in rows]
    lines = []
    for result, config, row, (source, target) in zip(results, configs, rows, pairs, strict=True):
        sources = [source] if source else dict.fromkeys(s for s, t in pairs if s and t == target)
        about = {"method": row["method"], "seed": config.seed, "learnt": result.learnt}
        value = {"value": result.metrics["test_accuracy"]}
        lines += [{"task": f"{s} → {target}"} | about | value for s in sources]
    return pd.DataFrame(lines)


def class_table(results: Sequence[Result]) -> pd.DataFrame:
    """A line per adaptation, epoch (from 1) and class: ``pseudo``, percent of right pseudo-labels
    when the epoch began, and ``score``, the mean NS score of the class's images in that epoch, NaN
    if the objective has none [NS Fig. 4 (c)].

    NOTE: the paper's "class accuracy" is not defined further, nor is its epoch given. In both
    columns an image counts for its true class.
    """
    lines = []
    for result in results:
        config = decode(result.config)
        if not isinstance(config, AdaptConfig) or not result.history:
            continue
        classes, about = dataset_of(config.dataset).classes, run_columns(result)
        for row in result.history:
            weights = row.get("class_weight") or [math.nan] * len(classes)
            for name, accuracy, weight in zip(
                classes, row["pseudo_class_accuracy"], weights, strict=True
            ):
                score = score_of(config.objective, weight)
                numbers = {"class": name, "pseudo": accuracy, "score": score}
                lines.append(about | {"run": result.id, "epoch": row["epoch"] + 1} | numbers)
    return pd.DataFrame(lines)


def class_correlations(table: pd.DataFrame) -> list[tuple[str, pd.DataFrame, str, str, Line]]:
    """`class_correlation` of each task in a `class_table`, in the last epoch, in the form that
    `nslab.plots.comparison.correlations` draws: title, points, names of x and y, line."""
    made = []
    for (source, target), rows in table.groupby(["source", "dataset"], sort=False):
        points, line = class_correlation(rows)
        made.append((f"{source} → {target}", points, "pseudo", "score", line))
    return made


def score_of(objective: ObjectiveConfig, weight: float) -> float:
    """The mean score that gives a mean weight, (weight - sigma) / rho [NS Eq. 8]; NaN if the
    objective has no scores, or clamps its weights.

    >>> score_of(NS(sigma=0.6, rho=1.0), 1.6)
    1.0
    """
    scored = isinstance(objective, NS) and objective.rho != 0 and objective.min_weight is None
    return (weight - objective.sigma) / objective.rho if scored else math.nan  # type: ignore[attr-defined]


def class_correlation(table: pd.DataFrame, epoch: int = 0) -> tuple[pd.DataFrame, Line]:
    """Means over runs of a `class_table`'s lines with a score, for one epoch (0: the last), and the
    regression of ``score`` on ``pseudo`` over the classes."""
    scored = table.dropna(subset="score")
    chosen = scored[scored["epoch"] == (epoch or scored["epoch"].max())]
    points = chosen.groupby("class", sort=False)[["pseudo", "score"]].mean().dropna()
    points = points.reset_index()
    return points, regression(points["pseudo"], points["score"])


def auc_table(results: Sequence[Result]) -> pd.DataFrame:
    """A line per adaptation with weights: how well the weights, and the probabilities of the
    pseudo-labels, tell right pseudo-labels from wrong ones, as areas under the ROC curve (0.5: not
    at all), in the first epoch, the last, and on average; and the percentage that was right."""
    lines = []
    for result in results:
        config, history = decode(result.config), pd.DataFrame(result.history)
        if not isinstance(config, AdaptConfig) or "auc_weight" not in history:
            continue  # no adaptation steps, or an objective without weights
        if math.isnan(score_of(config.objective, 1.0)):
            continue  # all images have the same weight
        about = {key: run_columns(result)[key] for key in ("source", "dataset", "method", "seed")}
        for name in ("weight", "probability"):
            values = history[f"auc_{name}"]
            about |= {
                f"{name}, first": values.iloc[0],
                f"{name}, last": values.iloc[-1],
                f"{name}, mean": values.mean(),
            }
        lines.append(about | {"right (%)": history["pseudo_accuracy"].mean()})
    return pd.DataFrame(lines)


def finding(difference: pd.DataFrame, method: str, baseline: str) -> str:
    """The result for a method in a few words, from paired differences (see
    `nslab.analysis.statistics.differences`): the gain in points, its interval, and whether it is
    decided, that is, whether the 95 % interval excludes 0."""
    line = difference[difference["method"] == method].iloc[0]
    pair = f"{text_of(method)} against {text_of(baseline)}"
    gain = f"{line['mean']:+.2f} points"
    if math.isnan(line["low"]):
        return f"{pair}: {gain} (n = {line['n']}, no interval)"
    if line["low"] == line["high"]:
        return f"{pair}: {gain} ({ALIKE}, n = {line['n']})"
    verdict = "decided" if excludes_zero(line["low"], line["high"]) else "undecided"
    interval = f"95 % {line['low']:+.2f} to {line['high']:+.2f}"
    return f"{pair}: {gain} ({interval}, n = {line['n']}): {verdict}"


def describe_auc(table: pd.DataFrame) -> str:
    """The mean areas under the ROC curve of `auc_table`, in a sentence.

    >>> describe_auc(pd.DataFrame({"weight, mean": [0.55, 0.57], "probability, mean": [0.9, 0.8]}))
    "AUC of NS's weight 0.56, of the network's own probability 0.85"
    """
    means = [table[f"{name}, mean"].mean() for name in ("weight", "probability")]
    return f"AUC of NS's weight {means[0]:.2f}, of the network's own probability {means[1]:.2f}"


def domain_images(config: AdaptConfig, classes: int = 8) -> tuple[Batch, Dataset]:
    """The first test image of each of the first ``classes`` classes, of the source domain and then
    of the target domain, as the network sees them; and the source's data set, for class names,
    mean and sd."""
    form, steps = config.training, config.steps
    about = dataset_of(form.dataset, form.image_size)
    source = load(form.dataset, image_size=form.image_size)
    target = in_form_of(load(config.dataset, image_size=steps.image_size), about)
    parts = []
    for arrays in (source.arrays, target.arrays):
        labels = range(min(classes, about.layout.num_classes))
        first = [int((arrays.test_y == label).argmax()) for label in labels]
        batches = make_batches(
            *(arrays.test_x[first], arrays.test_y[first], about, torch.device("cpu")),
            batch_size=len(first),
        )
        with closing(batches):
            parts.append(next(batches.in_order()))
    x, y, index = (torch.cat([getattr(p, name) for p in parts]) for name in ("x", "y", "index"))
    return Batch(x, y, index), about


__getattr__ = refuse_old_names(__name__)
