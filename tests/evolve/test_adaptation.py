"""Memories by hand and in the hard range, draws against the laws they claim."""

import math

import pytest
import torch
from scipy import stats
from torch import Tensor

from nslab.evolve.adaptation import (
    RecentSuccesses,
    StrategyBank,
    SuccessHistory,
    decreasing,
    draw_normal,
    draw_positive,
    increasing,
    scaled,
)


def ints(*values: int) -> Tensor:
    return torch.tensor(values, dtype=torch.long)


def floats(*values: float) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


def bools(*values: int) -> Tensor:
    return torch.tensor(values, dtype=torch.bool)


def test_bank_by_hand() -> None:
    """Uniform until H generations are counted, then shares + 0.01, over the last H only."""
    bank = StrategyBank.of(3, 2)
    third = torch.full((3,), 1 / 3, dtype=torch.float64)
    bank = bank.update(ints(0, 0, 1, 1), bools(1, 1, 0, 0))
    torch.testing.assert_close(bank.probabilities(), third)
    bank = bank.update(ints(0, 1, 1, 1), bools(0, 1, 0, 0))
    s = floats(2 / 3 + 0.01, 1 / 5 + 0.01, 0.01)  # strategy 2 was never tried
    torch.testing.assert_close(bank.probabilities(), s / s.sum())
    bank = bank.update(ints(2, 2), bools(1, 0))  # the first generation is forgotten
    s = floats(0.01, 1 / 3 + 0.01, 1 / 2 + 0.01)
    torch.testing.assert_close(bank.probabilities(), s / s.sum())
    s = floats(0.1, 1 / 3 + 0.1, 1 / 2 + 0.1)
    torch.testing.assert_close(bank.probabilities(floor=0.1), s / s.sum())
    assert bank.successes.tolist() == [[0, 1, 0], [0, 0, 1]]
    assert bank.failures.tolist() == [[1, 2, 0], [0, 0, 1]]


def test_bank_of_failures_is_uniform() -> None:
    """Nobody succeeds: nobody is preferred, and nobody dies out."""
    bank = StrategyBank.of(2, 1).update(ints(0, 0, 0, 1), bools(0, 0, 0, 0))
    assert bank.probabilities().tolist() == [0.5, 0.5]


def test_lehmer_by_hand() -> None:
    """Gains 1 and 3 of values 0.2 and 0.6: (0.04 + 1.08) / (0.2 + 1.8) = 0.56."""
    start = SuccessHistory.of(2, 3, 0.5)
    after = start.update(ints(1, 1), floats(0.2, 0.6), floats(1, 3))
    torch.testing.assert_close(
        after.cells, torch.tensor([[0.5, 0.5, 0.5], [0.56, 0.5, 0.5]]).double()
    )
    assert after.pointer.tolist() == [0, 1]
    assert (start.cells == 0.5).all()  # a new value, not a changed one
    plain = start.update(ints(1, 1), floats(0.2, 0.6), floats(1, 3), mean="arithmetic")
    assert plain.cells[1, 0].item() == pytest.approx(0.5)


def test_pointer_goes_round() -> None:
    """H + 1 successes overwrite the first cell; each strategy has its own pointer."""
    history = SuccessHistory.of(2, 3, 0.5)
    for n in range(4):
        history = history.update(ints(0), floats(0.1 * (n + 1)), floats(1))
    history = history.update(ints(1), floats(0.9), floats(1))
    torch.testing.assert_close(history.cells, floats(0.4, 0.2, 0.3, 0.9, 0.5, 0.5).view(2, 3))
    assert history.pointer.tolist() == [1, 1]


def test_nothing_succeeds_nothing_moves() -> None:
    history = SuccessHistory.of(2, 3, 0.5)
    after = history.update(ints(), floats(), floats())
    assert torch.equal(after.cells, history.cells)
    assert torch.equal(after.pointer, history.pointer)


def test_all_zero_values_keep_the_cell() -> None:
    """0 / 0 of the Lehmer mean: the cell stays, the pointer moves."""
    for mean in ("lehmer", "arithmetic"):
        after = SuccessHistory.of(1, 2, 0.5).update(ints(0, 0), floats(0, 0), floats(1, 2), mean)
        assert after.cells.tolist() == [[0.5, 0.5]]
        assert after.pointer.tolist() == [1]


@pytest.mark.parametrize("scale", [1e-320, 1e-300, 1.0, 1e300])
def test_gains_of_any_size(scale: float) -> None:
    """Only their ratio counts; each strategy's are its own."""
    strategy, values = ints(0, 0, 1), floats(0.2, 0.6, 0.9)
    gains = floats(1 * scale, 3 * scale, 1e-310)
    after = SuccessHistory.of(2, 1, 0.5).update(strategy, values, gains)
    torch.testing.assert_close(after.cells[:, 0], floats(0.56, 0.9), atol=1e-3, rtol=0)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_gain_over_a_failed_parent(bad: float) -> None:
    """It counts like the largest finite one of its strategy, or 1."""
    strategy, values = ints(0, 0, 0, 1, 1), floats(0.2, 0.6, 0.4, 0.3, 0.6)
    history = SuccessHistory.of(2, 1, 0.5)
    after = history.update(strategy, values, floats(1, 3, bad, bad, bad))
    wanted = history.update(strategy, values, floats(1, 3, 3, 1, 1))
    torch.testing.assert_close(after.cells, wanted.cells)


