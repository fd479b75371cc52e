"""Figures of lineages: a training by gradients, then the evolution of its last epochs."""

from collections.abc import Sequence
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from nslab.configs.labels import colour_of, text_of
from nslab.plots.marks import LEAST_SPAN, accuracy_limits, legend_below, page, whole_numbers
from nslab.plots.style import method_colours
from nslab.plots.titles import heading, panel_title

COUNTED = {
    "train_loss": "training loss (nats)",
    "held_out_loss": "held-out loss (nats)",
    "held_out_accuracy": "held-out accuracy (%)",
    "test_accuracy": "test accuracy (%)",
    "best": "best loss on the batch (nats)",
    "diversity": "mean distance of two members",
}


def lineage(
    table: pd.DataFrame, by: str, title: str, values: Sequence[str] = ("held_out_loss",)
) -> Figure:
    """Adam's epochs as a line, evolution's batches as points after it [DE Fig. S2].

    A column per value of ``by``, a row per number in ``values``; thin lines are seeds, thick ones
    their means. If trainings end at different epochs, the mean's line ends with the first of them,
    a square is the mean of their own last epochs, and evolution begins after the last. In a row,
    each y axis spans at least half of the widest, so that small changes look small.
    """
    columns = list(dict.fromkeys(table[by]))
    across = min(len(columns), 3 if len(columns) in (3, 5, 6) else 2)
    down = -(-len(columns) // across)
    figure = page(0.9 + (0.5 + 2.0 * len(values)) * down)
    grid = figure.subplots(down * len(values), across, squeeze=False)
    for j, column in enumerate(columns):
        part, first = table[table[by] == column], (j // across) * len(values)
        for i, value in enumerate(values):
            axes = grid[first + i][j % across]
            _phases(axes, part, value)
            axes.set_ylabel(COUNTED[value] if j % across == 0 else "")
            whole_numbers(axes)
        panel_title(grid[first][j % across], str(column), 7.4 / across - 0.5)
        axes.set_xlabel("epochs, then batches")
    for i, value in enumerate(values):
        rows = range(i, down * len(values), len(values))
        _comparable([axes for row in rows for axes in grid[row] if axes.lines], value)
    for j in range(len(columns), down * across):
        for i in range(len(values)):
            grid[(j // across) * len(values) + i][j % across].remove()
    lines = [line for axes in figure.axes for line in axes.get_lines()]
    handles = {str(line.get_label()): line for line in lines}
    named = [line for label, line in handles.items() if not label.startswith("_")]
    if len(named) < len(handles):
        named.append(Line2D([], [], color="0.3", linewidth=0.7, alpha=0.5, label="one seed"))
    legend_below(figure, named)
    heading(figure, title)
    return figure


def _comparable(panels: Sequence[Axes], value: str) -> None:
    """Widen the y axes to at least half of the widest one's span; losses do not get negative
    limits."""
    least = max(high - low for low, high in (axes.get_ylim() for axes in panels)) / 2
    for axes in panels:
        if value.endswith("accuracy"):
            accuracy_limits(axes, least=max(least, LEAST_SPAN))
            continue
        low, high = axes.get_ylim()
        lack = max(0.0, least - (high - low)) / 2
        bottom = low - lack if low < 0 else max(low - lack, 0.0)
        axes.set_ylim(bottom, bottom + max(least, high - low) if lack else high)


def _phases(axes: Axes, part: pd.DataFrame, value: str) -> None:
    trained = part[part["phase"] == "adam"]
    counts = trained.groupby("x")[value].count()
    mean = trained.groupby("x")[value].mean()[counts == counts.max()]
    end = trained["x"].max() if len(trained) else 0
    blue = colour_of("adam")
    _seeds(axes, [(one["x"], one[value]) for _, one in trained.groupby("seed")], blue)
    axes.plot(mean.index, mean, color=blue, label="Adam")
    if len(trained) and mean.index[-1] < end:
        ends = trained.sort_values("x").groupby("seed")[value].last().mean()
        words = "Adam, mean of the seeds' last epochs"
        axes.plot([end], [ends], "s", color=blue, markersize=6, label=words)
    colours = method_colours(part["method"])
    later = part[part["phase"] == "evolution"]
    for method, mine in later.groupby("method", sort=False):
        colour = colours[str(method)]
        lines = [(end + one["batch"], one[value]) for _, one in mine.groupby("seed")]
        _seeds(axes, lines, colour)
        mean = mine.groupby("batch")[value].mean()
        look: dict = {"color": colour, "markersize": 4, "linewidth": 1.2}
        axes.plot(end + mean.index, mean, "o-", label=text_of(str(method)), **look)


def _seeds(axes: Axes, lines: Sequence[tuple[Any, Any]], colour: str) -> None:
    for x, y in lines if len(lines) > 1 else []:
        axes.plot(x, y, color=colour, linewidth=0.7, alpha=0.5)
