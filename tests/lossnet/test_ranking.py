"""Synthetic predictions, their pairs, and what is asked of a loss on them."""

import dataclasses
import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from scipy import stats
from torch import Tensor

from nslab.lossnet.net import LossForm
from nslab.lossnet.ranking import (
    blocked,
    margins,
    monotonicity_violations,
    negative_share,
    pair_losses,
    ranking_accuracy,
    ranking_loss,
)
from nslab.lossnet.synthetic_predictions import (
    DRAW,
    MORE_CLASSES,
    Pairs,
    Regimes,
    at_label,
    draw_pairs,
    draw_predictions,
    draw_rays,
)
from nslab.rng import generator

NAMES = list(DRAW)
Loss = Callable[[Tensor], Tensor]  # of p_y
CE, MAE, REVERSED = (lambda p: -p.log(), lambda p: 1 - p, lambda p: p - 1)


def only(name: str, **fields: object) -> Regimes:
    """One regime alone."""
    return Regimes(**{n: float(n == name) for n in NAMES}, **fields)  # type: ignore[arg-type]


def losses_of(pairs: list[Pairs], *losses: Loss) -> tuple[Tensor, Tensor]:
    """Functions of p_y as candidates."""
    worse = torch.cat([at_label(g.worse, g.worse_y) for g in pairs])
    better = torch.cat([at_label(g.better, g.better_y) for g in pairs])
    return tuple(torch.stack([f(p) for f in losses]) for p in (worse, better))  # type: ignore


def test_predictions_are_what_they_should_be() -> None:
    """On the simplex, labels of all classes evenly, regimes in proportion to their weights."""
    regimes = Regimes(anywhere=1, right=2, wrong=3, boundary=1, even=1)
    p, y, which = draw_predictions(regimes, 8000, 5, generator(0, "x"))
    assert p.shape == (8000, 5)
    assert (p >= 0).all()
    torch.testing.assert_close(p.sum(1), torch.ones(8000).double())
    assert stats.chisquare(torch.bincount(y, minlength=5)).pvalue > 1e-3
    expected = 1000 * np.array([1, 2, 3, 1, 1])
    assert stats.chisquare(torch.bincount(which, minlength=5), expected).pvalue > 1e-3


def test_default_mixture() -> None:
    """The weights are shares; a weight of 0 leaves a regime out; classes for the log feature."""
    assert sum(Regimes().weights.values()) == pytest.approx(1)
    _, _, which = draw_predictions(Regimes(wrong=0.0), 2000, 5, generator(0, "x"))
    assert not (which == NAMES.index("wrong")).any()
    assert set(MORE_CLASSES) == {*Regimes().classes, 100}


@pytest.mark.parametrize("k", [2, 10])
@pytest.mark.parametrize("name", NAMES)
def test_law_of_each_regime(name: str, k: int) -> None:
    """The label's probability follows the law that its regime says."""
    p, y, _ = draw_predictions(only(name), 4000, k, generator(1, name))
    p_y, top = at_label(p, y).numpy(), p.max(1).values.numpy()
    if name == "anywhere":
        assert stats.kstest(p_y, stats.beta(1, k - 1).cdf).pvalue > 1e-3
    elif name == "even":
        assert stats.kstest(p_y, stats.beta(30, 30 * (k - 1)).cdf).pvalue > 1e-3
    elif name == "boundary":
        assert stats.kstest(p_y, stats.beta(4, 4).cdf).pvalue > 1e-3
        assert ((p > 0).sum(1) == 2).all()
    else:
        # d = Beta(1, 9) of mean 1/10, and a share 1 - 1/k of it goes to other classes.
        sure = p_y if name == "right" else p.scatter(1, y[:, None], 0).max(1).values.numpy()
        assert abs((1 - sure).mean() - (1 - 1 / k) / 10) < 0.01
        assert (sure > 0.5).mean() > 0.97
        assert ((top == p_y).mean() > 0.97) == (name == "right")


def test_same_seed_same_pairs_and_no_end() -> None:
    """A function of the generator; it goes on with other ones; the global generator rests."""
    before = torch.get_rng_state()
    gen = generator(3, "x")
    first, second = draw_pairs(Regimes(), 40, gen), draw_pairs(Regimes(), 40, gen)
    again = draw_pairs(Regimes(), 40, generator(3, "x"))
    assert torch.equal(torch.get_rng_state(), before)
    for one, same, other in zip(first, again, second, strict=True):
        assert all(torch.equal(a, b) for a, b in zip(one, same, strict=True))
        assert not torch.equal(one.worse[:3], other.worse[:3])


