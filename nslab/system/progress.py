"""Progress of long work: a bar on a terminal, plain lines in a log, a file for other processes."""

import json
import os
import sys
import time
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, ClassVar, Self

from tqdm.auto import tqdm

from nslab.system.files import write_text

SECONDS_BETWEEN_LINES = 10.0
SECONDS_BETWEEN_FILES = 1.0
FILE = "NSLAB_PROGRESS"  # environment variable: the file in which a process reports its progress


def headless() -> bool:
    """Whether nobody is watching: by ``NSLAB_HEADLESS`` if set, else whether output goes to neither
    a terminal nor a notebook."""
    if given := os.environ.get("NSLAB_HEADLESS"):
        return given != "0"
    return not (sys.stderr.isatty() or "ipykernel" in sys.modules)


class Progress:
    """Counts steps towards ``total``; use as a context manager.

    Headless, it prints at most one line every ten seconds, nested ones included, and one at the end
    of the outermost. If the environment names a file in ``NSLAB_PROGRESS``, progress is written
    there too, at most once a second.
    """

    printed: ClassVar[float] = 0.0  # when the last line was printed, by any instance
    outer: ClassVar[int] = 0  # how many instances are active

    def __init__(self, total: int, label: str, *, unit: str = "epoch", show: bool = True) -> None:
        self.total, self.label, self.unit, self.done = total, label, unit, 0
        self.before = 0  # steps that were done before this process resumed the work
        self.note = ""
        self.started = time.monotonic()
        self.inner = False
        self.plain = show and headless()
        self.bar = tqdm(total=total, desc=label, unit=unit) if show and not self.plain else None
        self.file = Path(os.environ[FILE]) if os.environ.get(FILE) else None
        self.kept = -SECONDS_BETWEEN_FILES

    def advance(self, note: str = "", steps: int = 1) -> None:
        """Note that ``steps`` more are done; ``note`` is a short text, such as the accuracy."""
        self.done, self.note = self.done + steps, note
        if self.bar is not None:
            self.bar.set_postfix_str(note, refresh=False)
            self.bar.update(steps)
        elif self.plain:
            now = time.monotonic()
            last = self.done == self.total and not self.inner
            if now - Progress.printed >= SECONDS_BETWEEN_LINES or last:
                Progress.printed = now
                print(self.line(), flush=True)
        self._keep()

    def resume(self, steps: int) -> None:
        """Note that ``steps`` were done before; they do not count for the time left."""
        self.before += steps
        self.advance("resumed", steps)

    def seconds_left(self) -> float | None:
        """Seconds to go, by the mean time of the steps so far; None before the first."""
        new = self.done - self.before
        if not new:
            return None
        return (time.monotonic() - self.started) / new * (self.total - self.done)

    def line(self) -> str:
        """The progress as a line of text."""
        left = self.seconds_left() if self.done < self.total else None
        more = "" if left is None else f", {left:.0f} s to go"
        seconds = time.monotonic() - self.started
        return (
            f"{self.label}: {self.unit} {self.done}/{self.total}, {self.note} "
            f"({seconds:.0f} s{more})"
        )

    def _keep(self) -> None:
        now = time.monotonic()
        if self.file is None or now - self.kept < SECONDS_BETWEEN_FILES:
            return
        self.kept = now
        kept = {name: getattr(self, name) for name in ("label", "unit", "done", "total", "note")}
        with suppress(OSError):  # if the disk is full, the work itself will report it
            write_text(self.file, json.dumps(kept | {"left": self.seconds_left()}), flush=False)

    def __enter__(self) -> Self:
        self.inner = Progress.outer > 0
        Progress.outer += 1
        if not self.inner:
            Progress.printed = self.started
        self._keep()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        Progress.outer -= 1
        if self.bar is not None:
            self.bar.close()


def read_progress(file: Path) -> dict[str, Any] | None:
    """The progress in a file: label, unit, done, total, note, and ``left``, the seconds to go or
    None. None if there is no such file."""
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None
