"""What the experiments of Natural Selection share: presets, seeds, and the names of methods.

Presets: ``smoke`` runs on the embedded digits in seconds on a CPU and supports no claim; ``cpu``
takes minutes to hours on two cores and real data; ``paper`` is the paper's own setting
(section IV-A2, with the recipe of bearpaw/pytorch-classification where the paper is silent: weight
decay 1e-4 for ResNet-110, random crop and flip, 1x1-convolution shortcuts).
"""

import dataclasses
from typing import Any, Literal

from nslab.experiments.config import TrainConfig
from nslab.experiments.schedules import Cosine, Step
from nslab.objectives import NS, OBJECTIVES

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


def method_of(config: TrainConfig) -> str:
    """The name of a run's method in the paper's tables; a sampler is a method of its own."""
    if config.sampler != "shuffle":
        return config.sampler
    if isinstance(config.objective, NS):
        if config.objective.rho == 0:
            return "ce_constant"
        return "ns_lf" if config.objective.rho < 0 else "ns_ws"
    if config.lr_scale != 1:
        return "ce_lr"
    return next(key for key, cls in OBJECTIVES.items() if type(config.objective) is cls)
