"""Controls that say what they are: the paper's symbol and a plain word, reachable by keyboard."""

import html
from collections.abc import Callable, Sequence
from typing import Any

import ipywidgets as widgets

from nslab.explore.ui.tasks import UiThread
from nslab.explore.ui.tooltips import TOOLTIPS

WIDTH, LABEL = "415px", "160px"  # two in a row of a page of 840 pixels
CELLS = "<style>.nsl-sheet :is(th, td) {padding: 1px 18px 1px 0; text-align: left}</style>"


def labelled(symbol: str, word: str) -> str:
    """``"σ, base weight"``; without a symbol, the word."""
    return f"{symbol}, {word}" if symbol else word


def finished_text(control: Any, name: str) -> Any:
    """A control with the common layout and its tooltip, findable as ``nsl-<name>``."""
    control.tooltip = TOOLTIPS.get(name, control.description)
    control.style.description_width = LABEL
    control.layout = widgets.Layout(width=WIDTH)
    return findable(control, name)


def findable(control: Any, name: str) -> Any:
    """A control that tests and styles find by its class."""
    return control.add_class("nsl-control").add_class(f"nsl-{name}")


def slider(
    name: str, symbol: str, word: str, value: float, within: tuple[float, float], step: float
) -> widgets.FloatSlider:
    """A number; arrow keys move it by a step."""
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
    """A whole number."""
    low, high = within
    control = widgets.IntSlider(value=value, min=low, max=high, description=labelled(symbol, word))
    return finished_text(control, name)


def magnitude(
    name: str, symbol: str, word: str, value: float, powers: tuple[float, float]
) -> widgets.FloatLogSlider:
    """A positive number on a scale of powers of ten."""
    low, high = powers
    control = widgets.FloatLogSlider(
        value=value, min=low, max=high, step=0.05, readout_format=".3g", description="?"
    )
    control.description = labelled(symbol, word)
    return finished_text(control, name)


def choice(
    name: str, symbol: str, word: str, options: Sequence[Any], value: Any
) -> widgets.Dropdown:
    """One of several; options are values, or pairs of a text and a value."""
    control = finished_text(widgets.Dropdown(options=options, value=value, description="?"), name)
    # the widget of a list shows no tooltip beside its description: that carries it instead
    about = html.escape(TOOLTIPS.get(name, word))
    control.description = f'<span title="{about}">{html.escape(labelled(symbol, word))}</span>'
    control.description_allow_html = True
    return control


def button(
    name: str, word: str, icon: str, ui_thread: UiThread, act: Callable[[], object], about: str
) -> Any:
    """A button with a word on it; the interface is told of what goes wrong."""
    control = widgets.Button(description=word, icon=icon, tooltip=about)
    control.layout = widgets.Layout(width="110px")
    control.on_click(lambda _: ui_thread.deliver(act))
    return findable(control, name)


def on_change(ui_thread: UiThread, act: Callable[[], object], *controls: Any) -> None:
    """Call ``act`` whenever one of the controls gets another value; the interface is told of
    what goes wrong."""
    for control in controls:
        control.observe(lambda _: ui_thread.answer(act), "value")


def row(*controls: Any) -> widgets.Box:
    """Controls side by side, in as many lines as they need."""
    box = widgets.Box(list(controls))
    box.layout = widgets.Layout(display="flex", flex_flow="row wrap", width="100%")
    return box


def column(name: str, *parts: Any) -> widgets.VBox:
    """The parts of a panel, one below the other."""
    layout = widgets.Layout(width="100%", margin="0 0 12px 0")
    return widgets.VBox(list(parts), layout=layout).add_class(f"nsl-{name}-panel")


class Status:
    """A line that says what is going on; read out where a screen reader is."""

    def __init__(self, name: str) -> None:
        layout = widgets.Layout(width="100%", height="28px", overflow="hidden")
        self.widget = widgets.HTML(layout=layout)
        self.widget.add_class(f"nsl-{name}-status")
        self.text = ""

    def say(self, text: str, wrong: bool = False) -> None:
        """Show a line in place of the last one."""
        self.text = text
        mark = "font-weight:bold;color:#a40000" if wrong else ""
        self.widget.value = (
            f'<div role="status" aria-live="polite" title="{html.escape(text)}" '
            f'style="white-space:nowrap;text-overflow:ellipsis;overflow:hidden;{mark}">'
            f"{html.escape(text)}</div>"
        )

    def fail(self, error: Exception) -> None:
        """Show what went wrong; what a user can act on says so itself."""
        plain = isinstance(error, OSError | ValueError | RuntimeError)
        text = " ".join(str(error).split())
        self.say(text if plain and text else f"{type(error).__name__}: {text}", wrong=True)


class Sheet:
    """A table of fixed height that scrolls, by keyboard too."""

    def __init__(self, name: str, height: int) -> None:
        self.height = height
        layout = widgets.Layout(width="840px", max_width="98%", height=f"{height}px")
        self.widget = widgets.HTML(layout=layout)
        self.widget.add_class(f"nsl-{name}")

    def show(self, table: str, caption: str) -> None:
        """Show a table that is HTML already."""
        words = html.escape(caption)
        look = f"height:{self.height - 8}px;overflow:auto;border:1px solid #999;line-height:1.4"
        self.widget.value = (
            f'{CELLS}<div class="nsl-sheet" tabindex="0" role="region" aria-label="{words}" '
            f'style="{look};padding:2px 8px;box-sizing:border-box"><b>{words}</b>{table}</div>'
        )
