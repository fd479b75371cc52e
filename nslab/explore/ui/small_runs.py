"""Trainings for panels, which take seconds on one CPU core."""

from dataclasses import replace

from torch import nn

from nslab.configs import RunConfig, TrainConfig
from nslab.datasets import DATASETS, ImageData
from nslab.execution.local import run_local
from nslab.networks import build_network
from nslab.runs import store
from nslab.training.checkpoint import load_weights
from nslab.types import ObjectiveConfig

SAMPLES, TESTS = 2000, 1000  # most training and test images; digits has 1,294 and 503
SMALL_NETWORKS = ("mlp", "lenet5", "resnet8")


def small(
    dataset: str, network: str, epochs: int, seed: int, objective: ObjectiveConfig | None = None
) -> TrainConfig:
    """A training on at most 2,000 images that keeps the weights after every epoch."""
    config = TrainConfig(
        dataset=dataset,
        network=network,
        epochs=epochs,
        batch_size=64,
        lr=0.02,
        seed=seed,
        keep_last=epochs,
        train_size=SAMPLES if DATASETS[dataset].layout.train > SAMPLES else 0,
    )
    return replace(config, objective=objective) if objective else config


def fewer_tests(data: ImageData) -> ImageData:
    """The same data with the first 1,000 test images."""
    cut = data.arrays._replace(test_x=data.arrays.test_x[:TESTS], test_y=data.arrays.test_y[:TESTS])
    return replace(data, arrays=cut)


def trained(config: RunConfig, subprocess: bool) -> store.Result:
    """A finished run with its weights: looked up, else computed, in another process if
    ``subprocess``.

    Raises ``RuntimeError`` with the end of its output if that process fails.
    """
    found = store.find(config, weights=True)
    if found is None and subprocess:
        (ended,) = run_local([store.job(config, weights=True)])
        if ended.status:
            raise RuntimeError(
                f"run {config.id} failed (exit status {ended.status}): {ended.tail(3)}"
            )
        found = store.find(config, weights=True)
    return found or store.run(config, weights=True, show=False)


def after_epochs(config: TrainConfig) -> list[nn.Module]:
    """The untrained network, and those after each epoch of a finished run that kept them all."""
    dataset = DATASETS[config.dataset]
    form = (config.network, dataset.shape, dataset.layout.num_classes, config.seed)
    folder = store.folder_of(config)
    kept = [load_weights(build_network(*form), folder, e + 1) for e in range(config.epochs)]
    return [model.eval() for model in (build_network(*form), *kept)]
