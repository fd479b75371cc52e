"""Locks on files that several processes may write; released when the work or the process ends."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from nslab.system.files import explaining

PATIENCE = 0.2  # seconds of waiting without a message; most locks are held for less


class Busy(ValueError):
    """Another process holds the lock, and the caller did not want to wait."""


@contextmanager
def locked(file: Path, busy: str, *, refusal: str = "") -> Iterator[None]:
    """Hold the lock ``file`` while the block runs; file and folder are created if necessary.

    It is released when the block ends, however that ends, and by the system when the process dies.
    If another process has it, print ``busy``, which says what that process is doing, and wait; with
    ``refusal``, which says what to do instead, raise `Busy`. Raises ``OSError`` with advice for a
    folder that cannot be written.
    """
    lock = FileLock(file)
    try:
        with explaining(file.parent):
            file.parent.mkdir(parents=True, exist_ok=True)
            try:
                lock.acquire(timeout=PATIENCE)
            except Timeout:
                if refusal:
                    raise Busy(f"{busy}: {refusal}") from None
                print(f"{busy}: waiting", flush=True)
                lock.acquire()
        yield
    finally:
        lock.release()


def is_locked(file: Path) -> bool:
    """Whether another process holds the lock ``file`` now."""
    if not file.exists():
        return False
    try:
        with locked(file, "it is held", refusal="asked only"):
            return False
    except Busy:
        return True
