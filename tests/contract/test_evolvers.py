"""What every evolver must do: a new entry of EVOLVERS, or a class in EVOLVER_CLASSES, is bound by
these without a new test.

A stranger's, with the four members that must be there and no more, is bound too, and goes wherever
ours go.
"""

import dataclasses
import io
import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from evolution_helpers import Net, data, equal, parents
from torch import Tensor

import nslab
from nslab.analysis.de import generation_table, strategy_table
from nslab.analysis.paper_tables import compare
from nslab.configs import EvolveConfig, LossSearchConfig, TrainConfig, decode
from nslab.evolve import (
    CLASSIC,
    EVOLVER_CLASSES,
    EVOLVERS,
    MUTATIONS,
    TABLE_3,
    AdaptiveDE,
)
from nslab.evolve.es import ES
from nslab.evolve.population import Population
from nslab.evolve.protocol import CompleteEvolver, Evolver, Trials, checked_fitness, completed
from nslab.experiments import EXPERIMENTS
from nslab.experiments.de.presets import table_row
from nslab.experiments.definition import Experiment
from nslab.neuroevolution import EvolveOptions, evolve
from nslab.plots.de_runs import over_batches
from nslab.rng import generator
from nslab.runs import store


@dataclass(frozen=True, eq=False)
class WalkState:
    """Members and their fitness: nothing else."""

    population: Population
    fitness: Tensor


@dataclass(frozen=True)
class Walk:
    """A stranger's evolver: each member takes a random step, and stays there if that is better."""

    step: float = 0.1
    min_population = 2

    def __post_init__(self) -> None:
        if not (isinstance(self.step, float) and 0 < self.step < math.inf):
            raise ValueError(f"Walk: step must be a finite number above 0, not {self.step!r}")

    def init(self, population: Population, fitness: Tensor) -> WalkState:
        """The state before the first generation."""
        if population.size < 2:
            raise ValueError(f"a walk needs a population of at least 2, not {population.size}")
        return WalkState(population, checked_fitness(fitness, population.size))

    def ask(self, state: WalkState, gen: torch.Generator) -> Trials:
        """A step of every member."""
        x = state.population.x()
        noise = torch.randn(x.shape, generator=gen, dtype=torch.float64)
        state.population.rows[state.population.spare] = (x + self.step * noise).to(x)
        return Trials(torch.arange(len(x)), torch.ones(len(x), dtype=torch.bool))

    def tell(self, state: WalkState, trials: Trials, fitness: Tensor) -> WalkState:
        """Stay where it is better."""
        new = checked_fitness(fitness, len(trials.targets))
        won = new.isfinite() & ((new < state.fitness) | ~state.fitness.isfinite())
        population = state.population.accept(won)
        return WalkState(population, torch.where(won, new, state.fitness))


NP, D = 8, 5
ALL: dict[str, Evolver] = EVOLVERS | {
    f"classic {name}": evolver
    for name, evolver in CLASSIC.items()
    if evolver not in EVOLVERS.values()
}
OTHERS = {key: cls for key, cls in EVOLVER_CLASSES.items() if cls not in map(type, ALL.values())}
ALL |= {key: ES(NP - 1, 3) if cls is ES else cls() for key, cls in OTHERS.items()}
ALL |= {"a stranger's": Walk()}
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
        assert getattr(state, "generation", g + 1) == g + 1


def test_members_and_fitness_belong_together(evolver: Any) -> None:
    """After any generation a member's fitness is its own; it is never higher than before, unless
    each generation replaces all."""
    state = begin(evolver)
    for g in range(12):
        before = state
        state = generations(evolver, state, 1, first=g)
        torch.testing.assert_close(state.fitness, sphere(state.population.x()))
        if not completed(evolver).generational:
            assert (state.fitness <= before.fitness).all()
    assert state.fitness.min() < sphere(start().x()).min()


