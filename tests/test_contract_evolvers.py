"""What every evolver must do: a new entry of EVOLVERS is bound by these without a new test."""

import dataclasses
import io
import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from nslab.evolve import CLASSIC, EVOLVERS, MUTATIONS, TABLE_3, AdaptiveDE
from nslab.evolve.population import Population
from nslab.rng import generator

NP, D = 8, 5
ALL = EVOLVERS | {
    f"classic {name}": evolver
    for name, evolver in CLASSIC.items()
    if evolver not in EVOLVERS.values()
}
DTYPES = [torch.float32, torch.float64, torch.bfloat16]
Fitness = Callable[[Tensor], Tensor]


@pytest.fixture(params=ALL)
def evolver(request: pytest.FixtureRequest) -> Any:
    """Each evolver as it is listed."""
    return ALL[request.param]


def start(np: int = NP, d: int = D, dtype: torch.dtype = torch.float64) -> Population:
    """Random vectors."""
    x = torch.randn(np, d, generator=generator(0, "start"), dtype=torch.float64)
    return Population.of(x.to(dtype))


def sphere(x: Tensor) -> Tensor:
    return x.double().square().sum(1)


def candidates(state: Any, trials: Any) -> Tensor:
    return torch.stack([state.population.trial(int(i)) for i in trials.targets])


def generations(
    evolver: Any, state: Any, number: int, fitness: Fitness = sphere, first: int = 0
) -> Any:
    """Some generations with the draws of (seed 0, generation)."""
    for g in range(first, first + number):
        trials = evolver.ask(state, generator(0, "evolve", g))
        state = evolver.tell(state, trials, fitness(candidates(state, trials)))
    return state


def begin(evolver: Any, fitness: Fitness = sphere, **shape: Any) -> Any:
    population = start(**shape)
    return evolver.init(population, fitness(population.x()))


def through_a_file(saved: dict[str, Any]) -> dict[str, Any]:
    file = io.BytesIO()
    torch.save(saved, file)
    file.seek(0)
    return torch.load(file, weights_only=True)


def assert_same(a: Any, b: Any) -> None:
    torch.testing.assert_close(a, b, rtol=0, atol=0, equal_nan=True)


def test_is_a_documented_value(evolver: Any) -> None:
    """Frozen, hashable, equal to its copy."""
    assert type(evolver).__doc__
    assert evolver == dataclasses.replace(evolver)
    assert hash(evolver) == hash(dataclasses.replace(evolver))
    with pytest.raises(dataclasses.FrozenInstanceError):
        evolver.name = "x"


def test_fields_are_checked(evolver: Any, as_users_call: None) -> None:
    """Text for a number, nan, infinity, unknown options: an error that names the field."""
    for field in dataclasses.fields(evolver):
        for bad in ("a lot", math.nan, -math.inf, -1.0, ("x",)):
            with pytest.raises((TypeError, ValueError), match=field.name):
                dataclasses.replace(evolver, **{field.name: bad})


def test_proposes_for_members_and_leaves_them_alone(evolver: Any) -> None:
    """Distinct targets, candidates in their spare rows only, members to the bit as before."""
    state = begin(evolver)
    for g in range(4):
        population = state.population
        before, fitness = population.rows.clone(), state.fitness.clone()
        trials = evolver.ask(state, generator(0, "evolve", g))
        targets = trials.targets.tolist()
        assert len(set(targets)) == len(targets) > 0
        assert set(targets) <= set(range(NP))
        assert trials.changed.shape == trials.targets.shape
        assert torch.equal(population.rows[population.members], before[population.members])
        others = [i for i in range(NP) if i not in targets]
        assert torch.equal(
            population.rows[population.spare[others]], before[population.spare[others]]
        )
        assert torch.equal(state.fitness, fitness)
        assert candidates(state, trials).isfinite().all()
        for i, changed in zip(targets, trials.changed.tolist(), strict=True):
            if not changed:
                assert torch.equal(population.trial(i), population.member(i))
        state = evolver.tell(state, trials, sphere(candidates(state, trials)))
        assert state.generation == g + 1


