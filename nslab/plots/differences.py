"""Figures of paired differences: every method against a baseline, with 95 % intervals."""

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
    arrow_handle,
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
ROOM = 2.6  # the axis goes this many sd beyond 0: then intervals of three pairs or more fit
SMALL = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
_WORDS = {"dataset": dataset_words, "network": network_words}


def forest(table: pd.DataFrame, title: str, baseline: str = "ce") -> Figure:
    """A forest plot of mean paired differences with their 95 % confidence intervals; ``table`` is
    that of `nslab.analysis.statistics.differences`.

    With one pair there is no interval; an arrow head marks where the frame cuts one. Methods that
    have not ``learnt`` are grey.
    """
    faint = at_chance(table)
    colours = method_colours(table["method"])
    figure = page(1.8 + 0.44 * len(table))
    axes = figure.subplots()
    reach, cut = _reach(table), False
    for place, line in enumerate(table.to_dict("records")):
        where = [_WORDS[k](str(line[k])) for k in ("dataset", "network") if k in line]
        where += [f"imbalance {line['imbalance']:g}"] if line.get("imbalance", 1) != 1 else []
        label = f"{', '.join(where)}: {text_of(line['method'])} − {text_of(baseline)}"
        learnt = bool(line.get("learnt", True))
        colour = grey_where(not learnt, colours[line["method"]])
        axes.plot([line["mean"]], [place], "o", color=colour)
        cut |= interval(axes, place, line["low"], line["high"], colour, (-reach, reach))
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
    handles += [arrow_handle()] if cut else []
    legend_below(figure, handles)
    heading(figure, title, _counted(table, title, baseline))
    return figure


def paired_comparison(
    runs: pd.DataFrame, differences: pd.DataFrame, baseline: str, title: str
) -> Figure:
    """Accuracy of every run, and each method's paired difference to the baseline with its 95 %
    interval.

    ``runs``: columns ``method``, ``seed``, ``value``, ``learnt``; ``differences``: the table of
    `nslab.analysis.statistics.differences`; ``title``: the verdict, whose parts between semicolons
    get a line each. Methods that are not above chance are grey.
    """
    faint, order = at_chance(runs), list(dict.fromkeys(runs["method"]))
    colours = {m: grey_where(m in faint, c) for m, c in method_colours(order).items()}
    figure = page(2.3 + 0.42 * len(order))
    left, right = figure.subplots(1, 2, sharey=True)
    reach, cut = _reach(differences) if len(differences) else 1.0, False
    for place, method in enumerate(order):
        seeds_and_mean(left, place, runs.loc[runs["method"] == method, "value"], colours[method])
    for line in differences.to_dict("records"):
        place, colour = order.index(line["method"]), colours[line["method"]]
        right.plot([line["mean"]], [place], "o", color=colour)
        cut |= interval(right, place, line["low"], line["high"], colour, (-reach, reach))
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
    legend_below(figure, [*seed_handles(seeds), equal, *([arrow_handle()] if cut else [])])
    heading(figure, "\n".join(title.split("; ")))
    return figure


def _reach(table: pd.DataFrame) -> float:
    """The axis's limit: that of the widest interval, unless it would dwarf the rest; then
    2.6 times the largest |mean| + sd, or 3 times the largest |mean|."""
    means = table["mean"].abs()
    wide = max(ROOM * float((means + table["sd"].fillna(0)).max()), 3 * float(means.max()))
    ends = float(table[["low", "high"]].abs().max().max())
    reach = min(wide, 1.05 * ends) if ends > 0 else wide
    return max(reach, 1.05 * float(means.max())) or 1.0


def _counted(table: pd.DataFrame, title: str, baseline: str) -> str:
    """The finding: how many differences, and how many intervals, lie on either side of 0."""
    if embedded(table, title) or table.empty:
        return ""
    if len(table) == 1:
        return _one(table.iloc[0], baseline)
    sides = [excludes_zero(*ends) for ends in table[["low", "high"]].to_numpy()]
    known = int((table["low"] < table["high"]).sum())
    more = int((table["mean"] > 0).sum())
    found = _intervals(known, sides.count(1), sides.count(-1))
    return (
        f"{more} of {len(table)} differences to {text_of(baseline)} are above 0 on average; {found}"
    )


def _intervals(known: int, above: int, below: int) -> str:
    """In words, how many of the known 95 % intervals lie above 0, lie below 0, and contain it.

    >>> for counts in ((4, 0, 0), (4, 1, 0), (12, 0, 12)):
    ...     print(_intervals(*counts))
    all four 95 % intervals contain 0
    of four 95 % intervals, one is above 0 and three contain it
    all 12 95 % intervals are below 0
    """
    counts = {"above 0": above, "below 0": below, "contain": known - above - below}
    there = {words: count for words, count in counts.items() if count}
    parts = []
    for words, count in there.items():
        zero = "0" if len(there) == 1 else "it"
        verb = f"contain{'s' * (count == 1)} {zero}" if words == "contain" else ""
        verb = verb or f"{'is' if count == 1 else 'are'} {words}"
        parts.append(f"{_number(count)} {verb}")
    if known < 2 or not parts:
        return f"the one 95 % interval {parts[0][4:]}" if parts else "there are no intervals"
    if len(parts) == 1:
        verb = parts[0].partition(" ")[2]
        return f"{'both' if known == 2 else f'all {_number(known)}'} 95 % intervals {verb}"
    return f"of {_number(known)} 95 % intervals, {', '.join(parts[:-1])} and {parts[-1]}"


def _number(count: int) -> str:
    return SMALL[count] if count < len(SMALL) else str(count)


def _one(line: pd.Series, baseline: str) -> str:
    found = Paired(*(line[key] for key in ("n", "mean", "sd", "low", "high", "t", "p", "effect")))
    text = f"{text_of(line['method'])} − {text_of(baseline)}: {found.mean:+.2f} points"
    if np.isnan(found.low):
        return f"{text}, n = {found.n}"
    if found.low == found.high:
        return f"{text} ({ALIKE}, n = {found.n})"
    return f"{text} (95 % interval {found.low:.2f} to {found.high:.2f}, n = {found.n})"
