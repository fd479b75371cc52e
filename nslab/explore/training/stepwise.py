"""Training in small steps, watched: nslab's own loop, with a stop before every mini-batch."""

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
BETWEEN_PROBES = 0.2  # seconds
Note = dict[str, Any]


@dataclass
class Watched:
    """An objective that lets somebody look on; ``inner`` may be exchanged between two batches.

    ``before`` and ``after`` a batch is scored are called with the network, and with the batch and
    its scores.
    """

    inner: Objective
    worker: Worker | None = None
    seen: Any = None

    @property
    def min_batch(self) -> int:
        """That of the objective watched."""
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
    """The data of a training, some of its images to look at, and what an untrained network makes
    of them."""

    data: ImageData
    batch: Batch
    grid: Grid
    first: Note

    def scores(self, model: nn.Module) -> Float[Tensor, " b"]:
        """Every image's score in front of a network."""
        device = next(model.parameters()).device
        x, y = self.batch.x.to(device), self.batch.y.to(device)
        return ns_scores(model, x, y, self.grid).cpu()


def untrained(config: TrainConfig, grid: Grid) -> Probe:
    """The data of a training, and the scores of a part of it in front of the first network."""
    data = fewer_tests(training_set(config))
    batch = next(batches_of(data, PROBED, config.seed).epoch(0))
    shape, classes = data.dataset.shape, data.dataset.layout.num_classes
    model = build_network(config.network, shape, classes, config.seed)
    probe = Probe(data, batch, grid, {})
    probe.first.update(scores=probe.scores(model), labels=batch.y, weights=torch.ones(PROBED))
    return probe


def train_stepwise(worker: Worker, config: TrainConfig, probe: Probe, watched: Watched) -> None:
    """Train step by step, and post what happens: of every mini-batch the epoch (a fraction),
    cross-entropy and share of hits; now and then ``scores`` and ``weights``; after each epoch
    ``test``, accuracy in percent."""
    data, latest = probe.data, deque[Tensor](maxlen=4)
    accelerator = make_accelerator(config)
    loader, tests, _ = make_loaders(config, data, watched, accelerator)
    shape, classes = data.dataset.shape, data.dataset.layout.num_classes
    model: Any = build_network(config.network, shape, classes, config.seed)
    model, optimizer = prepared(config, model, accelerator)
    steps, looked = 0, 0.0

    def seen(network: nn.Module, batch: Batch, scored: Scored) -> None:
        nonlocal steps, looked
        steps += 1
        logits, y = scored.logits.detach().float(), batch.y
        ones = torch.ones(len(y))
        latest.append(ones if scored.weight is None else scored.weight.detach().cpu())
        note: Note = {
            "epoch": steps / len(loader),
            "loss": float(F.cross_entropy(logits, y)),
            "right": float((logits.argmax(1) == y).float().mean()),
        }
        if time.monotonic() - looked > BETWEEN_PROBES:
            note |= {"scores": probe.scores(network), "weights": torch.cat(tuple(latest))}
            looked = time.monotonic()
        worker.post(note)

    watched.worker, watched.seen = worker, seen
    with dropout_stream(accelerator.device):
        for epoch in range(config.epochs):
            train_epoch(config, model, watched, loader, optimizer, accelerator, epoch)
            tally = evaluate(model, tests, classes, accelerator)
            worker.post({"epoch": epoch + 1, "test": tally.accuracy})
