"""How evolvers behave: on functions, and with successes that a test chose."""

import itertools
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from scipy import stats
from torch import Tensor

from nslab.evolve import CLASSIC, EVOLVERS, AdaptiveDE
from nslab.evolve.de import DEState, DETrials
from nslab.evolve.operators import draw_picks, mutate
from nslab.evolve.population import Population
from nslab.rng import generator

NP, D = 20, 10
FULL = EVOLVERS["sa-shade-tri-ensin"]
assert isinstance(FULL, AdaptiveDE)
SHADE = replace(FULL, sinusoid="off")
SADE = EVOLVERS["sade"]
assert isinstance(SADE, AdaptiveDE)


def sphere(x: Tensor) -> Tensor:
    return x.double().square().sum(1)


def begin(evolver: Any, np: int = NP, d: int = D) -> Any:
    x = torch.rand(np, d, generator=generator(5, "start"), dtype=torch.float64) * 10 - 5
    return evolver.init(Population.of(x), sphere(x))


def trials_of(state: Any) -> Tensor:
    return state.population.rows[state.population.spare]


def evolve(evolver: Any, state: Any, number: int) -> Any:
    for _ in range(number):
        trials = evolver.ask(state, generator(0, "evolve", state.generation))
        state = evolver.tell(state, trials, sphere(trials_of(state)))
    return state


def choose(
    evolver: AdaptiveDE,
    state: DEState,
    number: int,
    gain: Callable[[DEState, DETrials], Tensor],
) -> DEState:
    """Generations whose trials gain what ``gain`` says of them."""
    for _ in range(number):
        trials = evolver.ask(state, generator(1, "evolve", state.generation))
        state = evolver.tell(state, trials, state.fitness - gain(state, trials))
    return state


@pytest.mark.slow
@pytest.mark.parametrize("name", EVOLVERS)
def test_every_evolver_improves_on_the_sphere(name: str) -> None:
    """100 generations: the best falls to a tenth at most. PSO of 1995 has no brake."""
    state = begin(EVOLVERS[name])
    after = evolve(EVOLVERS[name], state, 100)
    assert after.fitness.min() < state.fitness.min() * (0.8 if name == "pso" else 0.1)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["de", "sade", "shade", "pso-constriction"])
def test_classics_converge_on_the_sphere(name: str) -> None:
    """250 generations, from about 30 to below 1e-3."""
    assert evolve(CLASSIC[name], begin(CLASSIC[name]), 250).fitness.min() < 1e-3


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("field", ["f", "cr"])
def test_archives_follow_success(field: str, sign: int) -> None:
    """Where values above the middle of the cells win, all cells rise; where those below, fall."""

    def gain(state: DEState, trials: DETrials) -> Tensor:
        middle = getattr(state, field).cells.mean(1)[trials.strategy]
        return sign * (getattr(trials, field) - middle)

    state = choose(SHADE, begin(SHADE, np=40), 40, gain)
    low, high = getattr(SHADE, f"{field}_range")
    moved = (getattr(state, field).cells - (low + high) / 2) * sign / (high - low)
    assert (moved > 0.05).all()


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("kind", ["mean", "median"])
def test_recent_cr_follows_success(kind: str, sign: int) -> None:
    """SADE's centre likewise; for the first H generations it stays where it began."""
    evolver = replace(SADE, adapt_cr=kind)

    def gain(state: DEState, trials: DETrials) -> Tensor:
        return sign * (trials.cr - state.recent_cr.centres(0.15, kind)[trials.strategy])

    state = choose(evolver, begin(evolver, np=40), 4, gain)
    assert (state.recent_cr.centres(0.15, kind) == 0.15).all()
    state = choose(evolver, state, 20, gain)
    assert (sign * (state.recent_cr.centres(0.15, kind) - 0.15) > 0.03).all()


