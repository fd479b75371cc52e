"""Figures of correlations: points, a fitted line, and p values."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from nslab.analysis.statistics import Line
from nslab.plots.marks import legend_below, page
from nslab.plots.style import PALETTE, TEXT
from nslab.plots.titles import heading, panel_title

BLUE, RED = sns.color_palette(PALETTE)[0], sns.color_palette(PALETTE)[3]


def correlations(
    parts: Sequence[tuple[str, pd.DataFrame, str, str, Line]], title: str = ""
) -> Figure:
    """A panel per part (title, table, names of the columns for x and y, fitted line). A panel's
    title has Pearson's r and Spearman's rank correlation with their p values; up to twenty classes
    are named."""
    columns = min(len(parts), 2)  # more would be illegible at the width of a page
    rows = -(-len(parts) // columns)
    figure = page(3.9 * rows + 0.5, 4.2 * columns if columns > 1 else 6.0)
    labels = {
        "size": "training samples of the class",
        "accuracy": "test accuracy of the class (%)",
        "pseudo": "right pseudo-labels of the class (%)",
        "score": "mean score s of the class",
    }
    for axes, (part, table, x, y, line) in zip(
        figure.subplots(rows, columns, squeeze=False).flat, parts, strict=False
    ):
        names = list(table["class"]) if len(table) <= 20 else []
        scatter(axes, table[x], table[y], (line.slope, line.intercept), names)
        axes.margins(x=0.12)
        axes.set(xlabel=labels[x], ylabel=labels[y])
        pearson = f"Pearson {line.r:.2f} (p = {line.p:.2g})"
        rank = f"Spearman {line.rank:.2f} (p = {line.rank_p:.2g})"
        panel_title(axes, f"{part}, n = {line.n} classes\n{pearson}\n{rank}", 3.3)
    for spare in figure.axes[len(parts) :]:
        spare.remove()
    legend_below(figure, figure.axes[0].get_legend_handles_labels()[0])
    heading(figure, title)
    return figure


def scatter(
    axes: Axes, x: pd.Series, y: pd.Series, line: tuple[float, float], names: Sequence[str] = ()
) -> None:
    """Points, one per class, and a fitted line (slope, intercept) [NS Fig. 4]."""
    axes.scatter(x, y, s=28, color=BLUE, label="one class")
    for name, a, b in zip(names, x, y, strict=False):
        axes.annotate(str(name), (a, b), (4, 4), textcoords="offset points", fontsize=TEXT)
    ends = np.array([x.min(), x.max()])
    fitted = {"color": RED, "label": "least squares"}
    axes.plot(ends, line[0] * ends + line[1], **fitted)
