"""Show a panel: as widgets in an interactive session, as a saved figure in a headless one."""

from IPython.display import display

from nslab.explore.ui.panel import Panel
from nslab.plots import style
from nslab.system.progress import headless

_SHOWN: dict[str, Panel] = {}


def show(panel: Panel, preset: str, steps: int = 0) -> None:
    """Display a panel; an earlier one of the same kind is closed.

    In a headless session, take ``steps`` steps of its work, then save its figure for ``preset`` as
    ``explorer_<name>`` and display it.
    """
    if earlier := _SHOWN.get(panel.name):
        earlier.close()
    _SHOWN[panel.name] = panel
    if not headless():
        display(panel.widget)
        return
    if steps:
        panel.advance(steps)
    name = f"explorer_{panel.name}"
    style.save(panel.figure, name, preset, runs=panel.runs, parameters=panel.parameters)
    display(panel.figure)
