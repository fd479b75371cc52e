"""JupyterLab on notebooks, README and figures, or Voilà on the explorer. Both need a token, and
only this machine can reach them unless asked otherwise.

Anybody who can reach a notebook server can run any code as its user. By default Jupyter listens on
loopback and uses a random token (Voilà uses none), but configuration files of the user or the
machine may change that. Here both are set where no configuration file overrules them.
"""

import ipaddress
import os
import secrets
import socket
import subprocess
from importlib.util import find_spec

from nslab.execution.stopping import PARENT, stop, stoppable
from nslab.system.safe_python import python_command
from nslab.workbench.copies import notebooks_to_edit
from nslab.workbench.lab_server import NOTEBOOKS, PAGE, TOKEN
from nslab.workbench.unrun import set_up

FIRST = {"lab": "00_start_here.ipynb", "voila": "explorer.ipynb"}  # the notebook that is opened
FIXED_OPTIONS: dict[str, object] = {  # given on the command line, which overrules configuration
    "ServerApp.allow_remote_access": False,
    "ServerApp.allow_origin": "",
    "ServerApp.allow_origin_pat": "",
    "ServerApp.disable_check_xsrf": False,
    "ServerApp.port_retries": 0,
    "ServerApp.jpserver_extensions": "nslab.workbench.unrun=True",
}


def serve(
    ip: str, port: int, *, browser: bool, expose: bool, allow_root: bool, voila: bool = False
) -> int:
    """Run JupyterLab, or with ``voila`` the explorer and the notebooks that it links to, until it
    ends; returns its exit status.

    Args:
        ip, port: the address to listen on, and the first port to try.
        browser: whether to open a browser.
        expose: allow an address that other machines can reach.
        allow_root: allow JupyterLab to run as root.
        voila: serve the explorer by Voilà instead of JupyterLab.

    Raises ``ValueError`` for an address that other machines can reach without ``expose``, if Voilà
    is not installed, and for JupyterLab as root without ``allow_root``.
    """
    address = checked(ip, expose)
    if voila and find_spec("voila") is None:
        raise ValueError("--voila needs Voilà, which is not installed: pip install voila")
    if not voila and not allow_root and hasattr(os, "geteuid") and os.geteuid() == 0:
        raise ValueError(
            "JupyterLab does not run as root unless it is asked to: add --allow-root, as in a "
            "container, or log in as another user"
        )
    port = free_port(address, port)
    token = secrets.token_hex(24)
    notebooks = notebooks_to_edit()
    root = notebooks.parent  # README and figures are there, too
    if voila:
        page = f"voila/render/{FIRST['voila']}"
        words = [str(notebooks)]
        options = {"Voila.ip": address, "port": port, "Voila.port_retries": 0}
    else:
        page = f"lab/tree/{notebooks.name}/{FIRST['lab']}"
        words = []
        options = FIXED_OPTIONS | {"ServerApp.ip": address, "ServerApp.port": port}
        options |= {"ServerApp.root_dir": root, "LabApp.default_url": f"/{page}"}
        options["ServerApp.allow_remote_access"] = expose
        options["ServerApp.allow_root"] = allow_root
        set_up()  # git ignores the outputs of saved notebooks
    words += [f"--{name}={value}" for name, value in options.items()]
    words += [] if browser else ["--no-browser"]
    command = python_command("nslab.workbench.lab_server", "voila" if voila else "lab", *words)
    env = os.environ | {TOKEN: token, NOTEBOOKS: str(notebooks), PAGE: page}
    env[PARENT] = str(os.getpid())
    print(f"http://{shown(address)}:{port}/{page}?token={token}", flush=True)
    with stoppable(), subprocess.Popen(command, env=env) as server:
        try:
            return server.wait()
        finally:
            stop([server])  # Jupyter ends its kernels, too


def checked(ip: str, expose: bool) -> str:
    """An address to listen on; ``ValueError`` if it is invalid, or not loopback without
    ``expose``."""
    try:
        address = ipaddress.ip_address("127.0.0.1" if ip == "localhost" else ip)
    except ValueError:
        raise ValueError(f"{ip!r} is no address: give 127.0.0.1, or ::1") from None
    if not address.is_loopback and not expose:
        raise ValueError(
            f"{ip} can be reached from other machines: anybody with the token, which is sent "
            "unencrypted, can run any code as you. From another machine, better use "
            "`ssh -L 8888:127.0.0.1:8888 this-machine` and leave --ip out; if you mean it, "
            "add --expose"
        )
    return str(address)


def free_port(address: str, first: int) -> int:
    """The first free port from ``first`` on; ``ValueError`` if 50 in a row are taken."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    for port in range(first, min(first + 50, 65536)):
        with socket.socket(family, socket.SOCK_STREAM) as tried:
            tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                tried.bind((address, port))
            except OSError:
                continue
            return port
    raise ValueError(f"no port from {first} on is free at {address}: give another with --port")


def shown(address: str) -> str:
    """An address as it is written in a URL."""
    return f"[{address}]" if ":" in address else address
