"""Warm start: processes forked from one that has imported what they need, not started from nothing.

A run in a process of its own imports PyTorch, ``torch._dynamo`` and this package first, for four
seconds of CPU. A server that imported them once forks each in milliseconds. It is a fresh process
of ours, not a copy of the one that asks, and serves that one alone, by an anonymous socket. It ends
with it, or after a minute without work; its children follow it. A child is what ``python -m`` would
have started: own log, environment, folder, signals, exit status, and exit handlers.

There is no warm start, and `start` says None so that the caller starts plainly, where forking is
unsafe or a fork would not be the same: other systems than Linux, a server that has threads or has
touched CUDA, plug-ins, another environment than the server's (but for names of ours), sources that
have changed since it imported them, or ``NSLAB_WARM=0``.
"""

import atexit
import contextlib
import json
import os
import select
import signal
import socket
import struct
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from typing import Any

from nslab.system import safe_python

SWITCH = "NSLAB_WARM"
KERNELS_PARENT = "JPY_PARENT_PID"  # the process that a kernel must not outlive
SERVER = "nslab.execution.warm_server"
NUMBER = struct.Struct("q")
RUN = ("torch._dynamo", "accelerate", "nslab.runs.store", "sklearn.datasets")
KERNEL = (*RUN, "ipykernel.kernelapp", "ipywidgets", "pandas", "seaborn", "nslab.experiments")
# What a process imports in any case, by the module that it runs; never that module itself.
IMPORTS: dict[str, tuple[str, ...]] = {
    "nslab.runs.worker": RUN,
    "nslab.workbench.render": (*KERNEL, "papermill", "nslab.workbench.notebooks"),
    "ipykernel_launcher": KERNEL,
}
# A server has no threads yet, and Matplotlib reads on import what a kernel sets before.
OWN = {
    "OPENBLAS_NUM_THREADS": "1",
    "OMP_NUM_THREADS": "1",
    "MPLBACKEND": "module://matplotlib_inline.backend_inline",
}
# What may differ between a server's environment and a child's, as nothing reads it on import.
FREE = ("NSLAB_", "JUPYTER_", "JPY_", "IPYTHONDIR", "PYTEST_CURRENT_TEST")
THREADS, DEVICES = "OMP_NUM_THREADS", "CUDA_VISIBLE_DEVICES"


