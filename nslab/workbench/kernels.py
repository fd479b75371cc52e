"""The kernel ``python3`` of notebooks that are run from here: this Python, safely started."""

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

PATH = "JUPYTER_PATH"  # what lies there comes before all else that Jupyter would find


def use_safe_kernel(folder: Path, here: bool) -> None:
    """Have what this process starts take a kernel whose description is written into ``folder``.

    Jupyter's own would import from the notebook's folder before Python's own modules. This one does
    so after all others, with ``here``, or not at all.
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
    """Have this process fork its kernels where that can be, see `nslab.execution.warm`.

    Where there is no warm process yet, it may ``begin`` one; else kernels are started as ever.
    """
    from jupyter_client.provisioning import local_provisioner

    plain = vars(local_provisioner)["launch_kernel"]

    def launch(cmd: Sequence[str], **options: Any) -> subprocess.Popen | warm.Process:
        env, cwd = options.get("env") or os.environ, options.get("cwd")
        given = [options.get("stdout") or 1, options.get("stderr") or 2]
        outputs = [file if isinstance(file, int) else file.fileno() for file in given]
        words = from_module(cmd)
        if words and min(outputs) > 0:  # no pipes, which are asked for by other numbers
            with open(os.devnull, "rb") as nothing:
                files, env = [nothing.fileno(), *outputs], {**env, KERNELS_PARENT: str(os.getpid())}
                if forked := warm.start(
                    [*python_of_ours(), *words], env, files, cwd, begin=begin, group=True
                ):
                    return forked
        return plain(list(cmd), **options)

    vars(local_provisioner)["launch_kernel"] = launch
