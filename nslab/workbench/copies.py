"""A user's own copies of the notebooks that come with an installed package.

Files in site-packages should not be edited and may be read-only. Copies are never overwritten: the
new version of a notebook that has been copied already is put beside the copy.
"""

import hashlib
import json
from pathlib import Path

import nslab
from nslab.system.files import write_text
from nslab.system.locks import locked
from nslab.system.paths import checkout, home, notebooks_dir
from nslab.workbench.unrun import unrun

RECORD = ".nslab-notebooks.json"  # digest of the version last put into the folder, by name


def notebooks_to_edit() -> Path:
    """The folder that JupyterLab opens: the checkout's own, or copies in ``<home>/notebooks``."""
    if checkout():
        return notebooks_dir()
    target = home() / "notebooks"
    with locked(target / ".lock", f"another process is copying notebooks into {target}"):
        return copy_notebooks(notebooks_dir(), target)


def copy_notebooks(source: Path, target: Path) -> Path:
    """Copy the notebooks of ``source`` into ``target``, and print which; returns ``target``.

    A file that exists is left as it is, whatever it holds. If the notebook in ``source`` differs
    both from the version that was copied and from the copy, it is written beside the copy once, as
    ``<name>-<version of nslab>``.
    """
    try:
        record = json.loads((target / RECORD).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        record = {}
    copied = []
    for file in sorted(source.glob("*.ipynb")):
        text, copy = file.read_text(encoding="utf-8"), target / file.name
        digest = hashlib.sha256(text.encode()).hexdigest()
        if record.get(file.name) == digest and copy.exists():
            continue
        if copy.exists() and unrun(copy.read_text(encoding="utf-8")) != unrun(text):
            copy = copy.with_name(f"{file.stem}-{nslab.__version__}{file.suffix}")
        if not copy.exists():
            write_text(copy, text)
            copied.append(copy.name)
        record[file.name] = digest
    if copied:
        write_text(target / RECORD, json.dumps(record, indent=1))
        more = f" and {len(copied) - 3} more" if len(copied) > 3 else ""
        print(f"copied into {target}: {', '.join(copied[:3])}{more}", flush=True)
    return target
