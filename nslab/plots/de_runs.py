"""Figures of evolution runs: gains, curves over batches and generations, and settings."""

from collections.abc import Sequence

import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from nslab.analysis.statistics import differences, excludes_zero
from nslab.configs.labels import colour_of, text_of
from nslab.plots.de_lineage import COUNTED, lineage
from nslab.plots.de_strategies import STRATEGY_DASHES, memories, strategy_shares
from nslab.plots.findings import comparison_finding
from nslab.plots.marks import (
    RULED,
    accuracy_limits,
    columns_of,
    dashed_handle,
    legend_below,
    page,
    seed_handles,
    seeds_and_mean,
    whole_numbers,
)
from nslab.plots.style import GREY, PALETTE, method_colours
from nslab.plots.titles import heading, panel_title, wrapped
from nslab.plots.wording import dataset_words, embedded, in_words, network_words

__all__ = [
    "STRATEGY_DASHES",
    "by_setting",
    "factor_curves",
    "gains",
    "lineage",
    "memories",
    "over_batches",
    "strategy_shares",
]


def gains(table: pd.DataFrame, baseline: str, methods: Sequence[str], title: str) -> Figure:
    """Gain in test accuracy over a baseline, a line per network and data set: a point per seed and
    method, and a bar for the mean [DE Fig. S5].

    ``table``: columns ``dataset``, ``network``, ``method``, ``seed``, ``value``.
    """
    wide = table.pivot_table("value", ["dataset", "network", "seed"], "method", sort=False)
    difference = wide[list(methods)].sub(wide[baseline], axis=0)
    rows = list(dict.fromkeys((dataset, network) for dataset, network, _ in difference.index))
    colours = method_colours(methods)
    figure = page(1.8 + (0.2 + 0.2 * len(methods)) * len(rows))
    axes = figure.subplots()
    for k, method in enumerate(methods):
        shift = (k - (len(methods) - 1) / 2) * 0.3
        for place, row in enumerate(rows):
            seeds_and_mean(axes, place + shift, difference.loc[row, method], colours[method])
    axes.axvline(0, color=GREY, linestyle="--", linewidth=1)
    names = [f"{network_words(network)}, {dataset_words(dataset)}" for dataset, network in rows]
    axes.set_yticks(range(len(rows)), [wrapped(name, 1.9) for name in names])
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.grid(**RULED)
    low, high = axes.get_xlim()
    axes.set_xlim(min(low, -1), max(high, 1))  # so that a difference of a few images looks small
    axes.set_xlabel(f"test accuracy over {text_of(baseline)}'s (points)")
    dot: dict = {"marker": "o", "linestyle": ""}
    handles = [Line2D([], [], color=colours[m], label=text_of(m), **dot) for m in methods]
    seeds = table["seed"].nunique()
    handles += [*seed_handles(f" of n = {seeds}"), dashed_handle(f"as {text_of(baseline)}")]
    legend_below(figure, handles)
    heading(figure, f"{title}, n = {seeds}", _gained(table, difference, baseline, title))
    return figure


def _gained(table: pd.DataFrame, difference: pd.DataFrame, baseline: str, title: str) -> str:
    """The finding: on how many networks and data sets each method is ahead, and on how many of them
    its interval is above 0."""
    if embedded(table, title):
        return ""
    means = difference.groupby(["dataset", "network"], sort=False).mean()
    if len(means) == 1:
        found = (comparison_finding(table, str(m), baseline) for m in difference)
        return "\n".join(filter(None, found))
    several = differences(table, baseline, ["dataset", "network"])
    said = []
    for method in map(str, means):
        ends = several.loc[several["method"] == method, ["low", "high"]].to_numpy()
        sure = sum(excludes_zero(low, high) > 0 for low, high in ends)
        ahead = int((means[method] > 0).sum())
        said.append(f"{text_of(method)} in {ahead} of {len(means)} (95 % interval above 0: {sure})")
    return f"Ahead of {text_of(baseline)} on average: {', '.join(said)}"