class Process:
    """A forked process, with what `subprocess.Popen` has for one that was started."""

    stdin = stdout = stderr = None

    def __init__(self, args: Sequence[str], pid: int, status: int) -> None:
        self.args, self.pid = list(args), pid
        self.returncode: int | None = None
        self._status = status

    def poll(self) -> int | None:
        """Its exit status, once it ended; negative: the signal that killed it."""
        return self._look(0)

    def wait(self, timeout: float | None = None) -> int:
        """Its exit status; ``subprocess.TimeoutExpired`` if it has not ended in time."""
        if (status := self._look(timeout)) is None:
            raise subprocess.TimeoutExpired(self.args, timeout or 0.0)
        return status

    def send_signal(self, number: int) -> None:
        """Send a signal, unless it has ended."""
        if self.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def terminate(self) -> None:
        """Ask it to end."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """End it."""
        self.send_signal(signal.SIGKILL)

    def _look(self, timeout: float | None) -> int | None:
        if self.returncode is None and readable(self._status, timeout):
            found = os.read(self._status, NUMBER.size)
            if len(found) < NUMBER.size:  # its server was killed, which it does not outlive
                with contextlib.suppress(ProcessLookupError):
                    os.kill(self.pid, signal.SIGKILL)
            self.returncode = NUMBER.unpack(found)[0] if found else -signal.SIGKILL
            os.close(self._status)
        return self.returncode

    def __del__(self) -> None:
        if self.returncode is None:
            os.close(self._status)


class Server:
    """The process that forks, as the one that asks sees it."""

    def __init__(self, asking: socket.socket, process: Any) -> None:
        self.socket, self.process = asking, process
        self.env = dict[str, str]()

    @classmethod
    def started(cls, module: str, env: Mapping[str, str]) -> "Server":
        """A new process that imports what a module will."""
        ours, its = socket.socketpair()
        words = [str(its.fileno()), *IMPORTS[module]]
        with its:
            process = subprocess.Popen(
                safe_python.python_command(SERVER, *words),
                env=dict(env) | OWN,
                pass_fds=[its.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
        found = cls(ours, process)
        found.env = apart(env)
        return found

    def fork(self, task: Mapping[str, object], files: Sequence[int]) -> tuple[int, int] | None:
        """Id of a new process, and the pipe on which its status will come; None if refused."""
        told, tell = os.pipe()
        try:
            try:
                with contextlib.suppress(OSError):
                    text = json.dumps(task).encode()
                    socket.send_fds(self.socket, [NUMBER.pack(len(text))], [tell, *files])
                    self.socket.sendall(text)
            finally:
                os.close(tell)
            if len(found := os.read(told, NUMBER.size)) == NUMBER.size:
                return NUMBER.unpack(found)[0], told
        except BaseException:  # interrupted: a process that nobody knows is not left, see `serve`
            os.close(told)
            raise
        os.close(told)
        return None

    def close(self) -> None:
        """End it, and whatever it started."""
        self.socket.close()
        self.process.wait()


_SERVERS: dict[str, Server] = {}
_COLD: set[str] = set()  # modules whose server never could
_LOCK = threading.Lock()
forked = False  # whether this very process was


def start(
    command: Sequence[str],
    env: Mapping[str, str],
    files: Sequence[int],
    cwd: str | None = None,
    *,
    begin: bool = True,
    group: bool = False,
) -> Process | None:
    """Fork what ``command`` (of `safe_python.python_command`) would start; None if it cannot be.

    ``files`` are its standard input, output and error; with ``group`` it leads a process group of
    its own. A server is started for the first, unless ``begin`` is False, and then takes as long as
    the first would have.
    """
    if not possible(env) or (module := safe_python.module_of(command)) not in IMPORTS:
        return None
    words = list(command)[len(safe_python.python_of_ours()) :]
    try:
        folder = cwd or os.getcwd()
    except FileNotFoundError:  # it was deleted: a plain start stays in it
        return None
    if not os.path.isdir(folder):  # a plain start says so at once
        return None
    with _LOCK:
        server = _SERVERS.get(module)
        if server and (server.process.poll() is not None or server.env != apart(env)):
            _SERVERS.pop(module).close()
            server = None
        fresh = server is None
        if server is None:
            if not begin or module in _COLD:
                return None
            server = _SERVERS[module] = Server.started(module, env)
        task = {"words": words, "env": dict(env), "cwd": folder, "group": group}
        if (found := server.fork(task, files)) is None:
            _SERVERS.pop(module).close()
            _COLD.update({module} if fresh else ())
    if found is None:  # an older server may have been killed, or be of older sources
        return None if fresh else start(command, env, files, cwd, begin=begin, group=group)
    return Process(command, *found)


def keep(module: str, asking: socket.socket, process: Any) -> None:
    """Take a process as the server of a module, which has this one's environment."""
    server = _SERVERS[module] = Server(asking, process)
    server.env = apart(os.environ)


def possible(env: Mapping[str, str]) -> bool:
    """Whether a process with this environment may be forked at all."""
    wanted = env.get(SWITCH, "1") not in ("", "0") and not env.get("NSLAB_PLUGINS")
    return sys.platform == "linux" and wanted


def apart(env: Mapping[str, str]) -> dict[str, str]:
    """What of an environment a server and its children must share."""
    return {
        name: value
        for name, value in env.items()
        if name not in (THREADS, DEVICES) and not name.startswith(FREE)
    }


@atexit.register
def close_all() -> None:
    """End all servers of this process."""
    while _SERVERS:
        with contextlib.suppress(KeyboardInterrupt):  # its server ends all the same
            _SERVERS.popitem()[1].close()


def _forget() -> None:
    """In a fork of the one that asks: its servers are not ours."""
    for server in _SERVERS.values():
        server.socket.close()
        server.process.returncode = 0  # not ours to wait for
    _SERVERS.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)


def readable(file: int, timeout: float | None) -> bool:
    """Whether something can be read in time."""
    poll = select.poll()
    poll.register(file, select.POLLIN)
    return bool(poll.poll(None if timeout is None else max(0, timeout * 1000)))
