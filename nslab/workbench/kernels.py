"""The kernel ``python3`` of notebooks that are run from here: this Python, safely started."""

import json
import os
from pathlib import Path

from nslab.system.files import write_text
from nslab.system.safe_python import python_command

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
