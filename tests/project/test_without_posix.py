"""Where POSIX is missing, as on Windows, everything can be imported and what leans on it falls
back: the modules and names that Windows lacks are hidden from nslab, in a process of its own."""

import subprocess
import sys
from pathlib import Path

HIDDEN = """
import builtins, enum, importlib, os, pkgutil, signal, sys, types

MODULES = {"resource", "fcntl", "pwd", "grp", "termios", "pty", "tty", "syslog", "posix"}
LACKING = {
    "signal": "SIGKILL SIGUSR1 SIGUSR2 SIGHUP SIGQUIT SIGALRM SIGCHLD SIGSTOP SIGCONT SIGPIPE pause"
    " alarm setitimer pthread_sigmask pthread_kill sigwait siginterrupt SIG_BLOCK SIG_SETMASK",
    "os": "fork forkpty killpg getpgid setpgid getpgrp getsid setsid getuid geteuid getgid getegid"
    " getloadavg nice statvfs uname sysconf mkfifo chown fchown lchown chroot wait wait3 wait4"
    " waitid P_PID WEXITED WNOWAIT WNOHANG sched_getaffinity sched_setaffinity sched_yield"
    " O_DIRECTORY O_NOFOLLOW O_NONBLOCK fchdir openpty ttyname pread pwrite register_at_fork",
}


def without(module):
    hidden = types.ModuleType(module.__name__)
    names = set(LACKING[module.__name__].split())
    vars(hidden).update({k: v for k, v in vars(module).items() if k not in names})
    return hidden


STANDINS = {"os": without(os), "signal": without(signal)}
known = {s.name: s.value for s in signal.Signals if hasattr(STANDINS["signal"], s.name)}
STANDINS["signal"].Signals = enum.IntEnum("Signals", known)
ordinary = builtins.__import__


def importing(name, globals=None, locals=None, fromlist=(), level=0):
    if (globals or {}).get("__name__", "").split(".")[0] == "nslab":
        if name.split(".")[0] in MODULES:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        if name in STANDINS:
            return STANDINS[name]
    return ordinary(name, globals, locals, fromlist, level)


builtins.__import__ = importing
"""

IMPORTS = """
import nslab

for module in pkgutil.walk_packages(nslab.__path__, "nslab."):
    if not module.name.endswith("__main__"):
        importlib.import_module(module.name)
assert len([name for name in sys.modules if name.startswith("nslab.")]) > 150
"""

FALLBACKS = """
from pathlib import Path

from nslab.execution import local
from nslab.execution.slurm import arrays, node
from nslab.system import files, provenance, timing

here = Path(sys.argv[1])
exists, Path.exists = Path.exists, lambda path: "/proc/" not in str(path) and exists(path)
read, Path.read_text = Path.read_text, lambda path, **how: (
    read(here / "nowhere") if "/proc/" in str(path) else read(path, **how))
assert timing.resident_peak() > 1e7
assert provenance.environment()["device"]

files.write_text(here / "a.txt", "whole")
assert read(here / "a.txt") == "whole"

command = [sys.executable, "-c", "import os; os.kill(os.getpid(), 9)"]
killed, good = local.run_local(
    [local.Job("killed", command, here / "log"),
     local.Job("good", [sys.executable, "-c", "print(1)"], here / "log2")], 2)
assert "killed by signal 9" in killed.why() and "memory" in killed.why()
assert good.status == 0 and good.tail() == "1"

assert node.KEPT_FROM_COMMAND == {signal.SIGTERM}
try:
    arrays.queue()
except OSError as error:
    assert "login node" in str(error)
"""


def child(code: str, folder: Path) -> None:
    """Run code where POSIX is hidden from nslab."""
    done = subprocess.run(
        [sys.executable, "-c", HIDDEN + code, str(folder)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_every_module_can_be_imported(tmp_path: Path) -> None:
    """Without resource, fcntl and their like, and without what os and signal lack on Windows."""
    child(IMPORTS, tmp_path)


def test_what_leans_on_posix_falls_back(tmp_path: Path) -> None:
    """Peak memory, the device's name, atomic writing, jobs and their ends, and SLURM, which is said
    not to be there."""
    child(FALLBACKS, tmp_path)
