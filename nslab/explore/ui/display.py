"""Show a panel: live where somebody watches, as a figure that is kept where nobody does."""

from IPython.display import display

from nslab.explore.ui.panel import Panel
from nslab.plots import style
from nslab.system.progress import headless

_SHOWN: dict[str, Panel] = {}


def show(panel: Panel, preset: str, steps: int = 0) -> None:
    """Display a panel, in place of an earlier one of its kind.

    Headless, take ``steps`` of what it would do when started, then keep its figure as
    ``explorer_<name>`` and display that.
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
