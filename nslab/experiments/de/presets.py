"""Presets of the experiments with differential evolution, and the names of methods.

Preset ``paper`` follows the paper: torchvision's networks on ImageNet, its population and its
number of generations. ``cpu`` evolves public CIFAR-10 networks on fewer and smaller batches. At
preset ``paper``, ``dataset="cifar10"`` takes those networks with the paper's numbers of batches,
and ``dataset="folder:PATH"`` your own images.
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

# Methods by the paper's names where it has one, else by ours.
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
# Members of the population, batches, generations on each, samples of a batch and of a part of it.
EVOLUTION_SIZES: dict[str, dict[str, Any]] = {
    "smoke": {"size": 6, "batches": 2, "generations": 4, "batch_size": 128, "microbatch": 64},
    "cpu": {
        "size": 6,
        "batches": 4,
        "generations": 10,
        "batch_size": 1024,
        "microbatch": 128,  # so BatchNorm sees batches of the same size as in training
    },
    "paper": {
        "size": 10,
        "batches": 20,
        "generations": 10,
        "batch_size": 2048,
        "microbatch": 128,
    },
}

# NOTE: held-out samples are taken from the training set, which the public networks were trained on;
# parents and evolution do not see them.
HELD_OUT = {"smoke": 200, "cpu": 5000, "paper": 5000}
HELD_OUT_IMAGES = 10_000  # of a folder of images, but at most a tenth of its training images

DATA = {"smoke": "digits_16", "cpu": "cifar10", "paper": "imagenet"}
DEPTHS = {
    "digits_16": ("resnet8",),
    "cifar10": ("resnet20_public", "resnet32_public", "resnet56_public"),
    "imagenet": ("resnet18", "resnet34", "resnet50", "resnet101"),
}
WEIGHTS = "torchvision:IMAGENET1K_V1"
PARTS = 10  # partial epochs into which a pass over a folder of images is cut


def networks_of(preset: Preset, dataset: str | None, depths: bool = False) -> tuple[str, ...]:
    """The pretrained networks of a data set: all ``depths``, or the one that most tables use."""
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
    """Continued training of a pretrained network for one epoch, or ``epochs``, with a learning rate
    that falls to 0.

    ``start`` names weights to use in place of torchvision's first ones, such as ``file:PATH``.
    NOTE: the paper does not give the learning rate of its fine-tuning. On ImageNet ours begins at
    0.001, the last rate of torchvision's recipe, whose batch size and weight decay are used too.
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
    """A method run on a population of the preset's size; ``changes`` that are None are left out.

    With ``init="last_epochs"`` the parents are all epochs of a training at a constant rate, as many
    as the population has members; on a folder of images they are partial epochs, ten a pass (NOTE:
    the paper trains on for "ps partial epochs" and does not say how long one is). Parents of the
    geometric ensemble are networks at the minima of a learning rate that falls to a hundredth and
    rises again every two epochs (NOTE: cycle and rates are ours).
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
    """How many partial epochs a pass is cut into: ten, or, if ``base`` has several epochs, as many
    as spread the population over them; fewer if there are not that many batches."""
    wanted = PARTS if base.epochs == 1 else max(1, size // base.epochs)
    images = base.about.layout.train - base.hold_out
    return max(1, min(wanted, images // base.batch_size))


def table_row(config: RunConfig) -> TableRow:
    """What tells runs apart in the paper's tables: data set, network, method, initial population.
    The method of a training is called ``adam``, as there."""
    row = {key: value for key, value in columns(config).items() if key != "seed"}
    return row if "initialization" in row else row | {"method": "adam"}
