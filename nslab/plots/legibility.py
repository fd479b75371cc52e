"""Legibility of figures: measures what is hard to read in a figure at the width of a page."""

from collections.abc import Iterator
from itertools import pairwise

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.transforms import BboxBase

DPI = 100  # pixels of the page per inch of a figure
PAGE = 8.4  # inches: figures may be as wide as a page of 840 pixels
SMALLEST = 10.0  # pixels: height that text must have at least
_SLACK = 1.5  # pixels by which texts may reach over an edge, or overlap


def faults(figure: Figure) -> list[str]:
    """What is hard to read in a figure, in words; empty for a good one.

    Faults are a width beyond the page, text that is too small or cut off by the canvas, tick labels
    and titles that overlap, and several lines without a legend.

    >>> figure = Figure(figsize=(12, 3))
    >>> _ = figure.subplots().set_title("small", fontsize=5)
    >>> faults(figure)
    ['wider than the page: 12.0 inches', "text of 6.9 pixels: 'small'"]
    """
    figure.draw_without_rendering()
    found = []
    if figure.get_figwidth() > PAGE + 0.01:
        found.append(f"wider than the page: {figure.get_figwidth():.1f} inches")
    canvas = figure.bbox
    for text in texts(figure):
        pixels = float(text.get_fontsize()) * DPI / 72
        if pixels < SMALLEST:
            found.append(f"text of {pixels:.1f} pixels: {_short(text)}")
        if text.get_in_layout() and not _inside(text.get_window_extent(), canvas):
            found.append(f"cut off by the edge: {_short(text)}")
    titles = [figure._suptitle] if figure._suptitle else []  # type: ignore[attr-defined]
    titles += [axes.title for axes in figure.axes if axes.title.get_text()]
    found += [
        f"titles overlap: {_short(a)}, {_short(b)}"
        for k, a in enumerate(titles)
        for b in titles[k + 1 :]
        if _overlap(a, b)
    ]
    legend = bool(figure.legends) or any(axes.get_legend() for axes in figure.axes)
    for axes in figure.axes:
        for axis in (axes.xaxis, axes.yaxis):
            upright = [label for label in _tick_labels(axis) if label.get_rotation() % 90 == 0]
            if clash := next((pair for pair in pairwise(upright) if _overlap(*pair)), None):
                found.append(f"tick labels overlap: {_short(clash[0])}, {_short(clash[1])}")
        if not legend and _kinds_of_lines(axes) > 1:
            found.append(f"no legend for the lines above {axes.get_xlabel()!r}")
    return list(dict.fromkeys(found))


def texts(figure: Figure) -> Iterator[Text]:
    """Every visible text of a figure."""
    several: list[Text] = [*figure.texts]
    for part in (figure, *figure.subfigs):
        several += [*part.texts, *([part._suptitle] if part._suptitle else [])]  # type: ignore[attr-defined]
        several += [text for legend in part.legends for text in legend.get_texts()]
        several += [legend.get_title() for legend in part.legends]
    for axes in figure.axes:
        if not axes.get_visible():
            continue
        several += [*axes.texts, axes.title]
        if axes.axison:
            several += [axes.xaxis.label, axes.yaxis.label]
            several += [*_tick_labels(axes.xaxis), *_tick_labels(axes.yaxis)]
        if legend := axes.get_legend():
            several += [*legend.get_texts(), legend.get_title()]
    for text in dict.fromkeys(several):
        if text.get_visible() and text.get_text().strip():
            yield text


def _tick_labels(axis: object) -> list[Text]:
    """Visible labels of the major ticks that lie within the axis's limits."""
    low, high = sorted(axis.get_view_interval())  # type: ignore[attr-defined]
    slack = 1e-9 * (high - low)
    return [
        label
        for tick in axis.get_major_ticks()  # type: ignore[attr-defined]
        for label in (tick.label1, tick.label2)
        if low - slack <= tick.get_loc() <= high + slack
        and label.get_visible()
        and label.get_text().strip()
    ]


def _kinds_of_lines(axes: Axes) -> int:
    """How many kinds of line, by colour and dash, there are among lines of two or more points."""
    lines = [
        line for line in axes.get_lines() if line.get_visible() and np.size(line.get_xdata()) > 1
    ]
    drawn = [line for line in lines if line.get_linestyle() not in ("None", "none", "", " ")]
    return len({(str(line.get_color()), str(line.get_linestyle())) for line in drawn})


def _inside(box: BboxBase, canvas: BboxBase) -> bool:
    return (
        box.x0 >= canvas.x0 - _SLACK
        and box.y0 >= canvas.y0 - _SLACK
        and box.x1 <= canvas.x1 + _SLACK
        and box.y1 <= canvas.y1 + _SLACK
    )


def _overlap(a: Text, b: Text) -> bool:
    one, other = a.get_window_extent(), b.get_window_extent()
    across = min(one.x1, other.x1) - max(one.x0, other.x0)
    down = min(one.y1, other.y1) - max(one.y0, other.y0)
    return across > _SLACK and down > 2 * _SLACK


def _short(text: Text) -> str:
    words = " ".join(text.get_text().split())
    return repr(words if len(words) < 40 else f"{words[:37]}…")
