"""Run commands in processes of their own, several at once."""

import os
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class Job:
    """A command, where its output goes, and what it finds in its environment."""

    name: str
    command: Sequence[str]
    log: Path
    env: dict[str, str] = field(default_factory=dict, hash=False)


@dataclass(frozen=True)
class Ended:
    """A job that ended: its exit status (negative: the signal that killed it) and its seconds."""

    job: Job
    status: int
    seconds: float

    def tail(self, lines: int = 12) -> str:
        """The end of its output."""
        return "\n".join(self.job.log.read_text(errors="replace").splitlines()[-lines:])


def run_local(
    jobs: Sequence[Job],
    at_once: int = 1,
    *,
    devices: Sequence[str] = (),
    on_start: Callable[[Job], object] | None = None,
    on_end: Callable[[Ended], object] | None = None,
) -> list[Ended]:
    """Run all jobs, ``at_once`` of them at a time; a failing job does not stop the others.

    With ``devices`` (numbers of CUDA devices) each job sees one of them, in turn; otherwise the
    CPU's cores are shared out as threads. Interrupting stops every job before the interrupt goes
    on. Returns how the jobs ended, in their order.
    """
    if at_once < 1:
        raise ValueError(f"jobs at once must be at least 1, not {at_once}")
    waiting = list(enumerate(jobs))
    running: dict[int, tuple[Job, subprocess.Popen, float]] = {}
    free = [devices[i % len(devices)] for i in range(at_once)] if devices else [""] * at_once
    slots: dict[int, str] = {}
    ended: dict[int, Ended] = {}
    threads = str(max(1, (os.cpu_count() or 1) // min(at_once, max(1, len(jobs)))))
    try:
        while waiting or running:
            while waiting and free:
                number, job = waiting.pop(0)
                slots[number] = free.pop(0)
                extra = {"CUDA_VISIBLE_DEVICES": slots[number]} if devices else {}
                job.log.parent.mkdir(parents=True, exist_ok=True)
                with job.log.open("wb") as log:
                    process = subprocess.Popen(
                        list(job.command),
                        stdout=log,
                        stderr=subprocess.STDOUT,
                        stdin=subprocess.DEVNULL,
                        env={"OMP_NUM_THREADS": threads, **os.environ, **extra, **job.env},
                    )
                running[number] = (job, process, time.monotonic())
                if on_start:
                    on_start(job)
            for number, (job, process, started) in list(running.items()):
                if (status := process.poll()) is not None:
                    del running[number]
                    free.append(slots.pop(number))
                    ended[number] = Ended(job, status, time.monotonic() - started)
                    if on_end:
                        on_end(ended[number])
            time.sleep(0.05)
    finally:
        for _, process, _ in running.values():
            process.terminate()
        for _, process, _ in running.values():
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
    return [ended[number] for number in range(len(jobs))]
