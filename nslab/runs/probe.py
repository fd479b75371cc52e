"""Estimated times of runs on folders of images before a similar one is finished: one training step
is timed.

Random images go through the network on this device, once with and once without the backward pass.
The time of a run then follows from its number of samples. Decoding images is left out: on a GPU it
overlaps with the computation, on a CPU it takes additional time.
"""

import dataclasses
import functools
import time

import torch
import torch.nn.functional as F

from nslab.configs import AdaptConfig, EvaluateConfig, EvolveConfig, RunConfig, TrainConfig
from nslab.datasets import Dataset, dataset_of, is_folder
from nslab.evolve.protocol import Evolver
from nslab.networks import build_network
from nslab.networks.logits import logits_of
from nslab.objectives import NS
from nslab.system.distributed import process_group
from nslab.types import AUTOCAST, ImageShape, Precision

SAMPLES = {"cpu": 2, "cuda": 32}  # images in the timed batch


@dataclasses.dataclass(frozen=True)
class StepSeconds:
    """Seconds per sample: ``forward`` for a forward pass without gradients, ``both`` for forward
    and backward pass of a training step."""

    forward: float
    both: float


@functools.cache
def step_seconds(
    network: str, shape: ImageShape, classes: int, precision: Precision
) -> StepSeconds:
    """Time a network on random images; each step runs twice, and the second run is timed."""
    device = process_group().device
    count = SAMPLES.get(device.type, 2)
    model = build_network(network, shape, classes, seed=0).to(device)
    model = model.to(memory_format=torch.channels_last)
    x = torch.randn(count, *shape).to(device, memory_format=torch.channels_last)
    y, dtype = torch.zeros(count, dtype=torch.long, device=device), AUTOCAST[precision]

    def forward() -> torch.Tensor:
        with torch.autocast(device.type, dtype, enabled=dtype is not None):
            return F.cross_entropy(logits_of(model(x)).float(), y)

    def both() -> None:
        model.zero_grad()
        forward().backward()

    times = {}
    for name, step in (("both", both), ("forward", torch.no_grad()(forward))):
        model.train(name == "both")
        step()
        _wait(device)
        started = time.perf_counter()
        step()
        _wait(device)
        times[name] = (time.perf_counter() - started) / count
    return StepSeconds(**times)


def probed_seconds(config: RunConfig) -> float | None:
    """Seconds of a run on a folder of images, its network timed here; None for any other run."""
    form = config.training
    if not isinstance(form, TrainConfig) or not is_folder(form.dataset):
        return None
    data = form.about
    step = step_seconds(form.network, data.shape, data.layout.num_classes, form.precision)
    if isinstance(config, TrainConfig):
        return _training(config, data, step)
    if isinstance(config, AdaptConfig):
        target = dataset_of(config.dataset, config.steps.image_size)
        labelled = config.epochs * (config.train_size or target.layout.train) * step.forward
        if not config.epochs:
            return target.layout.test * step.forward
        return _training(config.steps, target, step) + labelled
    if isinstance(config, EvaluateConfig):
        tested = dataset_of(config.dataset, form.image_size)
        return tested.layout.test * step.forward
    if isinstance(config, EvolveConfig):
        return _evolution(config, data, step)
    return None


def _training(config: TrainConfig, data: Dataset, step: StepSeconds) -> float:
    samples = config.train_size or data.layout.train - config.hold_out
    passes = config.epochs / config.epoch_parts
    composites = 0.0
    if isinstance(config.objective, NS):
        rows, columns = config.objective.grid
        composites = step.forward / (rows * columns)
    evaluated = -(-config.epochs // config.eval_every) * (data.layout.test + config.hold_out)
    return passes * samples * (step.both + composites) + evaluated * step.forward


def _evolution(config: EvolveConfig, data: Dataset, step: StepSeconds) -> float:
    test, held = data.layout.test, config.base.hold_out
    if not isinstance(config.method, Evolver):
        return config.size * (test + held) * step.forward
    parents, each_batch = config.size * held, held + config.test_each_batch * test
    evaluated = parents + config.batches * each_batch + 3 * test
    images = config.base.train_size or data.layout.train - held
    scored = config.cost() * min(1.0, images / config.batch_size)  # a batch has all images at most
    return (scored + evaluated) * step.forward


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
