"""Figures of confusion: a matrix if class names fit beside it, else the most confused pairs."""

import numpy as np
import seaborn as sns
from matplotlib.figure import Figure

from nslab.analysis.confusion import Confusion
from nslab.plots.marks import page
from nslab.plots.style import PAGE, PALETTE, TEXT
from nslab.plots.titles import heading

LEGIBLE = 30  # most classes whose names are legible beside a matrix
WRITTEN = 15  # most classes for which numbers fit into its cells
LONGEST = 24  # most characters of a class's name


def confusion_matrix(confusion: Confusion, title: str) -> Figure:
    """The confusion matrix in percent of each class's images; for more than 30 classes, the pairs
    that are most often confused."""
    names = [shortened(name) for name in confusion.classes]
    if len(names) > LEGIBLE:
        return confused_pairs(confusion, title)
    with np.errstate(invalid="ignore"):
        shares = 100 * confusion.counts / confusion.counts.sum(1, keepdims=True)
    side = 2.6 + 0.36 * len(names)
    side = min(side, PAGE)
    figure = page(side, side + 0.9)
    axes = figure.subplots()
    axes.set_facecolor("0.93")  # shows where classes have no images
    sns.heatmap(
        shares,
        annot=len(names) <= WRITTEN,
        fmt=".0f",
        cmap="cividis",
        vmin=0,
        vmax=100,
        square=True,
        ax=axes,
        xticklabels=names,
        yticklabels=names,
        cbar_kws={"label": "images of the class (%)"},
        annot_kws={"fontsize": TEXT},
    )
    axes.tick_params(axis="x", rotation=90)
    axes.tick_params(axis="y", rotation=0)
    axes.set(xlabel="taken for", ylabel="class")
    heading(figure, said(confusion, title))
    return figure


def confused_pairs(confusion: Confusion, title: str) -> Figure:
    """The pairs of classes that are most often confused, in percent of the first one's images."""
    table = confusion.pairs()
    figure = page(1.6 + 0.24 * max(1, len(table)))
    axes = figure.subplots()
    pairs = zip(table["class"], table["taken_for"], strict=True)
    axes.barh(range(len(table)), table["share"], color=sns.color_palette(PALETTE)[0])
    labels = [f"{shortened(a)} as {shortened(b)}" for a, b in pairs]
    axes.set_yticks(range(len(table)), labels)
    axes.invert_yaxis()
    label = "images of the class (%)"
    axes.set(xlabel=label, ylabel="class taken for another")
    heading(figure, said(confusion, title))
    return figure


def said(confusion: Confusion, title: str) -> str:
    """The title with the number of networks."""
    number = confusion.networks
    return f"{title}, n = {number} network{'s' if number > 1 else ''}"


def shortened(name: str) -> str:
    """A class's name, cut to `LONGEST` characters."""
    return name if len(name) <= LONGEST else f"{name[: LONGEST - 1]}…"
