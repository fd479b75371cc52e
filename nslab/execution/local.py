"""Run commands in processes of their own, several at once; none outlives the process that started
it."""

import os
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol, runtime_checkable

from nslab.execution import warm
from nslab.execution.stopping import PARENT, Process, stop, stoppable
from nslab.system.files import explaining
from nslab.system.time_limits import EXIT_UNFINISHED, UNTIL

KILLED = getattr(signal, "SIGKILL", 9)  # a signal that Windows lacks
GRACE = 45.0  # seconds for a job to get to its next checkpoint when its time is over
OUT_OF_TIME = "it ran out of time: the same command continues from its last checkpoint"
UNWRITABLE = 74  # exit status of a child that could not write (EX_IOERR of sysexits)


@dataclass(frozen=True)
class Job:
    """A command, the file its output is appended to, and variables added to its environment."""

    name: str
    command: Sequence[str]
    log: Path
    env: dict[str, str] = field(default_factory=dict, hash=False)


@dataclass(frozen=True)
class Ended:
    """A job that ended.

    Attributes:
        job: which.
        status: its exit status; negative: the signal that killed it.
        seconds: how long it ran.
        start: where in the log its output begins, in bytes.
        note: why it failed, if the status does not say it.
    """

    job: Job
    status: int
    seconds: float
    start: int = 0
    note: str = ""

    def tail(self, lines: int = 12) -> str:
        """The end of its output."""
        try:
            with self.job.log.open("rb") as log:
                log.seek(self.start)
                return "\n".join(log.read().decode(errors="replace").splitlines()[-lines:])
        except OSError as error:
            return f"(the log cannot be read: {error})"

    def why(self) -> str:
        """How it failed, and the end of its output."""
        what = self.note or f"exit status {self.status}"
        if self.status == EXIT_UNFINISHED:
            return OUT_OF_TIME
        if self.status < 0:
            what = f"killed by signal {-self.status} ({signal.strsignal(-self.status)})"
            if self.status == -KILLED:
                what += "; by the system, out of memory?"
        elif self.status == UNWRITABLE:
            what += ": it could not read or write. If the disk is full or a quota is used up, make "
            what += "room; if the folder is read-only, set NSLAB_HOME. Then run the same command "
            what += "again"
        nothing = "(it printed nothing; if the disk is full, make room and run it again)"
        return f"{what}\n{self.tail() or nothing}"


def no_result(end: Ended) -> Ended:
    """The end of a job that left no result: failed, even if its exit status was 0."""
    return end if end.status else replace(end, status=1, note="it ended but left no result")


OnStart = Callable[[Job], object]
OnEnd = Callable[[Ended], object]


@runtime_checkable
class Engine(Protocol):
    """Runs jobs, ``max_parallel`` of them at a time, and returns how they ended, in their order."""

    def __call__(
        self,
        jobs: Sequence[Job],
        max_parallel: int = 1,
        *,
        devices: Sequence[str] = (),
        on_start: OnStart | None = None,
        on_end: OnEnd | None = None,
    ) -> list[Ended]: ...


