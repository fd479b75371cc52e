"""Recommended settings: what a source recommends for a data set."""

from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from nslab.types import ObjectiveConfig

Config = TypeVar("Config", bound=ObjectiveConfig, covariant=True)


@dataclass(frozen=True)
class Setting(Generic[Config]):
    """Hyper-parameters that a source recommends.

    Attributes:
        objective: the method with its hyper-parameters.
        source: where they come from.
        training: further fields of a training config that go with them, such as ``weight_decay``.
    """

    objective: Config
    source: str
    training: dict[str, Any] = field(default_factory=dict, hash=False)