def test_members_and_fitness_belong_together(evolver: Any) -> None:
    """After any generation a member's fitness is its own; it is never higher than before."""
    state = begin(evolver)
    for g in range(12):
        before = state
        state = generations(evolver, state, 1, first=g)
        torch.testing.assert_close(state.fitness, sphere(state.population.x()))
        assert (state.fitness <= before.fitness).all()
    assert state.fitness.min() < sphere(start().x()).min()


def test_same_draws_same_evolution(evolver: Any) -> None:
    """A function of seed and generation; another seed gives another one."""
    first, second = (generations(evolver, begin(evolver), 5) for _ in range(2))
    assert_same(evolver.state_dict(first), evolver.state_dict(second))
    other = generations(evolver, begin(evolver), 5, first=100)
    assert not torch.equal(other.population.x(), first.population.x())


def test_touches_no_global_generator(evolver: Any) -> None:
    before = torch.get_rng_state()
    generations(evolver, begin(evolver), 3)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("dtype", DTYPES)
def test_goes_on_after_a_file(evolver: Any, dtype: torch.dtype) -> None:
    """Saved, loaded with ``weights_only``, continued: the same to the bit."""
    state = generations(evolver, begin(evolver, dtype=dtype), 7)
    again = evolver.load(through_a_file(evolver.state_dict(state)))
    one, two = (generations(evolver, s, 7, first=7) for s in (state, again))
    assert_same(evolver.state_dict(one), evolver.state_dict(two))
    assert two.generation == 14
    assert two.population.rows.dtype == dtype


@pytest.mark.parametrize("dtype", DTYPES)
def test_keeps_the_precision(evolver: Any, dtype: torch.dtype) -> None:
    """Genes stay in their type; it gets better in any of them."""
    state = begin(evolver, dtype=dtype)
    after = generations(evolver, state, 15)
    assert after.population.rows.dtype == dtype
    assert after.fitness.min() < state.fitness.min()


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_failures_never_enter(evolver: Any, bad: float) -> None:
    """Candidates without a finite fitness lose, members that have none give way."""

    def often(x: Tensor) -> Tensor:
        return torch.where(x[:, 0] > 0.1, bad, sphere(x))

    state = begin(evolver, lambda x: sphere(x).index_fill(0, torch.tensor([0, 3]), math.nan))
    state = generations(evolver, state, 25, often)
    assert not (state.fitness == bad).any()
    assert state.fitness[[1, 2, 4, 5, 6, 7]].isfinite().all()
    assert state.population.rows[state.population.members].isfinite().all()
    lost = generations(evolver, state, 1, lambda x: torch.full((len(x),), bad))
    assert torch.equal(lost.population.x(), state.population.x())
    assert_same(lost.fitness, state.fitness)


def test_population_without_any_fitness(evolver: Any) -> None:
    """All members NaN: candidates stay finite, the first finite fitness enters."""
    state = begin(evolver, lambda x: torch.full((len(x),), math.nan))
    state = generations(evolver, state, 20)
    assert state.fitness.isfinite().any()


def test_constant_fitness_moves_nothing_learnt(evolver: Any) -> None:
    """Without a strict success memories hold still."""
    state = begin(evolver, lambda x: torch.ones(len(x)))
    after = generations(evolver, state, 6, lambda x: torch.ones(len(x)))
    assert (after.fitness == 1).all()
    if isinstance(evolver, AdaptiveDE):
        for name in ("f", "cr", "frequency"):
            assert_same(vars(getattr(after, name)), vars(getattr(state, name)))
        assert after.bank.successes.sum() == 0


