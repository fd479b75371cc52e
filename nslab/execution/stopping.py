"""Ends of processes: by a signal, with the process that started them, and of those it started."""

import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import FrameType

import psutil

from nslab.execution import warm

PARENT = "NSLAB_PARENT"  # in a child's environment: the process that it must not outlive
Process = subprocess.Popen | warm.Process


class Stopped(KeyboardInterrupt):
    """This process was asked to end by the signal ``number``."""

    def __init__(self, number: int = signal.SIGTERM) -> None:
        super().__init__(f"signal {int(number)}")
        self.number = int(number)


def stop(running: Sequence[Process]) -> None:
    """End processes: ask them first; kill them after ten seconds, or at a second interrupt."""
    for process in running:
        process.terminate()
    deadline = time.monotonic() + 10
    try:
        for process in running:
            process.wait(max(0.0, deadline - time.monotonic()))
    except subprocess.TimeoutExpired:
        pass
    finally:
        for process in running:
            process.kill()
            process.wait()


@contextmanager
def stoppable() -> Iterator[None]:
    """Make SIGTERM and SIGHUP (the terminal is gone) interrupt the block like Ctrl-C, as `Stopped`.
    Only in the main thread, where Python can handle signals; `nohup` keeps its effect."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def interrupt(number: int, frame: FrameType | None) -> None:
        raise Stopped(number)

    wanted = [signal.SIGTERM, *([signal.SIGHUP] if hangs_up() else [])]
    before = {number: signal.signal(number, interrupt) for number in wanted}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler or signal.SIG_DFL)


def hangs_up() -> bool:
    """Whether closing the terminal ends this process: not on Windows, nor under `nohup`."""
    return hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN


def follow_parent(end: Callable[[], object] = lambda: os._exit(1)) -> None:
    """In a job: call ``end`` as soon as the process that started it is gone, however that ended.

    The job stays in its parent's process group, so that a signal to the group reaches it, too.
    """
    parent = int(os.environ.pop(PARENT, "0"))

    def watch() -> None:
        # On Windows getppid still gives the id of a parent that is gone.
        while os.getppid() == parent and psutil.pid_exists(parent):
            time.sleep(0.5)
        end()

    if parent:
        threading.Thread(target=watch, daemon=True).start()
