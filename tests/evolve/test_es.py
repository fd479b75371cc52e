"""Evolution strategies, their noises, and chaotic evolution."""

import dataclasses
import io
import math
from typing import Any

import numpy as np
import pytest
import torch
from scipy import stats
from torch import Tensor

from nslab.evolve.chaotic_evolution import ChaoticEvolution
from nslab.evolve.es import ES
from nslab.evolve.mutation_noise import EDGE, NOISES, logistic, redrawn, standardised
from nslab.evolve.population import Population
from nslab.rng import generator

STRATEGIES: dict[str, Any] = {noise: ES(noise=noise) for noise in NOISES}
SEARCHES: dict[str, Any] = STRATEGIES | {"chaotic evolution": ChaoticEvolution()}


def sphere(x: Tensor) -> Tensor:
    return x.double().square().sum(1)


def begin(search: Any, np: int = 33, d: int = 20, dtype: torch.dtype = torch.float64) -> Any:
    x = torch.randn(np, d, generator=generator(5, "start"), dtype=torch.float64)
    population = Population.of(x.to(dtype))
    return search.init(population, sphere(population.x()))


def evolve(search: Any, state: Any, number: int, fitness: Any = sphere) -> Any:
    for _ in range(number):
        trials = search.ask(state, generator(0, "evolve", state.generation))
        rows = state.population.rows[state.population.spare[trials.targets]]
        state = search.tell(state, trials, fitness(rows))
    return state


def through_a_file(saved: dict[str, Any]) -> dict[str, Any]:
    file = io.BytesIO()
    torch.save(saved, file)
    file.seek(0)
    return torch.load(file, weights_only=True)


def drawn(name: str, n: int, d: int, times: int) -> np.ndarray:
    """Successive draws of a noise, (times, n, d)."""
    noise, gen, out = NOISES[name], generator(2, name), []
    memory = noise.begin(n, d, gen)
    for _ in range(times):
        xi, memory = noise.draw(memory, n, d, gen)
        assert xi.dtype == torch.float64
        out.append(xi)
    return torch.stack(out).numpy()


@pytest.mark.parametrize("name", NOISES)
def test_noises_have_mean_0_and_variance_1(name: str) -> None:
    """From the first draw on, over all and along each weight; and no two weights go together."""
    xi = drawn(name, 20, 10, 300)
    for part, tolerance in ((xi, 0.02), (xi[:1], 0.3), (xi[-1:], 0.3)):
        assert abs(part.mean()) < tolerance
        assert abs(part.var() - 1) < tolerance
    between = np.corrcoef(xi.reshape(300, -1).T) - np.eye(200)
    if name != "orbit":  # whose neighbours are one step of the map apart: uncorrelated all the same
        assert abs(between).max() < 5.5 / 300**0.5
    assert abs(between.mean()) < 0.005


@pytest.mark.parametrize("name", ["chaotic", "arcsine", "orbit"])
def test_bounded_noises_are_of_the_arcsine_law(name: str) -> None:
    """Within +-sqrt(2), two humps, kurtosis 1.5; the Gaussian's is 3."""
    xi = drawn(name, 20, 10, 300).ravel()
    assert abs(xi).max() <= math.sqrt(2)
    law = stats.arcsine(loc=-math.sqrt(2), scale=2 * math.sqrt(2))
    assert stats.kstest(xi[::30], law.cdf).pvalue > 1e-3
    assert abs((xi**4).mean() - 1.5) < 0.03
    assert abs((drawn("gaussian", 20, 10, 300) ** 4).mean() - 3) < 0.15


def test_chaos_is_the_logistic_map() -> None:
    """Each offspring's each weight steps x <- 4 x (1 - x); independent numbers do not."""
    assert logistic(torch.tensor([0.0, 0.5, 0.75, 0.3])).tolist() == pytest.approx(
        [0, 1, 0.75, 0.84]
    )
    for name, shares in (("chaotic", (0.99, 1)), ("arcsine", (0, 0.01)), ("gaussian", (0, 0.01))):
        x = drawn(name, 20, 10, 200) / (2 * math.sqrt(2)) + 0.5
        follows = np.isclose(x[1:], 4 * x[:-1] * (1 - x[:-1]), rtol=0, atol=1e-12).mean()
        assert shares[0] <= follows <= shares[1], name


