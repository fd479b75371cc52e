"""Locks for what several processes may write: taken in one way, and let go when the work ends."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from nslab.system.files import explaining

PATIENCE = 0.2  # seconds of waiting in silence: most locks are held for less


class Busy(ValueError):
    """Another process holds a lock that was not to be waited for."""


@contextmanager
def locked(file: Path, busy: str, *, refusal: str = "") -> Iterator[None]:
    """Hold the lock ``file``, made with its folder if it is not there, while the block runs.

    It is released when the block ends, however that ends, and by the system when the process dies.
    When another process has it, print ``busy``, which says what that does, and wait. With
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


def held(file: Path) -> bool:
    """Whether another process holds the lock ``file`` now."""
    if not file.exists():
        return False
    try:
        with locked(file, "it is held", refusal="asked only"):
            return False
    except Busy:
        return True
