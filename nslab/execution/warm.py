"""Warm start: fork processes from a server that has imported what they need already.

A run in a process of its own first imports PyTorch, ``torch._dynamo`` and this package, which takes
four seconds of CPU time. A server that has imported them forks each process in milliseconds. The
server is a fresh process, not a copy of the one that asks for processes (the client), and serves
that client alone, through an anonymous socket. It ends with the client, or after a minute without
work, and its children end with it. A child is like a process that ``python -m`` has started: it has
its own log, environment, folder, signals, exit status and exit handlers.

`start` returns None, and the caller starts a process in the usual way, where forking is unsafe or a
fork would differ: on systems other than Linux; for a server that has threads or has used CUDA; with
plug-ins; in another environment than the server's (names of nslab's aside); if sources have changed
since the server imported them; and with ``NSLAB_WARM=0``.
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
KERNELS_PARENT = "JPY_PARENT_PID"  # Jupyter's: the process that a kernel must not outlive
SERVER = "nslab.execution.warm_server"
NUMBER = struct.Struct("q")
RUN = ("torch._dynamo", "accelerate", "nslab.runs.store", "sklearn.datasets")
KERNEL = (*RUN, "ipykernel.kernelapp", "ipywidgets", "pandas", "seaborn", "nslab.experiments")
# What a server imports for processes that run a module, by that module; never the module itself.
IMPORTS: dict[str, tuple[str, ...]] = {
    "nslab.runs.worker": RUN,
    "nslab.workbench.render": (*KERNEL, "papermill", "nslab.workbench.notebooks"),
    "ipykernel_launcher": KERNEL,
}
# A server's own settings: it must have no threads, and Matplotlib reads its backend on import.
OWN = {
    "OPENBLAS_NUM_THREADS": "1",
    "OMP_NUM_THREADS": "1",
    "MPLBACKEND": "module://matplotlib_inline.backend_inline",
}
# Beginnings of variables that may differ between server and child: no import reads them.
FREE = ("NSLAB_", "JUPYTER_", "JPY_", "IPYTHONDIR", "PYTEST_CURRENT_TEST")
THREADS, DEVICES = "OMP_NUM_THREADS", "CUDA_VISIBLE_DEVICES"


class Process:
    """A forked process, with the interface of `subprocess.Popen` as far as it is needed."""

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
            if len(found) < NUMBER.size:  # its server was killed, and it must not outlive that
                with contextlib.suppress(ProcessLookupError):
                    os.kill(self.pid, signal.SIGKILL)
            self.returncode = NUMBER.unpack(found)[0] if found else -signal.SIGKILL
            os.close(self._status)
        return self.returncode

    def __del__(self) -> None:
        if self.returncode is None:
            os.close(self._status)


class Server:
    """The client's view of a server: its socket, its process, and the environment it shares with
    its children."""

    def __init__(self, client: socket.socket, process: Any) -> None:
        self.socket, self.process = client, process
        self.env = dict[str, str]()

    @classmethod
    def started(cls, module: str, env: Mapping[str, str]) -> "Server":
        """A new server, which imports what ``module`` needs."""
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
        found.env = shared_environment(env)
        return found

    def fork(self, task: Mapping[str, object], files: Sequence[int]) -> tuple[int, int] | None:
        """The id of a new process, and the pipe on which its exit status will come; None if the
        server refuses. ``task`` is what `nslab.execution.warm_server.become` takes, ``files`` its
        standard input, output and error."""
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
        except BaseException:  # `serve` kills a child whose pipe is closed
            os.close(told)
            raise
        os.close(told)
        return None

    def close(self) -> None:
        """End the server, and whatever it started."""
        self.socket.close()
        self.process.wait()


_SERVERS: dict[str, Server] = {}
_COLD: set[str] = set()  # modules whose server refused its first task; not tried again
_LOCK = threading.Lock()
forked = False  # whether this very process was forked from a server


def start(
    command: Sequence[str],
    env: Mapping[str, str],
    files: Sequence[int],
    cwd: str | None = None,
    *,
    begin: bool = True,
    group: bool = False,
) -> Process | None:
    """Fork what ``command`` (of `safe_python.python_command`) would start; None if impossible.

    Args:
        command: what to run.
        env: the whole environment of the process.
        files: its standard input, output and error.
        cwd: its working directory; None: this one.
        begin: whether to start a server if there is none; the first process then takes as long as
            without one.
        group: whether it leads a process group of its own.
    """
    if not possible(env) or (module := safe_python.module_of(command)) not in IMPORTS:
        return None
    words = list(command)[len(safe_python.python_of_ours()) :]
    try:
        folder = cwd or os.getcwd()
    except FileNotFoundError:  # it was deleted; a process started plainly can stay in it
        return None
    if not os.path.isdir(folder):  # a plain start raises the error
        return None
    with _LOCK:
        server = _SERVERS.get(module)
        if server and (server.process.poll() is not None or server.env != shared_environment(env)):
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
    if found is None:  # an older server may have been killed, or have imported older sources
        return None if fresh else start(command, env, files, cwd, begin=begin, group=group)
    return Process(command, *found)


def keep(module: str, client: socket.socket, process: Any) -> None:
    """Use a process with the same environment as this one as the server for a module."""
    server = _SERVERS[module] = Server(client, process)
    server.env = shared_environment(os.environ)


def possible(env: Mapping[str, str]) -> bool:
    """Whether a process with this environment may be forked at all."""
    wanted = env.get(SWITCH, "1") not in ("", "0") and not env.get("NSLAB_PLUGINS")
    return sys.platform == "linux" and wanted


def shared_environment(env: Mapping[str, str]) -> dict[str, str]:
    """The part of an environment that a server and its children must share."""
    return {
        name: value
        for name, value in env.items()
        if name not in (THREADS, DEVICES) and not name.startswith(FREE)
    }


@atexit.register
def close_all() -> None:
    """End all servers of this process."""
    while _SERVERS:
        with contextlib.suppress(KeyboardInterrupt):  # the server ends anyway
            _SERVERS.popitem()[1].close()


def _forget() -> None:
    """After a fork of the client: the child must not use its parent's servers."""
    for server in _SERVERS.values():
        server.socket.close()
        server.process.returncode = 0  # only the parent can wait for it
    _SERVERS.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)


def readable(file: int, timeout: float | None) -> bool:
    """Whether a file has something to read, or its end, within ``timeout`` seconds; None: wait."""
    poll = select.poll()
    poll.register(file, select.POLLIN)
    return bool(poll.poll(None if timeout is None else max(0, timeout * 1000)))
