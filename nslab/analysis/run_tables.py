"""Finished runs as tables and networks, ready to be plotted or looked into."""

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

SHOWN = 64  # samples of a batch that is only looked at


@dataclass(frozen=True)
class GroupScores:
    """One group of samples and how they fare: images (m, c, h, w), labels, the stitched image,
    the composite the network sees, each sample's q (its class's probability) and score."""

    images: Float[Tensor, "m c h w"]
    labels: Int[Tensor, " m"]
    stitched: Float[Tensor, "c H W"]
    composite: Float[Tensor, "c h w"]
    q: Float[Tensor, " m"]
    scores: Float[Tensor, " m"]
    grid: Grid


def run_columns(result: Result) -> dict[str, str | int | float]:
    """The columns that tell a run apart, see `nslab.configs.labels.columns`."""
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
    """A line per run: what tells it apart, its imbalance factor (1: none), a final number
    ``value``, and whether it has ``learnt`` (is above chance)."""
    lines = []
    for result in results:
        config: TrainConfig = decode(result.config)
        line = run_columns(result) | {"imbalance": config.imbalance}
        lines.append(line | {"value": result.metrics[metric], "learnt": result.learnt})
    return pd.DataFrame(lines)


def trained_model(result: Result) -> nn.Module:
    """The network that a finished run, a training or an evolution, ended with, in evaluation mode,
    on the CPU.

    Raises ``FileNotFoundError`` where its weights are not here, ``ValueError`` for a method that
    ends with several networks, and for the evolution of a loss.
    """
    config: RunConfig = decode(result.config)
    if (training := config.training) is None:
        raise ValueError(f"run {result.id} ({label(config)}) is no classifier's")
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
    """The first batch of a training, augmented as there; on the CPU."""
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
    """The training images as they are, not augmented, in a shuffled order that ``seed`` names."""
    return batches_of(load(dataset), batch_size, seed)


def batches_of(data: ImageData, batch_size: int, seed: int) -> DatasetBatches:
    """The same of data already loaded, such as a run's own long-tailed training set."""
    images, cpu = (data.arrays.train_x, data.arrays.train_y), torch.device("cpu")
    return make_batches(*images, data.dataset, cpu, batch_size=batch_size, seed=seed)


def first_batch(dataset: str, batch_size: int, seed: int) -> Batch:
    """The first of `training_batches`."""
    return next(training_batches(dataset, batch_size, seed).epoch(0))


@torch.no_grad()
def compete(model: nn.Module, batch: Batch, grid: Grid) -> GroupScores:
    """Let the first group of a batch compete, and keep every step to look at."""
    m = grid[0] * grid[1]
    x, y = batch.x[:m], batch.y[:m]
    small = composite(x, grid)
    q = logits_of(model(small)).softmax(-1)[0, y]
    scores = ns_scores(model, x, y, grid)
    return GroupScores(x, y, stitch(x, grid)[0], small[0], q, scores, grid)


def score_table(model: nn.Module, source: str | ImageData, grid: Grid, seed: int) -> pd.DataFrame:
    """Every training sample's class and natural-selection score over one epoch's groups.

    ``source`` is the name of a data set, or one already loaded (a run's long-tailed one, say).
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
    """A line per class: training samples, mean score under the run's final network, test accuracy
    in percent; the points of [NS Fig. 4]."""
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
    """Lines of mean score on class size and on accuracy, each over the classes of one data set,
    imbalance factor and method, means over runs [NS Fig. 4].

    ``classes`` is of `class_scores`. Columns: these, ``against`` (the column of x), ``points`` (a
    line a class), ``line``.
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
    """Share of weights sigma - s below 0, in percent, by group size m and sigma (rho = -1)."""
    lines = []
    for grid in grids:
        scores = score_table(model, source, grid, 0)["score"]
        m = grid[0] * grid[1]
        for sigma in sigmas:
            share = 100 * float((scores > sigma).mean())
            lines.append({"m": m, "grid": f"{grid[0]}x{grid[1]}", "sigma": sigma, "share": share})
    return pd.DataFrame(lines)


def kind_table(results: Sequence[Result]) -> pd.DataFrame:
    """A line per run, epoch and kind of label (clean, mislabelled): training accuracy on the
    labels as given, mean weight, and mean score s = (w - sigma) / rho where there is one."""
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
    """Scores of groups of ``m`` whose q are uniform on [0, 1], as material for [NS Fig. 2].

    NOTE: the paper does not say how its curves were simulated.
    """
    q = torch.rand(samples // m, m, generator=generator(seed, "simulated scores"))
    return (m * q / q.sum(1, keepdim=True)).flatten()