def test_same_draws_same_evolution(evolver: Any) -> None:
    """A function of seed and generation; another seed gives another one."""
    first, second = (generations(evolver, begin(evolver), 5) for _ in range(2))
    assert_same(completed(evolver).state_dict(first), completed(evolver).state_dict(second))
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
    evolver = completed(evolver)
    again = evolver.load(through_a_file(evolver.state_dict(state)))
    one, two = (generations(evolver, s, 7, first=7) for s in (state, again))
    assert_same(evolver.state_dict(one), evolver.state_dict(two))
    assert getattr(two, "generation", 14) == 14
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
    if not completed(evolver).generational:
        assert not (state.fitness == bad).any()
    assert state.population.rows[state.population.members].isfinite().all()
    lost = generations(evolver, state, 1, lambda x: torch.full((len(x),), bad))
    best = completed(evolver).best
    assert torch.equal(best(lost), best(state))
    if not completed(evolver).generational:
        assert state.fitness[[1, 2, 4, 5, 6, 7]].isfinite().all()
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


@pytest.mark.slow
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
    least = evolver.min_population
    for shape in ({"d": 1}, {"np": least}, {"np": least, "d": 1}):
        state = generations(evolver, begin(evolver, **shape), 12)
        torch.testing.assert_close(state.fitness, sphere(state.population.x()))


def test_too_small(evolver: Any) -> None:
    least = evolver.min_population
    with pytest.raises(ValueError, match=f"at least {least} parents, not {least - 1}"):
        evolve(Net(), parents(least - 1), data, evolver, show=False)
    if isinstance(evolver, CompleteEvolver) and least > 1:
        with pytest.raises(ValueError, match=f"population of (at least )?{least}"):
            begin(evolver, np=least - 1)


def test_fitness_of_the_wrong_shape(evolver: Any, as_users_call: None) -> None:
    state = begin(evolver)
    trials = evolver.ask(state, generator(0, "evolve", 0))
    for call in (
        lambda: evolver.init(start(), torch.ones(NP - 1)),
        lambda: evolver.tell(state, trials, torch.ones(NP + 1)),
        lambda: completed(evolver).rescore(state, torch.ones(NP, 1)),
    ):
        with pytest.raises(ValueError, match="fitness must be of shape"):
            call()


def test_fitness_of_any_type(evolver: Any) -> None:
    """Fitness in float32 or bfloat16, with a graph attached, is taken in."""
    state = begin(evolver)
    trials = evolver.ask(state, generator(0, "evolve", 0))
    fitness = sphere(candidates(state, trials)).to(torch.bfloat16).requires_grad_()
    after = evolver.tell(state, trials, fitness)
    assert after.fitness.dtype == torch.float64
    assert not after.fitness.requires_grad


def test_new_batch(evolver: Any) -> None:
    """Members stay, their fitness is the new one, also where it is higher; evolution goes on."""
    state = generations(evolver, begin(evolver), 4)

    def shifted(x: Tensor) -> Tensor:
        return sphere(x - 3)

    new = completed(evolver).rescore(state, shifted(state.population.x()))
    assert torch.equal(new.population.x(), state.population.x())
    torch.testing.assert_close(new.fitness, shifted(state.population.x()))
    assert getattr(new, "generation", 4) == 4
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


def test_what_is_optional(evolver: Any) -> None:
    """With the defaults it is the same value still: of its class, printed alike; a generation's
    numbers can be written as JSON and stay finite where nothing is."""
    whole = completed(evolver)
    assert repr(whole) == repr(evolver)
    assert isinstance(whole, type(evolver))
    assert getattr(completed(evolver, 3), "batch_generations", 3) == 3
    assert whole.population_size(NP) == NP
    state = begin(evolver)
    trials = evolver.ask(state, generator(0, "evolve", 0))
    after = evolver.tell(state, trials, sphere(candidates(state, trials)))
    row = json.loads(json.dumps(whole.report(state, trials, after)))
    assert row["best"] == after.fitness.min()
    assert row["mean"] == pytest.approx(float(after.fitness.mean()))
    assert row["asked"] == trials.changed.sum()
    assert 0 <= row["wins"] <= row["asked"]
    assert (len(row.get("strategy_asked", ())) == len(whole.strategies)) or not whole.strategies
    if not whole.generational:
        assert torch.equal(whole.best(after), after.population.x()[after.fitness.argmin()])


