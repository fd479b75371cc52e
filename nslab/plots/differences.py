"""Figures of paired differences: every method against a baseline, with its 95 % interval."""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from nslab.analysis.statistics import ALIKE, Paired, excludes_zero
from nslab.configs.labels import text_of
from nslab.plots.marks import (
    AT_CHANCE,
    RULED,
    accuracy_limits,
    at_chance,
    dashed_handle,
    grey_where,
    interval,
    legend_below,
    page,
    seed_counts,
    seed_handles,
    seeds_and_mean,
)
from nslab.plots.style import GREY, TEXT, method_colours
from nslab.plots.titles import heading, panel_title, wrapped
from nslab.plots.wording import dataset_words, embedded, network_words

CLEAR: dict = {"facecolor": "white", "edgecolor": "none", "alpha": 0.85, "pad": 0.5}
_WORDS = {"dataset": dataset_words, "network": network_words}


def forest(table: pd.DataFrame, title: str, baseline: str = "ce") -> Figure:
    """Mean paired differences with their 95 % confidence intervals, as `differences` gives them.

    An interval is left out where one pair allows none, and has an arrow head where the frame cuts
    it. Methods that have not ``learnt`` are grey.
    """
    faint = at_chance(table)
    colours = method_colours(table["method"])
    figure = page(1.8 + 0.44 * len(table))
    axes = figure.subplots()
    reach = _reach(table)
    for place, line in enumerate(table.to_dict("records")):
        where = [_WORDS[k](str(line[k])) for k in ("dataset", "network") if k in line]
        where += [f"imbalance {line['imbalance']:g}"] if line.get("imbalance", 1) != 1 else []
        label = f"{', '.join(where)}: {text_of(line['method'])} − {text_of(baseline)}"
        learnt = bool(line.get("learnt", True))
        colour = grey_where(not learnt, colours[line["method"]])
        axes.plot([line["mean"]], [place], "o", color=colour)
        interval(axes, place, line["low"], line["high"], colour, (-reach, reach))
        p = "" if np.isnan(line["p"]) else f", p = {line['p']:.2g}"
        n = f", n = {line['n']}" if "n" in line else ""
        text = f"{label}: {line['mean']:+.2f}{n}{p}"
        written = axes.text(0.01, place - 0.24, text, transform=axes.get_yaxis_transform())
        written.set(fontsize=TEXT, color="black" if learnt else GREY, bbox=CLEAR)
    axes.set_xlim(-reach, reach)
    axes.axvline(0, color=GREY, linewidth=1)
    axes.set_ylim(len(table) - 0.5, -0.7)
    said = f"; {AT_CHANCE}" if faint else ""
    axes.set(yticks=[], ylabel="comparison")
    axes.set_xlabel(f"difference in test accuracy (points){said}")
    look: dict = {"color": "0.3", "marker": "o", "linewidth": 2}
    handles = [Line2D([], [], label="mean difference with its 95 % interval", **look)]
    handles.append(Line2D([], [], color=GREY, linewidth=1, label=f"as {text_of(baseline)}"))
    legend_below(figure, handles)
    heading(figure, title, _counted(table, title, baseline))
    return figure


def paired_comparison(
    runs: pd.DataFrame, differences: pd.DataFrame, baseline: str, title: str
) -> Figure:
    """Accuracy of every run, and of each method its paired difference to the baseline with the
    95 % interval.

    ``runs``: columns ``method``, ``seed``, ``value``, ``learnt``; ``differences``: as
    `nslab.analysis.statistics.differences` gives them; ``title``: the verdict, whose parts between
    semicolons have a line each. Methods not above chance are grey.
    """
    faint, order = at_chance(runs), list(dict.fromkeys(runs["method"]))
    colours = {m: grey_where(m in faint, c) for m, c in method_colours(order).items()}
    figure = page(2.3 + 0.42 * len(order))
    left, right = figure.subplots(1, 2, sharey=True)
    reach = _reach(differences) if len(differences) else 1.0
    for place, method in enumerate(order):
        seeds_and_mean(left, place, runs.loc[runs["method"] == method, "value"], colours[method])
    for line in differences.to_dict("records"):
        place, colour = order.index(line["method"]), colours[line["method"]]
        right.plot([line["mean"]], [place], "o", color=colour)
        interval(right, place, line["low"], line["high"], colour, (-reach, reach))
    right.set_xlim(-reach, reach)
    right.axvline(0, color=GREY, linestyle="--", linewidth=1)
    names, seeds = seed_counts(runs, order)
    left.set_yticks(range(len(order)), [wrapped(names[method], 1.8) for method in order])
    left.set_ylim(len(order) - 0.5, -0.5)
    accuracy_limits(left, "x")
    said = f"; {AT_CHANCE}" if faint else ""
    left.set(xlabel=f"test accuracy (%){said}", ylabel="")
    right.set(xlabel="difference (points)", ylabel="")
    panel_title(left, "accuracy of each seed")
    panel_title(right, f"minus {text_of(baseline)}: mean, 95 % interval")
    for axes in (left, right):
        axes.grid(**RULED)
    equal = dashed_handle(f"as {text_of(baseline)}")
    legend_below(figure, [*seed_handles(seeds), equal])
    heading(figure, "\n".join(title.split("; ")))
    return figure


def _reach(table: pd.DataFrame) -> float:
    """How far the axis goes: as far as intervals do, unless those of a few pairs dwarf the rest."""
    means = table["mean"].abs()
    wide = float((means + table["sd"].fillna(0)).max()) * 1.5
    ends = float(table[["low", "high"]].abs().max().max())
    reach = min(wide, 1.05 * ends) if ends > 0 else wide
    return max(reach, 1.05 * float(means.max())) or 1.0


def _counted(table: pd.DataFrame, title: str, baseline: str) -> str:
    """How many of the comparisons have an interval on either side of 0."""
    if embedded(table, title) or table.empty:
        return ""
    if len(table) == 1:
        return _one(table.iloc[0], baseline)
    sides = [excludes_zero(*ends) for ends in table[["low", "high"]].to_numpy()]
    above, below = sides.count(1), sides.count(-1)
    more = int((table["mean"] > 0).sum())
    return (
        f"{more} of {len(table)} differences to {text_of(baseline)} are above 0 on average; the "
        f"95 % interval is above 0 in {above}, below in {below}"
    )


def _one(line: pd.Series, baseline: str) -> str:
    found = Paired(*(line[key] for key in ("n", "mean", "sd", "low", "high", "t", "p", "effect")))
    text = f"{text_of(line['method'])} − {text_of(baseline)}: {found.mean:+.2f} points"
    if np.isnan(found.low):
        return f"{text}, n = {found.n}"
    if found.low == found.high:
        return f"{text} ({ALIKE}, n = {found.n})"
    return f"{text} (95 % interval {found.low:.2f} to {found.high:.2f}, n = {found.n})"
