"""`RunConfig`, the protocol of a run: all that store, tables and command line ask of it.

A kind of run of your own is a frozen dataclass that inherits from `RunConfig`, entered in
``RUN_KINDS`` under its ``kind``, and a function that computes it, entered in
``nslab.runs.compute.COMPUTE``.
"""

import dataclasses
from collections.abc import Sequence
from functools import cached_property
from typing import Any, ClassVar, Protocol, Self, runtime_checkable

from nslab.configs.labels import short_repr
from nslab.configs.serialization import identity
from nslab.system.validation import unknown


@runtime_checkable
class RunConfig(Protocol):
    """A run as a frozen value whose hash is its identity.

    Attributes:
        kind: the key of its class in ``RUN_KINDS``.
        dataset: the data set it needs, by name; empty for none.
        leaves_weights: whether the finished run keeps the weights of one network.
        training: the `TrainConfig` that defines its data and its network's architecture, if any.
        seedless: whether the seed changes nothing.
        measured: the metrics that each finished run has, as finite numbers.
    """

    kind: ClassVar[str]
    measured: ClassVar[tuple[str, ...]] = ()
    dataset: Any = ""
    leaves_weights: Any = False
    training: Any = None
    seedless: Any = False
    seed: Any

    def __new__(cls, *args: Any, **fields: Any) -> Self:
        """Raises ``TypeError`` for an unknown field, and names the known ones."""
        names = [f.name for f in dataclasses.fields(cls)]  # type: ignore[arg-type]
        for name in fields.keys() - set(names):
            raise TypeError(str(unknown(f"field of {cls.__name__}", name, names)))
        return super().__new__(cls)

    @cached_property
    def id(self) -> str:
        """Identity of the run: twelve hexadecimal digits that hash all fields."""
        return identity(self)

    def label(self) -> str:
        """The run in a few words."""
        return short_repr(self)

    def columns(self) -> dict[str, str | int | float]:
        """The columns that identify it in tables."""
        return {"method": self.label(), "seed": self.seed}

    def requires(self) -> Sequence["RunConfig"]:
        """The runs that must be finished first, their weights kept."""
        return []

    def with_seed(self, seed: int) -> Self:
        """The same run with another seed."""
        return self if seed == self.seed else dataclasses.replace(self, seed=seed)  # type: ignore[type-var]

    def cost(self, epochs: float = 0) -> float:
        """An amount that its computing time is proportional to, comparable among runs of the same
        `kin`. ``epochs``: how many a training took, or is expected to; 0: as many as planned."""
        return 1.0

    def kin(self) -> Sequence[tuple]:
        """Keys of the groups of similar runs that it belongs to, the most similar first. The times
        of finished runs of a group are used to estimate its own."""
        return [(self.kind, type(self).__name__)]