@pytest.mark.parametrize("name", [n for n, e in ALL.items() if isinstance(e, AdaptiveDE)])
def test_draws_and_memories_stay_in_range(name: str) -> None:
    """F, Cr and frequencies, drawn and learnt, over many generations of random fitness."""
    evolver = ALL[name]
    assert isinstance(evolver, AdaptiveDE)
    g = generator(1, "fitness")
    state = begin(evolver)
    for i in range(60):
        trials = evolver.ask(state, generator(0, "evolve", i))
        assert (trials.f >= evolver.f_range[0]).all()
        assert (trials.f <= evolver.f_range[1]).all()
        assert (trials.cr >= evolver.cr_range[0]).all()
        assert (trials.cr <= evolver.cr_range[1]).all()
        assert ((trials.frequency > 0) & (trials.frequency <= 1)).all()
        gains = torch.randn(NP, generator=g, dtype=torch.float64) ** 9
        state = evolver.tell(state, trials, state.fitness[trials.targets] - gains)
        for memory, (low, high) in (
            (state.f, evolver.f_range),
            (state.cr, evolver.cr_range),
            (state.frequency, (0.0, 1.0)),
        ):
            assert ((memory.cells >= low - 1e-12) & (memory.cells <= high + 1e-12)).all()
        assert state.bank.probabilities().sum() == pytest.approx(1)
        assert (state.bank.probabilities() > 0).all()


def test_smallest(evolver: Any) -> None:
    """One gene, and as few members as it takes."""
    for shape in ({"d": 1}, {"np": evolver.min_population}, {"np": evolver.min_population, "d": 1}):
        state = generations(evolver, begin(evolver, **shape), 12)
        torch.testing.assert_close(state.fitness, sphere(state.population.x()))


def test_too_small(evolver: Any) -> None:
    np = evolver.min_population - 1
    with pytest.raises(ValueError, match=f"population of at least {evolver.min_population}"):
        begin(evolver, np=np)


def test_fitness_of_the_wrong_shape(evolver: Any, as_users_call: None) -> None:
    state = begin(evolver)
    trials = evolver.ask(state, generator(0, "evolve", 0))
    for call in (
        lambda: evolver.init(start(), torch.ones(NP - 1)),
        lambda: evolver.tell(state, trials, torch.ones(NP + 1)),
        lambda: evolver.rescore(state, torch.ones(NP, 1)),
    ):
        with pytest.raises(ValueError, match="fitness must be of shape"):
            call()


def test_fitness_of_any_type(evolver: Any) -> None:
    """Fitness in float32 or bfloat16, with a graph attached, is taken in."""
    state = begin(evolver)
    trials = evolver.ask(state, generator(0, "evolve", 0))
    told = sphere(candidates(state, trials)).to(torch.bfloat16).requires_grad_()
    after = evolver.tell(state, trials, told)
    assert after.fitness.dtype == torch.float64
    assert not after.fitness.requires_grad


def test_new_batch(evolver: Any) -> None:
    """Members stay, their fitness is the new one, also where it is higher; evolution goes on."""
    state = generations(evolver, begin(evolver), 4)

    def shifted(x: Tensor) -> Tensor:
        return sphere(x - 3)

    new = evolver.rescore(state, shifted(state.population.x()))
    assert torch.equal(new.population.x(), state.population.x())
    torch.testing.assert_close(new.fitness, shifted(state.population.x()))
    assert new.generation == 4
    after = generations(evolver, new, 15, shifted, first=4)
    torch.testing.assert_close(after.fitness, shifted(after.population.x()))
    assert after.fitness.min() < new.fitness.min()


def test_table_3() -> None:
    """Every row of the ablation is there; each adds what its ticks say."""
    assert sorted(TABLE_3) == list(range(1, 9))
    rows = {row: EVOLVERS[name] for row, name in TABLE_3.items()}
    sade = tuple(MUTATIONS)[:4]
    assert [len(rows[r].strategies) for r in range(1, 7)] == [1, 4, 4, 5, 4, 5]
    assert all(rows[r].strategies[:4] == sade and rows[r].adapt_strategy for r in range(2, 9))
    assert [rows[r].adapt_f for r in range(1, 7)] == ["fixed", "normal", *["shade"] * 4]
    assert [rows[r].sinusoid for r in range(1, 7)] == ["off"] * 4 + ["individual"] * 2
