"""Presets of the experiments with differential evolution, and the names of methods.

Preset ``cpu`` has fewer and smaller batches than the paper, ``paper`` the paper's population and
number of generations. NOTE: the paper's large networks are ImageNet's, whose images
do not fit the loader here; ``paper`` takes the public CIFAR-10 ResNets instead, and ``nslab
evolve`` takes anyone's networks and folders of images.
"""

import dataclasses
from typing import Any, Literal

from nslab.configs.evolve import EvolveConfig, Init
from nslab.configs.labels import columns
from nslab.configs.methods import EVOLUTION_METHODS
from nslab.configs.protocol import RunConfig
from nslab.configs.schedules import Constant, Cosine
from nslab.configs.train import TrainConfig
from nslab.experiments.definition import TableRow
from nslab.experiments.presets import Preset

# The paper's names of methods, then ours for what its tables leave without one.
EvolutionMethod = Literal[
    "pretrained",
    "population_mean",
    "population_best",
    "wa",
    "ensemble",
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
EVOLUTION_SIZES: dict[str, dict[str, int]] = {
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


def pretrained(preset: Preset, network: str | None = None, seed: int = 2024) -> TrainConfig:
    """One epoch of continued training of a pretrained network, its learning rate falling to 0.

    NOTE: the paper does not give its fine-tuning's learning rate.
    """
    if preset == "smoke":
        ancestor = TrainConfig(
            network=network or "resnet8",
            epochs=6,
            batch_size=64,
            schedule=Cosine(),
            warmup_epochs=1,
            augment="crop",
            hold_out=HELD_OUT[preset],
        )
        return dataclasses.replace(
            ancestor, ancestor=ancestor, epochs=1, lr=0.02, warmup_epochs=0.0, seed=seed
        )
    return TrainConfig(
        dataset="cifar10",
        network=network or "resnet20_public",
        start="public",
        epochs=1,
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

    Last epochs are those of a training at constant rate that is as long as the population.
    """
    given = EVOLUTION_SIZES[preset] | {name: v for name, v in changes.items() if v is not None}
    if method == "pretrained":
        init, given["size"] = "pretrained", 1
    if init in ("last_epochs", "noise"):
        base = dataclasses.replace(base, epochs=given["size"], schedule=Constant())
    return EvolveConfig(base, init, method=EVOLUTION_METHODS[method], **given)


def table_row(config: RunConfig) -> TableRow:
    """What tells runs apart in the paper's tables: data set, network, method, initial population. A
    training there is called ``adam``."""
    row = {key: value for key, value in columns(config).items() if key != "seed"}
    return row if "initialization" in row else row | {"method": "adam"}
