"""JupyterLab and Voilà on loopback, over a copy of a notebook, with settings of their own."""

import os
import secrets
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
START = 90  # seconds until a server must answer
NEWS = "@jupyterlab/apputils-extension/notification.jupyterlab-settings"


@dataclass(frozen=True)
class Served:
    """A running server: its kind, address, token, and where its log is."""

    kind: str
    address: str
    token: str
    log: Path

    def url(self, path: str) -> str:
        """An address that carries the token."""
        return f"{self.address}{path}?token={self.token}"


@contextmanager
def serving(kind: str, notebook: Path, folder: Path, home: Path) -> Iterator[Served]:
    """``lab`` or ``voila`` over a copy of ``notebook`` in ``folder``, until the context ends; runs
    and figures go to ``home``."""
    work = folder / "notebooks"
    work.mkdir(parents=True)
    shutil.copy(notebook, work)
    settings = folder / "config/lab" / NEWS
    settings.parent.mkdir(parents=True)
    settings.write_text('{"fetchNews": "false", "checkForUpdates": false}')
    quiet = folder / "ipython/profile_default"
    quiet.mkdir(parents=True)
    (quiet / "ipython_kernel_config.py").write_text("c.IPKernelApp.log_level = 40\n")
    port, token = free_port(), secrets.token_hex(16)
    served = Served(kind, f"http://127.0.0.1:{port}", token, folder / "server.log")
    with served.log.open("wb") as log:
        process = subprocess.Popen(
            command(kind, work / notebook.name, port, token),
            cwd=work,
            env=environment(folder) | {"NSLAB_HOME": str(home)},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
        try:
            wait_for(served, process)
            yield served
        finally:
            process.terminate()
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def command(kind: str, notebook: Path, port: int, token: str) -> list[str]:
    """How the server is started."""
    if kind == "voila":
        options = ["--Voila.ip=127.0.0.1", "--Voila.port_retries=0", f"--Voila.token={token}"]
        return [
            *(sys.executable, "-m", "voila", str(notebook), "--no-browser", f"--port={port}"),
            *options,
        ]
    options = ["--ServerApp.ip=127.0.0.1", "--ServerApp.port_retries=0"]
    options += [f"--ServerApp.root_dir={notebook.parent}", f"--IdentityProvider.token={token}"]
    options += ["--allow-root"] if hasattr(os, "geteuid") and os.geteuid() == 0 else []
    return [
        *(sys.executable, "-m", "jupyterlab", "--no-browser", f"--ServerApp.port={port}"),
        *options,
    ]


def environment(folder: Path) -> dict[str, str]:
    """Nothing of the user's configuration is read or written."""
    own = {
        "JUPYTER_CONFIG_DIR": "config",
        "JUPYTER_DATA_DIR": "data",
        "JUPYTER_RUNTIME_DIR": "runtime",
        "JUPYTERLAB_SETTINGS_DIR": "config/lab",
        "JUPYTERLAB_WORKSPACES_DIR": "workspaces",
        "IPYTHONDIR": "ipython",
    }
    return (
        {**os.environ, "PYTHONPATH": str(ROOT), "NSLAB_HEADLESS": "0"}
        | {name: str(folder / place) for name, place in own.items()}
        | {"OMP_NUM_THREADS": "1", "PYDEVD_DISABLE_FILE_VALIDATION": "1"}
    )


def free_port() -> int:
    """A port on loopback that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for(served: Served, process: subprocess.Popen) -> None:
    """Wait until the server answers; shows the end of its log if it does not."""
    until = time.monotonic() + START
    while time.monotonic() < until and process.poll() is None:
        try:
            urllib.request.urlopen(served.url("/api/status"), timeout=5).close()
            return
        except urllib.error.HTTPError:
            return  # it answers, if only that it has no such page
        except OSError:
            time.sleep(0.3)
    raise RuntimeError(f"{served.kind} did not start:\n{served.log.read_text()[-2000:]}")
