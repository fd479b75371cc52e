"""Natural Selection's experiments: one function per table or figure, giving its runs.

Presets: ``smoke`` runs on the embedded digits in seconds on a CPU and supports no claim; ``cpu``
takes minutes to hours on two cores and real data; ``paper`` is the paper's own setting
(section IV-A2, with the recipe of bearpaw/pytorch-classification where the paper is silent: weight
decay 1e-4 for ResNet-110, random crop and flip, 1x1-convolution shortcuts).
"""

import dataclasses
from typing import Literal

from nslab.experiments.config import TrainConfig
from nslab.experiments.experiment import Experiment, Row, with_seeds
from nslab.experiments.schedules import Cosine, Step
from nslab.objectives import NS, OBJECTIVES, CrossEntropy
from nslab.objectives.ns import SETTINGS
from nslab.types import ObjectiveConfig

Preset = Literal["smoke", "cpu", "paper"]
Method = Literal["ce", "ns_ws", "ns_lf"]

PRESETS: dict[str, TrainConfig] = {
    "smoke": TrainConfig(
        dataset="digits",
        network="resnet8",
        epochs=8,
        batch_size=64,
        schedule=Cosine(),
        warmup_epochs=1,
        augment="crop",
    ),
    "cpu": TrainConfig(
        dataset="cifar10",
        network="resnet20",
        epochs=6,
        schedule=Cosine(),
        warmup_epochs=1,
        augment="crop_flip",
    ),
    "paper": TrainConfig(
        dataset="cifar10",
        network="resnet110b",
        epochs=164,
        weight_decay=1e-4,
        schedule=Step((81, 122), (0.1, 0.1)),
        augment="crop_flip",
    ),
}
SEEDS: dict[str, tuple[int, ...]] = {
    "smoke": (2024, 2025),
    "cpu": (2024,),
    "paper": (2024, 2025, 2026),  # section IV-C2
}


def base(preset: Preset, **changes: str | int | None) -> TrainConfig:
    """A preset's config with some fields changed; changes that are None are left out."""
    given = {name: value for name, value in changes.items() if value is not None}
    return dataclasses.replace(PRESETS[preset], **given)  # type: ignore[arg-type]


def ablation_base(preset: Preset) -> TrainConfig:
    """Tables VI to VIII are on CIFAR-100 (section IV-C1); smoke keeps the digits."""
    return base(preset, dataset=None if preset == "smoke" else "cifar100")


def first(
    preset: Preset = "smoke",
    seeds: tuple[int, ...] | None = None,
    methods: tuple[Method, ...] = ("ce", "ns_ws", "ns_lf"),
    dataset: str | None = None,
    network: str | None = None,
    epochs: int | None = None,
) -> list[TrainConfig]:
    """Cross-entropy against both strategies on one data set: the first thing to look at.

    NS-WS has the paper's setting for CIFAR-10, NS-LF its setting for CIFAR-LT-10.
    """
    objectives: dict[str, ObjectiveConfig] = {
        "ce": CrossEntropy(),
        "ns_ws": SETTINGS["cifar10"],
        "ns_lf": SETTINGS["cifar10_lt"],
    }
    config = base(preset, dataset=dataset, network=network, epochs=epochs)
    return with_seeds(config, [objectives[m] for m in methods], seeds or SEEDS[preset])


def table6(preset: Preset = "smoke", seeds: tuple[int, ...] | None = None) -> list[TrainConfig]:
    """Table VI: how samples are grouped."""
    grids = [(1, 2), (2, 2), (2, 4), (4, 2), (4, 4)]
    objectives: list[ObjectiveConfig] = [NS(grid=grid, sigma=0.8) for grid in grids]
    return with_seeds(ablation_base(preset), objectives, seeds or SEEDS[preset])


def table7(preset: Preset = "smoke", seeds: tuple[int, ...] | None = None) -> list[TrainConfig]:
    """Table VII: the base value sigma, with rho = 1."""
    sigmas = (0.0, 0.1, 0.5, 0.8, 1.0, 1.5, 1.8)
    objectives: list[ObjectiveConfig] = [NS(sigma=sigma) for sigma in sigmas]
    return with_seeds(ablation_base(preset), objectives, seeds or SEEDS[preset])


def table8(preset: Preset = "smoke", seeds: tuple[int, ...] | None = None) -> list[TrainConfig]:
    """Table VIII: the factor rho, with sigma = 0.8.

    NOTE: with rho = 0 every weight is 0.8, so this row trains at 0.8 times the learning rate of
    the baseline; the paper prints the baseline's accuracy there.
    """
    rhos = (0.0, 0.1, 0.5, 0.8, 1.0, 1.5, 1.8)
    objectives: list[ObjectiveConfig] = [NS(sigma=0.8, rho=rho) for rho in rhos]
    return with_seeds(ablation_base(preset), objectives, seeds or SEEDS[preset])


def method_of(objective: ObjectiveConfig) -> str:
    """The name of an objective in the paper's tables."""
    if isinstance(objective, NS):
        return "ns_lf" if objective.rho < 0 else "ns_ws"
    return next(key for key, cls in OBJECTIVES.items() if type(objective) is cls)


def classification_row(config: TrainConfig) -> Row:
    """Row of Table II: data set, network, method."""
    return {
        "dataset": config.dataset,
        "network": config.network.removesuffix("b"),  # the shortcut's option is not in its name
        "method": method_of(config.objective),
    }


def ns_row(config: TrainConfig) -> Row:
    """Hyper-parameters of NS as the ablation tables print them."""
    ns = config.objective
    if not isinstance(ns, NS):
        raise ValueError(f"{ns} is no row of an ablation of NS")
    return {"grid": f"{ns.grid[0]}x{ns.grid[1]}", "sigma": ns.sigma, "rho": ns.rho}


EXPERIMENTS: dict[str, Experiment] = {
    "ns/first": Experiment("CE against NS-WS and NS-LF", first, classification_row, "table2"),
    "ns/table6": Experiment("Grouping", table6, lambda c: {"grid": ns_row(c)["grid"]}, "table6"),
    "ns/table7": Experiment("Sigma", table7, lambda c: {"sigma": ns_row(c)["sigma"]}, "table7"),
    "ns/table8": Experiment("Rho", table8, lambda c: {"rho": ns_row(c)["rho"]}, "table8"),
}