def test_pairs_come_in_groups_of_one_number_of_classes() -> None:
    """Each number of classes as often as the others, in the type asked for."""
    groups = draw_pairs(Regimes(classes=MORE_CLASSES, tie=0.0), 1003, generator(4, "x"))
    assert [g.worse.shape[1] for g in groups] == list(MORE_CLASSES)
    assert [len(g.worse) for g in groups] == [201, 201, 201, 200, 200]
    assert all(g.worse.dtype == torch.float32 for g in groups)
    (one,) = draw_pairs(Regimes(classes=(3,)), 50, generator(4, "x"), torch.float64)
    assert one.better.dtype == torch.float64


def test_dominance() -> None:
    """The better one has more on the label; all others shrank by one factor."""
    groups = draw_pairs(Regimes(dominance=1.0), 2000, generator(5, "x"), torch.float64)
    assert [len(g.worse) for g in groups] == [500] * 4  # none too near
    for g in groups:
        assert torch.equal(g.worse_y, g.better_y)
        assert (at_label(g.better, g.better_y) > at_label(g.worse, g.worse_y)).all()
        others = torch.ones_like(g.worse).scatter(1, g.worse_y[:, None], 0).bool() & (g.worse > 0)
        factor = torch.where(others, g.better / g.worse, torch.nan)
        low, high = factor.nan_to_num(9).amin(1), factor.nan_to_num(-9).amax(1)
        torch.testing.assert_close(low, high)
        assert (high < 1).all()


def test_independent_pairs() -> None:
    """Ordered by p_y, no nearer than a tie, with labels of their own."""
    groups = draw_pairs(Regimes(dominance=0.0), 2000, generator(6, "x"), torch.float64)
    for g in groups:
        gap = at_label(g.better, g.better_y) - at_label(g.worse, g.worse_y)
        assert gap.min() >= 0.01
        assert gap.min() < 0.05
        assert (g.worse_y == g.better_y).double().mean() < 0.7
    assert 1700 < sum(len(g.worse) for g in groups) < 2000


def test_ranking_loss_by_hand() -> None:
    """Two pairs against the formula with plain numbers."""
    worse, better = torch.tensor([[3.0, -1.0]]).double(), torch.tensor([[1.0, 2.0]]).double()
    sd, margin = float(np.std([3, -1, 1, 2], ddof=1)), torch.tensor([0.4, 1.0])
    pairs = [0.1 * math.log1p(math.exp((m / 2 - d / sd) / 0.1)) for m, d in ((0.4, 2), (1.0, -3))]
    expected = sum(pairs) / 2 + (1 / sd) / 4
    found = float(ranking_loss(worse, better, margin.double()))
    assert found == pytest.approx(expected, rel=1e-7)


def test_ranking_loss_knows_no_scale_and_no_failure() -> None:
    """A factor changes nothing, a sign does; what is constant or not finite is infinitely bad."""
    pairs = draw_pairs(Regimes(), 200, generator(7, "x"), torch.float64)
    none = margins(pairs, "order")
    found = ranking_loss(*losses_of(pairs, CE, lambda p: 1e6 * CE(p), REVERSED), none)
    torch.testing.assert_close(found[0], found[1])
    assert found[2] > 10 * found[0]
    bad = losses_of(pairs, lambda p: 0 * p, lambda p: p / 0, lambda p: p * torch.nan)
    assert torch.equal(ranking_loss(*bad, none), torch.full((3,), torch.inf).double())


def test_margins() -> None:
    """Standardised; the loss that a margin is made of fits it better than others do."""
    pairs = draw_pairs(Regimes(), 4000, generator(8, "x"), torch.float64)
    assert torch.equal(margins(pairs, "order"), torch.zeros_like(margins(pairs, "prob")))
    worse, better = losses_of(pairs, MAE, CE)
    for row, margin in enumerate(("prob", "log")):
        m = margins(pairs, margin)  # type: ignore[arg-type]
        assert (m >= 0).all()
        sd = torch.cat([worse[row], better[row]]).std()
        torch.testing.assert_close(m, (worse - better)[row] / sd)
    log = ranking_loss(worse, better, margins(pairs, "log"))
    prob = ranking_loss(worse, better, margins(pairs, "prob"))
    assert log[1] - log[0] < prob[1] - prob[0]


