"""Parts that several figures share: points for seeds with their mean, intervals with arrow heads
where the frame cuts them, legends, and axes on which small differences look small."""

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

LEAST_SPAN = 5.0  # percentage points that an axis of accuracies spans at least
AT_CHANCE = "grey: not above chance"
RULED: dict = {"axis": "y", "color": "0.92"}


def page(height: float, width: float = PAGE) -> Figure:
    """An empty figure of a height and width in inches; never wider than the page."""
    return Figure(figsize=(min(width, PAGE), height))


def columns_of(panels: int, most: int = 3) -> int:
    """The number of columns for so many panels: the fewest rows that ``most`` columns allow, then
    the fewest columns that these rows allow, so that the last row is as full as possible.

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
    """Draw a point per seed and a vertical bar for their mean at the height ``place``."""
    axes.plot(values, [place] * len(values), "o", color=colour, alpha=0.6, markersize=5)
    axes.plot([values.mean()], [place], "|", color=colour, markersize=14, markeredgewidth=2.5)


def seed_handles(n: str) -> list[Line2D]:
    """Legend entries for `seeds_and_mean`; ``n`` is added to "mean"."""
    look: dict = {"linestyle": "", "color": "0.3"}
    return [
        Line2D([], [], marker="o", markersize=5, alpha=0.6, label="one seed", **look),
        Line2D([], [], marker="|", markersize=12, markeredgewidth=2.5, label=f"mean{n}", **look),
    ]


def seed_counts(table: pd.DataFrame, order: Sequence[str]) -> tuple[dict[str, str], str]:
    """The methods' names, and the number of seeds in words for `seed_handles`. If methods differ in
    their number of seeds, the names have it instead."""
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
    """Draw an interval at the height ``place``. Where it goes beyond ``ends``, the limits of the x
    axis, it is cut and gets an arrow head (see `arrow_handle`). Returns whether it is cut."""
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
    """Widen an axis of percentages to span at least ``least`` points, so that a difference of a few
    images looks small. It stays between 0 and 100, with a little room for markers."""
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
    """One legend below all panels, in as many columns as fit, or ``across`` at most."""
    entries = list(handles)
    if not entries:
        return
    longest = max(len(str(entry.get_label())) for entry in entries)
    room = max(1, int(figure.get_figwidth() * 72 / (TEXT * (0.6 * longest + 4))))
    columns = min(across or len(entries), room, len(entries))
    figure.legend(handles=entries, loc="outside lower left", ncols=columns, **more)


def grey_where(faint: bool, colour: Any) -> Any:
    """The colour, or grey for runs that have not learnt."""
    return FAINT if faint else colour
