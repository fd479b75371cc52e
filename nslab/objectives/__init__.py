"""Objectives by name: ``OBJECTIVES[key](**fields).build(info)`` scores batches.

>>> import torch
>>> OBJECTIVES["gce"](q=0.7)(torch.zeros(2, 10), torch.tensor([3, 5]))  # mean of a batch
tensor(1.1435)
"""

import sys
from collections.abc import Mapping

from nslab.objectives.anl import ANL
from nslab.objectives.apl import APL
from nslab.objectives.asymmetric import Asymmetric
from nslab.objectives.ce_eps_mae import CEepsMAE
from nslab.objectives.criterion import Criterion
from nslab.objectives.edl import EDL
from nslab.objectives.focal import Focal
from nslab.objectives.gce import GCE
from nslab.objectives.joined_texts import Joined
from nslab.objectives.label_smoothing import LabelSmoothing
from nslab.objectives.low import LOW
from nslab.objectives.mixup import Mixup
from nslab.objectives.nlnl import NLNL
from nslab.objectives.ns import NS
from nslab.objectives.ogc import OGC
from nslab.objectives.poly1 import Poly1
from nslab.objectives.recommended import Setting
from nslab.objectives.sce import SCE
from nslab.objectives.smooth_top_k import SmoothTopK
from nslab.objectives.weighted import CrossEntropy, Reweighted, Weighted
from nslab.system.registry import CONFIG_CLASSES, Registry, config_class
from nslab.types import ObjectiveConfig

OBJECTIVES: Registry[type[ObjectiveConfig]] = Registry(
    "objective", check=config_class("build"), names=CONFIG_CLASSES
)
OBJECTIVES |= {
    "ce": CrossEntropy,
    "label_smoothing": LabelSmoothing,
    "focal": Focal,
    "gce": GCE,
    "nlnl": NLNL,
    "sce": SCE,
    "apl": APL,
    "low": LOW,
    "poly1": Poly1,
    "anl": ANL,
    "asymmetric": Asymmetric,
    "ce_eps_mae": CEepsMAE,
    "ogc": OGC,
    "smooth_top_k": SmoothTopK,
    "mixup": Mixup,
    "ns": NS,
    "edl": EDL,
}

# Hyper-parameters that the sources recommend, by objective and data set: each module's SETTINGS.
SETTINGS: dict[str, Mapping[str, Setting]] = {
    key: getattr(sys.modules[cls.__module__], "SETTINGS", {}) for key, cls in OBJECTIVES.items()
}

__all__ = [
    "ANL",
    "APL",
    "EDL",
    "GCE",
    "LOW",
    "NLNL",
    "NS",
    "OBJECTIVES",
    "OGC",
    "SCE",
    "SETTINGS",
    "Asymmetric",
    "CEepsMAE",
    "Criterion",
    "CrossEntropy",
    "Focal",
    "Joined",
    "LabelSmoothing",
    "Mixup",
    "Poly1",
    "Reweighted",
    "Setting",
    "SmoothTopK",
    "Weighted",
]
