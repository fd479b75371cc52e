"""Learning-rate schedules: pure functions of the epoch."""

import math
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from nslab.system.registry import CONFIG_CLASSES, Registry, config_class
from nslab.system.validation import hints, strict


@runtime_checkable
class Schedule(Protocol):
    """Multiplies the base learning rate."""

    def factor(self, epoch: float, start: float, end: float) -> float:
        """The factor at ``epoch`` (fractional), for a decay from epoch ``start``, the end of the
        warm-up, to epoch ``end``."""
        ...


def typed(schedule: object, **values: object) -> None:
    """Set fields of a frozen schedule, each checked for its declared type (``TypeError``)."""
    for name, value in values.items():
        checked = strict(f"{type(schedule).__name__}: {name}", value, hints(type(schedule))[name])
        object.__setattr__(schedule, name, checked)


@dataclass(frozen=True)
class Constant:
    """No decay."""

    def factor(self, epoch: float, start: float, end: float) -> float:
        """Always 1."""
        return 1.0


@dataclass(frozen=True)
class Step:
    """Multiply by ``factors[k]`` once the epoch (from 0) reaches ``milestones[k]``."""

    milestones: tuple[int, ...]
    factors: tuple[float, ...]

    def __post_init__(self) -> None:
        typed(self, milestones=tuple(self.milestones), factors=tuple(self.factors))
        if len(self.milestones) != len(self.factors):
            raise ValueError(
                f"{len(self.milestones)} milestones, but {len(self.factors)} factors: give one each"
            )
        if not all(0 < factor < math.inf for factor in self.factors):
            raise ValueError(f"factors {self.factors} are not all positive")
        if list(self.milestones) != sorted(set(self.milestones)):
            raise ValueError(f"milestones {self.milestones} do not increase")

    def factor(self, epoch: float, start: float, end: float) -> float:
        """Product of the factors of the milestones passed."""
        pairs = zip(self.milestones, self.factors, strict=True)
        return math.prod(factor for milestone, factor in pairs if epoch >= milestone)


@dataclass(frozen=True)
class Cosine:
    """Half a cosine from 1 down to ``floor``."""

    floor: float = 0.0

    def __post_init__(self) -> None:
        typed(self, floor=self.floor)
        if not 0 <= self.floor <= 1:
            raise ValueError(f"Cosine: floor must lie between 0 and 1, not {self.floor}")

    def factor(self, epoch: float, start: float, end: float) -> float:
        """1 at ``start``, ``floor`` at ``end``."""
        part = (epoch - start) / (end - start)
        return self.floor + (1 - self.floor) * 0.5 * (1 + math.cos(math.pi * part))


@dataclass(frozen=True)
class Polynomial:
    """(1 - t) ** power, for t from 0 at the start to 1 at the end."""

    power: float = 0.9

    def __post_init__(self) -> None:
        typed(self, power=self.power)
        if not 0 < self.power < math.inf:
            raise ValueError(f"Polynomial: power must be positive, not {self.power}")

    def factor(self, epoch: float, start: float, end: float) -> float:
        """1 at ``start``, 0 at ``end``."""
        return float((1 - (epoch - start) / (end - start)) ** self.power)


@dataclass(frozen=True)
class Triangular:
    """From 1 down to ``floor`` and up again, in straight lines, once every ``cycle`` epochs.

    Networks are collected where the rate is lowest, see `minima`. Source: Garipov et al. 2018
    (fast geometric ensembling), Eq. 3 and timgaripov/dnn-mode-connectivity.

    >>> fge = Triangular(cycle=2, floor=0.2)
    >>> [round(fge.factor(epoch / 2, 0, 4), 2) for epoch in range(5)], fge.minima(6)
    ([1.0, 0.6, 0.2, 0.6, 1.0], [1, 3, 5])
    """

    cycle: int = 2
    floor: float = 0.1

    def __post_init__(self) -> None:
        typed(self, cycle=self.cycle, floor=self.floor)
        if self.cycle < 2 or self.cycle % 2 or not 0 < self.floor <= 1:
            raise ValueError(f"{self}: an even cycle of epochs and 0 < floor <= 1 are needed")

    def factor(self, epoch: float, start: float, end: float) -> float:
        """1 at the beginning of a cycle, ``floor`` in its middle."""
        distance = abs(2 * ((epoch - start) % self.cycle) / self.cycle - 1)
        return self.floor + (1 - self.floor) * distance

    def minima(self, epochs: int) -> list[int]:
        """The epochs, from 1, after which the rate is lowest."""
        return list(range(self.cycle // 2, epochs + 1, self.cycle))


@dataclass(frozen=True)
class InverseDecay:
    """(1 + rate * t) ** -power, for t from 0 at the start to 1 at the end.

    Source: Ganin and Lempitsky 2015; common in domain adaptation since.

    >>> [round(InverseDecay().factor(epoch, 0, 15), 3) for epoch in (0, 5, 15)]
    [1.0, 0.333, 0.166]
    """

    rate: float = 10.0
    power: float = 0.75

    def __post_init__(self) -> None:
        typed(self, rate=self.rate, power=self.power)
        if not (0 <= self.rate < math.inf and 0 <= self.power < math.inf):
            raise ValueError(f"{self}: rate and power must not be negative")

    def factor(self, epoch: float, start: float, end: float) -> float:
        """1 at ``start``, (1 + rate) ** -power at ``end``."""
        return float((1 + self.rate * (epoch - start) / (end - start)) ** -self.power)


SCHEDULES: Registry[type] = Registry("schedule", check=config_class("factor"), names=CONFIG_CLASSES)
SCHEDULES |= {
    "constant": Constant,
    "step": Step,
    "cosine": Cosine,
    "polynomial": Polynomial,
    "triangular": Triangular,
    "inverse": InverseDecay,
}
