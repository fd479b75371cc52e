"""Finished runs as tables and networks, ready to be plotted or looked into."""

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from nslab.checkpoint import load_weights
from nslab.datasets import load
from nslab.datasets.loader import Loader
from nslab.experiments import TrainConfig
from nslab.experiments.codec import decode
from nslab.experiments.ns.common import method_of
from nslab.networks import build_network
from nslab.objectives.ns import Grid, composite, ns_scores, stitch
from nslab.rng import generator
from nslab.store import Result
from nslab.types import Batch


@dataclass(frozen=True)
class Competition:
    """One group of samples and how they fare: images (m, c, h, w), labels, the stitched image,
    the composite the network sees, each sample's q (its class's probability) and score."""

    images: Float[Tensor, "m c h w"]
    labels: Int[Tensor, " m"]
    stitched: Float[Tensor, "c H W"]
    composite: Float[Tensor, "c h w"]
    q: Float[Tensor, " m"]
    scores: Float[Tensor, " m"]
    grid: Grid


def describe(result: Result) -> dict[str, str | int]:
    """What tells runs of an experiment apart: data set, network, method, seed."""
    config: TrainConfig = decode(result.config)
    return {
        "dataset": config.dataset,
        "network": config.network,
        "method": method_of(config),
        "seed": config.seed,
    }


def history_table(results: Sequence[Result]) -> pd.DataFrame:
    """A line per run and epoch: what was logged, except lists. Epochs count from 1."""
    lines = [
        describe(result) | {k: v for k, v in row.items() if not isinstance(v, list)}
        for result in results
        for row in result.history
    ]
    return pd.DataFrame(lines).assign(epoch=lambda frame: frame["epoch"] + 1)


def class_table(results: Sequence[Result]) -> pd.DataFrame:
    """A line per run and class: test accuracy in percent after the last epoch."""
    lines = []
    for result in results:
        about = describe(result)
        classes = load(str(about["dataset"])).dataset.classes
        accuracies = zip(classes, result.metrics["per_class_accuracy"], strict=True)
        lines += [about | {"class": name, "accuracy": value} for name, value in accuracies]
    return pd.DataFrame(lines)


def trained_model(result: Result) -> nn.Module:
    """The network of a finished run with its final weights, in evaluation mode, on the CPU."""
    if result.folder is None:
        raise FileNotFoundError(
            f"run {result.id} is frozen: its numbers are here, its weights are not. "
            "nslab.run(config, weights=True) computes it again to have them."
        )
    config: TrainConfig = decode(result.config)
    dataset = load(config.dataset).dataset
    model = build_network(config.network, dataset.shape, dataset.layout.num_classes, config.seed)
    return load_weights(model, result.folder).eval()


def training_batches(dataset: str, batch_size: int, seed: int) -> Loader:
    """The training images as they are, not augmented, in a shuffled order that ``seed`` names."""
    data = load(dataset)
    x, y = torch.tensor(data.arrays.train_x), torch.tensor(data.arrays.train_y)
    return Loader(x, y, data.dataset, batch_size=batch_size, seed=seed)


def first_batch(dataset: str, batch_size: int, seed: int) -> Batch:
    """The first of `training_batches`."""
    return next(training_batches(dataset, batch_size, seed).epoch(0))


@torch.no_grad()
def compete(model: nn.Module, batch: Batch, grid: Grid) -> Competition:
    """Let the first group of a batch compete, and keep every step to look at."""
    m = grid[0] * grid[1]
    x, y = batch.x[:m], batch.y[:m]
    small = composite(x, grid)
    q = model(small).softmax(-1)[0, y]
    scores = ns_scores(model, x, y, grid)
    return Competition(x, y, stitch(x, grid)[0], small[0], q, scores, grid)


def score_table(model: nn.Module, dataset: str, grid: Grid, seed: int) -> pd.DataFrame:
    """Every training sample's class and natural-selection score over one epoch's groups."""
    classes = load(dataset).dataset.classes
    m = grid[0] * grid[1]
    lines = []
    for batch in training_batches(dataset, 64 * m, seed).epoch(0):
        if len(batch.y) >= m:
            whole = len(batch.y) - len(batch.y) % m
            scores = ns_scores(model, batch.x[:whole], batch.y[:whole], grid)
            names = [classes[k] for k in batch.y[:whole].tolist()]
            lines.append(pd.DataFrame({"class": names, "score": scores.tolist()}))
    order = pd.CategoricalDtype(list(classes), ordered=True)
    return pd.concat(lines, ignore_index=True).astype({"class": order})


def simulated_scores(samples: int, m: int, seed: int) -> Float[Tensor, " n"]:
    """Scores of groups of ``m`` whose q are uniform on [0, 1], as material for [NS Fig. 2].

    NOTE: the paper does not say how its curves were simulated.
    """
    q = torch.rand(samples // m, m, generator=generator(seed, "simulated scores"))
    return (m * q / q.sum(1, keepdim=True)).flatten()
