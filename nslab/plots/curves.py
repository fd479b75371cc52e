"""Curves of several runs over their epochs, or generations."""

from collections.abc import Sequence

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from nslab.plots.titles import heading

CURVES = {
    "test_accuracy": "test accuracy (%)",
    "held_out_accuracy": "held-out accuracy (%)",
    "train_loss": "training loss",
    "test_loss": "test loss",
    "best": "best loss of the population",
    "mean": "mean loss of the population",
    "diversity": "diversity of the population",
    "fitness": "fitness",
}
MOST = 2  # most panels
ONE_LEGEND = 12  # most lines named in the legend


def run_curves(
    histories: Sequence[pd.DataFrame],
    names: Sequence[str],
    step: str,
    title: str,
    colours: list[str] | None = None,
) -> Figure:
    """A line per run, in a panel for each of the first two of `CURVES` that some run has.

    ``histories``: for each run a table with a row per step and a column per number; ``names``: the
    runs' names in the legend; ``step``: what a row is, such as ``"epoch"``; ``colours``: one per
    run (runs of the same colour are dashed differently); without it, each run gets its own. Raises
    ``ValueError`` for histories without any of the numbers.
    """
    columns = [c for c in CURVES if any(c in h and h[c].notna().any() for h in histories)][:MOST]
    if not columns:
        raise ValueError("the histories of these runs have no numbers to draw")
    height = 2.9 * len(columns) + 0.17 * min(ONE_LEGEND, len(names)) + 0.4
    figure = Figure(figsize=(7.5, height))
    panels = figure.subplots(len(columns), 1, sharex=True, squeeze=False)[:, 0]
    for axes, column in zip(panels, columns, strict=True):
        for number, (history, name) in enumerate(zip(histories, names, strict=True)):
            if column not in history:
                continue
            drawn = history[column].dropna()
            earlier = colours[:number].count(colours[number]) if colours else number // 10
            style = ("-", "--", ":", "-.")[earlier % 4]
            marker = "o" if len(drawn) < 15 else ""
            look = {"color": colours[number]} if colours else {}
            axes.plot(
                drawn.index + 1, drawn, style, marker=marker, markersize=3, label=name, **look
            )
        axes.set_ylabel(CURVES[column])
        axes.grid(color="0.92")
    panels[-1].set_xlabel(step)
    panels[-1].xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    handles, labels = panels[0].get_legend_handles_labels()
    left = len(handles) - ONE_LEGEND
    more = f"and {left} more, not named" if left > 0 else None
    if len(handles) > 1:
        shown = handles[:ONE_LEGEND], labels[:ONE_LEGEND]
        figure.legend(*shown, loc="outside lower left", title=more)
    heading(figure, title)
    return figure
