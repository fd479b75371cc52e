"""Write files so that a reader sees either the old file or the new one, never half of one."""

import errno
import hashlib
import os
import tempfile
import warnings
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

STRAY = ".part"  # ends the names of temporary files

AGAIN = "make room, then run the same command again"
ADVICE = {
    errno.ENOSPC: f"the disk is full: {AGAIN}",
    # Windows has no quotas
    getattr(errno, "EDQUOT", -1): f"your quota is used up: {AGAIN}, or set NSLAB_HOME (or "
    "NSLAB_DATA) to another disk",
    errno.EFBIG: "the file would be larger than this disk or `ulimit -f` allows: raise that limit, "
    "or set NSLAB_HOME (or NSLAB_DATA) to another disk",
    errno.EROFS: "the folder is read-only: set NSLAB_HOME (or NSLAB_DATA) to one you own",
    errno.EACCES: "you may not write there: set NSLAB_HOME (or NSLAB_DATA) to a folder you own",
}


def no_file(error: OSError) -> bool:
    """Whether an error means that there is no file to read but something else: a folder, or links
    that form a circle."""
    return isinstance(error, IsADirectoryError) or error.errno == errno.ELOOP


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
def replacing(path: Path, *, flush: bool = True) -> Iterator[Path]:
    """A temporary path beside ``path``, which replaces it if the block succeeds.

    With ``flush``, file and name have then reached the disk and survive a power cut. On any
    failure the temporary file is removed and ``path`` stays as it was. A full disk or a folder that
    cannot be written raises ``OSError`` saying which and what to do.
    """
    with explaining(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(STRAY, f".{path.name}.", path.parent)
        os.close(handle)
        temporary = Path(name)
        try:
            yield temporary
            if flush:
                _flush(temporary)
            temporary.chmod(0o666 & ~_umask())
            os.replace(temporary, path)
            if flush:
                _flush_names(path.parent)
        finally:
            temporary.unlink(missing_ok=True)


@contextmanager
def replacing_all(*paths: Path) -> Iterator[list[Path]]:
    """Temporary paths beside several files that belong together. They replace the files in this
    order, and none does before all have reached the disk."""
    with ExitStack() as stack:
        entered = [stack.enter_context(replacing(path)) for path in reversed(paths)]
        yield entered[::-1]
        for temporary in entered:
            _flush(temporary)


def sha256(path: Path) -> str:
    """Digest of a file's bytes."""
    with path.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def misfits(folder: Path, digests: Mapping[str, str]) -> list[str]:
    """The names of files that exist in a folder with another SHA-256 than in ``digests``."""
    found = ((name, folder / name) for name in digests)
    return [name for name, file in found if file.exists() and sha256(file) != digests[name]]


def stamp(path: Path) -> tuple[int, int] | None:
    """Inode and time of a file, which change whenever it is replaced; None if it does not exist."""
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return found.st_ino, found.st_mtime_ns


def remove_strays(folder: Path, name: str) -> None:
    """Remove temporary files of processes that were killed while they replaced a file ``name`` (or
    files whose names match that pattern); the caller holds the lock on that file."""
    for stray in folder.glob(f".{name}.*{STRAY}"):
        stray.unlink(missing_ok=True)


def read_tensors(path: Path, device: Any = "cpu") -> Any:
    """Read a file of ``torch.save`` without running any code in it.

    Raises ``ValueError``, with torch's reason in one line, if it cannot be read: torch itself
    raises a different error for every way in which a file can be broken.
    """
    import torch

    if torch.device(device).type == "cpu":  # torch.load does not know cpu:0, a rank's device
        device = "cpu"
    try:
        with warnings.catch_warnings():  # about pickle protocols, if it is no such file at all
            warnings.simplefilter("ignore")
            return torch.load(path, map_location=device, weights_only=True)
    except (UnpicklingError, LookupError):  # torch's message would advise to run the file's code
        reason = "it is not a file of torch.save, is damaged, or holds more than tensors"
    except (RuntimeError, EOFError, ValueError) as error:
        reason = str(error).partition("\n")[0] or "it ends too early"
    raise ValueError(f"{path} cannot be read: {reason}")


def write_text(path: Path, text: str, *, flush: bool = True) -> None:
    """Replace a text file."""
    with replacing(path, flush=flush) as temporary:
        temporary.write_text(text, encoding="utf-8")


def _flush(path: Path) -> None:
    with path.open("rb+") as written:
        os.fsync(written.fileno())


def _flush_names(folder: Path) -> None:
    with suppress(OSError, AttributeError):  # some systems and file systems have no such thing
        opened = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(opened)
        finally:
            os.close(opened)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
