"""Commands that start Python: nothing is imported from the working directory.

``python -m`` puts that directory first on the path, and ``python FILE`` that of the file, so a
``secrets.py`` or ``types.py`` there would run in place of Python's own. Therefore nslab starts
every process as ``python -P THIS_FILE -m MODULE``. This file makes the process import the package
in which it lies itself, so an nslab that is not installed is found, and it is the same one as in
the process that started it. Folders of plug-ins or notebooks come at the end of the path.

With ``--here`` before ``-m``, the process also imports modules from its working directory, last of
all.
"""

import importlib.machinery
import importlib.util
import runpy
import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

NAME = "nslab"


def python_command(module: str, *words: str, here: bool = False) -> list[str]:
    """The command that runs a module, with ``words`` for it.

    >>> python_command("nslab.papers", "NS", "7")[3:]
    ['-m', 'nslab.papers', 'NS', '7']
    """
    return [*python_of_ours(), *(["--here"] if here else []), "-m", module, *words]


def from_module(command: Sequence[str]) -> list[str]:
    """The words of a command from ``-m`` on, including ``--here`` before it; none of a command that
    runs no module.

    >>> from_module(["python3", "-m", "ipykernel_launcher", "-f", "x"])
    ['-m', 'ipykernel_launcher', '-f', 'x']
    """
    words = list(command)
    if "-m" not in words:
        return []
    return words[words.index("--here" if "--here" in words else "-m") :]


def module_of(command: Sequence[str]) -> str:
    """The module that a command of `python_command` runs; blank for any other command.

    >>> module_of(python_command("nslab.papers", "NS", "7")), module_of(["make", "-m", "x"])
    ('nslab.papers', '')
    """
    ours = python_of_ours()
    words = list(command)[len(ours) :]
    begun = list(command)[: len(ours)] == ours and "-m" in words
    return words[words.index("-m") + 1] if begun else ""


def python_of_ours() -> list[str]:
    """The words that replace ``python`` in front of ``-m``."""
    return [sys.executable, "-P", __file__]


class OurPackage:
    """An import finder for the package in which this file lies, whatever else has its name."""

    @staticmethod
    def find_spec(
        name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        """The package's spec; None for any other module."""
        if name != NAME:
            return None
        folder = Path(__file__).resolve().parents[1]
        return importlib.util.spec_from_file_location(
            name, folder / "__init__.py", submodule_search_locations=[str(folder)]
        )


def find_ours(here: bool = False) -> None:
    """Make this process import the package in which this file lies and, with ``here``, modules from
    its working directory."""
    sys.meta_path.insert(0, OurPackage)
    root = str(Path(__file__).resolve().parents[2])
    sys.path += [folder for folder in (root, *([""] if here else [])) if folder not in sys.path]


def main(words: list[str]) -> None:
    """Run a module as ``python -m`` does; words before ``-m`` other than ``--here`` are ignored."""
    at = words.index("-m")
    find_ours("--here" in words[:at])
    sys.argv[1:] = words[at + 2 :]
    runpy.run_module(words[at + 1], run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main(sys.argv[1:])