def run_local(
    jobs: Sequence[Job],
    max_parallel: int = 1,
    *,
    devices: Sequence[str] = (),
    on_start: OnStart | None = None,
    on_end: OnEnd | None = None,
    until: float | None = None,
) -> list[Ended]:
    """Run all jobs, ``max_parallel`` of them at a time; a failing job does not stop the others.

    With ``devices`` (numbers of CUDA devices) each job sees one of them, in turn; otherwise the
    CPU's cores are shared out as threads, the same number whatever is left to do, since results
    depend on it in the last bits. Several runs on a CPU are forked, see `nslab.execution.warm`.
    Ctrl-C, SIGTERM and SIGHUP stop every job before they are raised here, the last two as
    `Stopped`. From the time ``until`` on (seconds since 1970), which the jobs know too, no more are
    started; those that have not ended `GRACE` seconds later are stopped. Jobs that were cut short
    or never started have the status `EXIT_UNFINISHED`. ``on_start`` and ``on_end`` are called for
    each job.
    Returns how the jobs ended, in their order.
    """
    if max_parallel < 1:
        raise ValueError(f"jobs at once must be at least 1, not {max_parallel}")
    waiting = list(enumerate(jobs))
    running: dict[int, tuple[Job, Process, float, int]] = {}
    places = devices or [""]
    free = [places[i % len(places)] for i in range(max_parallel)]
    slots: dict[int, str] = {}
    ended: dict[int, Ended] = {}
    asked: set[int] = set()  # jobs that were asked to end because time is up
    cores = str(max(1, (os.cpu_count() or 1) // max_parallel))
    shared = {"OMP_NUM_THREADS": cores, "TORCHINDUCTOR_COMPILE_THREADS": cores}
    with stoppable():
        try:
            while waiting or running:
                if until is not None and time.time() >= until:
                    for number, job in waiting:
                        ended[number] = Ended(job, EXIT_UNFINISHED, 0.0)
                        if on_end:
                            on_end(ended[number])
                    waiting = []
                    if time.time() >= until + GRACE:
                        # only once: a second signal could disturb the first one's clean-up
                        for number in running.keys() - asked:
                            running[number][1].terminate()
                            asked.add(number)
                while waiting and free:
                    number, job = waiting.pop(0)
                    slots[number] = free.pop(0)
                    extra = {"CUDA_VISIBLE_DEVICES": slots[number]} if devices else {}
                    extra |= {} if until is None else {UNTIL: repr(until)}
                    extra[PARENT] = str(os.getpid())
                    env = {**shared, **os.environ, **extra, **job.env}
                    process, start = launch(job, env, forked=not devices, begin=len(jobs) > 1)
                    running[number] = (job, process, time.monotonic(), start)
                    if on_start:
                        on_start(job)
                for number, (job, process, started, start) in list(running.items()):
                    if (status := process.poll()) is not None:
                        del running[number]
                        free.append(slots.pop(number))
                        late = until is not None and time.time() >= until + GRACE
                        status = EXIT_UNFINISHED if late and status == -signal.SIGTERM else status
                        ended[number] = Ended(job, status, time.monotonic() - started, start)
                        if on_end:
                            on_end(ended[number])
                time.sleep(0.05)
        finally:
            stop([process for _, process, *_ in running.values()])
    return [ended[number] for number in range(len(jobs))]


def run_with_retries(
    jobs: Sequence[Job],
    max_parallel: int = 1,
    *,
    devices: Sequence[str] = (),
    retries: int = 0,
    verify: Callable[[Ended], Ended] = lambda end: end,
    on_start: OnStart | None = None,
    on_end: OnEnd | None = None,
    engine: Engine = run_local,
) -> list[Ended]:
    """Run all jobs; those that fail are tried up to ``retries`` more times after the others.

    ``verify`` gets the end of each job and returns the one that counts. Names of jobs must differ.
    The other arguments are those of `run_local`, or of another ``engine``.
    """
    ended: dict[str, Ended] = {}
    left = list(jobs)

    def finish(end: Ended) -> None:
        ended[end.job.name] = verify(end)
        if on_end:
            on_end(ended[end.job.name])

    for _ in range(retries + 1):
        engine(left, max_parallel, devices=devices, on_start=on_start, on_end=finish)
        left = [job for job in left if ended[job.name].status not in (0, EXIT_UNFINISHED)]
        if not left:
            break
    return [ended[job.name] for job in jobs]


def launch(job: Job, env: dict[str, str], forked: bool, begin: bool) -> tuple[Process, int]:
    """Start a job; returns its process, and where in the log its output begins.

    Output is appended, because another batch may wait for the same run and write to that log too.
    With ``forked`` the job is forked from a warm server if possible, see `nslab.execution.warm`;
    ``begin``: start such a server if there is none.
    """
    with explaining(job.log):
        job.log.parent.mkdir(parents=True, exist_ok=True)
        with job.log.open("ab") as log, open(os.devnull, "rb") as nothing:
            start, files = log.tell(), (nothing.fileno(), log.fileno(), log.fileno())
            if forked and (process := warm.start(job.command, env, files, begin=begin)):
                return process, start
            command = list(job.command)
            return subprocess.Popen(command, stdin=nothing, stdout=log, stderr=log, env=env), start
