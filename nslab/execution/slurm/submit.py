"""`run_slurm`: jobs of a cluster with the contract of `nslab.execution.local.run_local`."""

import json
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from nslab.execution.local import Ended, Job
from nslab.execution.slurm import arrays
from nslab.execution.slurm.arrays import Queued
from nslab.execution.slurm.resources import Slurm
from nslab.system.locks import locked

POLL = 10.0  # seconds between two queries of the queue
PATIENCE = 30.0  # seconds until a file written elsewhere must be seen here: NFS caches listings
RESUBMITTED = 2  # how often a job is submitted again that was killed as a whole
KILLED_BY_SIGNAL = ("FAILED", "NODE_FAIL", "BOOT_FAIL", "OUT_OF_MEMORY", "PREEMPTED", "TIMEOUT")


def run_slurm(
    jobs: Sequence[Job],
    max_parallel: int = 1,
    *,
    slurm: Slurm | None = None,
    devices: Sequence[str] = (),
    on_start: Callable[[Job], object] | None = None,
    on_end: Callable[[Ended], object] | None = None,
    tell: Callable[[str], object] = print,
    poll: float = POLL,
    patience: float = PATIENCE,
) -> list[Ended]:
    """Run all jobs on the cluster, ``max_parallel`` of them at a time; returns how they ended, in
    their order.

    Jobs that are queued or running already are not submitted again but waited for. A failing job
    does not stop the others. Interrupting leaves the jobs on the cluster: the same call waits for
    them again, as it does after a lost connection. ``devices`` is ignored, because SLURM assigns
    devices. ``tell`` gets messages for the user; ``poll`` and ``patience`` are in seconds, see
    `POLL` and `PATIENCE`. Raises ``ValueError`` for jobs that SLURM refuses, ``OSError`` if it does
    not answer at the start.
    """
    if max_parallel < 1:
        raise ValueError(f"jobs at once must be at least 1, not {max_parallel}")
    if not jobs:
        return []
    batch = JobArray(jobs, max_parallel, slurm or Slurm(), on_start, on_end, tell, patience)
    batch.enter()
    try:
        while batch.waiting:
            batch.look()
            if batch.waiting:
                time.sleep(poll)
    except BaseException:
        if batch.waiting:
            numbers = " ".join(sorted({n.partition("_")[0] for n in batch.waiting.values()}))
            tell(
                f"{len(batch.waiting)} jobs stay on the cluster: the same command waits for them "
                f"again, `scancel {numbers}` cancels them"
            )
        raise
    return [batch.ended[arrays.key(job)] for job in jobs]


@dataclass
class JobArray:
    """The jobs of one call and what became of them, by their keys."""

    jobs: Sequence[Job]
    max_parallel: int
    slurm: Slurm
    on_start: Callable[[Job], object] | None
    on_end: Callable[[Ended], object] | None
    tell: Callable[[str], object]
    patience: float
    waiting: dict[str, str] = field(default_factory=dict)  # numbers of jobs that have not ended
    ended: dict[str, Ended] = field(default_factory=dict)
    started: set[str] = field(default_factory=set)
    gone: dict[str, float] = field(default_factory=dict)  # when a job vanished without a status
    again: Counter[str] = field(default_factory=Counter)  # how often it was submitted again
    held: set[str] = field(default_factory=set)  # numbers of jobs that SLURM was seen to hold
    last_report: str = ""

    def __post_init__(self) -> None:
        self.by_key = {arrays.key(job): job for job in self.jobs}

    def enter(self) -> None:
        """Attach to the jobs that are in the queue, and submit the others; one batch at a time."""
        arrays.executor(arrays.folder(), 0)  # raises if submitit or SLURM is missing
        with locked(arrays.folder() / "lock", "another batch is submitting its jobs"):
            there = arrays.queue()
            arrays.tidy(there)
            known = arrays.attached(there)
            self.waiting = {key: known[key] for key in self.by_key if key in known}
            if self.waiting:
                self.tell(f"{len(self.waiting)} jobs are on the cluster already: waiting for them")
            if left := [job for key, job in self.by_key.items() if key not in self.waiting]:
                self.submit(left)

    def submit(self, jobs: Sequence[Job]) -> None:
        """Submit jobs, and add them to those waited for."""
        made = arrays.submit(jobs, self.max_parallel, self.slurm)
        self.waiting |= made
        number = next(iter(made.values())).partition("_")[0]
        max_parallel = min(self.max_parallel, len(jobs))
        self.tell(f"SLURM job {number}: array of {len(jobs)}, {max_parallel} at a time")

    def look(self) -> None:
        """Look once at the queue and at the status files of the jobs."""
        try:
            there = arrays.queue()
        except OSError as error:
            self.report(f"{error}; asking again")
            return
        refresh_listing(arrays.folder())
        for key, number in list(self.waiting.items()):
            entry = there.get(number)
            wrote = arrays.status_file(self.by_key[key])
            if wrote.exists() or (entry and entry.state == "RUNNING"):
                self.start(key)
            if wrote.exists():
                self.end(key, **json.loads(wrote.read_text(encoding="utf-8")))
            elif entry and entry.live:
                self.gone.pop(key, None)
            elif time.monotonic() - self.gone.setdefault(key, time.monotonic()) >= self.patience:
                self.lost(key, entry)
        numbers = set(self.waiting.values())
        states = Counter(
            entry.state.lower() + (f" ({entry.reason})" if entry.state == "PENDING" else "")
            for entry in there.values()
            if entry.id in numbers
        )
        self.report(", ".join(f"{n} {state}" for state, n in sorted(states.items())))
        for entry in there.values():
            if entry.id in numbers and "held" in entry.reason.lower() and entry.id not in self.held:
                self.held.add(entry.id)
                self.tell(f"SLURM holds job {entry.id}: `scontrol release {entry.id}` frees it")

    def start(self, key: str) -> None:
        """Note that a job was seen running."""
        if key not in self.started:
            self.started.add(key)
            if self.on_start:
                self.on_start(self.by_key[key])

    def end(self, key: str, status: int, seconds: float) -> None:
        """Note that a job ended."""
        del self.waiting[key]
        job = self.by_key[key]
        refresh_listing(job.log.parent)
        self.ended[key] = Ended(job, status, seconds)
        if self.on_end:
            self.on_end(self.ended[key])

    def lost(self, key: str, entry: Queued | None) -> None:
        """Deal with a job that is gone without having written how it ended: it was killed as a
        whole, or cancelled."""
        number, job = self.waiting[key], self.by_key[key]
        state = entry.state if entry else "no longer in the queue"
        again = state in KILLED_BY_SIGNAL and self.again[key] < RESUBMITTED
        with job.log.open("a", encoding="utf-8") as log:
            log.write(f"[slurm job {number} ended without output: {state}]\n")
            if state == "COMPLETED":
                log.write("do the compute nodes share the folder that this log lies in?\n")
            if entry and (words := arrays.last_words(number, entry.array)):
                log.write(words + "\n")
        self.gone.pop(key, None)
        if again:
            self.again[key] += 1
            self.tell(f"{job.name} was killed ({state}): submitted again")
            self.submit([job])
        else:
            self.start(key)
            self.end(key, -15 if state == "CANCELLED" else -9, 0.0)

    def report(self, what: str) -> None:
        """Tell the user something, unless it was the last thing told."""
        if what and what != self.last_report:
            self.last_report = what
            self.tell(f"SLURM: {what}")


def refresh_listing(folder: Path) -> None:
    """List a folder, so that NFS shows here what other nodes wrote there."""
    list(folder.iterdir())
