"""Settings of JupyterLab for servers of ``nslab lab`` only; the user's settings stay unchanged.

They are defaults in a folder of the server's own, which is removed with it. Settings of the user
and the machine take precedence.
"""

import json
import shutil
from pathlib import Path
from typing import Any

from nslab.system.files import write_text

TOP_BAR = "@jupyterlab/application-extension:top-bar"
NOTIFICATIONS = "@jupyterlab/apputils-extension:notification"
DOCUMENTS = "@jupyterlab/docmanager-extension:plugin"
BUTTONS = (
    ("Start here", "00_start_here.ipynb", "What nslab is, where to begin, and where claims lead"),
    ("Explorer", "explorer.ipynb", "The panels: try the methods' sliders (then Run, Run All)"),
)


def default_settings(root: Path, notebooks: Path) -> dict[str, dict[str, Any]]:
    """Settings by the extension they belong to: no question about news, Markdown files shown
    rendered, and buttons in the top bar for the first notebooks and, if they exist, the figures.

    >>> settings = default_settings(Path("/srv"), Path("/srv/notebooks"))
    >>> settings[DOCUMENTS]
    {'defaultViewers': {'markdown': 'Markdown Preview'}}
    """
    folder = notebooks.relative_to(root)
    buttons = [
        {
            "name": f"nslab-{Path(file).stem}",
            "command": "docmanager:open",
            "args": {"path": (folder / file).as_posix()},
            "label": label,
            "caption": about,
            "rank": 10 + place,
        }
        for place, (label, file, about) in enumerate(BUTTONS)
    ]
    if (root / "figures").is_dir():
        figures: dict[str, Any] = {"name": "nslab-figures", "command": "filebrowser:go-to-path"}
        figures |= {"args": {"path": "figures"}, "label": "Figures", "rank": 20}
        buttons.append(figures | {"caption": "The folder of figures, one folder per preset"})
    return {
        NOTIFICATIONS: {"fetchNews": "false", "checkForUpdates": False},
        DOCUMENTS: {"defaultViewers": {"markdown": "Markdown Preview"}},
        TOP_BAR: {"toolbar": buttons},
    }


def write_settings(folder: Path, known: Path, settings: dict[str, dict[str, Any]]) -> Path:
    """Write ``settings`` as defaults into ``folder``, a copy of ``known``, the application's folder
    of settings on this machine, whose own defaults take precedence; returns ``folder``."""
    if known.is_dir():
        shutil.copytree(known, folder)
    file = folder / "overrides.json"
    try:
        theirs = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        theirs = {}
    merged = {name: value | theirs.get(name, {}) for name, value in settings.items()}
    write_text(file, json.dumps(theirs | merged, indent=1))
    return folder
