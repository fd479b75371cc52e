"""What the experiments with differential evolution share: presets, seeds, names of methods.

Presets: ``smoke`` runs on the embedded digits in seconds and supports no claim; ``cpu`` takes real
data and hours on a CPU, with fewer and smaller batches than the paper; ``paper`` has the paper's
population and number of generations. NOTE: the paper's large networks are ImageNet's, whose images
do not fit the loader here; ``paper`` takes the public CIFAR-10 ResNets instead, and ``nslab
evolve`` takes anyone's networks and folders of images.
"""

import dataclasses
from typing import Any, Literal

from nslab.evolve import EVOLVERS, AdaptiveDE
from nslab.evolve.rivals import GreedySoup, Parents, SparseMutations, Vote, WeightAverage
from nslab.experiments.config import TrainConfig
from nslab.experiments.evolution import EvolveConfig, Init
from nslab.experiments.experiment import Row
from nslab.experiments.schedules import Constant, Cosine

Preset = Literal["smoke", "cpu", "paper"]

SEEDS: dict[str, tuple[int, ...]] = {
    "smoke": (2024, 2025),
    "cpu": (2024, 2025, 2026),
    "paper": (2024, 2025, 2026),
}

# The paper's names of methods, then ours for what its tables leave without one.
Method = Literal[
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
METHODS: dict[str, Any] = {
    "pretrained": Parents("all"),
    "population_mean": Parents("all"),
    "population_best": Parents("best"),
    "wa": WeightAverage(),
    "ensemble": Vote(),
    "soups": GreedySoup(),
    "smd": SparseMutations(),
    "de": EVOLVERS["de"],
    "sade": EVOLVERS["sade"],
    "sa_shade": EVOLVERS["sade+shade"],
    "sa_shade_tri": EVOLVERS["+trigonometric"],
    "sa_shade_ensin": EVOLVERS["+sin-f"],
    "sa_shade_tri_ensin": EVOLVERS["sa-shade-tri-ensin"],
    "sa_shade_tri_ensin_cauchy": EVOLVERS["sa-shade-tri-ensin-cauchy"],
    "pso": EVOLVERS["pso"],
    "pso_constriction": EVOLVERS["pso-constriction"],
}

# How evolution goes: members, batches, generations on each, samples of a batch.
SIZES: dict[str, dict[str, int]] = {
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
    preset: Preset, base: TrainConfig, init: Init, method: Method, **changes: Any
) -> EvolveConfig:
    """A method on a population of the preset's size; ``changes`` that are None are left out.

    Last epochs are those of a training at constant rate that is as long as the population.
    """
    given = SIZES[preset] | {name: v for name, v in changes.items() if v is not None}
    if method == "pretrained":
        init, given["size"] = "pretrained", 1
    if init in ("last_epochs", "noise"):
        base = dataclasses.replace(base, epochs=given["size"], schedule=Constant())
    return EvolveConfig(base, init, method=METHODS[method], **given)


def method_of(config: EvolveConfig) -> str:
    """The name of a run's method; DE is DE with any F and Cr."""
    if config.init == "pretrained":
        return "pretrained"
    method = config.method
    if isinstance(method, AdaptiveDE) and method == AdaptiveDE(f=method.f, cr=method.cr):
        return "de"
    names = [name for name in METHODS if name != "pretrained" and METHODS[name] == method]
    return names[0] if names else str(method)


def row_of(config: TrainConfig | EvolveConfig) -> Row:
    """What tells runs apart: data set, network, method, initial population."""
    if isinstance(config, TrainConfig):
        return {"dataset": config.dataset, "network": config.network, "method": "adam"}
    return {
        "dataset": config.dataset,
        "network": config.base.network,
        "method": method_of(config),
        "initialization": config.init,
    }
