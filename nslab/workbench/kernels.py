"""The kernel ``python3`` for notebooks that nslab runs: this Python, started safely."""

import json
import os
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from nslab.execution import warm
from nslab.execution.warm import KERNELS_PARENT
from nslab.system.files import write_text
from nslab.system.safe_python import from_module, python_command, python_of_ours

PATH = "JUPYTER_PATH"  # Jupyter searches these folders first


def use_safe_kernel(folder: Path, here: bool) -> None:
    """Make Jupyter, in this process and those it starts, use a kernel whose description is written
    into ``folder``.

    Jupyter's own kernel would import modules of the notebook's folder in place of Python's own.
    This one searches that folder last, with ``here``, or not at all.
    """
    command = python_command("ipykernel_launcher", "-f", "{connection_file}", here=here)
    about = {
        "argv": command,
        "display_name": "Python 3",
        "language": "python",
        "metadata": {"debugger": True},
    }
    write_text(folder / "kernels" / "python3" / "kernel.json", json.dumps(about, indent=1))
    known = os.environ.get(PATH)
    os.environ[PATH] = os.pathsep.join([str(folder), *([known] if known else [])])


def fork_kernels(begin: bool = False) -> None:
    """Make this process fork its kernels where possible, see `nslab.execution.warm`.

    If there is no warm server yet, one is started with ``begin``; otherwise kernels are started in
    the usual way.
    """
    from jupyter_client.provisioning import local_provisioner

    plain = vars(local_provisioner)["launch_kernel"]

    def launch(cmd: Sequence[str], **options: Any) -> subprocess.Popen | warm.Process:
        env, cwd = options.get("env") or os.environ, options.get("cwd")
        given = [options.get("stdout") or 1, options.get("stderr") or 2]
        outputs = [file if isinstance(file, int) else file.fileno() for file in given]
        words = from_module(cmd)
        if words and min(outputs) > 0:  # PIPE and other constants of subprocess are negative
            with open(os.devnull, "rb") as nothing:
                files, env = [nothing.fileno(), *outputs], {**env, KERNELS_PARENT: str(os.getpid())}
                if forked := warm.start(
                    [*python_of_ours(), *words], env, files, cwd, begin=begin, group=True
                ):
                    return forked
        return plain(list(cmd), **options)

    vars(local_provisioner)["launch_kernel"] = launch
