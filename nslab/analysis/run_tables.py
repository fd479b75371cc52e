"""Finished runs as tables and networks, ready to be plotted or examined."""

import math
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass

import pandas as pd
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from nslab.analysis.statistics import regression
from nslab.configs import EvaluateConfig, RunConfig, TrainConfig
from nslab.configs.labels import columns, label
from nslab.configs.serialization import decode
from nslab.datasets import ImageData, load
from nslab.datasets.batches import DatasetBatches, make_batches
from nslab.networks import build_network
from nslab.networks.logits import logits_of
from nslab.objectives import NS
from nslab.objectives.competition import ns_scores
from nslab.objectives.composites import Grid, composite, stitch
from nslab.rng import generator
from nslab.runs.store import Result
from nslab.runs.trained_on import data_of
from nslab.training.checkpoint import load_weights
from nslab.training.loop import training_set
from nslab.types import Batch

SHOWN = 64  # most samples of a batch that is only shown


@dataclass(frozen=True)
class GroupScores:
    """One group of m samples that compete: images, labels, the stitched image, the composite that
    the network sees, and each sample's q (the probability of its class) and score."""

    images: Float[Tensor, "m c h w"]
    labels: Int[Tensor, " m"]
    stitched: Float[Tensor, "c H W"]
    composite: Float[Tensor, "c h w"]
    q: Float[Tensor, " m"]
    scores: Float[Tensor, " m"]
    grid: Grid


def run_columns(result: Result) -> dict[str, str | int | float]:
    """The columns that identify a run, see `nslab.configs.labels.columns`."""
    return columns(decode(result.config))


def history_table(results: Sequence[Result]) -> pd.DataFrame:
    """A line per run and epoch: what was logged, except lists. Epochs count from 1."""
    lines = [
        run_columns(result) | {k: v for k, v in row.items() if not isinstance(v, list)}
        for result in results
        for row in result.history
    ]
    return pd.DataFrame(lines).assign(epoch=lambda frame: frame["epoch"] + 1)


def class_table(results: Sequence[Result]) -> pd.DataFrame:
    """A line per run and class: test accuracy in percent after the last epoch."""
    lines = []
    for result in results:
        about, classes = run_columns(result), data_of(result).classes
        accuracies = zip(classes, result.metrics["per_class_accuracy"], strict=True)
        lines += [about | {"class": name, "accuracy": value} for name, value in accuracies]
    return pd.DataFrame(lines)


def value_table(results: Sequence[Result], metric: str = "test_accuracy") -> pd.DataFrame:
    """A line per run: `run_columns`, its ``imbalance`` factor (1: none), a number ``metric`` of its
    final results as ``value``, and whether it has ``learnt`` (is above chance)."""
    lines = []
    for result in results:
        config: TrainConfig = decode(result.config)
        line = run_columns(result) | {"imbalance": config.imbalance}
        lines.append(line | {"value": result.metrics[metric], "learnt": result.learnt})
    return pd.DataFrame(lines)


def trained_model(result: Result) -> nn.Module:
    """The final network of a finished training, adaptation or evolution, in evaluation mode, on the
    CPU.

    Raises ``FileNotFoundError`` if its weights are not here, ``ValueError`` for runs without a
    single network of their own: methods that end with several, evaluations, evolved losses.
    """
    config: RunConfig = decode(result.config)
    if (training := config.training) is None:
        raise ValueError(f"run {result.id} ({label(config)}) has no network: choose a training")
    if isinstance(config, EvaluateConfig):
        trained = config.trained
        raise ValueError(
            f"run {result.id} tested the network of run {trained.id} ({label(trained)}): name that"
        )
    if not config.leaves_weights:
        raise ValueError(f"run {result.id} ended with several networks: {label(config)}")
    if result.folder is None:
        raise FileNotFoundError(
            f"run {result.id} is frozen: its numbers are here, its weights are not. "
            "nslab.run(config, weights=True) computes it again to have them."
        )
    dataset, seed = data_of(result), training.seed
    model = build_network(training.network, dataset.shape, dataset.layout.num_classes, seed)
    if training.channels_last:
        model = model.to(memory_format=torch.channels_last)
    return load_weights(model, result.folder).eval()


def training_batch(config: TrainConfig, data: ImageData) -> Batch:
    """The first batch of a training, augmented as in training, on the CPU; at most 64 samples."""
    arrays, size = data.arrays, min(config.batch_size, len(data.arrays.train_y))
    batches = make_batches(
        arrays.train_x,
        arrays.train_y,
        data.dataset,
        torch.device("cpu"),
        batch_size=min(size, SHOWN),
        seed=config.seed,
        augment=config.augment,
    )
    with closing(batches):
        return batches.nth(0)


def training_batches(dataset: str, batch_size: int, seed: int) -> DatasetBatches:
    """Batches of the training images, not augmented, in an order shuffled by ``seed``."""
    return batches_of(load(dataset), batch_size, seed)


def batches_of(data: ImageData, batch_size: int, seed: int) -> DatasetBatches:
    """`training_batches` for data that are already loaded, such as a run's long-tailed training
    set."""
    images, cpu = (data.arrays.train_x, data.arrays.train_y), torch.device("cpu")
    return make_batches(*images, data.dataset, cpu, batch_size=batch_size, seed=seed)


