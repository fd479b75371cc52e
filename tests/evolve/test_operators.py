"""Mutation strategies against the paper's formulas, picks against their law, selection by hand."""

import itertools

import pytest
import torch
from scipy import stats
from torch import Tensor

from nslab.evolve.operators import (
    MUTATIONS,
    Draws,
    check_size,
    draw_picks,
    fittest,
    mixed,
    mutate,
    p_best,
    survives,
)

NP, D = 9, 6


def gen(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def case(targets: list[int], seed: int = 0) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """A population, its fitness, and targets with picks and F."""
    g, t = gen(seed), torch.tensor(targets)
    x = torch.randn(NP, D, generator=g, dtype=torch.float64)
    fitness = torch.rand(NP, generator=g, dtype=torch.float64)
    f = torch.rand(len(t), generator=g, dtype=torch.float64)
    return x, fitness, t, draw_picks(NP, t, 5, g), f


def trigonometric(x: Tensor, loss: Tensor, b: Tensor, i: int, r: list[int], f: float) -> Tensor:
    """Term by term, as printed."""
    r1, r2, r3 = (x[j] for j in r[:3])
    p1, p2, p3 = (abs(loss[j]) / sum(abs(loss[q]) for q in r[:3]) for j in r[:3])
    mean = (r1 + r2 + r3) / 3
    return mean + (p2 - p1) * (r1 - r2) + (p3 - p2) * (r2 - r3) + (p1 - p3) * (r3 - r1)


# The strategies as the papers print them, one target i at a time: members x, the best b, picks r;
# K = 1/2.
WRITTEN = {
    "rand/1": lambda x, loss, b, i, r, f: x[r[0]] + f * (x[r[1]] - x[r[2]]),
    "current-to-best/1": lambda x, loss, b, i, r, f: (
        x[i] + f * (b - x[i]) + f * (x[r[0]] - x[r[1]])
    ),
    "current-to-best/2": lambda x, loss, b, i, r, f: (
        x[i] + f * (b - x[i]) + f * (x[r[0]] - x[r[1]]) + f * (x[r[2]] - x[r[3]])
    ),
    "rand/2": lambda x, loss, b, i, r, f: (
        x[r[0]] + f * (x[r[1]] - x[r[2]]) + f * (x[r[3]] - x[r[4]])
    ),
    "current-to-rand/1": lambda x, loss, b, i, r, f: (
        x[i] + 0.5 * (x[r[0]] - x[i]) + f * (x[r[1]] - x[r[2]])
    ),
    "trigonometric": trigonometric,
}


def as_written(name: str, x: Tensor, loss: Tensor, i: int, r: list[int], f: float) -> Tensor:
    """A strategy's mutant by its printed formula."""
    assert name in WRITTEN, f"write the formula of {name!r}, as its paper has it, into WRITTEN"
    return WRITTEN[name](x, loss, x[int(loss.argmin())], i, r, f)


@pytest.mark.parametrize("name", MUTATIONS)
def test_as_written(name: str) -> None:
    """Every strategy for some targets only, in order, against its formula; negative losses too."""
    x, fitness, targets, picks, f = case([7, 0, 3])
    for loss in (fitness, fitness - 0.5):
        mutants = mutate(name, x, loss, targets, picks, f)
        assert mutants.shape == (3, D)
        for row, i, r, s in zip(mutants, targets.tolist(), picks.tolist(), f.tolist(), strict=True):
            torch.testing.assert_close(row, as_written(name, x, loss, i, r, s))


@pytest.mark.parametrize("name", MUTATIONS)
def test_weights_sum_to_one(name: str) -> None:
    """So a population moved as a whole has mutants moved as a whole."""
    _, fitness, targets, picks, f = case(list(range(NP)))
    best, k = fittest(fitness).expand(NP), torch.rand(NP, generator=gen(), dtype=torch.float64)
    terms = MUTATIONS[name].terms(Draws(fitness, targets, picks, f, best, k))
    torch.testing.assert_close(terms.weights.sum(1), torch.ones(NP, dtype=torch.float64))


@pytest.mark.parametrize("name", MUTATIONS)
def test_only_the_needed_picks_matter(name: str) -> None:
    """A strategy takes its first picks; one less is an error or another mutant, so none is idle."""
    x, fitness, targets, picks, f = case([1, 2])
    needed = MUTATIONS[name].picks
    wanted = mutate(name, x, fitness, targets, picks, f)
    torch.testing.assert_close(mutate(name, x, fitness, targets, picks[:, :needed], f), wanted)
    for slot in range(needed):
        other = picks.clone()
        other[:, slot] = targets
        assert not torch.allclose(mutate(name, x, fitness, targets, other, f), wanted)


def test_k_moves_current_to_rand() -> None:
    """K = 0: the target, K = 1: the first pick, each plus the difference."""
    x, fitness, targets, picks, f = case([4, 5])
    difference = f[:, None] * (x[picks[:, 1]] - x[picks[:, 2]])
    for k, base in ((0.0, x[targets]), (1.0, x[picks[:, 0]])):
        got = mutate("current-to-rand/1", x, fitness, targets, picks, f, k=torch.full_like(f, k))
        torch.testing.assert_close(got, base + difference)


def test_trigonometric_by_hand() -> None:
    """Losses 1, 2, 5 of corners 0, 8, 16: weights 4/3 - 3/8, 4/3 - 6/8, 4/3 - 15/8."""
    x, loss = torch.tensor([[0.0], [8.0], [16.0], [99.0]]), torch.tensor([1.0, 2.0, 5.0, 0.0])
    got = mutate(
        "trigonometric", x, loss, torch.tensor([3]), torch.tensor([[0, 1, 2]]), torch.ones(1)
    )
    torch.testing.assert_close(got, torch.tensor([[8 * 7 / 12 - 16 * 13 / 24]]))


def test_trigonometric_ignores_order_and_f() -> None:
    """All six orders of the picks, any F: one mutant, and it lies on the better picks' side."""
    x, fitness, targets, picks, f = case([0, 1, 2])
    wanted = mutate("trigonometric", x, fitness, targets, picks, f)
    for order in itertools.permutations(range(3)):
        got = mutate("trigonometric", x, fitness, targets, picks[:, list(order)], 7 * f)
        torch.testing.assert_close(got, wanted)
    line = torch.linspace(0, 1, NP, dtype=torch.float64)  # position = loss: less is left
    got = mutate("trigonometric", line[:, None], line, targets, picks, f)
    assert (got[:, 0] < line[picks[:, :3]].mean(1)).all()


@pytest.mark.parametrize("bad", [0.0, torch.inf, torch.nan, -torch.inf])
def test_trigonometric_without_information(bad: float) -> None:
    """No losses to go by: the mean of the picks."""
    x, fitness, targets, picks, f = case([0, 1])
    loss = torch.zeros_like(fitness) if bad == 0 else torch.full_like(fitness, bad)
    got = mutate("trigonometric", x, loss, targets, picks, f)
    torch.testing.assert_close(got, x[picks[:, :3]].mean(1))
    huge = torch.full_like(fitness, 1e308)
    torch.testing.assert_close(mutate("trigonometric", x, huge, targets, picks, f), got)


def test_a_strategy_for_each_target() -> None:
    """Mixed terms give what each strategy gives alone, at the widest strategy's width."""
    x, fitness, targets, picks, f = case(list(range(NP)))
    names = list(MUTATIONS)
    strategy = torch.arange(NP) % len(names)
    k = torch.full_like(f, 0.5)
    draws = Draws(fitness, targets, picks, f, fittest(fitness).expand(NP), k)
    terms = mixed(names, strategy, draws)
    assert terms.picks.shape == terms.weights.shape == (NP, 6)
    mutants = (terms.weights[:, :, None] * x[terms.picks]).sum(1)
    for s, name in enumerate(names):
        alone = mutate(name, x, fitness, targets, picks, f)
        torch.testing.assert_close(mutants[strategy == s], alone[strategy == s])
    assert mixed(["rand/1"], torch.zeros_like(targets), draws).picks.shape == (NP, 3)


@pytest.mark.parametrize(("np", "k"), [(4, 3), (6, 2), (5, 4)])
def test_picks_are_uniform(np: int, k: int) -> None:
    """Every ordered choice of k others is equally likely, for every target."""
    targets = torch.arange(np).repeat(4_000)
    picks = draw_picks(np, targets, k, gen(1))
    assert picks.shape == (len(targets), k)
    for target in range(np):
        drawn = picks[targets == target]
        assert (drawn != target).all()
        others = [i for i in range(np) if i != target]
        choices = {c: n for n, c in enumerate(itertools.permutations(others, k))}
        counts = [0] * len(choices)
        for row in drawn.tolist():
            counts[choices[tuple(row)]] += 1  # a KeyError: not distinct
        assert stats.chisquare(counts).pvalue > 1e-4


def test_picks_need_enough_members() -> None:
    with pytest.raises(ValueError, match="population of 4, not 3"):
        draw_picks(3, torch.arange(3), 3, gen())
    assert draw_picks(4, torch.tensor([2]), 3, gen()).sort().values.tolist() == [[0, 1, 3]]


@pytest.mark.parametrize("name", MUTATIONS)
def test_too_small_a_population(name: str) -> None:
    """The error says which strategy needs how many."""
    needed = MUTATIONS[name].picks + 1
    check_size(needed, [name])
    with pytest.raises(ValueError, match=f"'{name}' needs a population of at least {needed}"):
        check_size(needed - 1, ["current-to-best/1", name])


def test_selection() -> None:
    """Strictly better; what is not finite never enters; a NaN parent gives way."""
    inf, nan = torch.inf, torch.nan
    table = [  # parent, trial, survives, with ties
        (1.0, 0.5, True, True),
        (1.0, 1.0, False, True),
        (1.0, 1.5, False, False),
        (1.0, nan, False, False),
        (1.0, -inf, False, False),
        (inf, 1e308, True, True),
        (inf, inf, False, False),
        (nan, 1e308, True, True),
        (nan, nan, False, False),
        (nan, inf, False, False),
        (nan, -inf, False, False),
    ]
    parent = torch.tensor([row[0] for row in table], dtype=torch.float64)
    trial = torch.tensor([row[1] for row in table], dtype=torch.float64)
    assert survives(parent, trial).tolist() == [row[2] for row in table]
    assert survives(parent, trial, ties=True).tolist() == [row[3] for row in table]


def test_the_best() -> None:
    """NaN is never it, unless there is nothing else; p-best draws from the best few."""
    nan, inf = torch.nan, torch.inf
    assert fittest(torch.tensor([nan, 3.0, 2.0, nan])) == 2
    assert fittest(torch.tensor([nan, inf, 1e30])) == 2
    assert fittest(torch.full((3,), nan)) in (0, 1, 2)
    fitness = torch.tensor([5.0, nan, 1.0, 3.0, 2.0, 4.0, 6.0, 7.0, 8.0, 9.0])
    u = torch.linspace(0, 0.9999, 60, dtype=torch.float64)
    assert set(p_best(fitness, 0.0, u).tolist()) == {2}
    assert set(p_best(fitness, 0.1, u).tolist()) == {2, 4}  # at least two
    assert set(p_best(fitness, 0.3, u).tolist()) == {2, 4, 3}
    assert p_best(fitness, 1.0, u).bincount().tolist() == [6] * 10
