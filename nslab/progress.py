"""Progress of long work: a bar for a person watching, plain lines for a log."""

import os
import sys
import time
from types import TracebackType
from typing import Self

from tqdm.auto import tqdm

SECONDS_BETWEEN_LINES = 10.0


def headless() -> bool:
    """Whether nobody watches: ``NSLAB_HEADLESS`` says so, or output goes to neither a terminal
    nor a notebook."""
    if given := os.environ.get("NSLAB_HEADLESS"):
        return given != "0"
    return not (sys.stderr.isatty() or "ipykernel" in sys.modules)


class Progress:
    """Counts steps towards ``total``; use as a context manager.

    Headless, it prints at most one line every ten seconds, and one at the end.
    """

    def __init__(self, total: int, label: str, *, unit: str = "epoch", show: bool = True) -> None:
        self.total, self.label, self.unit, self.done = total, label, unit, 0
        self.note = ""
        self.started = self.printed = time.monotonic()
        self.plain = show and headless()
        self.bar = tqdm(total=total, desc=label, unit=unit) if show and not self.plain else None

    def advance(self, note: str = "", steps: int = 1) -> None:
        """One more step is done; ``note`` is a short reading, such as the accuracy."""
        self.done, self.note = self.done + steps, note
        if self.bar is not None:
            self.bar.set_postfix_str(note, refresh=False)
            self.bar.update(steps)
        elif self.plain:
            now = time.monotonic()
            if now - self.printed >= SECONDS_BETWEEN_LINES or self.done == self.total:
                self.printed = now
                self._line(now - self.started)

    def _line(self, seconds: float) -> None:
        left = seconds / self.done * (self.total - self.done)
        more = f", {left:.0f} s to go" if self.done < self.total else ""
        print(
            f"{self.label}: {self.unit} {self.done}/{self.total}, {self.note} "
            f"({seconds:.0f} s{more})",
            flush=True,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self.bar is not None:
            self.bar.close()
