"""Figures are pictures in notebooks, each once, and nothing of the user's is changed."""

import base64
import io
import sys
from typing import Any

import matplotlib.image
import pytest
from IPython.core.interactiveshell import InteractiveShell
from matplotlib.figure import Figure
from nbclient import NotebookClient
from nbformat.v4 import new_code_cell, new_notebook

from nslab.plots.pictures import show_pictures

BEGIN = """
from IPython.display import display
from matplotlib.figure import Figure
from nslab.plots import style

style.apply()

def drawn(title="a title"):
    figure = Figure(figsize=(8, 3))
    figure.subplots().set_title(title)
    return figure
"""


def executed(*cells: str) -> list[list[dict[str, Any]]]:
    """The outputs of each cell, in a real kernel."""
    book = new_notebook(cells=[new_code_cell(cell) for cell in (BEGIN, *cells)])
    NotebookClient(book, kernel_name="python3", timeout=120).execute()
    return [cell.outputs for cell in book.cells[1:]]


def pictures(outputs: list[dict[str, Any]]) -> list[str]:
    """The kinds of picture that a cell shows; every output must have one."""
    kinds = [[k for k in output["data"] if k.startswith("image/")] for output in outputs]
    assert all(kinds), "a figure is text"
    return [kind for found in kinds for kind in found]


@pytest.mark.slow
def test_figures_are_shown_once_in_a_kernel() -> None:
    """Displayed, as the last line, or both; again where it is meant or where something changed."""
    found = executed(
        "for title in ('one', 'two'): display(drawn(title))",
        "drawn()",
        "figure = drawn()\ndisplay(figure)\nfigure",
        "figure",
        "display(figure)\nfigure.suptitle('changed')\nfigure",
        "display(figure)\ndisplay(figure)",
        "handle = display(figure, display_id=True)\nhandle.update(figure)",
        "drawn();",
    )
    assert [len(pictures(outputs)) for outputs in found] == [2, 1, 1, 1, 2, 2, 1, 0]
    about = found[1][0]
    png = base64.b64decode(about["data"]["image/png"])
    height, width = matplotlib.image.imread(io.BytesIO(png)).shape[:2]
    shown = about["metadata"]["image/png"]
    assert shown["alt"] == "a title"
    assert (shown["width"], shown["height"]) == (width // 2, height // 2)  # sharp on any screen
    assert shown["width"] == pytest.approx(800, abs=20)  # 8 inches, of 100 pixels
    assert len(png) < 100_000


@pytest.mark.slow
def test_what_the_user_chose_is_left_alone() -> None:
    """pyplot shows its figures as ever; another format of pictures is used for ours too."""
    pyplot = "import matplotlib.pyplot as plt\n_ = plt.plot([1, 2])"
    backend = "import matplotlib\nprint(matplotlib.get_backend())"
    found = executed(pyplot, "drawn()", backend)
    assert [len(pictures(outputs)) for outputs in found[:2]] == [1, 1]
    assert found[2][0]["text"].strip().endswith("inline")
    before = "%config InlineBackend.figure_formats = ['svg']\n%matplotlib inline"
    kept = "from nslab.plots.pictures import show_pictures\nshow_pictures()\ndrawn()"
    found = executed(before, kept, pyplot)
    assert [pictures(outputs) for outputs in found[1:]] == [["image/svg+xml"]] * 2


def test_nothing_happens_outside_a_notebook(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without IPython, without a shell, and in one that shows text only."""
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "IPython", None)
        show_pictures()
    show_pictures()
    shell = InteractiveShell()
    monkeypatch.setattr("IPython.get_ipython", lambda: shell)
    look = shell.display_formatter
    look.active_types = ["text/plain"]
    show_pictures()
    assert Figure not in look.formatters["image/png"]
    assert Figure not in look.ipython_display_formatter
    look.active_types = look.format_types
    show_pictures()
    assert Figure in look.formatters["image/png"]
