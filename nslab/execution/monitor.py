"""Monitor of a batch of jobs: a live table on a terminal, a line now and then in a log."""

import sys
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from nslab.execution.local import Ended, Job
from nslab.system.progress import FILE, SECONDS_BETWEEN_LINES, headless, read_progress
from nslab.system.time_limits import EXIT_UNFINISHED

SHOWN = 8  # most failed jobs in the table


@dataclass
class Entry:
    """A job as the monitor sees it.

    Attributes:
        label: what it is.
        state: ``waiting``, ``running``, ``done`` or ``failed``.
        since: when it started, by the monotonic clock.
        seconds: how long it took, once it ended.
        file: where it writes its progress, if it does.
        tries: how often it was started.
    """

    label: str
    state: str = "waiting"
    since: float = 0.0
    seconds: float = 0.0
    file: Path | None = None
    tries: int = 0

    def progress(self) -> dict[str, Any]:
        """The progress that the job itself reports; empty if it reports none."""
        return (read_progress(self.file) if self.file else None) or {}


class Monitor:
    """Keeps count of jobs by name; use as a context manager around the engine that runs them.

    An engine calls `start` and `end`. A job reports its own progress in the file that its
    environment names. On a terminal there is a table; elsewhere at most one line every ten seconds,
    and one at the end.
    """

    def __init__(self, max_parallel: int = 1, *, show: bool = True) -> None:
        self.max_parallel, self.show = max_parallel, show
        self.entries: dict[str, Entry] = {}
        self.began = time.monotonic()
        self.over = threading.Event()
        self.live: Live | None = None
        self.thread: threading.Thread | None = None

    def expect(self, labels: Mapping[str, str]) -> None:
        """Announce jobs, by name, with their labels."""
        for name, label in labels.items():
            self.entries.setdefault(name, Entry(label))

    def start(self, job: Job) -> None:
        """Note that a job started."""
        entry = self.entries.setdefault(job.name, Entry(job.name))
        entry.file = Path(job.env[FILE]) if FILE in job.env else None
        entry.state, entry.since, entry.tries = "running", time.monotonic(), entry.tries + 1

    def end(self, ended: Ended) -> None:
        """Note that a job ended."""
        entry = self.entries[ended.job.name]
        entry.state = {0: "done", EXIT_UNFINISHED: "waiting"}.get(ended.status, "failed")
        entry.seconds = ended.seconds

    def give_up(self, name: str) -> None:
        """Note that a job will not be started, because one that it needs failed."""
        self.entries[name].state = "failed"

    def in_state(self, state: str) -> dict[str, Entry]:
        """The jobs in a state."""
        return {name: entry for name, entry in list(self.entries.items()) if entry.state == state}

    def seconds_left(self) -> float | None:
        """Estimated seconds to go, by the mean time of the jobs that are done and what running ones
        report; None before any is done."""
        done = [entry.seconds for entry in self.in_state("done").values()]
        if not done:
            return None
        mean, now = sum(done) / len(done), time.monotonic()
        rest = mean * len(self.in_state("waiting"))
        for entry in self.in_state("running").values():
            left = entry.progress().get("left")
            rest += left if left is not None else max(0.0, mean - (now - entry.since))
        return rest / self.max_parallel

    def line(self) -> str:
        """The number of jobs in each state, the time so far, and the estimated time to go."""
        states = ("done", "running", "failed", "waiting")
        counts = {state: len(self.in_state(state)) for state in states}
        shown = ", ".join(f"{n} {state}" for state, n in counts.items() if n or state == "done")
        left = self.seconds_left() if counts["running"] or counts["waiting"] else None
        more = "" if left is None else f", about {duration(left)} to go"
        return f"{shown} ({duration(time.monotonic() - self.began)} so far{more})"

    def running(self) -> list[tuple[str, str, str, str, str]]:
        """For each running job: name, label, steps done, its note (such as the accuracy), and the
        time left."""
        rows = []
        for name, entry in self.in_state("running").items():
            seen = entry.progress()
            steps = f"{seen['unit']} {seen['done']}/{seen['total']}" if "total" in seen else ""
            left = seen.get("left")
            until = f"{duration(left)} to go" if left is not None else ""
            again = " (again)" if entry.tries > 1 else ""
            rows.append((name, entry.label + again, steps, str(seen.get("note", "")), until))
        return rows

    def table(self) -> Group:
        """The counts, running jobs and latest failures, for a terminal."""
        grid = Table.grid(padding=(0, 2))
        for row in self.running():
            grid.add_row(*map(Text, row))
        failed = list(self.in_state("failed").items())
        for name, entry in failed[-SHOWN:]:
            grid.add_row(Text(name), Text(entry.label), Text("failed", style="red"))
        return Group(Text(self.line()), grid)

    def print(self) -> None:
        """Print the counts and what is running, on one line."""
        now = "; ".join(" ".join(part for part in row if part) for row in self.running())
        print(self.line() + (f": {now}" if now else ""), flush=True)

    def _watch(self) -> None:
        while not self.over.wait(SECONDS_BETWEEN_LINES):
            self.print()

    def __enter__(self) -> Self:
        self.began = time.monotonic()
        if self.show and not headless() and sys.stderr.isatty():
            console = Console(stderr=True)
            self.live = Live(get_renderable=self.table, console=console, refresh_per_second=2)
            self.live.start()
        elif self.show:
            self.thread = threading.Thread(target=self._watch, daemon=True)
            self.thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.over.set()
        if self.live is not None:
            self.live.stop()
        if self.thread is not None:
            self.thread.join()
            if self.entries:
                self.print()


def duration(seconds: float) -> str:
    """Seconds in words: 45 s, 12 min, 3 h 20 min, 12 days."""
    minutes = round(seconds / 60)
    if seconds >= 100 * 3600:
        return f"{seconds / 86400:,.0f} days"
    if seconds < 99.5:
        return f"{seconds:.0f} s"
    return f"{minutes} min" if minutes < 120 else f"{minutes // 60} h {minutes % 60} min"
