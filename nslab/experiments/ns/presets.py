"""Presets of Natural Selection's experiments, and the names of methods.

Preset ``paper`` follows section IV-A2 and, where the paper is silent, the recipe of
bearpaw/pytorch-classification: weight decay 1e-4 for ResNet-110, random crop and flip, shortcuts of
1x1 convolutions. Its three seeds are those of section IV-C2.
"""

import dataclasses
from typing import Any, Literal, get_args

from nslab.configs.schedules import Cosine, Step
from nslab.configs.train import TrainConfig
from nslab.experiments.presets import Preset
from nslab.objectives import NS, SETTINGS

WHOLE_CIFAR: dict[str, TrainConfig] = {
    "smoke": TrainConfig(
        dataset="digits_16",
        network="resnet8",
        epochs=5,
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

# Small networks: Adam learns within these epochs whatever the scale of the loss.
SMALL: dict[str, Any] = {"epochs": 8, "optimizer": "adam", "lr": 0.003, "weight_decay": 0.0}


def base(preset: Preset, **changes: Any) -> TrainConfig:
    """A preset's config with some fields changed; changes that are None are left out."""
    given = {name: value for name, value in changes.items() if value is not None}
    return dataclasses.replace(WHOLE_CIFAR[preset], **given)


# The methods that the paper compares with, in the order of its Table V; then NS and our controls.
TrainingMethod = Literal[
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
COMPARED_METHODS: tuple[TrainingMethod, ...] = get_args(TrainingMethod)[:16]


def constant_weight(ns: NS) -> NS:
    """NS without scores: every sample has the mean weight of ``ns``, sigma + rho."""
    return dataclasses.replace(ns, sigma=ns.sigma + ns.rho, rho=0.0)


def trained_by(config: TrainConfig, method: TrainingMethod, ns: NS) -> TrainConfig:
    """``config`` trained by a method, with the settings that the method's source recommends for the
    data set (or for CIFAR-10 if it gives none), other training settings included.

    ``ns`` is the setting of ``ns_ws`` and ``ns_lf``. Two controls, which the paper lacks, share its
    mean weight sigma + rho: ``ce_lr`` is cross-entropy with the learning rate times that mean,
    ``ce_constant`` with the loss times it (which leaves weight decay as it is).
    """
    mean = ns.sigma + ns.rho
    match method:
        case "ns_ws" | "ns_lf":
            return dataclasses.replace(config, objective=ns)
        case "ce_lr":
            return dataclasses.replace(config, lr_scale=mean)
        case "ce_constant":
            return dataclasses.replace(config, objective=constant_weight(ns))
        case "cbs" | "srs" | "pbs":
            return dataclasses.replace(config, sampler=method)
        case "ce":
            return config
    settings = SETTINGS["asymmetric" if method == "aul" else method]
    setting = settings.get(config.dataset, settings["cifar10"])
    return dataclasses.replace(config, objective=setting.objective, **setting.training)