def test_measures_on_known_losses() -> None:
    """Cross-entropy and the mean absolute error rank all pairs, their negatives none."""
    pairs = draw_pairs(Regimes(), 500, generator(9, "x"), torch.float64)
    worse, better = losses_of(pairs, CE, MAE, REVERSED, lambda p: 0.3 - p)
    assert ranking_accuracy(worse, better).tolist() == [1, 1, 0, 1]
    share = torch.cat(losses_of(pairs, lambda p: p), 1).gt(0.3).double().mean()
    assert negative_share(worse, better)[:3].tolist() == [0, 0, 1]
    assert float(negative_share(worse, better)[3]) == pytest.approx(float(share), abs=1e-3)
    tied = torch.ones(1, 4)
    assert float(ranking_accuracy(tied, tied)) == 0


# Equivariant forms whose wrong classes see saturated units, as functions of p_y = q alone.
FALLING = torch.tensor([[0.5, 50.0, -49.5, -1.0]])  # -tanh(q)
BUMP = torch.tensor([[2.0, 4.0, 50.0, 50.0, -50.0, -52.0, -1.0, 1.0]])  # tanh(8q-6) - tanh(4q-2)


def test_monotonicity() -> None:
    """None for a loss that falls with p_y, nearly all for its negative, some for a bump: just the
    steps at which it rises."""
    rays = draw_rays(Regimes(), 100, generator(10, "x"), torch.float64)
    assert [p.shape for p, _ in rays] == [(25, k) for k in Regimes().classes]
    falling, rising = FALLING.double(), FALLING.double() * torch.tensor([1, 1, 1, -1])
    found = monotonicity_violations(LossForm(hidden=1), torch.cat([falling, rising]), rays)
    assert float(found[0]) == 0
    assert float(found[1]) > 0.95
    t, p_y = np.linspace(0, 1, 33)[:, None], torch.cat([at_label(*ray) for ray in rays]).numpy()
    q = (1 - t) * p_y + t
    rises = np.diff(np.tanh(8 * q - 6) - np.tanh(4 * q - 2), axis=0) > 1e-6
    assert 0.1 < rises.mean() < 0.9
    ours = monotonicity_violations(LossForm(hidden=2), BUMP.double(), rays)
    assert float(ours) == pytest.approx(rises.mean(), abs=2e-3)


def test_blocks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Candidates in blocks of one, or all at once."""
    form, pairs = LossForm(), draw_pairs(Regimes(), 60, generator(11, "x"), torch.float64)
    w = form.initial(7, generator(11, "w"))
    whole = pair_losses(form, w, pairs)
    monkeypatch.setattr("nslab.lossnet.ranking.PAIRS_AT_ONCE", 1)
    for one, other in zip(whole, pair_losses(form, w, pairs), strict=True):
        torch.testing.assert_close(one, other)
    first = pairs[0]
    direct = form.losses(w, first.worse, first.worse_y)
    torch.testing.assert_close(whole[0][:, : len(first.worse)], direct)
    torch.testing.assert_close(blocked(form, w, first.worse, first.worse_y), direct)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"right": -0.1}, "right must be finite"),
        ({"anywhere": math.nan}, "anywhere must be finite"),
        ({"classes": ()}, "classes must be at least one"),
        ({"classes": (1, 2)}, "classes must be numbers of at least 2"),
        ({"doubt": 0.0}, "doubt"),
        ({"evenness": 0}, "evenness"),
        ({"dominance": 1.5}, "dominance"),
        ({"tie": 1.0}, "tie"),
        (dict.fromkeys(NAMES, 0.0), "anywhere must be above 0"),
    ],
)
def test_refusals(fields: dict, words: str, as_users_call: None) -> None:
    """Fields out of range are named."""
    with pytest.raises(ValueError, match=words):
        Regimes(**fields)
    with pytest.raises(TypeError, match="Regimes: classes"):
        dataclasses.replace(Regimes(), classes="2,5")
