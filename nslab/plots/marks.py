"""Marks that several figures share: points of seeds and their mean, intervals with arrow heads
where the frame cuts them, and axes that make no single image look like a collapse."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from nslab.configs.labels import text_of
from nslab.plots.style import FAINT, GREY, PAGE, TEXT

LEAST_SPAN = 5.0  # percentage points that an axis of accuracies has at least
AT_CHANCE = "grey: not above chance"
RULED: dict = {"axis": "y", "color": "0.92"}


def page(height: float, width: float = PAGE) -> Figure:
    """An empty figure, as wide as the page unless it is said."""
    return Figure(figsize=(min(width, PAGE), height))


def columns_of(panels: int, most: int = 3) -> int:
    """In how many columns so many panels stand: as few rows as ``most`` columns allow, and as few
    columns as these rows do, so that the last row is as full as can be.

    >>> [columns_of(panels) for panels in (1, 2, 3, 4, 5, 6, 7)]
    [1, 2, 3, 2, 3, 3, 3]
    """
    rows = max(1, -(-panels // most))
    return max(1, -(-panels // rows))


def at_chance(table: pd.DataFrame, key: str = "method") -> set[str]:
    """Methods (or other ``key``) none of whose runs has ``learnt``, if the table says so."""
    if "learnt" not in table:
        return set()
    some = table.groupby(key)["learnt"].any()
    return set(some.index[~some.astype(bool)])


def seeds_and_mean(axes: Axes, place: float, values: pd.Series, colour: Any) -> None:
    """A point per seed and an upright bar for their mean, in a line of the figure."""
    axes.plot(values, [place] * len(values), "o", color=colour, alpha=0.6, markersize=5)
    axes.plot([values.mean()], [place], "|", color=colour, markersize=14, markeredgewidth=2.5)


def seed_handles(n: str) -> list[Line2D]:
    """Those two in a legend; ``n`` says how many seeds there are."""
    look: dict = {"linestyle": "", "color": "0.3"}
    return [
        Line2D([], [], marker="o", markersize=5, alpha=0.6, label="one seed", **look),
        Line2D([], [], marker="|", markersize=12, markeredgewidth=2.5, label=f"mean{n}", **look),
    ]


def seed_counts(table: pd.DataFrame, order: Sequence[str]) -> tuple[dict[str, str], str]:
    """The methods' names, with their numbers of seeds where these differ; and the number, in words
    for `seed_handles`, where all have the same."""
    counts = table.groupby("method")["seed"].nunique()
    if counts.nunique() > 1:
        return {m: f"{text_of(m)} (n = {counts[m]})" for m in order}, ""
    n = int(counts.iloc[0])
    return {m: text_of(m) for m in order}, f" of n = {n} seed{'s' if n > 1 else ''}"


def dashed_handle(label: str) -> Line2D:
    """The dashed line of a baseline in a legend."""
    return Line2D([], [], color=GREY, linestyle="--", linewidth=1, label=label)


def interval(
    axes: Axes, place: float, low: float, high: float, colour: Any, ends: tuple[float, float]
) -> bool:
    """An interval in a line of the figure, whose x axis has these ``ends``: what is cut there has
    an arrow head (`arrow_handle` says so in the legend). Returns whether anything is cut."""
    if np.isnan(low) or np.isnan(high):
        return False
    shown = max(low, ends[0]), min(high, ends[1])
    if shown[0] <= shown[1]:
        axes.plot(shown, [place, place], color=colour, linewidth=2)
    for cut, end, marker in ((low < ends[0], ends[0], "<"), (high > ends[1], ends[1], ">")):
        if cut:
            axes.plot([end], [place], marker, color=colour, markersize=8, clip_on=False, zorder=5)
    return bool(low < ends[0] or high > ends[1])


def arrow_handle(words: str = "the interval goes on") -> Line2D:
    """The arrow head of `interval` in a legend."""
    look: dict = {"marker": ">", "markersize": 8, "linestyle": "", "color": "0.3"}
    return Line2D([], [], label=f"arrow: {words}", **look)


def accuracy_limits(axes: Axes, which: str = "y", least: float = LEAST_SPAN) -> None:
    """Widen an axis of percentages until it spans at least so many points: what a few images make
    then looks small. It stays within 0 and 100, and a little beyond for the marks."""
    low, high = getattr(axes, f"get_{which}lim")()
    low, high = min(low, high), max(low, high)
    if np.isfinite([low, high]).all() and high - low < least:
        middle = min(max((low + high) / 2, least / 2), 100 - least / 2)
        low, high = min(low, middle - least / 2), max(high, middle + least / 2)
    getattr(axes, f"set_{which}lim")(max(low, -3), min(high, 103))


def whole_numbers(*panels: Axes) -> None:
    """Ticks of the x axes at whole numbers only."""
    for axes in panels:
        axes.xaxis.set_major_locator(MaxNLocator("auto", integer=True, steps=[1, 2, 5, 10]))


def legend_below(figure: Figure, handles: Iterable[Any], across: int = 0, **more: Any) -> None:
    """One legend under all panels, in as many columns as have room."""
    entries = list(handles)
    if not entries:
        return
    longest = max(len(str(entry.get_label())) for entry in entries)
    room = max(1, int(figure.get_figwidth() * 72 / (TEXT * (0.6 * longest + 4))))
    columns = min(across or len(entries), room, len(entries))
    figure.legend(handles=entries, loc="outside lower left", ncols=columns, **more)


def grey_where(faint: bool, colour: Any) -> Any:
    """The colour, or the grey of what has not learnt."""
    return FAINT if faint else colour
