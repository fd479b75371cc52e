"""Objectives by name: ``OBJECTIVES[key](**fields).build(info)`` scores batches."""

from nslab.objectives.ns import NS
from nslab.objectives.weighted import CrossEntropy, Weighted
from nslab.types import ObjectiveConfig

OBJECTIVES: dict[str, type[ObjectiveConfig]] = {
    "ce": CrossEntropy,
    "ns": NS,
}

__all__ = ["NS", "OBJECTIVES", "CrossEntropy", "Weighted"]
