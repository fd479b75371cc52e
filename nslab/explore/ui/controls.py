"""Controls labelled by the paper's symbol and a plain word, and usable by keyboard.

``name`` is a control's key in ``TOOLTIPS`` and the end of its CSS class; ``symbol`` and ``word``
are its label.
"""

import html
from collections.abc import Callable, Sequence
from typing import Any

import ipywidgets as widgets

from nslab.explore.ui.tasks import UiThread
from nslab.explore.ui.tooltips import TOOLTIPS

WIDTH, LABEL = "415px", "160px"  # two controls fit side by side on a page of 840 pixels
CELLS = "<style>.nsl-sheet :is(th, td) {padding: 1px 18px 1px 0; text-align: left}</style>"


def labelled(symbol: str, word: str) -> str:
    """``"σ, base weight"``; without a symbol, the word."""
    return f"{symbol}, {word}" if symbol else word


def finished_text(control: Any, name: str) -> Any:
    """The control, given the common layout, its tooltip, and the CSS class ``nsl-<name>``."""
    control.tooltip = TOOLTIPS.get(name, control.description)
    control.style.description_width = LABEL
    control.layout = widgets.Layout(width=WIDTH)
    return findable(control, name)


def findable(control: Any, name: str) -> Any:
    """The control, given CSS classes by which tests and styles find it."""
    return control.add_class("nsl-control").add_class(f"nsl-{name}")


def slider(
    name: str, symbol: str, word: str, value: float, within: tuple[float, float], step: float
) -> widgets.FloatSlider:
    """A slider for a number; arrow keys move it by ``step``."""
    low, high = within
    digits = ".2f" if step < 0.1 else ".1f"
    control = widgets.FloatSlider(
        value=value, min=low, max=high, step=step, readout_format=digits, description="?"
    )
    control.description = labelled(symbol, word)
    return finished_text(control, name)


def counter(
    name: str, symbol: str, word: str, value: int, within: tuple[int, int]
) -> widgets.IntSlider:
    """A slider for a whole number."""
    low, high = within
    control = widgets.IntSlider(value=value, min=low, max=high, description=labelled(symbol, word))
    return finished_text(control, name)


def magnitude(
    name: str, symbol: str, word: str, value: float, powers: tuple[float, float]
) -> widgets.FloatLogSlider:
    """A slider for a positive number on a logarithmic scale; ``powers``: exponents of its ends."""
    low, high = powers
    control = widgets.FloatLogSlider(
        value=value, min=low, max=high, step=0.05, readout_format=".3g", description="?"
    )
    control.description = labelled(symbol, word)
    return finished_text(control, name)


def choice(
    name: str, symbol: str, word: str, options: Sequence[Any], value: Any
) -> widgets.Dropdown:
    """A drop-down list; options are values, or pairs of a text and a value."""
    control = finished_text(widgets.Dropdown(options=options, value=value, description="?"), name)
    # ipywidgets shows no tooltip for a drop-down list, so its description carries it
    about = html.escape(TOOLTIPS.get(name, word))
    control.description = f'<span title="{about}">{html.escape(labelled(symbol, word))}</span>'
    control.description_allow_html = True
    return control


def button(
    name: str, word: str, icon: str, ui_thread: UiThread, act: Callable[[], object], about: str
) -> Any:
    """A button that calls ``act``; errors are shown in the interface. ``about`` is its tooltip."""
    control = widgets.Button(description=word, icon=icon, tooltip=about)
    control.layout = widgets.Layout(width="110px")
    control.on_click(lambda _: ui_thread.deliver(act))
    return findable(control, name)


def on_change(ui_thread: UiThread, act: Callable[[], object], *controls: Any) -> None:
    """Call ``act`` whenever the value of a control changes; errors are shown in the interface."""
    for control in controls:
        control.observe(lambda _: ui_thread.answer(act), "value")


def row(*controls: Any) -> widgets.Box:
    """Controls side by side, wrapped into as many lines as they need."""
    box = widgets.Box(list(controls))
    box.layout = widgets.Layout(display="flex", flex_flow="row wrap", width="100%")
    return box


def column(name: str, *parts: Any) -> widgets.VBox:
    """The parts of a panel, one below the other."""
    layout = widgets.Layout(width="100%", margin="0 0 12px 0")
    return widgets.VBox(list(parts), layout=layout).add_class(f"nsl-{name}-panel")


class Status:
    """A line that says what is going on; screen readers read it aloud."""

    def __init__(self, name: str) -> None:
        layout = widgets.Layout(width="100%", height="28px", overflow="hidden")
        self.widget = widgets.HTML(layout=layout)
        self.widget.add_class(f"nsl-{name}-status")
        self.text = ""

    def say(self, text: str, wrong: bool = False) -> None:
        """Replace the line by ``text``; ``wrong`` marks an error."""
        self.text = text
        mark = "font-weight:bold;color:#a40000" if wrong else ""
        self.widget.value = (
            f'<div role="status" aria-live="polite" title="{html.escape(text)}" '
            f'style="white-space:nowrap;text-overflow:ellipsis;overflow:hidden;{mark}">'
            f"{html.escape(text)}</div>"
        )

    def fail(self, error: Exception) -> None:
        """Show an error: its message if it is meant for users, else with its type."""
        plain = isinstance(error, OSError | ValueError | RuntimeError)
        text = " ".join(str(error).split())
        self.say(text if plain and text else f"{type(error).__name__}: {text}", wrong=True)


class Sheet:
    """A table of fixed height that can be scrolled, also by keyboard."""

    def __init__(self, name: str, height: int) -> None:
        self.height = height
        layout = widgets.Layout(width="840px", max_width="98%", height=f"{height}px")
        self.widget = widgets.HTML(layout=layout)
        self.widget.add_class(f"nsl-{name}")

    def show(self, table: str, caption: str) -> None:
        """Show ``table``, which is HTML already, under a caption."""
        words = html.escape(caption)
        look = f"height:{self.height - 8}px;overflow:auto;border:1px solid #999;line-height:1.4"
        self.widget.value = (
            f'{CELLS}<div class="nsl-sheet" tabindex="0" role="region" aria-label="{words}" '
            f'style="{look};padding:2px 8px;box-sizing:border-box"><b>{words}</b>{table}</div>'
        )