def test_orbit_is_one_map_dealt_out() -> None:
    """Weight after weight, offspring after offspring, generation after generation."""
    x = drawn("orbit", 4, 5, 50).ravel() / (2 * math.sqrt(2)) + 0.5
    assert np.isclose(x[1:], 4 * x[:-1] * (1 - x[:-1]), rtol=0, atol=1e-12).mean() > 0.99


def test_stuck_orbits_begin_anew() -> None:
    """At 0, 1/2 (which leads to 1 and 0), 1 and 3/4, and nearly; others are left alone."""
    x = torch.tensor([0.0, 1.0, 0.75, EDGE / 2, 1 - EDGE / 2, 0.75 + EDGE / 2, 0.2]).double()
    after = redrawn(x, generator(0, "x"))
    assert (after[:-1] != x[:-1]).all()
    assert after[-1] == x[-1]
    chaos = NOISES["chaotic"]
    _, memory = chaos.draw(torch.full((1, 1), 0.5).double(), 1, 1, generator(0, "x"))
    assert EDGE < float(memory) < 1 - EDGE
    _, memory = NOISES["orbit"].draw(torch.tensor([0.75]).double(), 1, 1, generator(0, "x"))
    assert abs(float(memory) - 0.75) > EDGE
    assert standardised(torch.tensor([0.0, 0.5, 1.0])).tolist() == pytest.approx(
        [-math.sqrt(2), 0, math.sqrt(2)]
    )


def test_orbits_do_not_die() -> None:
    """After 3,000 steps all values differ, and none is 0."""
    x = drawn("chaotic", 30, 30, 3000)[-1] / (2 * math.sqrt(2)) + 0.5
    assert len(np.unique(x)) == 900
    assert x.min() > 0


def test_strategy_by_hand() -> None:
    """The parent, its offspring a step away, and the weighted mean of the best three."""
    es = ES(offspring=5, mu=3, sigma=0.5, sigma_end=0.125, generations=3, noise="gaussian")
    assert [es.step(g) for g in range(5)] == pytest.approx([0.5, 0.25, 0.125, 0.125, 0.125])
    state = begin(es, 6, 4)
    parent = state.population.x()[sphere(state.population.x()).argmin()]
    weights = np.log(3.5) - np.log([1, 2, 3])
    for g in range(4):
        assert torch.equal(state.parent, parent)
        trials = es.ask(state, generator(0, "evolve", g))
        assert torch.equal(trials.targets, torch.arange(6))
        assert trials.changed.all()
        xi = torch.randn(5, 4, generator=generator(0, "evolve", g), dtype=torch.float64)
        candidates = torch.cat([parent[None], parent + es.step(g) * xi])
        torch.testing.assert_close(
            state.population.rows[state.population.spare], candidates, rtol=0, atol=0
        )
        told = torch.tensor([3.0, 1.0, math.nan, 2.0, -math.inf, 4.0])
        state = es.tell(state, trials, told)
        w = torch.tensor(weights / weights.sum())
        torch.testing.assert_close(state.parent, w @ candidates[[1, 3, 0]])
        parent = state.parent
        torch.testing.assert_close(state.population.x(), candidates, rtol=0, atol=0)
        torch.testing.assert_close(state.fitness, told.double(), equal_nan=True)
        assert state.generation == g + 1


def test_failures_have_no_part() -> None:
    """Fewer finite candidates than mu: those alone; none: the parent stays."""
    es = ES(offspring=5, mu=3)
    state = begin(es, 6, 4)
    trials = es.ask(state, generator(0, "x"))
    rows = state.population.rows[state.population.spare].clone()
    bad = torch.full((6,), math.nan)
    assert torch.equal(es.tell(state, trials, bad).parent, state.parent)
    bad[4] = 7.0
    torch.testing.assert_close(es.tell(state, trials, bad).parent, rows[4])


