"""Task of a compute node: run one command, say how it ended, be queued again if cut short.

Signals, and whom they reach. submitit's process calls a `NodeTask`, which starts the command.
SLURM signals all processes of a job alike.

- USR2, some time before the limit, or at preemption where the cluster sends it
  (``send_user_signal``): submitit's process calls `Task.checkpoint`, which stops the command, and
  has the job queued again.
- TERM, at preemption, ``scontrol requeue`` or ``scancel``: nobody can tell which. So all go on
  until KILL comes, some 30 seconds later; then SLURM itself queues the job again (``--requeue``),
  or, cancelled, does not (``scancel --signal=KILL`` cancels, too). Being killed costs nothing but
  the epoch in hand.
- KILL to the command alone, say for want of memory: the task has the job queued again, twice.
- The node dies: SLURM queues the job again.

The command must not see the first two, or it would die of them before its turn.
"""

import json
import os
import signal
import socket
import subprocess
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

from nslab.execution.local import PARENT
from nslab.system.files import write_text

if TYPE_CHECKING:
    from submitit.helpers import DelayedSubmission

KILLS = 2  # the command was killed, not the job: so often it is tried again
# Windows lacks some: no SLURM there, but importing this must work.
KEPT_FROM_COMMAND = {s for s in signal.Signals if s.name in ("SIGTERM", "SIGUSR1", "SIGUSR2")}


@dataclass
class NodeTask:
    """A job's command with where it says what; queued again, it goes on with its own count.

    ``status`` is the file in which it says how it ended, ``threads`` what a process of it may use
    where nothing else is said.
    """

    command: list[str]
    log: Path
    env: dict[str, str]
    cwd: Path
    status: Path
    threads: int
    seconds: float = 0.0
    kills: int = 0
    pid: int | None = None
    began: float = 0.0

    def __call__(self) -> int:
        """Run the command and write its exit status; a job that ended already is not repeated."""
        if self.status.exists():
            return 0  # it came to its end while SLURM was taking the node away
        self.began = time.monotonic()
        with self.log.open("ab") as log:
            self.say(f"starts on {socket.gethostname()}")
            try:
                status = self.start(log.fileno()).wait()
                self.pid = None  # which may be given to another process now
                if status == -signal.SIGKILL and self.kills < KILLS:
                    self.kills += 1
                    self.say("its command was killed; out of memory?")
                    signal.raise_signal(usual_signal())
            except Exception as error:  # submitit's: not to be queued again
                self.say(str(error))
                self.end(1)
                raise
        self.end(status)
        return status

    def start(self, log: int) -> subprocess.Popen:
        """Start the command, deaf to the signals that are meant for this process."""
        before = signal.pthread_sigmask(signal.SIG_BLOCK, KEPT_FROM_COMMAND)
        try:
            process = subprocess.Popen(
                self.command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.cwd,
                env={
                    "OMP_NUM_THREADS": str(self.threads),
                    **os.environ,
                    **self.env,
                    PARENT: str(os.getpid()),
                },
            )
            self.pid = process.pid
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        return process

    def checkpoint(self) -> "DelayedSubmission":
        """Called by submitit when the job is about to lose its node: what to run when it is back.

        The command is stopped first, so that two never compute the same. It has kept its state
        after each epoch, and goes on from there.
        """
        from submitit.helpers import DelayedSubmission

        if self.pid is not None:
            stop_process(self.pid)
            self.pid = None
        if self.began:
            self.seconds += time.monotonic() - self.began
            self.began = 0.0
        self.say("stopped, to be queued again")
        return DelayedSubmission(self)

    def say(self, what: str) -> None:
        """A line in the job's own log."""
        name = os.environ.get("SLURM_ARRAY_JOB_ID") or os.environ.get("SLURM_JOB_ID", "?")
        if index := os.environ.get("SLURM_ARRAY_TASK_ID"):
            name += f"_{index}"
        stretch = int(os.environ.get("SLURM_RESTART_COUNT") or 0) + 1
        line = f"[slurm job {name}, stretch {stretch}: {what}]\n"
        with self.log.open("a", encoding="utf-8") as log:
            log.write(line)

    def end(self, status: int) -> None:
        """Say how the job ended."""
        seconds = self.seconds + time.monotonic() - self.began
        write_text(self.status, json.dumps({"status": status, "seconds": seconds}))


def usual_signal() -> signal.Signals:
    """The signal by which SLURM asks submitit to queue a job again."""
    from submitit import JobEnvironment

    return signal.Signals[f"SIG{JobEnvironment.USR_SIG}"]


def stop_process(pid: int) -> None:
    """Kill a child process and all that it started; runs are kept whole whenever that happens.

    It is left to be waited for, by the call of wait that a signal may have interrupted.
    """
    try:
        process = psutil.Process(pid)
        family = [process, *process.children(recursive=True)]
    except psutil.NoSuchProcess:
        return
    for member in family:
        with suppress(psutil.NoSuchProcess):
            member.kill()
    with suppress(ChildProcessError):
        os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
