"""The server that forks processes: ``python -m nslab.execution.warm_server SOCKET MODULES``.

It imports the modules, then forks whatever its client asks for, and ends with the client, or after
a minute without work. See `nslab.execution.warm`.
"""

import contextlib
import gc
import importlib
import json
import os
import random
import signal
import socket
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from nslab.execution import warm
from nslab.execution.stopping import PARENT
from nslab.execution.warm import KERNELS_PARENT, NUMBER, THREADS, readable
from nslab.system import safe_python

IDLE = 60.0  # seconds without children after which a server ends


def serve(client: socket.socket, modules: Sequence[str]) -> dict[str, Any] | None:
    """Fork what the client asks for; returns in each child its task, and in the server None."""
    begun = dict(os.environ)
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGHUP)}
    for number in handlers:  # a terminal sends them to all processes; the client decides
        signal.signal(number, signal.SIG_IGN)
    for name in modules:
        importlib.import_module(name)
    made = {name: value for name, value in os.environ.items() if begun.get(name) != value}
    gc.freeze()  # otherwise the first collection in a child would copy all memory
    known = written(sources())
    children: dict[int, int] = {}  # their pipes, by their ids
    last = time.monotonic()
    while children or time.monotonic() < last + IDLE:
        asked = readable(client.fileno(), 0.02 if children else IDLE)
        while children and (ended := os.waitpid(-1, os.WNOHANG))[0]:
            tell, last = children.pop(ended[0]), time.monotonic()
            with contextlib.suppress(OSError):
                os.write(tell, NUMBER.pack(os.waitstatus_to_exitcode(ended[1])))
            os.close(tell)
        if not asked:
            continue
        head, files, *_ = socket.recv_fds(client, NUMBER.size, 4)
        if len(head) < NUMBER.size or not safe() or written(known) != known:
            break
        text = b""
        while len(text) < NUMBER.unpack(head)[0]:
            text += client.recv(1 << 20)
        task = json.loads(text)
        if not (child := os.fork()):
            for file in (client.detach(), files[0], *children.values()):
                os.close(file)
            return task | {"files": files[1:], "handlers": handlers, "made": made}
        if task["group"]:  # in the server, so that it is done before the client knows the id
            os.setpgid(child, child)
        for file in files[1:]:
            os.close(file)
        children[child] = files[0]
        try:
            os.write(files[0], NUMBER.pack(child))
        except OSError:  # the client does not wait for it any more
            os.kill(child, signal.SIGKILL)
    for child in children:
        os.kill(child, signal.SIGKILL)
    return None


def safe() -> bool:
    """Whether this process can be forked: no threads, no CUDA, no plug-ins."""
    from torch import cuda

    from nslab.system.plugins import LOADED

    return len(os.listdir("/proc/self/task")) == 1 and not cuda.is_initialized() and not LOADED


def sources() -> list[str]:
    """The files of this package's modules that are imported."""
    found = [(name, getattr(module, "__file__", None)) for name, module in sys.modules.items()]
    return [file for name, file in found if file and name.partition(".")[0] == safe_python.NAME]


def written(files: Iterable[str]) -> dict[str, int]:
    """When each file was last written, in nanoseconds since 1970; 0 for one that is gone."""
    return {file: Path(file).stat().st_mtime_ns if Path(file).exists() else 0 for file in files}


def become(task: Mapping[str, Any]) -> None:
    """In a child: run a task as though ``python -m`` had started it."""
    for number, handler in task["handlers"].items():
        signal.signal(number, handler)
    for number, file in enumerate(task["files"]):
        os.dup2(file, number)
        os.close(file)
    os.environ.clear()
    os.environ.update(task["made"] | task["env"])
    warm.forked = True
    for name in {PARENT, KERNELS_PARENT} & set(os.environ):
        os.environ[name] = str(os.getppid())
    if KERNELS_PARENT in os.environ:  # ipykernel read the variable on import, in the server
        task["words"].append(f"--IPKernelApp.parent_handle={os.getppid()}")
    os.chdir(task["cwd"])
    use_threads(int(os.environ.get(THREADS) or os.cpu_count() or 1))
    random.seed()
    sys.modules["numpy"].random.seed()
    safe_python.main(task["words"])


def use_threads(count: int) -> None:
    """Set the number of threads, which libraries read from the environment when they are loaded."""
    if count > 1:
        sys.modules["torch"].set_num_threads(count)
        if limits := sys.modules.get("threadpoolctl"):  # comes with scikit-learn; sets NumPy's
            limits.threadpool_limits(count)


def main(client: socket.socket, modules: Sequence[str]) -> None:
    """Be a server, and in each child run its task."""
    if task := serve(client, modules):
        become(task)


class Copy:
    """A fork of this process that is a server, with the methods of `subprocess.Popen` that `Server`
    uses."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.returncode: int | None = None

    def poll(self, options: int = getattr(os, "WNOHANG", 0)) -> int | None:
        if self.returncode is None and (found := os.waitpid(self.pid, options))[0]:
            self.returncode = os.waitstatus_to_exitcode(found[1])
        return self.returncode

    def wait(self) -> int | None:
        return self.poll(0)


def keep_copy(module: str) -> None:
    """In a forked process without threads: make a copy of it the server for ``module``, which then
    needs no imports.

    Does nothing in a process that was started plainly, since it lacks the imports.
    """
    if not warm.forked:
        return
    ours, its = socket.socketpair()
    if not (pid := os.fork()):
        ours.close()
        main(its, [])
        sys.exit()
    its.close()
    warm.keep(module, ours, Copy(pid))


if __name__ == "__main__":
    main(socket.socket(fileno=int(sys.argv[1])), sys.argv[2:])
