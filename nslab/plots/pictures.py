"""Figures as pictures in notebooks.

A kernel shows a matplotlib figure as text until pyplot has been used. This module tells IPython how
to show any figure, without changing pyplot, its backend, or what ``%matplotlib`` has set.
"""

import io
import struct
import sys
from typing import Any
from weakref import WeakKeyDictionary

from matplotlib.figure import Figure

SHARPNESS = 2  # pixels of a picture per pixel of the page, for screens of high resolution


def show_pictures() -> None:
    """Make this kernel show figures as pictures, unless it does so already.

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
        # a kernel's displayhook has a message only while it shows the value of a cell's last line
        last_line = getattr(shell.displayhook, "msg", None) is not None
        if last_line and displayed.get(figure) == cell and not figure.stale:
            return
        displayed[figure] = cell
        raise NotImplementedError  # tells IPython to use its other formatters

    shell.display_formatter.ipython_display_formatter.for_type(Figure, once)


def picture(figure: Figure) -> tuple[bytes, dict[str, Any]]:
    """A figure as PNG, with the size in pixels at which a page should show it, and its titles as
    alternative text."""
    out = io.BytesIO()
    figure.savefig(out, format="png", dpi=SHARPNESS * figure.dpi, bbox_inches="tight")
    figure.stale = False  # matplotlib sets it again when the figure changes
    png = out.getvalue()
    width, height = struct.unpack(">II", png[16:24])  # in the PNG header
    titles = [figure.get_suptitle(), *(axes.get_title() for axes in figure.axes)]
    shown = {"width": width // SHARPNESS, "height": height // SHARPNESS}
    return png, shown | {"alt": "; ".join(filter(None, titles)) or "figure"}