def test_mean_lies_between_its_values() -> None:
    """For many random successes."""
    g = torch.Generator().manual_seed(0)
    history = SuccessHistory.of(4, 5, 0.5)
    for _ in range(200):
        n = int(torch.randint(1, 12, (), generator=g))
        strategy = torch.randint(4, (n,), generator=g)
        values = torch.rand(n, generator=g, dtype=torch.float64)
        gains = torch.rand(n, generator=g, dtype=torch.float64) ** 8
        before, history = history, history.update(strategy, values, gains)
        for s in range(4):
            mine, slot = values[strategy == s], before.pointer[s]
            if len(mine):
                cell = float(history.cells[s, slot])
                assert float(mine.min()) - 1e-12 <= cell <= float(mine.max()) + 1e-12
            else:
                assert torch.equal(history.cells[s], before.cells[s])


def test_cells_are_drawn_uniformly() -> None:
    history = SuccessHistory(torch.arange(10).double().view(2, 5), ints(0, 0))
    u = torch.linspace(0, 1 - 1e-9, 1_000, dtype=torch.float64)
    assert history.at(torch.ones(1_000).long(), u).long().bincount().tolist() == [0] * 5 + [200] * 5


def test_recent_successes_by_hand() -> None:
    """The start until H generations are known; mean and median per strategy, of the last H."""
    recent = RecentSuccesses.of(3, 2, 4)
    recent = recent.update(ints(0, 0, 1), ints(0, 1, 2), floats(0.1, 0.2, 0.9))
    assert recent.centres(0.5, "mean").tolist() == [0.5] * 3
    recent = recent.update(ints(0, 0), ints(0, 3), floats(0.6, 0.3))
    torch.testing.assert_close(recent.centres(0.5, "mean"), floats(0.3, 0.9, 0.5))
    torch.testing.assert_close(recent.centres(0.5, "median"), floats(0.25, 0.9, 0.5))
    recent = recent.update(ints(), ints(), floats())
    torch.testing.assert_close(recent.centres(0.5, "mean"), floats(0.45, 0.5, 0.5))


def test_sinusoids_by_hand() -> None:
    """Quarter frequency, ten generations: the swing shrinks or grows about 1/2."""
    got = [decreasing(g, 10, 0.25) for g in range(1, 6)]
    assert got == pytest.approx([0.5 - 0.45, 0.5, 0.5 + 0.35, 0.5, 0.5 - 0.25])
    quarter = torch.full((3,), 0.25, dtype=torch.float64)
    for g, swing in ((1, 0.05), (2, 0.0), (3, -0.15), (5, 0.25), (10, 0.0)):
        torch.testing.assert_close(increasing(g, 10, quarter), 0.5 + swing + 0 * quarter)


def test_half_frequency_is_constant() -> None:
    """The frequency of LSHADE-EpSin gives 1/2 at every whole g: 0.1 in the paper's range."""
    assert [decreasing(g, 10, 0.5) for g in range(1, 11)] == pytest.approx([0.5] * 10)
    torch.testing.assert_close(scaled(floats(0, 0.5, 1), (0.0, 0.2)), floats(0, 0.1, 0.2))


U = torch.rand(20_000, generator=torch.Generator().manual_seed(3), dtype=torch.float64)


def test_normal_draws() -> None:
    """The stated law inside the range, all the rest on its ends."""
    x = draw_normal(U, torch.full_like(U, 0.15), 0.03, (0.0, 0.3))
    assert stats.kstest(x.numpy(), stats.norm(0.15, 0.03).cdf).pvalue > 1e-3
    x = draw_normal(U, torch.full_like(U, 0.02), 0.03, (0.0, 0.3))
    assert (x >= 0).all()
    assert float((x == 0).double().mean()) == pytest.approx(stats.norm.cdf(-2 / 3), abs=0.02)


@pytest.mark.parametrize("centre", [0.0, 0.01, 0.1, 0.2])
@pytest.mark.parametrize("law", ["normal", "cauchy"])
def test_positive_draws(law: str, centre: float) -> None:
    """What redrawing until above 0, then capping, gives (two samples, Kolmogorov-Smirnov)."""
    x = draw_positive(U, torch.full_like(U, centre), 0.02, (0.0, 0.2), law)
    assert ((x > 0) & (x <= 0.2)).all()
    source = {"normal": stats.norm, "cauchy": stats.cauchy}[law](centre, 0.02)
    y = source.rvs(80_000, random_state=0)
    y = y[y > 0].clip(max=0.2)
    assert stats.ks_2samp(x.numpy(), y).pvalue > 1e-3


def test_extreme_draws_stay_inside() -> None:
    """u = 0 and the largest u below 1."""
    u = floats(0.0, 1 - 2**-53)
    for law in ("normal", "cauchy"):
        for centre in (0.0, 0.5, 1.0):
            x = draw_positive(u, torch.full_like(u, centre), 0.1, (0.0, 1.0), law)
            assert ((x > 0) & (x <= 1)).all()
    x = draw_normal(u, torch.full_like(u, 0.5), 0.1, (0.0, 1.0))
    assert ((x >= 0) & (x <= 1)).all()