def test_what_a_stranger_does_define_counts() -> None:
    """Also where it gives a value of its own class, without the defaults."""

    @dataclass(frozen=True, slots=True)
    class Slower(Walk):
        def for_batches(self, generations: int) -> Any:
            return Slower(self.step / generations)

        def best(self, state: WalkState) -> Tensor:
            return state.population.x().mean(0)

    slower: Any = completed(Slower(0.5), 5)
    assert slower.step == 0.1
    state = generations(slower, begin(slower), 3)
    assert torch.equal(slower.best(state), state.population.x().mean(0))
    assert slower.report(state, slower.ask(state, generator(0, "evolve", 4)), state)["wins"] == 0


def test_networks_evolve_and_resume(evolver: Any, tmp_path: Path) -> None:
    """`evolve` takes every evolver, and goes on to the bit where it was interrupted."""
    plain: dict[str, Any] = {"seed": 5, "show": False}
    options = EvolveOptions(batches=2, generations=2)
    whole = evolve(Net(), parents(), data, evolver, options, **plain)
    assert [row["batch"] for row in whole.history] == [0, 0, 1, 1]

    def stop(evolved: Any) -> dict[str, Any]:
        if len(evolved.history) == 4:
            raise KeyboardInterrupt
        return {}

    with pytest.raises(KeyboardInterrupt):
        evolve(Net(), parents(), data, evolver, options, folder=tmp_path, on_batch=stop, **plain)
    resumed = evolve(Net(), parents(), data, evolver, options, folder=tmp_path, **plain)
    assert equal(whole, resumed)
    genes = [e.layout.vector(e.network()) for e in (whole, resumed)]
    assert torch.equal(*genes)


def test_a_strangers_evolver_goes_everywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """Through the store, into a table and a figure, and as the search for a loss."""
    base = TrainConfig(network="mlp", epochs=4, lr=0.05, batch_size=64, hold_out=150)
    config = EvolveConfig(base, size=4, method=Walk(0.01), batches=2, generations=2, batch_size=200)
    search = LossSearchConfig(search=Walk(), members=6, generations=3, pairs=64, held_out=64)
    with pytest.raises(TypeError, match="Walk has no key"):
        _ = config.id
    monkeypatch.setitem(EVOLVER_CLASSES, "walk", Walk)
    result = nslab.run(config, show=False)
    assert store.find(config) == store.run(config, show=False)
    assert decode(result.config) == config
    assert [row["batch"] for row in result.history] == [0, 0, 1, 1]
    assert result.metrics["test_accuracy"] > 50
    walk = Experiment("a walk", lambda preset, seeds=(): [config], table_row)
    monkeypatch.setitem(EXPERIMENTS, "de/walk", walk)
    (line,) = compare("de/walk", [result]).to_dict("records")
    assert line["ours"] == result.metrics["test_accuracy"]
    assert line["method"] == "Walk(step=0.01)"
    assert strategy_table([result]).empty
    figure = over_batches(generation_table([result]), "best", "method", "a walk")
    assert "Walk(step=0.01)" in [t.get_text() for t in figure.legends[0].get_texts()]
    found = nslab.run(search, show=False)
    assert [row["generation"] for row in found.history] == [0, 1, 2, 3]
    assert found.metrics["objective"] <= found.history[0]["objective"]


def test_sizes_that_do_not_fit_are_refused() -> None:
    """A strategy has a size of its own, which a config must name."""
    base = TrainConfig(network="mlp", epochs=9)
    assert EvolveConfig(base, size=8, method=ES(7, 3)).size == 8
    for method in (ES(8, 3), ES(6, 3)):
        with pytest.raises(ValueError, match=r"needs .*(9|7) parents, not 8"):
            EvolveConfig(base, size=8, method=method)
    with pytest.raises(ValueError, match="at least 2"):
        EvolveConfig(base, size=1, method=Walk())
    with pytest.raises(ValueError, match="at least 2"):
        LossSearchConfig(search=Walk(), members=1)
    for strange in ("de", TrainConfig(), Walk):
        with pytest.raises(TypeError, match="method"):
            EvolveConfig(base, size=8, method=strange)  # type: ignore[arg-type]
