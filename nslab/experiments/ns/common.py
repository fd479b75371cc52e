"""What the experiments of Natural Selection share: presets, seeds, and the names of methods.

Presets: ``smoke`` runs on the embedded digits in seconds on a CPU and supports no claim; ``cpu``
takes minutes to hours on two cores and real data; ``paper`` is the paper's own setting
(section IV-A2, with the recipe of bearpaw/pytorch-classification where the paper is silent: weight
decay 1e-4 for ResNet-110, random crop and flip, 1x1-convolution shortcuts).
"""

import dataclasses
from typing import Any, Literal, get_args

from nslab.experiments.config import TrainConfig
from nslab.experiments.schedules import Cosine, Step
from nslab.objectives import NS, OBJECTIVES, SETTINGS, Asymmetric
from nslab.types import ObjectiveConfig

Preset = Literal["smoke", "cpu", "paper"]

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


def base(preset: Preset, **changes: Any) -> TrainConfig:
    """A preset's config with some fields changed; changes that are None are left out."""
    given = {name: value for name, value in changes.items() if value is not None}
    return dataclasses.replace(PRESETS[preset], **given)


# The paper's names of what it compares with, in the order of its Table V, and our controls.
Method = Literal[
    "ce",
    "focal",
    "gce",
    "label_smoothing",
    "nlnl",
    "sce",
    "apl",
    "low",
    "poly1",
    "anl",
    "aul",
    "ce_eps_mae",
    "ogc",
    "cbs",
    "srs",
    "pbs",
    "ns_ws",
    "ns_lf",
    "ce_lr",
    "ce_constant",
]
BASELINES: tuple[Method, ...] = get_args(Method)[:16]


def trained_by(config: TrainConfig, method: Method, ns: NS) -> TrainConfig:
    """``config`` trained by a method, with the settings its source gives for the data set (those
    for CIFAR-10 where it gives none) and what else of a training it asks for.

    ``ns`` gives the setting of ``ns_ws`` and ``ns_lf``, and the mean weight sigma + rho that two
    controls the paper lacks share with it: ``ce_lr`` is cross-entropy with its learning rate times
    that mean, ``ce_constant`` with its loss times it (which leaves weight decay as it is).
    """
    mean = ns.sigma + ns.rho
    match method:
        case "ns_ws" | "ns_lf":
            return dataclasses.replace(config, objective=ns)
        case "ce_lr":
            return dataclasses.replace(config, lr_scale=mean)
        case "ce_constant":
            return dataclasses.replace(config, objective=NS(grid=ns.grid, sigma=mean, rho=0.0))
        case "cbs" | "srs" | "pbs":
            return dataclasses.replace(config, sampler=method)
        case "ce":
            return config
    settings = SETTINGS["asymmetric" if method == "aul" else method]
    setting = settings.get(config.dataset, settings["cifar10"])
    return dataclasses.replace(config, objective=setting.objective, **setting.training)


def method_of(config: TrainConfig) -> str:
    """The name of a run's method in the paper's tables; a sampler is a method of its own."""
    objective = config.objective
    if config.sampler != "shuffle":
        return config.sampler
    if isinstance(objective, NS):
        if objective.rho == 0:
            return "ce_constant"
        name = "ns_lf" if objective.rho < 0 else "ns_ws"
        inner = key_of(objective.base)
        return name if inner == "ce" else f"{name}+{inner}"
    return "ce_lr" if config.lr_scale != 1 else key_of(objective)


def key_of(objective: ObjectiveConfig) -> str:
    """The name of an objective in the paper's tables."""
    if isinstance(objective, Asymmetric):
        return objective.kind if not objective.alpha else f"nce_{objective.kind}"
    return next(key for key, cls in OBJECTIVES.items() if type(objective) is cls)
