"""Presets of the experiments with differential evolution, and the names of methods.

Preset ``paper`` is the paper's: torchvision's networks on ImageNet, its population and number of
generations. ``cpu`` has public CIFAR-10 networks, fewer and smaller batches; ``dataset="cifar10"``
has these networks at the paper's numbers of batches, and ``dataset="folder:PATH"`` takes anyone's
images.
"""

import dataclasses
from typing import Any, Literal

from nslab.configs.evolve import EvolveConfig, Init
from nslab.configs.labels import columns
from nslab.configs.methods import EVOLUTION_METHODS
from nslab.configs.protocol import RunConfig
from nslab.configs.schedules import Constant, Cosine, Triangular
from nslab.configs.train import TrainConfig
from nslab.datasets import dataset_of, is_folder
from nslab.experiments.definition import TableRow
from nslab.experiments.presets import Preset

# The paper's names of methods, then ours for what its tables leave without one.
EvolutionMethod = Literal[
    "pretrained",
    "population_mean",
    "population_best",
    "wa",
    "ensemble",
    "fge",
    "soups",
    "smd",
    "de",
    "sade",
    "sa_shade",
    "sa_shade_tri",
    "sa_shade_ensin",
    "sa_shade_tri_ensin",
    "sa_shade_tri_ensin_cauchy",
    "pso",
    "pso_constriction",
]
# How evolution goes: members, batches, generations on each, samples of a batch.
EVOLUTION_SIZES: dict[str, dict[str, Any]] = {
    "smoke": {"size": 6, "batches": 2, "generations": 4, "batch_size": 128, "microbatch": 64},
    "cpu": {
        "size": 6,
        "batches": 4,
        "generations": 10,
        "batch_size": 1024,
        "microbatch": 128,  # BatchNorm then sees batches as large as training's
    },
    "paper": {
        "size": 10,
        "batches": 20,
        "generations": 10,
        "batch_size": 2048,
        "microbatch": 128,
    },
}

# NOTE: held-out samples are a part of the training set that the public networks have seen; parents
# and evolution have not.
HELD_OUT = {"smoke": 200, "cpu": 5000, "paper": 5000}
HELD_OUT_IMAGES = 10_000  # of a folder of images, a tenth of it at most

DATA = {"smoke": "digits_16", "cpu": "cifar10", "paper": "imagenet"}
DEPTHS = {
    "digits_16": ("resnet8",),
    "cifar10": ("resnet20_public", "resnet32_public", "resnet56_public"),
    "imagenet": ("resnet18", "resnet34", "resnet50", "resnet101"),
}
WEIGHTS = "torchvision:IMAGENET1K_V1"
PARTS = 10  # partial epochs of a pass over a folder of images


def networks_of(preset: Preset, dataset: str | None, depths: bool = False) -> tuple[str, ...]:
    """The pretrained networks of a data set: of several ``depths``, or the one of most tables."""
    name = DATA[preset] if preset == "smoke" or not dataset else dataset
    known = DEPTHS.get(name, DEPTHS["imagenet"])
    if known is DEPTHS["imagenet"]:
        return known if depths else ("resnet50",)
    return known if depths and preset == "paper" else known[:1]


def pretrained(
    preset: Preset,
    network: str | None = None,
    seed: int = 2024,
    dataset: str | None = None,
    epochs: int | None = None,
    start: str | None = None,
) -> TrainConfig:
    """One epoch, or ``epochs``, of continued training of a pretrained network, its learning rate
    falling to 0.

    NOTE: the paper does not give its fine-tuning's learning rate. On ImageNet it begins here at
    0.001, the rate that torchvision's recipe ended with, with its batch size and weight decay.
    ``start``: other weights than torchvision's first ones, such as ``file:PATH``.
    """
    name = dataset or DATA[preset]
    epochs = 1 if epochs is None else epochs
    if preset == "smoke":
        ancestor = TrainConfig(
            dataset=name,
            network=network or "resnet8",
            epochs=6,
            batch_size=64,
            schedule=Cosine(),
            warmup_epochs=1,
            augment="crop",
            hold_out=HELD_OUT[preset],
        )
        return dataclasses.replace(
            ancestor, ancestor=ancestor, epochs=epochs, lr=0.02, warmup_epochs=0.0, seed=seed
        )
    if is_folder(name):
        return TrainConfig(
            dataset=name,
            network=network or "resnet50",
            start=start or WEIGHTS,
            epochs=epochs,
            batch_size=256,
            lr=0.001,
            weight_decay=1e-4,
            schedule=Cosine(),
            augment="crop_flip",
            hold_out=min(HELD_OUT_IMAGES, dataset_of(name).layout.train // 10),
            seed=seed,
        )
    return TrainConfig(
        dataset=name,
        network=network or "resnet20_public",
        start="public",
        epochs=epochs,
        lr=0.01,
        weight_decay=1e-4,
        schedule=Cosine(),
        augment="crop_flip",
        hold_out=HELD_OUT[preset],
        seed=seed,
    )


def evolved(
    preset: Preset, base: TrainConfig, init: Init, method: EvolutionMethod, **changes: Any
) -> EvolveConfig:
    """A method on a population of the preset's size; ``changes`` that are None are left out.

    Last epochs are those of a training at constant rate that is as long as the population; on a
    folder of images they are partial epochs, ten a pass (NOTE: the paper trains on for "ps partial
    epochs" and does not say how long one is). Parents of the geometric ensemble are the minima of a
    rate that falls to a hundredth and rises again every two epochs (NOTE: our cycle and rates).
    """
    given = EVOLUTION_SIZES[preset]
    if is_folder(base.dataset):
        given = given | {"microbatch": base.batch_size, "test_each_batch": True}
    given = given | {name: v for name, v in changes.items() if v is not None}
    if method == "pretrained":
        init, given["size"] = "pretrained", 1
    if method == "fge":
        init = "cyclic"
    if init in ("last_epochs", "noise", "cyclic"):
        schedule = Triangular(2, 0.01) if init == "cyclic" else Constant()
        parts = partial_epochs(base, given["size"]) if is_folder(base.dataset) else 1
        base = dataclasses.replace(base, epochs=given["size"], schedule=schedule, epoch_parts=parts)
    return EvolveConfig(base, init, method=EVOLUTION_METHODS[method], **given)


def partial_epochs(base: TrainConfig, size: int) -> int:
    """Partial epochs of a pass: ten, or as many as spread the population over the passes of
    ``base``; fewer where the images are too few for so many batches."""
    wanted = PARTS if base.epochs == 1 else max(1, size // base.epochs)
    images = base.about.layout.train - base.hold_out
    return max(1, min(wanted, images // base.batch_size))


def table_row(config: RunConfig) -> TableRow:
    """What tells runs apart in the paper's tables: data set, network, method, initial population. A
    training there is called ``adam``."""
    row = {key: value for key, value in columns(config).items() if key != "seed"}
    return row if "initialization" in row else row | {"method": "adam"}
