"""Write files so that a reader sees the old one or the new one, never half of it."""

import errno
import os
import pickle
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ADVICE = {
    errno.ENOSPC: "the disk is full: make room, then run the same command again",
    errno.EROFS: "the folder is read-only: set NSLAB_HOME (or NSLAB_DATA) to one you own",
    errno.EACCES: "you may not write there: set NSLAB_HOME (or NSLAB_DATA) to a folder you own",
}


@contextmanager
def explaining(path: Path) -> Iterator[None]:
    """Turn a full disk or a folder that cannot be written into an ``OSError`` with advice."""
    try:
        yield
    except OSError as error:
        advice = ADVICE.get(error.errno or 0)
        if advice is None or advice in str(error):
            raise
        raise OSError(error.errno, f"cannot write {path}: {advice}") from error


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary path beside ``path`` that takes its place, flushed to disk, when all went well.

    On any failure the temporary file is removed and ``path`` stays as it was. A full disk or a
    folder that cannot be written raises ``OSError`` saying which and what to do.
    """
    with explaining(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        os.close(handle)
        temporary = Path(name)
        try:
            yield temporary
            with temporary.open("rb+") as written:
                os.fsync(written.fileno())
            temporary.chmod(0o666 & ~_umask())
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)


def read_tensors(path: Path, device: Any = "cpu") -> Any:
    """What ``torch.save`` wrote, without running any code in it.

    Raises ``ValueError`` with torch's reason, in a line, for whatever cannot be read: torch itself
    has a different error for every way in which a file can be broken.
    """
    import torch

    try:
        return torch.load(path, map_location=device, weights_only=True)
    except (RuntimeError, EOFError, LookupError, ValueError, pickle.UnpicklingError) as error:
        reason = str(error).partition("\n")[0] or type(error).__name__
        raise ValueError(f"{path} cannot be read: {reason}") from None


def write_text(path: Path, text: str) -> None:
    """Replace a text file."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
