"""A person's own copies of the notebooks that come with an installed package.

What lies in site-packages is nobody's to edit and may be read-only. Copies are never overwritten: a
new version of a notebook that has a copy already is put beside it.
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
    """Copy notebooks into a folder, and say where; return that folder.

    Any that is there is left as it is, whatever it holds. If its version in ``source`` is another
    than the one it was copied from, and than itself, that comes beside it, as ``<name>-<version of
    nslab>``, once.
    """
    try:
        record = json.loads((target / RECORD).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        record = {}
    put = []
    for file in sorted(source.glob("*.ipynb")):
        text, copy = file.read_text(encoding="utf-8"), target / file.name
        digest = hashlib.sha256(text.encode()).hexdigest()
        if record.get(file.name) == digest and copy.exists():
            continue
        if copy.exists() and unrun(copy.read_text(encoding="utf-8")) != unrun(text):
            copy = copy.with_name(f"{file.stem}-{nslab.__version__}{file.suffix}")
        if not copy.exists():
            write_text(copy, text)
            put.append(copy.name)
        record[file.name] = digest
    if put:
        write_text(target / RECORD, json.dumps(record, indent=1))
        more = f" and {len(put) - 3} more" if len(put) > 3 else ""
        print(f"copied into {target}: {', '.join(put[:3])}{more}", flush=True)
    return target
