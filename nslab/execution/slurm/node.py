"""Task of a compute node: run one command, write how it ended, be queued again if cut short.

submitit's process calls a `NodeTask`, which starts the command. SLURM sends signals to all
processes of a job. Which there are, and what happens:

- USR2, some time before the limit, or at preemption where the cluster sends it
  (``send_user_signal``): submitit's process calls `NodeTask.checkpoint`, which stops the command,
  and queues the job again.
- TERM, at preemption, ``scontrol requeue`` or ``scancel``: the job cannot tell which. So all
  processes continue until KILL comes, some 30 seconds later. SLURM itself then queues the job again
  (``--requeue``), unless it was cancelled (``scancel --signal=KILL`` cancels, too). A killed run
  loses only the epoch that it was computing.
- KILL to the command alone, for example if memory runs out: the task has the job queued again, at
  most twice.
- The node dies: SLURM queues the job again.

USR2 and TERM are blocked in the command, which would otherwise die of them at once.
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

from nslab.execution.stopping import PARENT
from nslab.system.files import write_text

if TYPE_CHECKING:
    from submitit.helpers import DelayedSubmission

KILLS = 2  # how often a job is queued again because its command was killed
# Windows lacks some of these signals; it has no SLURM, but importing this must work.
KEPT_FROM_COMMAND = {s for s in signal.Signals if s.name in ("SIGTERM", "SIGUSR1", "SIGUSR2")}


@dataclass
class NodeTask:
    """A job's command and its files; it is pickled, and keeps its counts when queued again.

    Attributes:
        command, env, cwd: the command, variables added to its environment, its working directory.
        log: the file its output is appended to.
        status: the file in which it writes how it ended.
        threads: ``OMP_NUM_THREADS`` of the command, unless the environment sets it.
        seconds: how long earlier stretches took.
        kills: how often its command was killed.
        pid, began: process and start of the command, while it runs.
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
            return 0  # it ended just when SLURM queued it again
        self.began = time.monotonic()
        with self.log.open("ab") as log:
            self.say(f"starts on {socket.gethostname()}")
            try:
                status = self.start(log.fileno()).wait()
                self.pid = None  # the system may give it to another process now
                if status == -signal.SIGKILL and self.kills < KILLS:
                    self.kills += 1
                    self.say("its command was killed; out of memory?")
                    signal.raise_signal(usual_signal())
            except Exception as error:  # such as submitit's, if it was queued too often
                self.say(str(error))
                self.end(1)
                raise
        self.end(status)
        return status

    def start(self, log: int) -> subprocess.Popen:
        """Start the command with the signals blocked that are meant for this process."""
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
        """What to run when the job is queued again; submitit calls this when it loses its node.

        The command is stopped first, so that two never compute the same run. It has saved its state
        after each epoch, and continues from there.
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
        """Write a line to the job's own log."""
        name = os.environ.get("SLURM_ARRAY_JOB_ID") or os.environ.get("SLURM_JOB_ID", "?")
        if index := os.environ.get("SLURM_ARRAY_TASK_ID"):
            name += f"_{index}"
        stretch = int(os.environ.get("SLURM_RESTART_COUNT") or 0) + 1
        line = f"[slurm job {name}, stretch {stretch}: {what}]\n"
        with self.log.open("a", encoding="utf-8") as log:
            log.write(line)

    def end(self, status: int) -> None:
        """Write how the job ended."""
        seconds = self.seconds + time.monotonic() - self.began
        write_text(self.status, json.dumps({"status": status, "seconds": seconds}))


def usual_signal() -> signal.Signals:
    """The signal by which SLURM asks submitit to queue a job again."""
    from submitit import JobEnvironment

    return signal.Signals[f"SIG{JobEnvironment.USR_SIG}"]


def stop_process(pid: int) -> None:
    """Kill a child process and all that it started; this never damages the files of a run.

    The child can still be waited for, by the call of wait that a signal may have interrupted.
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
