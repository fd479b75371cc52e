"""Effects and verdicts: what numbers of a few runs say of a claim."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

LEVEL = 0.05  # of all two-sided tests of a paper's claims together
MOST_SEEDS = 1000  # more are not counted
ALIKE = 1e-9  # numbers as near as this, relatively, differ by rounding alone


@dataclass(frozen=True)
class Effect:
    """An estimate with what is known of its error.

    Attributes:
        estimate: the mean difference, or Fisher's z of a correlation.
        error: its standard error; NaN where one number alone is known, 0 where all are alike.
        freedom: degrees of freedom of the error, infinite for a correlation.
        n: independent units it rests on: seeds, evolutions, or points of a correlation.
        correlation: whether it is Fisher's z, shown as the correlation it stands for.
    """

    estimate: float
    error: float
    freedom: float
    n: int
    correlation: bool = False

    @classmethod
    def of_differences(cls, values: Sequence[float]) -> "Effect":
        """The mean of paired differences, one per independent unit.

        >>> low, high = Effect.of_differences([1.0, 2.0, 3.0]).interval()
        >>> round(low, 4), round(high, 4)
        (-0.4841, 4.4841)
        """
        numbers, n = np.asarray(values, float), len(values)
        error = float(numbers.std(ddof=1)) / math.sqrt(n) if n > 1 else math.nan
        if n > 1 and np.ptp(numbers) <= ALIKE * max(1.0, float(np.abs(numbers).max())):
            error = 0.0
        return cls(float(numbers.mean()), error, n - 1, n)

    @classmethod
    def of_correlations(cls, found: Sequence[tuple[float, int]]) -> "Effect":
        """Correlations, each with its points, of which there must be more than three; of several
        the mean of their z, weighted by what each is known to.

        >>> round(Effect.of_correlations([(0.8, 10)]).shown, 3)
        0.8
        """
        weights = [n - 3 for _, n in found]
        z = [math.atanh(min(max(r, -0.999999), 0.999999)) for r, _ in found]
        mean = float(np.average(z, weights=weights))
        count = sum(n for _, n in found)
        return cls(mean, 1 / math.sqrt(sum(weights)), math.inf, count, correlation=True)

    @property
    def shown(self) -> float:
        """The estimate in its own unit."""
        return self.back(self.estimate)

    def back(self, value: float) -> float:
        """A value on the scale of `estimate` in the unit people read."""
        return math.tanh(value) if self.correlation else value

    def onto(self, value: float) -> float:
        """A value in the unit people read on the scale of `estimate`."""
        return math.atanh(value) if self.correlation else value

    def interval(self, level: float = LEVEL) -> tuple[float, float]:
        """The confidence interval of 1 - ``level`` in the unit people read; NaN for one unit, and
        where all are alike, as neither tells a spread."""
        reach = quantile(level, self.freedom) * (self.error or math.nan)
        return self.back(self.estimate - reach), self.back(self.estimate + reach)

    def p_above(self, bound: float) -> float:
        """p value of the hypothesis that the true effect is at most ``bound``, one-sided.

        Numbers that are all alike, as accuracies on a few samples may be, tell no spread, so that
        Student's t would be infinite: a sign test judges them.
        """
        distance = self.estimate - self.onto(bound)
        if math.isnan(self.error):
            return math.nan
        if self.error == 0:
            tied = abs(distance) <= ALIKE * max(1.0, abs(self.estimate))
            return 0.5 if tied else 0.5**self.n if distance > 0 else 1 - 0.5**self.n
        return float(stats.t.sf(distance / self.error, self.freedom))

    def p_values(self, bounds: tuple[float, float]) -> tuple[float, float]:
        """Two-sided p values of two findings: the true effect is above the first bound, and it is
        below the second. As the first bound is not above the second, at most one of the two
        hypotheses tested is true, and testing both costs nothing.

        >>> above, below = Effect.of_differences([2.0, 2.1, 1.9]).p_values((0.0, 0.5))
        >>> above < 0.05 < below
        True
        """
        above, below = self.p_above(bounds[0]), 1 - self.p_above(bounds[1])
        return min(2 * above, 1.0), min(2 * below, 1.0)

    def more(self, bounds: tuple[float, float], level: float) -> int | None:
        """How many more units would set the estimate apart from the nearer of what it must leave
        behind (above the first bound, or below the second) if estimate and spread stayed as they
        are; None if the spread is not known, `MOST_SEEDS` would not do, or it is a correlation,
        whose points (classes) nobody can add to."""
        low, high = map(self.onto, bounds)
        distance = max(self.estimate - low, high - self.estimate)
        if self.correlation or math.isnan(self.error) or distance <= ALIKE:
            return None
        if self.error == 0:
            return max(0, math.floor(1 - math.log2(level)) + 1 - self.n)
        for n in range(max(self.n, 2), MOST_SEEDS + 1):
            if quantile(level, n - 1) * self.error * math.sqrt(self.n / n) < distance:
                return n - self.n
        return None


def quantile(level: float, freedom: float) -> float:
    """Student's t that two-sided intervals of 1 - ``level`` reach to."""
    return float(stats.t.ppf(1 - level / 2, freedom)) if freedom > 0 else math.nan


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's adjustment of p values for their number; NaN stay, and do not count.

    >>> holm([0.01, 0.04, 0.03])
    [0.03, 0.06, 0.06]
    """
    order = sorted((p, place) for place, p in enumerate(p_values) if not math.isnan(p))
    adjusted, running = [math.nan] * len(p_values), 0.0
    for rank, (p, place) in enumerate(order):
        running = max(running, min(1.0, p * (len(order) - rank)))
        adjusted[place] = running
    return adjusted
