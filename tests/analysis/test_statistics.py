"""Statistics against hand-worked numbers and published tables."""

import math

import numpy as np
import pandas as pd
import pytest

from nslab.analysis.statistics import (
    between_share,
    detectable_effect,
    differences,
    paired,
    regression,
)
from nslab.training.metrics import above_chance


def test_paired_by_hand() -> None:
    """Differences 1, 2, 3: mean 2, sd 1, t = 2 sqrt(3), interval 2 +- 4.3027 / sqrt(3)."""
    a = pd.Series([11.0, 22.0, 33.0, 99.0], index=[1, 2, 3, 4])
    b = pd.Series([30.0, 20.0, 10.0], index=[3, 2, 1])
    found = paired(a, b)
    assert (found.n, found.mean, found.sd, found.effect) == (3, 2.0, 1.0, 2.0)
    assert found.t == pytest.approx(2 * math.sqrt(3))
    assert found.high - 2 == pytest.approx(4.302653 / math.sqrt(3), rel=1e-6)
    assert 2 - found.low == pytest.approx(found.high - 2)
    # two degrees of freedom: P(|T| > t) = 1 - t / sqrt(2 + t^2)
    assert found.p == pytest.approx(1 - found.t / math.sqrt(2 + found.t**2))


def test_paired_with_little() -> None:
    """One pair has a mean and nothing else; equal differences have no test; no pair is an error."""
    one = paired(pd.Series([3.0], index=[7]), pd.Series([1.0], index=[7]))
    assert (one.n, one.mean) == (1, 2.0)
    assert math.isnan(one.sd)
    assert math.isnan(one.p)
    same = paired(pd.Series([3.0, 4.0]), pd.Series([1.0, 2.0]))
    assert (same.low, same.high, same.sd) == (2.0, 2.0, 0.0)
    assert math.isnan(same.p)
    with pytest.raises(ValueError, match="no seed in common"):
        paired(pd.Series([3.0], index=[7]), pd.Series([1.0], index=[8]))


def test_differences_are_paired_within_groups() -> None:
    """A line per group and method; a seed that one side lacks is left out."""
    rows = [
        ("a", "ce", 1, 10.0),
        ("a", "ce", 2, 20.0),
        ("a", "ns", 1, 11.0),
        ("a", "ns", 2, 23.0),
        ("a", "ns", 3, 99.0),
        ("b", "ce", 1, 50.0),
        ("b", "ns", 1, 45.0),
    ]
    table = pd.DataFrame(rows, columns=["network", "method", "seed", "value"])
    found = differences(table, "ce", ["network"]).set_index("network")
    assert list(found["mean"]) == [2.0, -5.0]
    assert list(found["n"]) == [2, 1]
    assert set(found["method"]) == {"ns"}
    alone = differences(table[table["network"] == "a"], "ce", [])
    assert alone["mean"].tolist() == [2.0]


def test_detectable_effect() -> None:
    """Known sample sizes of a paired t test at 80 % power: d = 0.5 takes 34 pairs, d = 1 takes 10
    (Cohen 1988); three pairs find only effects above 3."""
    assert detectable_effect(34) == pytest.approx(0.5, abs=0.01)
    assert 0.95 < detectable_effect(10) < 1.0
    assert detectable_effect(3) == pytest.approx(3.26, abs=0.05)
    assert detectable_effect(1) == math.inf


def test_power_by_simulation() -> None:
    """Of 4,000 simulated triples at the detectable effect, 80 % are significant."""
    draws = np.random.default_rng(0).normal(detectable_effect(3), 1, (4000, 3))
    t = draws.mean(1) / (draws.std(1, ddof=1) / math.sqrt(3))
    assert (abs(t) > 4.302653).mean() == pytest.approx(0.8, abs=0.02)


def test_regression_by_hand() -> None:
    """Points (0, 1), (1, 3), (2, 2): slope 1/2, intercept 3/2, r = 1/2, rank correlation 1/2."""
    line = regression(pd.Series([0, 1, 2]), pd.Series([1, 3, 2]))
    assert (line.slope, line.intercept, line.n) == (0.5, 1.5, 3)
    assert line.r == pytest.approx(0.5)
    assert line.rank == pytest.approx(0.5)
    assert line.p == pytest.approx(2 / 3)  # one degree of freedom: 1 - 2 atan(t) / pi, t = 1/sqrt 3
    assert line.rank_p == pytest.approx(2 / 3)  # the points are their own ranks
    assert line.verdict == "not significant"


def test_rank_and_line_can_disagree() -> None:
    """Eight points in order, the last far out: ranks agree entirely, the line does not fit."""
    x = pd.Series([1, 2, 3, 4, 5, 6, 7, 100])
    bent = regression(x, pd.Series([1.0, 2, 3, 4, 5, 6, 7, 7.1]))
    assert bent.rank == pytest.approx(1)
    assert bent.rank_p < 0.001 < 0.05 < bent.p
    assert bent.verdict == "significant by rank alone"
    assert regression(x, 2.0 * x + 1).verdict == "significant by Pearson's r and by rank"
    # Kendall & Gibbons: of eight ranks, 0.738 is the two-sided 5 % point of Spearman's
    swapped = regression(x, pd.Series([3, 1, 4, 2, 5, 8, 6, 7]))
    assert swapped.rank == pytest.approx(1 - 6 * (4 + 1 + 1 + 4 + 0 + 4 + 1 + 1) / (8 * 63))
    assert swapped.rank_p < 0.05


def test_between_share() -> None:
    """Groups apart without spread: all of the variance; equal means: none; by hand between."""
    table = pd.DataFrame({"g": list("aabb"), "v": [1.0, 1.0, 3.0, 3.0]})
    assert between_share(table, "v", "g") == 1
    assert between_share(table.assign(v=[1.0, 3.0, 1.0, 3.0]), "v", "g") == 0
    assert between_share(table.assign(v=[0.0, 2.0, 2.0, 4.0]), "v", "g") == pytest.approx(4 / 8)


def test_above_chance_by_the_binomial_law() -> None:
    """Of 503 digits 10 classes guess 50 by chance, sd 6.7; of 10,000 images 100 classes guess 100,
    sd 9.9: about three of these are the limit."""
    assert not above_chance(10.3, 10, 503)
    assert not above_chance(13.7, 10, 503)
    assert above_chance(15.0, 10, 503)
    assert not above_chance(1.28, 100, 10000)
    assert above_chance(1.36, 100, 10000)
    assert not above_chance(0.0, 10, 503)