def test_archives_as_a_second_writing_has_them() -> None:
    """30 generations of random gains against plain Python loops over strategies and successes."""
    g, s, h = generator(3, "gains"), len(FULL.strategies), FULL.history
    state = begin(FULL)
    cells = {"f": [[0.1] * h for _ in range(s)], "cr": [[0.15] * h for _ in range(s)]}
    cells["frequency"] = [[0.5] * h for _ in range(s)]
    at = {name: [0] * s for name in cells}
    for _ in range(30):
        trials = FULL.ask(state, generator(2, "evolve", state.generation))
        gains = torch.randn(NP, generator=g, dtype=torch.float64)
        parents = state.fitness
        state = FULL.tell(state, trials, parents - gains)
        for name, k in itertools.product(cells, range(s)):
            mine = [
                (float(parents[i] - (parents[i] - gains[i])), float(getattr(trials, name)[i]))
                for i in range(NP)
                if gains[i] > 0
                and trials.strategy[i] == k
                and (name != "frequency" or trials.sinusoidal[i])
            ]
            if mine:
                total = sum(gain for gain, _ in mine)
                above = sum(gain / total * v * v for gain, v in mine)
                below = sum(gain / total * v for gain, v in mine)
                cells[name][k][at[name][k]] = above / below
                at[name][k] = (at[name][k] + 1) % h
    for name, wanted in cells.items():
        torch.testing.assert_close(
            getattr(state, name).cells, torch.tensor(wanted, dtype=torch.float64)
        )
    assert at["frequency"] != at["f"]  # each pointer is its own


def test_strategies_follow_success() -> None:
    """P_S goes to the strategy that wins, and moves on when another one does."""
    state = begin(FULL, np=40)

    def winner(k: int) -> Callable[[DEState, DETrials], Tensor]:
        return lambda state, trials: (trials.strategy == k).double() - 0.5

    state = choose(FULL, state, FULL.history - 1, winner(3))
    assert state.bank.probabilities().tolist() == pytest.approx([0.2] * 5)
    for k in (3, 1):
        state = choose(FULL, state, 3 * FULL.history, winner(k))
        assert state.bank.probabilities()[k] > 0.9
        trials = FULL.ask(state, generator(9, "evolve", 0))
        assert (trials.strategy == k).double().mean() > 0.7


def test_uniform_strategies_without_adaptation() -> None:
    """However well one does."""
    evolver = replace(FULL, adapt_strategy=False)
    state = choose(evolver, begin(evolver, np=500), 8, lambda s, t: (t.strategy == 0).double())
    counts = evolver.ask(state, generator(9, "evolve", 0)).strategy.bincount(minlength=5)
    assert stats.chisquare(counts.numpy()).pvalue > 1e-3


def test_frequencies_learn_from_those_who_used_them() -> None:
    """Higher frequencies of the adaptive sinusoid win; or all do, as an option."""

    def gain(state: DEState, trials: DETrials) -> Tensor:
        return torch.where(trials.sinusoidal, trials.frequency - 0.6, 1.0)

    state = choose(FULL, begin(FULL, np=40), 5, gain)
    assert (state.frequency.cells[:, 0] > 0.6).all()
    still = choose(FULL, state, 5, gain)  # the second half of a batch has no sinusoid
    assert torch.equal(still.frequency.cells, state.frequency.cells)
    everyone = replace(FULL, learn_frequency="all")
    assert not torch.equal(choose(everyone, state, 5, gain).frequency.cells, state.frequency.cells)


def test_sinusoids_by_generation() -> None:
    """First half of ten generations: 0.1 or the adaptive one; then the archive; again on a new
    batch, and after ten."""
    state = begin(FULL, np=2_000)
    gen = generator(4, "x")
    for since, sinusoidal in ((0, 1), (4, 1), (5, 0), (9, 0), (10, 1), (15, 0), (21, 1)):
        at = replace(state, since_rescore=since, generation=77)
        trials = FULL.ask(at, gen)
        fixed = trials.f[~trials.sinusoidal]
        if sinusoidal:
            g = since % 10 + 1
            assert trials.sinusoidal.double().mean() == pytest.approx(0.5, abs=0.05)
            torch.testing.assert_close(fixed, torch.full_like(fixed, 0.1))
            nu, f = trials.frequency[trials.sinusoidal], trials.f[trials.sinusoidal]
            torch.testing.assert_close(
                f, 0.1 * (1 + torch.sin(2 * torch.pi * nu * g) * g / 10), atol=1e-12, rtol=0
            )
        else:
            assert not trials.sinusoidal.any()
            assert float(fixed.std()) == pytest.approx(0.02, rel=0.1)
    assert FULL.rescore(replace(state, since_rescore=7), state.fitness).since_rescore == 0


