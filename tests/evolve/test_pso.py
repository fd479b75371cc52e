"""The swarm against its formula written one particle at a time, and its random numbers."""

from typing import Any

import pytest
import torch
from scipy import stats
from torch import Tensor

from nslab.evolve import PSO, AdaptiveDE
from nslab.evolve.population import Population
from nslab.evolve.pso import BLOCK, uniform_draws
from nslab.rng import generator


def sphere(x: Tensor) -> Tensor:
    return x.double().square().sum(1)


def begin(swarm: Any, np: int, d: int, dtype: torch.dtype = torch.float64) -> Any:
    x = torch.rand(np, d, generator=generator(5, "start"), dtype=torch.float64) * 10 - 5
    population = Population.of(x.to(dtype))
    return swarm.init(population, sphere(population.x()))


def trials_of(state: Any) -> Tensor:
    return state.population.rows[state.population.spare]


def test_swarm_by_hand() -> None:
    """Two generations of three particles against the formula written one particle at a time."""
    swarm = PSO(w=0.7, c1=1.5, c2=1.2, per_gene=False)
    state = begin(swarm, 3, 4)
    x, best, loss = state.population.x(), state.population.x(), state.fitness.clone()
    v = torch.zeros_like(x)
    for g in range(4):
        trials = swarm.ask(state, generator(0, "evolve", g))
        seed = torch.randint(2**31, (2, 3, 1), generator=generator(0, "evolve", g))
        r1, r2 = uniform_draws(torch.zeros(1, dtype=torch.long), seed).double()
        leader = best[int(loss.argmin())].clone()
        for i in range(3):
            v[i] = 0.7 * v[i] + 1.5 * r1[i] * (best[i] - x[i]) + 1.2 * r2[i] * (leader - x[i])
            x[i] += v[i]
        torch.testing.assert_close(trials_of(state), x)
        torch.testing.assert_close(state.velocity, v)
        assert trials.changed.tolist() == (v != 0).any(1).tolist()
        now = sphere(x)
        state = swarm.tell(state, trials, now)
        best = torch.where((now < loss)[:, None], x, best)
        loss = torch.minimum(now, loss)
        torch.testing.assert_close(state.population.x(), best)
        torch.testing.assert_close(state.fitness, loss)


def test_swarm_speed_limit() -> None:
    """No gene moves further than ``v_max``."""
    swarm = PSO(v_max=0.25)
    state = begin(swarm, 20, 10)
    for g in range(20):
        trials = swarm.ask(state, generator(0, "evolve", g))
        assert state.velocity.abs().max() <= 0.25
        state = swarm.tell(state, trials, sphere(trials_of(state)))
    with pytest.raises(ValueError, match="v_max"):
        PSO(v_max=0.0)


def test_swarm_draws() -> None:
    """r1 and r2: uniform over genes and over seeds, unrelated between particles and genes."""
    seed = torch.randint(2**31, (2, 50, 1), generator=generator(0, "seed"))
    r = uniform_draws(torch.arange(2_000), seed)
    assert r.shape == (2, 50, 2_000)
    assert ((r >= 0) & (r < 1)).all()
    for sample in (r[0, 0], r[1, 7], r[:, :, 0].flatten(), r[:, :, 1999].flatten()):
        assert stats.kstest(sample.numpy(), "uniform").pvalue > 1e-3
    between = torch.corrcoef(r.view(100, -1)) - torch.eye(100)
    assert between.abs().max() < 5.5 / 2_000**0.5
    along = torch.corrcoef(torch.stack([r[0, 0, :-1], r[0, 0, 1:]]))[0, 1]
    assert abs(float(along)) < 4 / 2_000**0.5


def test_swarm_moves_block_by_block(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many genes are moved at a time, the numbers are the same."""
    swarm, positions = PSO(), []
    for block in (BLOCK, 35):
        monkeypatch.setattr("nslab.evolve.pso.BLOCK", block)
        state = begin(swarm, 5, 23)
        swarm.ask(state, generator(0, "evolve", 0))
        positions.append(trials_of(state))
    assert torch.equal(*positions)


def test_resting_particles_need_no_evaluation() -> None:
    """The leader, at its best and without velocity, stays; the others are drawn to it."""
    swarm = PSO()
    state = begin(swarm, 4, 6)
    changed = swarm.ask(state, generator(0, "evolve", 0)).changed
    assert changed.tolist() == [i != int(state.fitness.argmin()) for i in range(4)]


@pytest.mark.parametrize("evolver", [PSO(), AdaptiveDE()])
def test_a_state_is_loaded_onto_a_device(evolver: Any) -> None:
    """Genes and velocities are brought there, what belongs on the CPU stays there."""
    saved = evolver.state_dict(begin(evolver, 5, 7))
    state = evolver.load(saved, "meta")
    assert state.population.rows.device.type == "meta"
    for tensor in (state.population.members, state.fitness):
        assert tensor.device.type == "cpu"
    if isinstance(evolver, PSO):
        assert (state.velocity.device.type, state.at_best.device.type) == ("meta", "cpu")
