"""What one evolution of somebody's checkpoints is."""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nslab.datasets.image_folder import Augmented
from nslab.evolve import EVOLVERS
from nslab.neuroevolution.options import EvolveOptions
from nslab.system.validation import check_fields, coerce, hints

# Of an identity, in the order of version 0.1.0, which called the precision autocast.
IDENTITY = (
    *("model", "parents", "data", "evolver", "batches", "generations", "batch_size", "microbatch"),
    *("held_out", "augment", "size", "policy", "dtype", "precision", "seed", "exempt_head"),
)


@dataclass(frozen=True)
class Task(EvolveOptions):
    """What to evolve on what, and how.

    Attributes:
        model: see `nslab.networks.external.build_external`.
        parents: checkpoint files of that model.
        data, augment, size: see `nslab.datasets.image_folder.prepared`.
        evolver: key of ``EVOLVERS``.
        held_out: share of the data that chooses the network to write, and does nothing else. NOTE:
            parents that were trained on it look better there than they are.
        seed: of batches and evolution.

    Beside them it has the fields of `EvolveOptions`. Raises ``ValueError`` for values that cannot
    be, and for fewer parents than the evolver needs.
    """

    model: str
    parents: tuple[str, ...]
    data: str
    evolver: str = "sa-shade-tri-ensin"
    held_out: float = 0.1
    augment: Augmented = "auto"
    size: int | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        for name, hint in hints(Task).items():
            object.__setattr__(self, name, coerce(name, getattr(self, name), hint))
        super().__post_init__()
        check_fields(self, at_least={"size": 1})
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
        about = {
            name: value for name, value in about.items() if name not in ("data", "class_names")
        }
        known = {"parents": [digest(file) for file in self.parents], "data": about}
        words = {name: known.get(name, getattr(self, name)) for name in IDENTITY}
        return {"autocast" if name == "precision" else name: v for name, v in words.items()}


def digest(file: str) -> str:
    """SHA-256 of a file."""
    with Path(file).open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()