def test_coin_per_generation() -> None:
    """All individuals take the same sinusoid, both occur."""
    evolver = replace(FULL, sinusoid="generation")
    state, seen = begin(evolver), set()
    for g in range(30):
        kinds = evolver.ask(state, generator(0, "evolve", g)).sinusoidal.unique().tolist()
        assert len(kinds) == 1
        seen |= set(kinds)
    assert seen == {False, True}


@pytest.mark.parametrize("name", EVOLVERS)
def test_candidates_are_the_mutants(name: str) -> None:
    """Cr = 1: each candidate is what its strategy makes of the picks that were drawn."""
    evolver = EVOLVERS[name]
    if not isinstance(evolver, AdaptiveDE) or evolver.p_best:
        return
    evolver = replace(evolver, adapt_cr="fixed", cr=1.0)
    state = evolve(evolver, begin(evolver), 3)
    trials = evolver.ask(state, generator(0, "evolve", 3))
    targets = torch.arange(NP)
    picks = draw_picks(NP, targets, 5, generator(0, "evolve", 3))
    gen = generator(0, "evolve", 3)
    draw_picks(NP, targets, 5, gen)
    k = torch.rand(8, NP, generator=gen, dtype=torch.float64)[7]
    for s, strategy in enumerate(evolver.strategies):
        wanted = mutate(
            strategy, state.population.x(), state.fitness, targets, picks, trials.f, k=k
        )
        mine = trials.strategy == s
        torch.testing.assert_close(trials_of(state)[mine], wanted[mine])


def test_common_random_numbers() -> None:
    """Ablations share their draws: at first even the strategies are the same."""
    one, two = (e.ask(begin(e), generator(0, "evolve", 0)) for e in (SADE, EVOLVERS["sade+shade"]))
    assert torch.equal(one.strategy, two.strategy)
    torch.testing.assert_close(one.f, two.f)
    torch.testing.assert_close(one.cr, two.cr)


def test_nothing_of_the_mutant() -> None:
    """Cr = 0: no trial is worth an evaluation, and none wins whatever is told; a forced gene
    changes that."""
    evolver = AdaptiveDE(cr=0.0)
    state = begin(evolver)
    trials = evolver.ask(state, generator(0, "evolve", 0))
    assert not trials.changed.any()
    assert torch.equal(trials_of(state), state.population.x())
    after = evolver.tell(state, trials, state.fitness - 1)
    assert torch.equal(after.fitness, state.fitness)
    assert torch.equal(after.population.members, state.population.members)
    assert after.bank.failures.sum() == NP

    forced = replace(evolver, forced_gene=True)
    assert forced.ask(state, generator(0, "evolve", 0)).changed.all()
    assert ((trials_of(state) != state.population.x()).sum(1) == 1).all()


def test_uncrossed_current_to_rand() -> None:
    """As in SaDE: all genes come from the mutant, what is learnt is the Cr drawn."""
    evolver = replace(FULL, cross_all=False)
    state = begin(evolver, np=60)
    trials = evolver.ask(state, generator(0, "evolve", 0))
    touched = (trials_of(state) != state.population.x()).double().mean(1)
    uncrossed = trials.strategy == evolver.strategies.index("current-to-rand/1")
    assert (touched[uncrossed] == 1).all()
    assert touched[~uncrossed].mean() < 0.3
    assert (trials.cr <= 0.3).all()


def test_ties_survive_on_request_and_teach_nothing() -> None:
    """A trial as good as its parent: neither a success nor a gain."""
    for ties in (False, True):
        evolver = replace(SHADE, ties=ties)
        state = begin(evolver)
        after = choose(evolver, state, 1, lambda s, t: torch.zeros(NP))
        moved = after.population.members != state.population.members
        assert moved.all() if ties else not moved.any()
        assert after.bank.successes.sum() == 0
        assert torch.equal(after.f.cells, state.f.cells)