@pytest.mark.parametrize("name", STRATEGIES)
def test_strategies_descend_the_sphere(name: str) -> None:
    """From about 5 to below 0.02, whatever the noise; a constant fitness leads nowhere special."""
    search = STRATEGIES[name]
    start = begin(search)
    after = evolve(search, start, 100)
    assert float(sphere(start.parent[None])) > 4
    assert float(sphere(after.parent[None])) < 0.02
    blind = evolve(search, begin(search), 100, lambda x: torch.zeros(len(x)))
    assert float(sphere(blind.parent[None])) > 1


def test_chaotic_evolution_by_hand() -> None:
    """x (1 + D c) with the map's c, greedily; signs stay; half of the genes stray."""
    search = ChaoticEvolution()
    state = begin(search)
    signs, chaos = state.population.x().sign(), None
    for g in range(6):
        x, before = state.population.x(), state.fitness
        trials = search.ask(state, generator(0, "evolve", g))
        if chaos is not None:
            follows = torch.isclose(trials.chaos, 4 * chaos * (1 - chaos), rtol=0, atol=1e-12)
            assert follows.double().mean() > 0.99
        rows, chaos = state.population.rows[state.population.spare].clone(), trials.chaos
        share = rows / x - 1
        moved = share.abs() > 1e-12
        assert 0.4 < moved.double().mean() < 0.6
        torch.testing.assert_close(share[moved].abs(), chaos[moved])
        assert 0.4 < (share[moved] > 0).double().mean() < 0.6
        state = search.tell(state, trials, sphere(rows))
        better = sphere(rows) < before
        assert torch.equal(state.population.x(), torch.where(better[:, None], rows, x))
        assert torch.equal(state.fitness, torch.minimum(sphere(rows), before))
    after = evolve(search, state, 100)
    assert after.fitness.max() < 0.1 < before.min()
    assert torch.equal(after.population.x().sign(), signs)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize("name", SEARCHES)
def test_goes_on_after_a_file(name: str, dtype: torch.dtype) -> None:
    """Saved, loaded with ``weights_only``, continued: the same to the bit; so is a second run."""
    search = SEARCHES[name]
    before = torch.get_rng_state()
    for done in (0, 4):
        state = evolve(search, begin(search, dtype=dtype), done)
        again = search.load(through_a_file(search.state_dict(state)))
        one, two = (evolve(search, s, 5) for s in (state, again))
        torch.testing.assert_close(search.state_dict(one), search.state_dict(two), rtol=0, atol=0)
        assert two.generation == done + 5
        assert two.population.rows.dtype == dtype
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("name", SEARCHES)
def test_new_data_and_wrong_shapes(name: str, as_users_call: None) -> None:
    """Members stay with their new fitness; as many numbers as candidates are wanted."""
    search = SEARCHES[name]
    state = evolve(search, begin(search), 3)
    new = search.rescore(state, torch.arange(33.0))
    assert torch.equal(new.fitness, torch.arange(33.0).double())
    assert torch.equal(new.population.x(), state.population.x())
    for wrong in (
        lambda: search.rescore(state, torch.ones(3)),
        lambda: evolve(search, state, 1, lambda x: torch.ones(len(x), 1)),
    ):
        with pytest.raises(ValueError, match="fitness must be of shape"):
            wrong()
    if isinstance(search, ES):
        with pytest.raises(ValueError, match="population of 33"):
            begin(search, 32)


@pytest.mark.parametrize("search", [ES(), ChaoticEvolution()])
def test_fields_are_checked(search: Any, as_users_call: None) -> None:
    """Text for a number, nan, infinity, unknown options: an error that names the field."""
    assert hash(search) == hash(dataclasses.replace(search))
    for field in dataclasses.fields(search):
        for bad in ("a lot", math.nan, -math.inf, -1, 0):
            with pytest.raises((TypeError, ValueError), match=field.name):
                dataclasses.replace(search, **{field.name: bad})
