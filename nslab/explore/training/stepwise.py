"""Training in small steps: nslab's own training loop, with a stop before every mini-batch."""

import time
from collections import deque
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from nslab.analysis.run_tables import batches_of
from nslab.configs import TrainConfig
from nslab.datasets import ImageData
from nslab.explore.ui.small_runs import fewer_tests
from nslab.explore.ui.tasks import Worker
from nslab.networks import build_network
from nslab.objectives.competition import ns_scores
from nslab.objectives.composites import Grid
from nslab.training.epoch import train_epoch
from nslab.training.loop import dropout_stream, evaluate, training_set
from nslab.training.setup import make_accelerator, make_loaders, prepared
from nslab.types import Batch, Objective, Scored

PROBED = 240  # samples whose scores are shown; a multiple of every grid's m
BETWEEN_PROBES = 0.2  # seconds between two computations of scores to show, at least
Note = dict[str, Any]


@dataclass
class Watched:
    """An objective that reports every batch; ``inner`` may be replaced between two batches.

    Attributes:
        inner: the objective that scores batches.
        worker: asked for leave before each batch, if there is one.
        seen: called with the network, the batch and its scores after each batch, if not None.
    """

    inner: Objective
    worker: Worker | None = None
    seen: Any = None

    @property
    def min_batch(self) -> int:
        """That of ``inner``."""
        return self.inner.min_batch

    def __call__(self, model: nn.Module, batch: Batch) -> Scored:
        if self.worker is not None:
            self.worker.wait_for_step()
        scored = self.inner(model, batch)
        if self.seen is not None:
            self.seen(model, batch, scored)
        return scored


@dataclass(frozen=True, eq=False)
class Probe:
    """The data of a training, and a batch of its images whose scores are shown.

    Attributes:
        data: training set and a part of the test set.
        batch: the images whose scores are shown, ``PROBED`` of them.
        grid: how they are grouped.
        first: the note with their scores by the untrained network.
    """

    data: ImageData
    batch: Batch
    grid: Grid
    first: Note

    def scores(self, model: nn.Module) -> Float[Tensor, " b"]:
        """The score of every image under a network."""
        device = next(model.parameters()).device
        x, y = self.batch.x.to(device), self.batch.y.to(device)
        return ns_scores(model, x, y, self.grid).cpu()


def untrained(config: TrainConfig, grid: Grid) -> Probe:
    """The probe of a training: its data, and the scores of a part of it under the untrained
    network."""
    data = fewer_tests(training_set(config))
    batch = next(batches_of(data, PROBED, config.seed).epoch(0))
    shape, classes = data.dataset.shape, data.dataset.layout.num_classes
    model = build_network(config.network, shape, classes, config.seed)
    probe = Probe(data, batch, grid, {})
    probe.first.update(scores=probe.scores(model), labels=batch.y, weights=torch.ones(PROBED))
    return probe


def train_stepwise(worker: Worker, config: TrainConfig, probe: Probe, watched: Watched) -> None:
    """Train step by step and post notes.

    For every mini-batch: ``epoch`` (a fraction), ``loss`` (cross-entropy), ``right`` (training
    accuracy, 0 to 1). At most five times a second also ``scores`` of the probe, and ``weights`` of
    the last mini-batches. After each epoch: ``epoch`` and ``test``, test accuracy in percent.
    """
    data, latest = probe.data, deque[Tensor](maxlen=4)
    accelerator = make_accelerator(config)
    loader, tests, _ = make_loaders(config, data, watched, accelerator)
    shape, classes = data.dataset.shape, data.dataset.layout.num_classes
    model: Any = build_network(config.network, shape, classes, config.seed)
    model, optimizer = prepared(config, model, accelerator)
    steps, probed_at = 0, 0.0

    def seen(network: nn.Module, batch: Batch, scored: Scored) -> None:
        nonlocal steps, probed_at
        steps += 1
        logits, y = scored.logits.detach().float(), batch.y
        ones = torch.ones(len(y))
        latest.append(ones if scored.weight is None else scored.weight.detach().cpu())
        note: Note = {
            "epoch": steps / len(loader),
            "loss": float(F.cross_entropy(logits, y)),
            "right": float((logits.argmax(1) == y).float().mean()),
        }
        if time.monotonic() - probed_at > BETWEEN_PROBES:
            note |= {"scores": probe.scores(network), "weights": torch.cat(tuple(latest))}
            probed_at = time.monotonic()
        worker.post(note)

    watched.worker, watched.seen = worker, seen
    with dropout_stream(accelerator.device):
        for epoch in range(config.epochs):
            train_epoch(config, model, watched, loader, optimizer, accelerator, epoch)
            tally = evaluate(model, tests, classes, accelerator)
            worker.post({"epoch": epoch + 1, "test": tally.accuracy})