def over_batches(table: pd.DataFrame, value: str, by: str, title: str) -> Figure:
    """A number against the batch of evolution, a line per ``by`` (mean of seeds, which are thin):
    losses and accuracies [DE Fig. 2], diversity [DE Fig. 3], methods [DE Fig. 4].

    ``table``: as `generation_table` gives it; rows without the number are left out.
    """
    figure = page(4.4)
    axes = figure.subplots()
    known = table.dropna(subset=value)
    palette = sns.color_palette(PALETTE)
    colours = method_colours(map(str, known[by]))
    for k, (key, part) in enumerate(known.groupby(by, sort=False)):
        # only methods have a colour of their own in all figures
        colour = colours[str(key)] if by == "method" else palette[k % len(palette)]
        x = part["batch"] + 1
        for _, mine in part.groupby("seed"):
            axes.plot(x[mine.index], mine[value], color=colour, linewidth=0.7, alpha=0.5)
        mean = part.groupby(x)[value].mean()
        marker = "osD^vP*X"[k % 8]
        label = text_of(in_words(str(key)))
        axes.plot(mean.index, mean, f"{marker}-", color=colour, label=label)
    seeds = known["seed"].nunique()
    axes.set(xlabel="batches of evolution", ylabel=COUNTED[value])
    if value.endswith("accuracy"):
        accuracy_limits(axes)
    whole_numbers(axes)
    thin = Line2D([], [], color="0.3", linewidth=0.7, alpha=0.5, label="one seed")
    legend_below(figure, [*axes.get_legend_handles_labels()[0], thin])
    heading(figure, f"{title}, n = {seeds}")
    return figure


def factor_curves(table: pd.DataFrame, fixed: str, varied: str, title: str) -> Figure:
    """Best loss over the generations, a panel per value of ``fixed``, a line per value of
    ``varied`` [DE Fig. S6], [DE Fig. S7]; means over seeds."""
    values = sorted(table[fixed].unique())
    across = columns_of(len(values))
    down = -(-len(values) // across)
    figure = page(1.2 + 2.3 * down)
    grid = figure.subplots(down, across, sharey=True, squeeze=False)
    panels = list(grid.flat)
    lines, palette = sorted(table[varied].unique()), sns.color_palette(PALETTE)
    for axes, value in zip(panels, values, strict=False):
        for k, setting in enumerate(lines):
            part = table[(table[fixed] == value) & (table[varied] == setting)]
            mean = part.groupby("step")["best"].mean()
            style = ("-", "--", "-.", ":")[k % 4]
            axes.plot(mean.index, mean, style, color=palette[k], label=f"{varied} = {setting:g}")
        axes.set(xlabel="generation")
        panel_title(axes, f"{fixed} = {value:g}")
    for spare in panels[len(values) :]:
        spare.remove()
    for row in grid:
        row[0].set_ylabel(COUNTED["best"])
    legend_below(figure, panels[0].get_legend_handles_labels()[0])
    heading(figure, title)
    return figure


def by_setting(table: pd.DataFrame, key: str, title: str) -> Figure:
    """Test accuracy of the evolved network, and of the best parent, against a setting: ``size`` or
    ``batch_size``. A point per seed, and a line through the means."""
    names = {"size": "members of the population", "batch_size": "samples of a batch"}
    figure = page(3.8, 7.0)
    axes = figure.subplots()
    for column, label, marker, colour in (
        ("value", "evolved", "o", colour_of("sa_shade_tri_ensin")),
        ("start_test_accuracy", "best parent", "s", colour_of("pretrained")),
    ):
        axes.plot(table[key], table[column], marker, color=colour, alpha=0.6, markersize=5)
        mean = table.groupby(key)[column].mean()
        axes.plot(mean.index, mean, color=colour, marker=marker, label=label)
    axes.set_xscale("log", base=2)
    ticks = sorted(table[key].unique())
    axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    axes.minorticks_off()
    axes.set(xlabel=names[key], ylabel="test accuracy (%)")
    accuracy_limits(axes)
    axes.legend()
    heading(figure, title)
    return figure
