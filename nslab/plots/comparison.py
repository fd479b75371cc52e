"""Figures that set methods, settings and papers beside one another; nothing is computed here."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from nslab.analysis.statistics import Line
from nslab.configs.labels import colour_of, text_of
from nslab.plots.style import PALETTE

GREY, FAINT = "0.4", "0.7"
AT_CHANCE = "grey: not above chance"
BLUE, ORANGE = sns.color_palette(PALETTE)[0], sns.color_palette(PALETTE)[1]


def at_chance(table: pd.DataFrame, key: str = "method") -> set[str]:
    """Methods (or other ``key``) none of whose runs has ``learnt``, if the table says so."""
    if "learnt" not in table:
        return set()
    some = table.groupby(key)["learnt"].any()
    return set(some.index[~some.astype(bool)])


def methods(
    table: pd.DataFrame,
    title: str,
    paper: Mapping[str, float] | None = None,
    baseline: str = "ce",
) -> Figure:
    """Accuracy of each method: a point per seed, a bar for their mean, the paper's as a diamond.

    ``table``: columns ``method``, ``seed``, ``value``; methods that have not ``learnt`` are grey.
    The dashed line is the baseline's mean.
    """
    faint = at_chance(table)
    order = list(dict.fromkeys(table["method"]))
    paper = {k: v for k, v in (paper or {}).items() if k in order}
    figure = Figure(figsize=(7.5, 1.5 + 0.3 * len(order)))
    panels = figure.subplots(1, 2 if paper else 1, sharey=True, squeeze=False)[0]
    axes = panels[0]
    for place, method in enumerate(order):
        values = table.loc[table["method"] == method, "value"]
        colour = FAINT if method in faint else colour_of(method)
        axes.plot(values, [place] * len(values), "o", color=colour, alpha=0.6, markersize=5)
        axes.plot([values.mean()], [place], "|", color=colour, markersize=15, markeredgewidth=2.5)
    if baseline in order:
        mean = table.loc[table["method"] == baseline, "value"].mean()
        axes.axvline(mean, color=GREY, linestyle="--", linewidth=1)
    counts = table.groupby("method")["seed"].nunique()
    alike = counts.nunique() == 1
    said = {m: text_of(m) if alike else f"{text_of(m)} (n = {counts[m]})" for m in order}
    axes.set_yticks(range(len(order)), [said[m] for m in order])
    for tick, method in zip(axes.get_yticklabels(), order, strict=True):
        tick.set_color(FAINT if method in faint else "black")
    axes.set_ylim(len(order) - 0.4, -0.6)
    seeds = f", n = {counts.iloc[0]}" if alike else ""
    dashed = f"; dashed: mean of {text_of(baseline)}" if baseline in order else ""
    label = f"test accuracy (%){f'; {AT_CHANCE}' if faint else ''}"
    axes.set(xlabel=label, ylabel="method", title=f"ours{seeds}{dashed}")
    if paper:
        for method, value in paper.items():
            place = order.index(method)
            panels[1].plot([value], [place], "D", color=colour_of(method), markersize=6)
        if baseline in paper:
            panels[1].axvline(paper[baseline], color=GREY, linestyle="--", linewidth=1)
        panels[1].set(xlabel="test accuracy (%)", title="the paper", ylabel="")
    for panel in panels:
        panel.grid(axis="y", color="0.92")
    figure.suptitle(title, fontsize=11)
    return figure


def forest(table: pd.DataFrame, title: str, baseline: str = "ce") -> Figure:
    """Mean paired differences with their 95 % confidence intervals, as `differences` gives them.

    An interval is left out where one pair allows none, and may run out of the axes where two do.
    Methods that have not ``learnt`` are grey.
    """
    faint = at_chance(table)
    figure = Figure(figsize=(7.5, 1.3 + 0.42 * len(table)))
    axes = figure.subplots()
    for place, line in enumerate(table.to_dict("records")):
        where = [str(line[k]) for k in ("dataset", "network") if k in line]
        where += [f"imbalance {line['imbalance']:g}"] if line.get("imbalance", 1) != 1 else []
        label = f"{', '.join(where)}: {text_of(line['method'])} − {text_of(baseline)}"
        learnt = line.get("learnt", True)
        colour = colour_of(line["method"]) if learnt else FAINT
        axes.plot([line["mean"]], [place], "o", color=colour)
        axes.plot([line["low"], line["high"]], [place, place], color=colour, linewidth=2)
        p = "" if np.isnan(line["p"]) else f", p = {line['p']:.2g}"
        text = f"{label}: {line['mean']:+.2f}{p}"
        written = axes.text(0.01, place - 0.22, text, transform=axes.get_yaxis_transform())
        written.set(fontsize=9, color="black" if learnt else GREY)
    reach = 1.5 * float((table["mean"].abs() + table["sd"].fillna(0)).max()) or 1.0
    axes.set_xlim(-reach, reach)
    axes.axvline(0, color=GREY, linewidth=1)
    axes.set_ylim(len(table) - 0.5, -0.6)
    said = f"; {AT_CHANCE}" if faint else ""
    label = f"difference in test accuracy (points), 95 % interval{said}"
    axes.set(yticks=[], xlabel=label, title=title)
    axes.set_ylabel("comparison")
    return figure


def ablation(table: pd.DataFrame, key: str, label: str, title: str) -> Figure:
    """Accuracy against a setting: ours (points a seed, line of means) over the paper's, if it has
    any.

    ``table``: columns ``key``, ``seed``, ``value``, and ``paper`` (nan where it has no number);
    where there is a ``method``, each has a line. Runs that have not ``learnt`` are grey.
    """
    learnt = table.get("learnt", pd.Series(True, table.index)).astype(bool)
    method = table.get("method", pd.Series("", table.index))
    panels = 1 + int(table["paper"].notna().any())
    figure = Figure(figsize=(5.5, 2.3 * panels + 0.6 * (panels == 1)))
    upper, *below = figure.subplots(panels, 1, sharex=True, squeeze=False)[:, 0]
    ticks = list(dict.fromkeys(table[key]))
    place = table[key].map(ticks.index)
    for name in method.unique():
        mine, colour = method == name, colour_of(name, BLUE)
        good, bad = mine & learnt, mine & ~learnt
        upper.plot(place[good], table["value"][good], "o", color=colour, alpha=0.6, markersize=5)
        upper.plot(place[bad], table["value"][bad], "o", color=FAINT, markersize=5)
        means = table[mine].groupby(place[mine])["value"].mean()
        upper.plot(means.index, means, color=colour, label=text_of(name))
    if method.nunique() > 1:
        upper.legend()
    said = "" if learnt.all() else f"; {AT_CHANCE}"
    upper.set(ylabel="ours: accuracy (%)", title=f"{title}, n = {table['seed'].nunique()}{said}")
    paper = table.groupby(key, sort=False)["paper"].first().loc[ticks]
    for lower in below:
        lower.plot(range(len(ticks)), paper, "D-", color=ORANGE)
        lower.set(ylabel="the paper's (%)")
    for axes in (upper, *below):
        axes.grid(axis="y", color="0.92")
    axes.set_xticks(range(len(ticks)), ticks)
    axes.set_xlabel(label)
    return figure


def heat(
    table: pd.DataFrame, row: str, column: str, value: str, labels: Mapping[str, str], title: str
) -> Figure:
    """A grid of numbers with their values written in; ``labels`` names row, column and value. Cells
    of runs that have not ``learnt`` are grey."""
    wide = table.pivot_table(index=row, columns=column, values=value, sort=False)
    faint = wide.isna()
    if "learnt" in table:
        learnt = table.groupby([row, column])["learnt"].any().unstack(column)
        faint |= ~learnt.reindex_like(wide).fillna(True).astype(bool)
    figure = Figure(figsize=(2.5 + 0.95 * len(wide.columns), 1.4 + 0.34 * len(wide)))
    axes = figure.subplots()
    axes.set_facecolor("0.93")
    numbers = wide.to_numpy(float)
    at = np.argwhere(faint.to_numpy() & ~np.isnan(numbers))
    for i, k in at:
        look = {"ha": "center", "va": "center"}
        axes.text(k + 0.5, i + 0.5, f"{numbers[i, k]:.1f}", look, color=GREY, fontsize=9)
    title += f"; {AT_CHANCE}" if len(at) else ""
    sns.heatmap(
        wide,
        mask=faint,
        annot=True,
        fmt=".1f",
        cmap="cividis",
        ax=axes,
        cbar_kws={"label": labels[value]},
        annot_kws={"fontsize": 9},
        linewidths=0.5,
    )
    axes.set(xlabel=labels[column], ylabel=labels[row], title=title)
    axes.tick_params(axis="y", rotation=0)
    return figure


def scatter(
    axes: Axes, x: pd.Series, y: pd.Series, line: tuple[float, float], names: Sequence[str] = ()
) -> None:
    """Points, one per class, and a fitted line (slope, intercept) [NS Fig. 4]."""
    axes.scatter(x, y, s=28, color=BLUE)
    for name, a, b in zip(names, x, y, strict=False):
        axes.annotate(str(name), (a, b), (4, 4), textcoords="offset points", fontsize=8)
    ends = np.array([x.min(), x.max()])
    axes.plot(ends, line[0] * ends + line[1], color=sns.color_palette(PALETTE)[3])


def kinds(table: pd.DataFrame, title: str) -> Figure:
    """Under label noise, epoch by epoch: accuracy on clean and on mislabelled training samples (by
    the labels given), and the mean scores of both."""
    named = table.assign(method=table["method"].map(text_of))
    palette = {text_of(k): colour_of(k) for k in table["method"].unique()}
    figure = Figure(figsize=(11, 3.8))
    panels = (
        ("train_accuracy", "training labels fitted (%)", named),
        ("score", "mean score s", named.dropna(subset="score")),
    )
    for axes, (column, label, data) in zip(figure.subplots(1, 2), panels, strict=True):
        sns.lineplot(
            data,
            x="epoch",
            y=column,
            hue="method",
            style="labels",
            palette={k: v for k, v in palette.items() if k in set(data["method"])},
            errorbar=("pi", 100),
            ax=axes,
        )
        axes.set(xlabel="epoch", ylabel=label)
        axes.xaxis.get_major_locator().set_params(integer=True)
    axes.axhline(1, color=GREY, linestyle=":", linewidth=1)
    axes.get_legend().remove()  # the left one serves both
    figure.suptitle(title, fontsize=11)
    return figure


def correlations(
    parts: Sequence[tuple[str, pd.DataFrame, str, str, Line]], title: str = ""
) -> Figure:
    """A panel per part: title, table, columns for x and y, fitted line; Pearson's r and Spearman's
    rank correlation, each with its p, in its title. Up to twenty classes are named."""
    columns = min(len(parts), 2)  # more would be illegible at the width of a page
    rows = -(-len(parts) // columns)
    figure = Figure(figsize=(5.2 * columns, 4.2 * rows))
    figure.suptitle(title, fontsize=11)
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
        axes.set(xlabel=labels[x], ylabel=labels[y])
        pearson = f"Pearson {line.r:.2f} (p = {line.p:.2g})"
        rank = f"Spearman {line.rank:.2f} (p = {line.rank_p:.2g})"
        axes.set_title(f"{part}, n = {line.n} classes\n{pearson}, {rank}", fontsize=10)
    for spare in figure.axes[len(parts) :]:
        spare.remove()
    return figure


def paired_comparison(
    runs: pd.DataFrame, differences: pd.DataFrame, baseline: str, title: str
) -> Figure:
    """Accuracy of every run, and of each method its paired difference to the baseline with the
    95 % interval.

    ``runs``: columns ``method``, ``seed``, ``value``, ``learnt``; ``differences``: as
    `nslab.analysis.statistics.differences` gives them. Methods not above chance are grey.
    """
    faint, order = at_chance(runs), list(dict.fromkeys(runs["method"]))
    colours = dict(zip(order, sns.color_palette(PALETTE, len(order)), strict=True))
    figure = Figure(figsize=(7.5, 2.1 + 0.5 * len(order)))
    left, right = figure.subplots(1, 2, sharey=True)
    for place, method in enumerate(order):
        values = runs.loc[runs["method"] == method, "value"]
        colour = FAINT if method in faint else colours[method]
        left.plot(values, [place] * len(values), "o", color=colour, alpha=0.6, markersize=5)
        left.plot([values.mean()], [place], "|", color=colour, markersize=15, markeredgewidth=2.5)
    for line in differences.to_dict("records"):
        place, colour = order.index(line["method"]), colours[line["method"]]
        colour = FAINT if line["method"] in faint else colour
        right.plot([line["mean"]], [place], "o", color=colour)
        right.plot([line["low"], line["high"]], [place, place], color=colour, linewidth=2)
    right.axvline(0, color=GREY, linestyle="--", linewidth=1)
    left.set_yticks(range(len(order)), [text_of(method) for method in order])
    left.set_ylim(len(order) - 0.5, -0.5)
    said = f"; {AT_CHANCE}" if faint else ""
    n = runs["seed"].nunique()
    left.set(xlabel=f"test accuracy (%){said}", ylabel="method", title=f"each of n = {n} seeds")
    right.set(xlabel="points", title=f"minus {text_of(baseline)}, 95 % interval")
    for axes in (left, right):
        axes.grid(axis="y", color="0.92")
    figure.suptitle("\n".join(title.split("; ")), fontsize=11)
    return figure