def first_batch(dataset: str, batch_size: int, seed: int) -> Batch:
    """The first of `training_batches`."""
    return next(training_batches(dataset, batch_size, seed).epoch(0))


@torch.no_grad()
def compete(model: nn.Module, batch: Batch, grid: Grid) -> GroupScores:
    """The competition of the first group of a batch, with all intermediate results."""
    m = grid[0] * grid[1]
    x, y = batch.x[:m], batch.y[:m]
    small = composite(x, grid)
    q = logits_of(model(small)).softmax(-1)[0, y]
    scores = ns_scores(model, x, y, grid)
    return GroupScores(x, y, stitch(x, grid)[0], small[0], q, scores, grid)


def score_table(model: nn.Module, source: str | ImageData, grid: Grid, seed: int) -> pd.DataFrame:
    """Class and natural-selection score of every training sample, in the groups of one epoch.
    Samples that do not fill a group are left out.

    ``source`` is the name of a data set, or a loaded one, such as a run's long-tailed one.
    """
    data = load(source) if isinstance(source, str) else source
    classes = data.dataset.classes
    m = grid[0] * grid[1]
    lines = []
    for batch in batches_of(data, 64 * m, seed).epoch(0):
        if len(batch.y) >= m:
            whole = len(batch.y) - len(batch.y) % m
            scores = ns_scores(model, batch.x[:whole], batch.y[:whole], grid)
            names = [classes[k] for k in batch.y[:whole].tolist()]
            lines.append(pd.DataFrame({"class": names, "score": scores.tolist()}))
    order = pd.CategoricalDtype(list(classes), ordered=True)
    return pd.concat(lines, ignore_index=True).astype({"class": order})


def class_scores(result: Result, grid: Grid, seed: int) -> pd.DataFrame:
    """A line per class: number of training samples (``size``), mean ``score`` under the run's final
    network, and test ``accuracy`` in percent; the points of [NS Fig. 4]."""
    config: TrainConfig = decode(result.config)
    data = training_set(config)
    scores = score_table(trained_model(result), data, grid, seed)
    means = scores.groupby("class", observed=False)["score"].mean()
    return pd.DataFrame(
        run_columns(result)
        | {
            "imbalance": config.imbalance,
            "run": result.id,
            "class": list(data.dataset.classes),
            "size": data.info.class_counts.tolist(),
            "score": means.to_numpy(),
            "accuracy": result.metrics["per_class_accuracy"],
        }
    )


def class_regressions(classes: pd.DataFrame) -> pd.DataFrame:
    """Regressions of mean score on class size and on accuracy over the classes, from means over
    runs [NS Fig. 4]; two for each data set, imbalance factor and method.

    ``classes`` holds tables of `class_scores`. Columns: ``dataset``, ``imbalance``, ``method``,
    ``against`` (``size`` or ``accuracy``), ``points`` (a table with a line per class), ``line``.
    """
    keys = ["dataset", "imbalance", "method"]
    lines = []
    for key, group in classes.groupby(keys, sort=False):
        means = group.groupby("class", sort=False)[["size", "score", "accuracy"]].mean()
        points = means.reset_index()
        for x in ("size", "accuracy"):
            line = regression(points[x], points["score"])
            about = dict(zip(keys, key, strict=True))
            lines.append(about | {"against": x, "points": points, "line": line})
    return pd.DataFrame(lines)


def negative_shares(
    model: nn.Module, source: str | ImageData, grids: Sequence[Grid], sigmas: Sequence[float]
) -> pd.DataFrame:
    """The percentage of weights sigma - s (rho = -1) that are negative, by grid, with its group
    size m, and sigma."""
    lines = []
    for grid in grids:
        scores = score_table(model, source, grid, 0)["score"]
        m = grid[0] * grid[1]
        for sigma in sigmas:
            share = 100 * float((scores > sigma).mean())
            lines.append({"m": m, "grid": f"{grid[0]}x{grid[1]}", "sigma": sigma, "share": share})
    return pd.DataFrame(lines)


def kind_table(results: Sequence[Result]) -> pd.DataFrame:
    """A line per run, epoch and kind of sample (clean, mislabelled): training accuracy on the
    labels as given, mean weight, and mean score s = (w - sigma) / rho, NaN without NS."""
    lines = []
    for result in results:
        config: TrainConfig = decode(result.config)
        ns = config.objective if isinstance(config.objective, NS) else None
        for row in result.history:
            for kind in ("clean", "mislabelled"):
                weight = row[f"weight_mean_{kind}"]
                score = (weight - ns.sigma) / ns.rho if ns and ns.rho else math.nan
                lines.append(
                    run_columns(result)
                    | {
                        "epoch": row["epoch"] + 1,
                        "labels": kind,
                        "train_accuracy": row[f"train_accuracy_{kind}"],
                        "weight": weight,
                        "score": score,
                    }
                )
    return pd.DataFrame(lines)


def simulated_scores(samples: int, m: int, seed: int) -> Float[Tensor, " n"]:
    """Scores s = m q / sum(q) of simulated groups of ``m``, q uniform on [0, 1], for [NS Fig. 2].

    NOTE: the paper does not say how its curves were simulated.
    """
    q = torch.rand(samples // m, m, generator=generator(seed, "simulated scores"))
    return (m * q / q.sum(1, keepdim=True)).flatten()
