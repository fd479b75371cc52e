"""Sentences on what finished runs show, for the text below a figure and its alternative text.

Every number is computed from the table that the figure draws, so text and picture cannot disagree.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from nslab.analysis.statistics import ALIKE, Line, excludes_zero
from nslab.configs.labels import text_of
from nslab.workbench.notebook_tables import WORDS

MOST_LISTED = 4  # most differences that are listed one by one; more are counted
NUMBERS = {"sd": ("sd", ".2f"), "effect": ("mean / sd", "+.2f"), "p": ("p", ".2g")}


def ranking(table: pd.DataFrame, key: str = "method", what: str = "test accuracy") -> str:
    """A sentence with the best and the worst mean over seeds, and the largest difference between
    seeds of one method.

    ``table`` has the columns ``key``, ``seed``, ``value`` (percent), and ``learnt`` if known; if a
    seed has several lines, such as one per task, their mean counts. ``what`` names the value.

    >>> runs = pd.DataFrame({"method": ["ce", "ns_ws"] * 2, "seed": [1, 1, 2, 2]})
    >>> ranking(runs.assign(value=[90.0, 91.0, 92.0, 95.0]))
    'Highest mean test accuracy: NS-WS, 93.00 %; lowest: CE, 91.00 % (n = 2). Two seeds of one method differ by up to 4.00 points.'
    """  # noqa: E501
    by_seed = table.groupby([key, "seed"], sort=False)["value"].mean().reset_index()
    runs = {str(name): list(group) for name, group in by_seed.groupby(key, sort=False)["value"]}
    means = {_named(name, key): sum(values) / len(values) for name, values in runs.items()}
    counts = [len(values) for values in runs.values()]
    n = f"n = {min(counts)}" + ("" if min(counts) == max(counts) else f" to {max(counts)}")
    best, worst = max(means, key=lambda name: means[name]), min(means, key=lambda name: means[name])
    if len(means) == 1:
        said = f"Mean {what}: {best}, {means[best]:.2f} % ({n})."
    else:
        said = (
            f"Highest mean {what}: {best}, {means[best]:.2f} %; lowest: {worst}, "
            f"{means[worst]:.2f} % ({n})."
        )
    if max(counts) > 1:
        spread = max(max(values) - min(values) for values in runs.values())
        same = "method" if key == "method" else "setting"
        said += f" Two seeds of one {same} differ by up to {spread:.2f} points."
    else:
        said += " One seed says nothing about the spread."
    if "learnt" in table:
        groups = table.groupby(key, sort=False)["learnt"]
        if lost := [_named(str(name), key) for name, learnt in groups if not learnt.any()]:
            said += f" Not above chance: {', '.join(lost)}."
    return said


def difference(line: Mapping[Any, Any], baseline: str = "ce", unit: str = "points") -> str:
    """A paired difference with its interval as text, from a line of `statistics.differences`.

    >>> line = {"method": "ns_lf", "mean": 1.2, "low": -0.3, "high": 2.7, "p": 0.09, "n": 3}
    >>> difference(line)
    'NS-LF − CE: +1.20 points (95 % interval -0.30 to +2.70, p = 0.09, n = 3)'
    >>> difference(line | {"low": math.nan, "n": 1})
    'NS-LF − CE: +1.20 points (n = 1, so no interval)'
    """
    said = f"{text_of(str(line['method']))} − {text_of(baseline)}: {line['mean']:+.2f} {unit}"
    if math.isnan(line["low"]):
        return f"{said} (n = {line['n']}, so no interval)"
    if line["low"] == line["high"]:
        return f"{said} ({ALIKE}, n = {line['n']})"
    p = "" if math.isnan(line["p"]) else f"p = {line['p']:.2g}, "
    interval = f"95 % interval {line['low']:+.2f} to {line['high']:+.2f}"
    return f"{said} ({interval}, {p}n = {line['n']})"


def differences(
    table: pd.DataFrame, by: Sequence[str] = (), baseline: str = "ce", unit: str = "points"
) -> str:
    """What paired differences show, in a sentence: each one if there are at most `MOST_LISTED`,
    else how many intervals lie above 0, lie below it, or contain it.

    ``table`` is of `statistics.differences`; ``by`` names the columns that, with the method,
    identify its lines.
    """
    lines: list[dict[Any, Any]] = table.to_dict("records")
    said = []
    for line in lines if len(lines) <= MOST_LISTED else []:
        where = ", ".join(shown for name in by if (shown := _where(name, line[name])))
        said.append(f"{where}: " * bool(where) + difference(line, baseline, unit))
    text = "; ".join(said) + "." if said else ""
    sure = [line for line in lines if line["low"] < line["high"]]
    if len(lines) > MOST_LISTED and not sure:
        means = table["mean"]
        text = (
            f"{len(lines)} differences to {text_of(baseline)}, from {means.min():+.2f} to "
            f"{means.max():+.2f} {unit}, "
            + ("one seed each." if table["low"].isna().all() else "without intervals.")
        )
    elif len(lines) > MOST_LISTED:
        above, below = (
            sum(excludes_zero(line["low"], line["high"]) == side for line in sure)
            for side in (1, -1)
        )
        text = (
            f"All {len(sure)} intervals of differences to {text_of(baseline)} contain 0."
            if not above + below
            else f"Of {len(sure)} intervals of differences to {text_of(baseline)}, {above} "
            f"{_lie(above)} above 0, {below} {_lie(below)} below, and "
            f"{len(sure) - above - below} contain{'s' * (len(sure) - above - below == 1)} 0."
        )
    return text or f"Nothing is paired with {text_of(baseline)}."


def correlation(title: str, line: Line) -> str:
    """Both correlations of a fitted line as text, and which of them are significant.

    >>> correlation("size", Line(1.0, 0.0, 0.61, 0.059, 10, 0.78, 0.008))
    "size: Pearson's r 0.61 (p = 0.059), Spearman's 0.78 (p = 0.008), n = 10: significant by rank alone"
    """  # noqa: E501
    return (
        f"{title}: Pearson's r {line.r:.2f} (p = {line.p:.2g}), Spearman's {line.rank:.2f} "
        f"(p = {line.rank_p:.2g}), n = {line.n}: {line.verdict}"
    )


def difference_table(
    table: pd.DataFrame, by: Sequence[str] = (), baseline: str = "ce", unit: str = "points"
) -> pd.DataFrame:
    """`statistics.differences` for people: each line's comparison in words, rounded numbers, and
    the interval as text.

    >>> line = {"method": "ns_lf", "n": 3, "mean": 1.2, "sd": 0.6, "low": -0.3, "high": 2.7}
    >>> list(difference_table(pd.DataFrame([line | {"t": 3.4, "p": 0.09, "effect": 2.0}])))
    ['comparison', 'pairs', 'mean (points)', '95 % interval', 'sd', 'mean / sd', 'p']
    """
    lines: list[dict[Any, Any]] = table.to_dict("records")
    shown = table[list(by)].copy()
    shown["comparison"] = [
        f"{text_of(str(line['method']))} − {text_of(str(line.get('against', baseline)))}"
        for line in lines
    ]
    shown["pairs"] = table["n"]
    shown[f"mean ({unit})"] = [f"{line['mean']:+.2f}" for line in lines]
    shown["95 % interval"] = [
        f"{line['low']:+.2f} to {line['high']:+.2f}" if line["low"] < line["high"] else ""
        for line in lines
    ]
    for name, (words, form) in NUMBERS.items():
        numbers = table.get(name, pd.Series(math.nan, table.index))
        shown[words] = ["" if math.isnan(value) else f"{value:{form}}" for value in numbers]
    return shown


def _named(value: str, key: str) -> str:
    return text_of(value) if key == "method" else f"{key.replace('_', ' ')} {value}"


def _where(name: str, value: Any) -> str:
    """The value of a column in words; blank for an imbalance of 1, which is none."""
    if name == "imbalance":
        return "" if value == 1 else f"imbalance {value:g}"
    words = WORDS.get(name, str)
    return words(str(value))


def _lie(count: int) -> str:
    return "lies" if count == 1 else "lie"
