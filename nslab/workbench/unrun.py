"""Notebooks without outputs: git stores them as though they had never been run.

A notebook that is run and saved keeps its outputs in the file, but git should see only what was
*written*. A clean filter, named in ``.gitattributes`` and set up in this checkout's own
configuration, removes outputs on the way into git. And because ``git status`` calls a file changed
as soon as its size is, Jupyter tells git after each save if nothing but outputs changed. ``make``
and ``nslab lab`` set up both; without them everything works, but git sees outputs.
"""

import json
import shlex
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from nslab.system.files import write_text
from nslab.system.paths import checkout
from nslab.system.safe_python import python_command

FILTER = "nslab-notebooks"  # its name in .gitattributes
TRIES = 20  # attempts to tell git about a saved notebook
# Metadata that programs write when they run a notebook; any other metadata are the author's.
STORED_KERNEL = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}
OF_NOTEBOOK = {"widgets", "signature", "toc-autonumbering", "vscode"}
OF_CELL = {"collapsed", "scrolled", "execution", "ExecuteTime", "trusted", "papermill", "vscode"}
EXTENSION = {"jpserver_extensions": {"nslab.workbench.unrun": True}}  # of Jupyter's server


def unrun(text: str) -> str:
    """A notebook's text without what running it adds; unchanged if it is no valid notebook, for
    example because of conflict markers."""
    try:
        book = json.loads(text)
        cells: list[dict[str, Any]] = book["cells"]
        book["metadata"] = _without(book["metadata"], OF_NOTEBOOK) | STORED_KERNEL
        for cell in cells:
            cell["metadata"] = _without(cell["metadata"], OF_CELL)
            if cell["cell_type"] == "code":
                cell |= {"outputs": [], "execution_count": None}
    except (ValueError, TypeError, KeyError):
        return text
    return json.dumps(book, indent=1, ensure_ascii=False, sort_keys=True) + "\n"


def _without(metadata: dict[str, Any], names: set[str]) -> dict[str, Any]:
    return {name: value for name, value in metadata.items() if name not in names}


def set_up() -> bool:
    """Set up git's filter in the checkout; returns whether it is set up.

    If this Python is removed one day, git stores the files as they are.
    """
    if not (root := checkout()):
        return False
    key, value = f"filter.{FILTER}.clean", clean_filter()
    if (_git(root, "config", key) or "").strip() == value:
        return True
    return _git(root, "config", key, value) is not None


def set_up_jupyter(prefix: Path) -> None:
    """Make every JupyterLab of an environment call `after_save`."""
    file = prefix / "etc/jupyter/jupyter_server_config.d/nslab.json"
    write_text(file, json.dumps({"ServerApp": EXTENSION}, indent=1))


def after_save(model: dict[str, Any], os_path: str, **_: Any) -> None:
    """If a saved notebook differs from git's version only by outputs, tell git so."""
    file = Path(os_path)
    answer = _git(file.parent, "check-attr", "filter", "--", file.name) or ""
    if model["type"] != "notebook" or answer.split()[-1:] != [FILTER]:
        return
    if _git(file.parent, "show", f":./{file.name}") == unrun(file.read_text(encoding="utf-8")):
        words = ("-c", f"filter.{FILTER}.clean={clean_filter()}", "add", "--", file.name)
        for _attempt in range(TRIES):  # an editor that reads git's status locks the index
            if _git(file.parent, *words) is not None:
                break
            time.sleep(0.1)


def _jupyter_server_extension_points() -> list[dict[str, str]]:
    return [{"module": "nslab.workbench.unrun"}]


def _load_jupyter_server_extension(server: Any) -> None:
    server.contents_manager.register_post_save_hook(after_save)


def stored() -> dict[str, str]:
    """The tracked notebooks as they are in git's index, by path."""
    if not (root := checkout()):
        return {}
    listed = (_git(root, "ls-files", "-z", "notebooks/*.ipynb") or "").strip("\0")
    names = filter(None, listed.split("\0"))
    return {name: _git(root, "show", f":{name}") or "" for name in names}


def clean_filter() -> str:
    """The shell command that git pipes notebooks through before it stores them."""
    python, *_ = command = python_command("nslab.workbench.unrun")
    return f"if [ -x {shlex.quote(python)} ]; then {shlex.join(command)}; else cat; fi"


def _git(folder: Path, *words: str) -> str | None:
    """The output of git in a folder; None if it fails."""
    try:
        done = subprocess.run(
            ["git", "-C", str(folder), *words], capture_output=True, encoding="utf-8", check=True
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout


def main(words: list[str]) -> int:
    """Run the filter from standard input to standard output; or, with ``--set-up``, set it up; or,
    with ``--check``, print the stored notebooks that have traces of a run."""
    if words == ["--set-up"]:
        set_up()
        set_up_jupyter(Path(sys.prefix))
        return 0
    if words == ["--check"]:
        wrong = [name for name, text in stored().items() if unrun(text) != text]
        for name in wrong:
            print(f"{name} is stored with outputs: run git add --renormalize {name}")
        return bool(wrong)
    text = sys.stdin.buffer.read().decode("utf-8")
    sys.stdout.buffer.write(unrun(text).encode("utf-8"))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
