"""Files of weights as an initial population."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from nslab.system.validation import check_fields, hashed_as


@dataclass(frozen=True)
class CheckpointFiles:
    """Checkpoints of one network, in files.

    Attributes:
        files: their paths, which become absolute and are not part of a run's identity.
        digests: SHA-256 of each file, which are part of it; computed if they are not given.

    Raises ``ValueError`` naming a file that cannot be read.
    """

    files: tuple[str, ...] = field(metadata=hashed_as(lambda files: None))
    digests: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        check_fields(self)
        if not self.digests:
            object.__setattr__(self, "files", tuple(str(Path(f).absolute()) for f in self.files))
            object.__setattr__(self, "digests", tuple(map(digest, self.files)))
        if len(self.digests) != len(self.files):
            raise ValueError(
                f"{len(self.digests)} digests of {len(self.files)} files: give one each, or none"
            )

    def check(self) -> None:
        """``ValueError`` naming a file that is gone, or has changed."""
        for file, known in zip(self.files, self.digests, strict=True):
            if digest(file) != known:
                raise ValueError(
                    f"{file} has changed since the evolution began with it: put the old one back, "
                    "or begin another evolution with the file as it is"
                )

    @property
    def names(self) -> Sequence[str]:
        """The files' names, without their folders."""
        return [Path(file).name for file in self.files]


def digest(file: str) -> str:
    """SHA-256 of a file; ``ValueError`` if it cannot be read."""
    try:
        with Path(file).open("rb") as opened:
            return hashlib.file_digest(opened, "sha256").hexdigest()
    except FileNotFoundError:
        raise ValueError(f"{file} does not exist") from None
    except OSError as error:
        raise ValueError(f"{file} cannot be read: {error.strerror}") from None
