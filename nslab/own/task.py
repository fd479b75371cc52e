"""What one evolution of somebody's checkpoints is."""

import dataclasses
import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from nslab.evolve import EVOLVERS
from nslab.evolve.fitness import Policy
from nslab.own.data import Augmented
from nslab.parameters import coerce, hints


@dataclass(frozen=True)
class Task:
    """What to evolve on what, and how.

    Attributes:
        model: see `nslab.own.networks.build`.
        parents: checkpoint files of that model.
        data, augment, size: see `nslab.own.data.prepared`.
        evolver: key of ``EVOLVERS``.
        batches, generations, batch_size: so many generations on each of so many batches.
        held_out: share of the data that chooses the network to write, and does nothing else. NOTE:
            parents that were trained on it look better there than they are.
        microbatch, policy, dtype, autocast, seed, exempt_head: see `nslab.evolve.loop.evolve`.

    Raises ``ValueError`` for values that cannot be, and for fewer parents than the evolver needs.
    """

    model: str
    parents: tuple[str, ...]
    data: str
    evolver: str = "sa-shade-tri-ensin"
    batches: int = 20
    generations: int = 10
    batch_size: int = 2048
    microbatch: int | None = None
    held_out: float = 0.1
    augment: Augmented = "auto"
    size: int | None = None
    policy: Policy = "inherit"
    dtype: Literal["float32", "bfloat16"] = "float32"
    autocast: Literal["no", "bf16", "fp16"] = "no"
    seed: int = 0
    exempt_head: bool = True

    def __post_init__(self) -> None:
        for name, hint in hints(Task).items():
            object.__setattr__(self, name, coerce(name, getattr(self, name), hint))
        for name in ("batches", "generations", "batch_size", "microbatch", "size"):
            if (number := getattr(self, name)) is not None and number < 1:
                raise ValueError(f"{name} must be at least 1, not {number}")
        if not 0 <= self.held_out < 1:
            raise ValueError(f"held_out is a share, at least 0 and below 1, not {self.held_out}")
        if self.policy == "recalibrate":
            raise ValueError("policy 'recalibrate' needs batches of its own: inherit or parent")
        if self.evolver not in EVOLVERS:
            raise ValueError(f"unknown evolver {self.evolver!r}; there are {', '.join(EVOLVERS)}")
        given, needed = len(self.parents), {k: e.min_population for k, e in EVOLVERS.items()}
        if given < (least := needed[self.evolver]):
            fewer = [f"{name} ({n})" for name, n in needed.items() if n < least]
            raise ValueError(
                f"{self.evolver} needs at least {least} parents, not {given}; fewer are enough for "
                + (", ".join(fewer) or "no evolver")
            )

    def identity(self, about: dict[str, Any]) -> dict[str, Any]:
        """All that the result depends on: options, the parents' bytes, and the data, of which
        ``about`` tells. Where files lie is no part of it."""
        told = {name: value for name, value in about.items() if name not in ("data", "class_names")}
        parents = [digest(file) for file in self.parents]
        return dataclasses.asdict(self) | {"parents": parents, "data": told}


def digest(file: str) -> str:
    """SHA-256 of a file."""
    with Path(file).open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()
