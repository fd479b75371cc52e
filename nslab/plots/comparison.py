"""Figures that compare methods, settings and papers; the only computed results are those in
titles."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from nslab.configs.labels import text_of
from nslab.plots.correlation import correlations, scatter
from nslab.plots.differences import forest, paired_comparison
from nslab.plots.findings import findings_of
from nslab.plots.marks import (
    AT_CHANCE,
    RULED,
    accuracy_limits,
    at_chance,
    dashed_handle,
    grey_where,
    legend_below,
    page,
    seed_counts,
    seed_handles,
    seeds_and_mean,
    whole_numbers,
)
from nslab.plots.style import FAINT, GREY, PALETTE, TEXT, method_colour, method_colours
from nslab.plots.titles import heading, panel_title, wrapped

__all__ = [
    "AT_CHANCE",
    "ablation",
    "at_chance",
    "correlations",
    "forest",
    "heat",
    "kinds",
    "methods",
    "paired_comparison",
    "scatter",
]
BLUE, ORANGE = sns.color_palette(PALETTE)[0], sns.color_palette(PALETTE)[1]


def methods(
    table: pd.DataFrame,
    title: str,
    paper: Mapping[str, float] | None = None,
    baseline: str = "ce",
    *,
    planned: int = 0,
) -> Figure:
    """Accuracy of each method: a point per seed, a bar for their mean, the paper's as a diamond.

    ``table``: columns ``method``, ``seed``, ``value``; methods that have not ``learnt`` are grey.
    ``paper``: method -> the paper's accuracy. The dashed line is the baseline's mean. The title
    says how methods compare with the baseline, unless the data support no claim (see
    `nslab.plots.findings.findings_of`); if fewer than ``planned`` seeds are there, it says that the
    verdict waits.
    """
    faint = at_chance(table)
    order = list(dict.fromkeys(table["method"]))
    colours = {m: grey_where(m in faint, c) for m, c in method_colours(order).items()}
    paper = {k: v for k, v in (paper or {}).items() if k in order}
    figure = page(1.7 + 0.28 * len(order))
    panels = figure.subplots(1, 2 if paper else 1, sharey=True, squeeze=False)[0]
    axes = panels[0]
    for place, method in enumerate(order):
        seeds_and_mean(axes, place, table.loc[table["method"] == method, "value"], colours[method])
    if baseline in order:
        mean = table.loc[table["method"] == baseline, "value"].mean()
        axes.axvline(mean, color=GREY, linestyle="--", linewidth=1, zorder=0)
    said, seeds = seed_counts(table, order)
    axes.set_yticks(range(len(order)), [wrapped(said[m], 2.2) for m in order])
    for tick, method in zip(axes.get_yticklabels(), order, strict=True):
        tick.set_color(FAINT if method in faint else "black")
    axes.set_ylim(len(order) - 0.4, -0.6)
    accuracy_limits(axes, "x")
    axes.set(xlabel=f"test accuracy (%){f'; {AT_CHANCE}' if faint else ''}", ylabel="")
    handles = seed_handles(seeds)
    if baseline in order:
        handles.append(dashed_handle(f"mean of {text_of(baseline)}"))
    if paper:
        for method, value in paper.items():
            place = order.index(method)
            panels[1].plot([value], [place], "D", color=colours[method], markersize=6)
        if baseline in paper:
            panels[1].axvline(paper[baseline], color=GREY, linestyle="--", linewidth=1, zorder=0)
        panels[1].set(xlabel="test accuracy (%)", ylabel="")
        accuracy_limits(panels[1], "x")
        panel_title(axes, "ours")
        panel_title(panels[1], "the paper's, at its own setting")
    for panel in panels:
        panel.grid(**RULED)
    legend_below(figure, handles)
    heading(figure, title, findings_of(table, baseline, title, planned=planned))
    return figure


def ablation(table: pd.DataFrame, key: str, label: str, title: str) -> Figure:
    """Accuracy against a setting: ours above (a point per seed, a line through the means), and the
    paper's below, if it has any.

    ``table``: columns ``key`` (the setting), ``seed``, ``value``, and ``paper`` (NaN if it has no
    number); with a column ``method``, each method has a line. Runs that have not ``learnt`` are
    grey. ``label`` is that of the x axis.
    """
    learnt = table.get("learnt", pd.Series(True, table.index)).astype(bool)
    method = table.get("method", pd.Series("", table.index))
    panels = 1 + int(table["paper"].notna().any())
    figure = page(2.3 * panels + 1.0 * (panels == 1) + 0.4, 7.0)
    upper, *below = figure.subplots(panels, 1, sharex=True, squeeze=False)[:, 0]
    ticks = list(dict.fromkeys(table[key]))
    place = table[key].map(ticks.index)
    colours = method_colours(method) if method.iloc[0] else {"": BLUE}
    handles = []
    for name in method.unique():
        mine, colour = method == name, colours[name]
        good, bad = mine & learnt, mine & ~learnt
        upper.plot(place[good], table["value"][good], "o", color=colour, alpha=0.6, markersize=5)
        upper.plot(place[bad], table["value"][bad], "o", color=FAINT, markersize=5)
        means = table[mine].groupby(place[mine])["value"].mean()
        upper.plot(means.index, means, color=colour)
        text = text_of(name) if name else "ours"
        handles.append(Line2D([], [], color=colour, marker="o", markersize=5, label=text))
    accuracy_limits(upper)
    n = table["seed"].nunique()
    said = "" if learnt.all() else f"; {AT_CHANCE}"
    upper.set_ylabel("test accuracy (%)")
    points = f"ours: points are seeds (n = {n}), the line their means{said}"
    panel_title(upper, points, figure.get_figwidth() - 1)
    paper = table.groupby(key, sort=False)["paper"].first().loc[ticks]
    for lower in below:
        lower.plot(range(len(ticks)), paper, "D-", color=ORANGE)
        lower.set_ylabel("test accuracy (%)")
        accuracy_limits(lower)
        panel_title(lower, "the paper's, at its own setting")
    for axes in (upper, *below):
        axes.grid(**RULED)
    axes.set_xticks(range(len(ticks)), [wrapped(str(tick), 6.0 / len(ticks)) for tick in ticks])
    axes.set_xlabel(label)
    if len(handles) > 1:
        legend_below(figure, handles)
    heading(figure, title)
    return figure


def heat(
    table: pd.DataFrame, row: str, column: str, value: str, labels: Mapping[str, str], title: str
) -> Figure:
    """A heat map of the column ``value`` by ``row`` and ``column``, with the numbers in its cells;
    ``labels`` gives the labels of the three. Cells of runs that have not ``learnt`` are grey."""
    wide = table.pivot_table(index=row, columns=column, values=value, sort=False)
    faint = wide.isna()
    if "learnt" in table:
        learnt = table.groupby([row, column])["learnt"].any().unstack(column)
        faint |= ~learnt.reindex_like(wide).fillna(True).astype(bool)
    figure = page(1.7 + 0.34 * len(wide), 3.2 + 1.0 * len(wide.columns))
    axes = figure.subplots()
    axes.set_facecolor("0.93")
    numbers = wide.to_numpy(float)
    at = np.argwhere(faint.to_numpy() & ~np.isnan(numbers))
    for i, k in at:
        look = {"ha": "center", "va": "center"}
        axes.text(k + 0.5, i + 0.5, f"{numbers[i, k]:.1f}", look, color=GREY, fontsize=TEXT)
    shown = numbers[~faint.to_numpy()]
    # colours span at least 5 points, so that a few images do not look like a large difference
    narrow = len(shown) and np.ptp(shown) < 5
    middle = float(np.mean(shown)) if len(shown) else 0.0
    sns.heatmap(
        wide.rename(index=_text, columns=_text),
        mask=faint.to_numpy(),
        annot=True,
        fmt=".1f",
        cmap="cividis",
        ax=axes,
        cbar_kws={"label": labels[value]},
        annot_kws={"fontsize": TEXT},
        linewidths=0.5,
        **({"vmin": middle - 2.5, "vmax": middle + 2.5} if narrow else {}),
    )
    axes.set(xlabel=labels[column], ylabel=labels[row])
    axes.tick_params(axis="y", rotation=0)
    panel_title(axes, AT_CHANCE if len(at) else "")
    heading(figure, title)
    return figure


def kinds(table: pd.DataFrame, title: str) -> Figure:
    """Training under label noise: accuracy (on the given labels) and mean score of clean and of
    mislabelled training samples over epochs. Lines are means over seeds, bands their range."""
    styles: dict[str, Any] = {"clean": "-", "mislabelled": "--"}
    figure = page(4.4)
    panels = figure.subplots(1, 2)
    shown = (
        ("train_accuracy", "training labels fitted (%)", table),
        ("score", "mean score s", table.dropna(subset="score")),
    )
    for axes, (column, label, data) in zip(panels, shown, strict=True):
        for (method, kind), part in data.groupby(["method", "labels"], sort=False):
            grouped = part.groupby("epoch")[column]
            colour = method_colour(str(method))
            axes.plot(grouped.mean(), color=colour, linestyle=styles.get(str(kind), ":"))
            low, high = grouped.min(), grouped.max()
            axes.fill_between(low.index, low, high, color=colour, alpha=0.15, linewidth=0)
        axes.set(xlabel="epoch", ylabel=label)
    whole_numbers(*panels)
    panels[1].axhline(1, color=GREY, linestyle=":", linewidth=1)
    handles = [
        Line2D([], [], color=method_colour(m), label=text_of(m)) for m in table["method"].unique()
    ]
    handles += [
        Line2D([], [], color="0.3", linestyle=styles.get(k, ":"), label=f"{k} samples")
        for k in table["labels"].unique()
    ]
    handles.append(Line2D([], [], color=GREY, linestyle=":", label="mean of all scores, 1"))
    legend_below(figure, handles)
    heading(figure, title)
    return figure


def _text(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else text_of(str(value))
