"""Figures as pictures in notebooks.

A kernel shows a matplotlib figure as text until pyplot has made one of its own. Here IPython is
told how to show any figure; pyplot, its backend and what ``%matplotlib`` has chosen stay as they
are.
"""

import io
import struct
import sys
from typing import Any
from weakref import WeakKeyDictionary

from matplotlib.figure import Figure

SHARPNESS = 2  # pixels of a picture per pixel of the page, for screens of high resolution


def show_pictures() -> None:
    """Have figures shown as pictures, if this is a kernel and figures are not already.

    A figure that a cell displays and that is also the value of its last line is shown once. Does
    nothing outside IPython, or where it shows text only.
    """
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython else None
    if shell is None or "image/png" not in shell.display_formatter.active_types:
        return
    formatters = shell.display_formatter.formatters
    if not any(Figure in formatters[kind] for kind in formatters if kind != "text/plain"):
        formatters["image/png"].for_type(Figure, picture)

    displayed: WeakKeyDictionary[Figure, int] = WeakKeyDictionary()

    def once(figure: Figure) -> None:
        cell = shell.execution_count
        # a kernel's hook for the value of the last line holds a message while it is at work
        last_line = getattr(shell.displayhook, "msg", None) is not None
        if last_line and displayed.get(figure) == cell and not figure.stale:
            return
        displayed[figure] = cell
        raise NotImplementedError  # which tells IPython to go on as usual

    shell.display_formatter.ipython_display_formatter.for_type(Figure, once)


def picture(figure: Figure) -> tuple[bytes, dict[str, Any]]:
    """A figure as PNG, the size in pixels at which a page should show it, and its titles in words
    for who cannot see it."""
    out = io.BytesIO()
    figure.savefig(out, format="png", dpi=SHARPNESS * figure.dpi, bbox_inches="tight")
    figure.stale = False  # until somebody changes it
    png = out.getvalue()
    width, height = struct.unpack(">II", png[16:24])  # of the header
    titles = [figure.get_suptitle(), *(axes.get_title() for axes in figure.axes)]
    shown = {"width": width // SHARPNESS, "height": height // SHARPNESS}
    return png, shown | {"alt": "; ".join(filter(None, titles)) or "figure"}
