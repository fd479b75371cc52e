"""Statistics of runs with a few seeds: paired differences, their uncertainty, correlations."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy import optimize, stats

ROUNDING = 1e-12  # a smaller relative spread of differences is rounding: they count as equal
ALIKE = "all differences alike, so no interval"
MARK = "*"  # of a difference whose interval excludes 0
MARK_NOTE = (
    f"{MARK} The 95 % interval of the paired difference (Student's t over seeds) excludes 0; not "
    "corrected for the number of comparisons."
)


@dataclass(frozen=True)
class Paired:
    """Differences a - b over pairs (runs that share a seed).

    Attributes:
        n: pairs.
        mean, sd: of the differences (sample standard deviation).
        low, high: 95 % confidence interval of the mean, from Student's t.
        t, p: of the two-sided paired t test.
        effect: mean / sd (Cohen's d_z).

    With one pair only the mean is known; the rest is NaN. If all differences are equal, their
    spread is unknown rather than 0: ``low`` and ``high`` are the mean, there is no test, and
    `excludes_zero` is 0. The test assumes that differences are normally distributed, which cannot
    be checked with a few of them.
    """

    n: int
    mean: float
    sd: float
    low: float
    high: float
    t: float
    p: float
    effect: float


def paired(a: pd.Series, b: pd.Series) -> Paired:
    """Compare two methods over the seeds they share (both indexed by seed).

    Raises ``ValueError`` if they share none.
    """
    shared = pd.concat([a.rename("a"), b.rename("b")], axis=1).dropna()
    difference, n = shared["a"] - shared["b"], len(shared)
    if n == 0:
        raise ValueError("the two methods have no seed in common: nothing to pair")
    mean, sd = float(difference.mean()), float(difference.std())
    if n == 1:
        return Paired(1, mean, *[math.nan] * 6)
    if sd <= ROUNDING * shared.abs().to_numpy().max():  # alike: no test, an interval of no width
        return Paired(n, mean, 0.0, mean, mean, *[math.nan] * 3)
    test = stats.ttest_rel(shared["a"], shared["b"])
    low, high = test.confidence_interval(0.95)
    return Paired(
        n, mean, sd, float(low), float(high), float(test.statistic), float(test.pvalue), mean / sd
    )


def interval(mean: float, sd: float, n: int) -> tuple[float, float]:
    """95 % confidence interval of a mean of n values with sample standard deviation ``sd``, from
    Student's t; NaN for fewer than two.

    >>> low, high = interval(1.0, 1.0, 3)
    >>> f"{low:.2f} to {high:.2f}"
    '-1.48 to 3.48'
    """
    if n < 2:
        return math.nan, math.nan
    reach = float(stats.t.ppf(0.975, n - 1)) * sd / math.sqrt(n)
    return mean - reach, mean + reach


def excludes_zero(low: float, high: float) -> int:
    """1 for an interval above 0, -1 for one below, and 0 for one that contains it, for none (NaN),
    and for one of no width, since a few equal differences do not show their spread.

    >>> excludes_zero(0.1, 0.3), excludes_zero(-0.3, -0.1), excludes_zero(3.0, 3.0)
    (1, -1, 0)
    """
    return 0 if low == high else int(low > 0) - int(high < 0)


def mark(low: float, high: float) -> str:
    """`MARK` for an interval that excludes 0, see `excludes_zero`; blank for another.

    >>> mark(0.1, 0.3), mark(-0.1, 0.3), mark(3.0, 3.0), mark(math.nan, math.nan)
    ('*', '', '', '')
    """
    return MARK if excludes_zero(low, high) else ""


def differences(table: pd.DataFrame, baseline: str, by: list[str]) -> pd.DataFrame:
    """Every method against ``baseline``: a line per group and method, with the columns of ``by``,
    ``method`` and those of `Paired`.

    ``table`` has the columns of ``by``, ``method``, ``seed`` and ``value``. If it has ``learnt``,
    so has the result: whether any run of the method in the group has learnt.
    """
    lines = []
    for key, group in table.groupby(by, sort=False) if by else [((), table)]:
        wide = group.pivot_table(index="seed", columns="method", values="value", sort=False)
        names = dict(zip(by, key if isinstance(key, tuple) else (key,), strict=True))
        learnt = dict(group.groupby("method")["learnt"].any()) if "learnt" in group else {}
        for method in wide.columns.drop(baseline):
            shared = wide[[method, baseline]].dropna()
            if len(shared):
                line = names | {"method": method} | vars(paired(shared[method], shared[baseline]))
                lines.append(line | ({"learnt": learnt[method]} if learnt else {}))
    return pd.DataFrame(lines)


def in_words(line: Mapping[str, Any], unit: str = "points", digits: int = 2) -> str:
    """A line of `differences`, or the fields of a `Paired`, as part of a sentence.

    >>> in_words({"n": 3, "mean": -0.5, "low": -1.2, "high": 0.2, "p": 0.091})
    '−0.50 points (95 % interval −1.20 to +0.20, p = 0.09, n = 3)'
    >>> in_words({"n": 1, "mean": 0.5, "low": math.nan, "high": math.nan, "p": math.nan})
    '+0.50 points (one pair, so no interval)'
    """
    mean = f"{line['mean']:+.{digits}f} {unit}"
    if line["n"] == 1:
        about = "one pair, so no interval"
    elif line["low"] == line["high"]:
        about = f"{ALIKE}, n = {line['n']:.0f}"
    else:
        interval = f"95 % interval {line['low']:+.{digits}f} to {line['high']:+.{digits}f}"
        test = "" if math.isnan(line["p"]) else f", p = {line['p']:.1g}"
        about = f"{interval}{test}, n = {line['n']:.0f}"
    return f"{mean} ({about})".replace("-", "−")


def detectable_effect(n: int, power: float = 0.8, alpha: float = 0.05) -> float:
    """The smallest effect (mean / sd of the differences) that a two-sided paired t test of n pairs
    at level ``alpha`` detects with probability ``power``; infinite for fewer than two pairs."""
    if n < 2:
        return math.inf
    critical = stats.t.ppf(1 - alpha / 2, n - 1)

    def missing(effect: float) -> float:
        shift = effect * math.sqrt(n)
        found = stats.nct.sf(critical, n - 1, shift) + stats.nct.cdf(-critical, n - 1, shift)
        return float(power - np.nan_to_num(found, nan=1.0))  # scipy's NaN: the power is 1

    return float(optimize.brentq(missing, 0, 50))


@dataclass(frozen=True)
class Line:
    """A fitted line y = slope x + intercept; Pearson's r with its two-sided p value; the number n
    of points; Spearman's rank correlation, which depends on their order only, with its p value.

    Both p values come from Student's t and assume that points are independent.
    """

    slope: float
    intercept: float
    r: float
    p: float
    n: int
    rank: float
    rank_p: float

    @property
    def verdict(self) -> str:
        """In words, which of the two correlations differ from 0 at p < 0.05."""
        found = {"by Pearson's r": self.p < 0.05, "by rank": self.rank_p < 0.05}
        told = [words for words, significant in found.items() if significant]
        if not told:
            return "not significant"
        return f"significant {' and '.join(told)}" + (" alone" if len(told) == 1 else "")


def regression(x: pd.Series, y: pd.Series) -> Line:
    """Least-squares line through points, as in [NS Fig. 4]."""
    fit = stats.linregress(np.asarray(x, float), np.asarray(y, float))
    rank = stats.spearmanr(x, y)
    slope, intercept, r, p = map(float, (fit.slope, fit.intercept, fit.rvalue, fit.pvalue))
    return Line(slope, intercept, r, p, len(x), float(rank.statistic), float(rank.pvalue))


def between_share(table: pd.DataFrame, value: str, group: str) -> float:
    """Eta squared: the share, 0 to 1, of the variance of ``value`` that lies between groups; NaN if
    there is no variance."""
    total = float(((table[value] - table[value].mean()) ** 2).sum())
    means = table.groupby(group, observed=True)[value].transform("mean")
    return float(((means - table[value].mean()) ** 2).sum()) / total if total else math.nan
