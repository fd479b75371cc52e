"""Effects: estimates from a few runs, with intervals and p values."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

LEVEL = 0.05  # family-wise level of all two-sided tests of a paper's claims
MOST_SEEDS = 1000  # `Effect.more` looks no further
ALIKE = 1e-9  # a smaller relative difference is rounding


@dataclass(frozen=True)
class Effect:
    """An estimate and its standard error.

    Attributes:
        estimate: the mean difference, or Fisher's z = atanh(r) of a correlation r.
        error: its standard error; NaN for a single number, 0 if all numbers are equal.
        freedom: degrees of freedom of the error, infinite for a correlation.
        n: number of independent units: seeds, evolutions, or points of a correlation.
        correlation: whether the estimate is Fisher's z, which is shown as a correlation.
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
        """The mean of correlations r, each with its number of points n > 3: the mean of Fisher's z
        weighted by n - 3, the inverse of its variance.

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
        """The estimate in the unit that people read: a correlation, not its z."""
        return self.back(self.estimate)

    def back(self, value: float) -> float:
        """A value on the scale of `estimate`, converted to the unit that people read."""
        return math.tanh(value) if self.correlation else value

    def onto(self, value: float) -> float:
        """A value in the unit that people read, converted to the scale of `estimate`."""
        return math.atanh(value) if self.correlation else value

    def interval(self, level: float = LEVEL) -> tuple[float, float]:
        """The 1 - ``level`` confidence interval in the unit that people read; NaN for a single
        number, and if all are equal, since the spread is unknown then."""
        reach = quantile(level, self.freedom) * (self.error or math.nan)
        return self.back(self.estimate - reach), self.back(self.estimate + reach)

    def p_above(self, bound: float) -> float:
        """One-sided p value for the null hypothesis that the true effect is at most ``bound``.

        If all numbers are equal, as accuracies on a few samples may be, Student's t would be
        infinite: a sign test is used instead. NaN for a single number.
        """
        distance = self.estimate - self.onto(bound)
        if math.isnan(self.error):
            return math.nan
        if self.error == 0:
            tied = abs(distance) <= ALIKE * max(1.0, abs(self.estimate))
            return 0.5 if tied else 0.5**self.n if distance > 0 else 1 - 0.5**self.n
        return float(stats.t.sf(distance / self.error, self.freedom))

    def p_values(self, bounds: tuple[float, float]) -> tuple[float, float]:
        """Two-sided p values of two findings: that the true effect is above the first bound, and
        that it is below the second. The first bound must not exceed the second: then at most one
        of the two null hypotheses is true, so testing both needs no correction.

        >>> above, below = Effect.of_differences([2.0, 2.1, 1.9]).p_values((0.0, 0.5))
        >>> above < 0.05 < below
        True
        """
        above, below = self.p_above(bounds[0]), 1 - self.p_above(bounds[1])
        return min(2 * above, 1.0), min(2 * below, 1.0)

    def more_units_needed(self, bounds: tuple[float, float], level: float) -> int | None:
        """How many more units would make one of the two findings of `p_values` significant at
        ``level`` if estimate and spread stayed as they are. None if the spread is unknown,
        `MOST_SEEDS` would not be enough, or it is a correlation, whose points (classes) cannot be
        added to."""
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
    """The quantile of Student's t for a two-sided 1 - ``level`` interval; NaN if freedom is 0."""
    return float(stats.t.ppf(1 - level / 2, freedom)) if freedom > 0 else math.nan


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's adjustment of p values for multiple tests; NaNs are kept and not counted.

    >>> holm([0.01, 0.04, 0.03])
    [0.03, 0.06, 0.06]
    """
    order = sorted((p, place) for place, p in enumerate(p_values) if not math.isnan(p))
    adjusted, running = [math.nan] * len(p_values), 0.0
    for rank, (p, place) in enumerate(order):
        running = max(running, min(1.0, p * (len(order) - rank)))
        adjusted[place] = running
    return adjusted
