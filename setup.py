"""What pyproject.toml cannot say: notebooks and frozen results go into the package.

They are copied when a wheel is built: only what git tracks, and notebooks as though never run,
whatever somebody has done in the checkout. An editable install finds them in its checkout.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

sys.path.insert(0, str(Path(__file__).parent))
os.environ.pop("NSLAB_PLUGINS", None)  # nothing of anybody's own is needed here
from nslab.system.paths import INSIDE
from nslab.workbench.unrun import unrun

SHIPPED = ("*.ipynb", "*.csv")


def shipped(folder: str) -> list[Path]:
    """The files of a folder that belong to the project: those that git tracks, where it can say."""
    files = sorted(file for pattern in SHIPPED for file in Path(folder).glob(pattern))
    try:
        words = ["git", "ls-files", "-z", folder]
        listed = subprocess.run(words, capture_output=True, encoding="utf-8", check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        listed = ""
    tracked = {Path(name) for name in listed.strip("\0").split("\0") if name}
    return [file for file in files if not tracked or file in tracked]


class Build(build_py):
    """The package, with notebooks (as though never run) and frozen results inside."""

    def run(self) -> None:
        package = Path(self.build_lib, "nslab")
        if not self.editable_mode:
            shutil.rmtree(package, ignore_errors=True)  # of an earlier build in this checkout
        super().run()
        for folder, inside in () if self.editable_mode else INSIDE.items():
            (package / inside).mkdir()
            for file in shipped(folder):
                text = file.read_text(encoding="utf-8")
                text = unrun(text) if file.suffix == ".ipynb" else text
                (package / inside / file.name).write_text(text, encoding="utf-8", newline="\n")

    def get_source_files(self) -> list[str]:
        """Files of a source distribution, which builds the same wheel."""
        return [*super().get_source_files(), *(str(f) for name in INSIDE for f in shipped(name))]


setup(cmdclass={"build_py": Build})
