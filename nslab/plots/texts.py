"""Figure of a group of texts that are joined, see `nslab.analysis.texts`."""

import seaborn as sns
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure

from nslab.analysis.texts import JoinedTexts
from nslab.plots.marks import legend_below, page
from nslab.plots.style import PALETTE
from nslab.plots.titles import heading

PADDING = "0.92"


def joined_rows(group: JoinedTexts, title: str) -> Figure:
    """Rows of tokens, one for each way of joining; colours show the text that a token is from."""
    m = len(group.texts)
    colours = ListedColormap([PADDING, *sns.color_palette(PALETTE, m)])
    figure = page(0.55 * len(group.owners) + 1.5)
    axes = figure.subplots()
    width = max(map(len, group.owners.values()))
    rows = [row + [-1] * (width - len(row)) for row in group.owners.values()]
    axes.pcolormesh(rows, cmap=colours, vmin=-1.5, vmax=m - 0.5, edgecolors="white", linewidth=1)
    axes.set(xlabel="token", yticks=[k + 0.5 for k in range(len(rows))])
    axes.set_yticklabels(list(group.owners))
    axes.invert_yaxis()
    axes.grid(False)
    for k, label in enumerate(group.labels):
        axes.plot([], [], "s", color=colours(k + 1), label=f"{k + 1}: {label}")
    axes.plot([], [], "s", color=PADDING, label="padding")
    legend_below(figure, axes.get_legend_handles_labels()[0])
    heading(figure, title)
    return figure
