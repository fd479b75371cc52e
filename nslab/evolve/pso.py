"""Particle swarm optimisation behind the same protocol as differential evolution.

Sources: Kennedy and Eberhart 1995; constriction: Clerc and Kennedy 2002, Eberhart and Shi 2000.
NOTE: the DE paper (its section S5) uses the swarm of 1995 and names no constants.
"""

from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from nslab.evolve.operators import fittest, survives
from nslab.evolve.population import Population
from nslab.evolve.protocol import CompleteEvolver, Trials, checked_fitness
from nslab.rng import hashed
from nslab.system.validation import check_fields

BLOCK = 2**16  # numbers moved at a time, over all particles: temporaries stay in the cache


@dataclass(frozen=True, eq=False)
class PSOState:
    """A swarm between two generations.

    Members are the particles' personal bests. A particle's position is in the member's row if it is
    at its personal best (``at_best``), else in the spare row, so nothing is copied when it finds a
    better one.

    Attributes:
        fitness: of every personal best.
        velocity: of every particle; `PSO.ask` writes into it.
    """

    population: Population
    fitness: Float[Tensor, " np"]
    velocity: Float[Tensor, "np d"]
    at_best: Bool[Tensor, " np"]
    generation: int = 0


@dataclass(frozen=True)
class PSO(CompleteEvolver[PSOState, Trials]):
    """v <- w v + c1 r1 (personal best - x) + c2 r2 (global best - x); x <- x + v.

    Attributes:
        w, c1, c2: the defaults are those of 1995; w = 0.729 and c1 = c2 = 1.49445 are those of the
            swarm with constriction.
        v_max: bound of each gene's velocity, None for none. NOTE: the swarm of 1995 diverges
            without one, which does not affect the personal bests.
        per_gene: r1 and r2 are drawn from U[0, 1) for each gene, as in 1995; False: once per
            particle.

    Particles start at rest. `ask` moves the swarm, so call it once for each `tell`.

    >>> gen = torch.Generator().manual_seed(0)
    >>> x, evolver = torch.randn(10, 3, generator=gen), PSO(w=0.729, c1=1.49445, c2=1.49445)
    >>> state = evolver.init(Population.of(x), x.square().sum(1))  # fitness: |x|^2, minimised
    >>> for _ in range(20):
    ...     trials = evolver.ask(state, gen)
    ...     rows = state.population.rows[state.population.spare[trials.targets]]
    ...     state = evolver.tell(state, trials, rows.square().sum(1))
    >>> bool(evolver.best(state).square().sum() < x.square().sum(1).min())
    True
    """

    w: float = 1.0
    c1: float = 2.0
    c2: float = 2.0
    v_max: float | None = None
    per_gene: bool = True

    def __post_init__(self) -> None:
        check_fields(self, positive=("v_max",), at_least={"w": 0, "c1": 0, "c2": 0})

    @property
    def min_population(self) -> int:
        """Two: a particle and another one to follow."""
        return 2

    def init(self, population: Population, fitness: Float[Tensor, " np"]) -> PSOState:
        """The state before the first generation; ``ValueError`` for fewer than two members."""
        np = population.size
        if np < self.min_population:
            raise ValueError(f"a swarm needs a population of at least 2, not {np}")
        velocity = torch.zeros_like(population.rows[:np])
        at_best = torch.ones(np, dtype=torch.bool)
        return PSOState(population, checked_fitness(fitness, np), velocity, at_best)

    @torch.no_grad()
    def ask(self, state: PSOState, gen: torch.Generator) -> Trials:
        """Move every particle; its new position is in its spare row. A particle with velocity 0
        has not changed."""
        rows, velocity = state.population.rows, state.velocity
        np, d = velocity.shape
        seed = torch.randint(2**31, (2, np, 1), generator=gen).to(rows.device)
        members, spare = (
            t.to(rows.device) for t in (state.population.members, state.population.spare)
        )
        here = torch.where(state.at_best.to(rows.device), members, spare)
        leader = members[fittest(state.fitness)]
        moved = torch.zeros(np, dtype=torch.bool, device=rows.device)
        dtype = torch.promote_types(rows.dtype, torch.float32)
        step = max(1, BLOCK // np)
        for first in range(0, d, step):
            part = slice(first, first + step)
            x, best = rows[here, part].to(dtype), rows[members, part].to(dtype)
            last = min(first + step, d)
            gene = torch.arange(first, last, device=rows.device)
            gene = gene if self.per_gene else seed.new_zeros(1)
            r1, r2 = uniform_draws(gene, seed).to(dtype)
            v = self.w * velocity[:, part].to(dtype)
            v += self.c1 * r1 * (best - x) + self.c2 * r2 * (rows[leader, part].to(dtype) - x)
            if self.v_max is not None:
                v.clamp_(-self.v_max, self.v_max)
            moved |= (v != 0).any(1)
            velocity[:, part] = v.to(rows.dtype)
            rows[spare, part] = (x + v).to(rows.dtype)
        return Trials(torch.arange(np), moved.cpu())

    def tell(self, state: PSOState, trials: Trials, fitness: Float[Tensor, " t"]) -> PSOState:
        """Keep the positions that are strictly better than their particle's best so far."""
        trial, t = checked_fitness(fitness, len(trials.targets)), trials.targets
        better = torch.zeros(len(state.fitness), dtype=torch.bool)
        better[t] = trials.changed & survives(state.fitness[t], trial)
        new = state.fitness.clone()
        new[t] = torch.where(better[t], trial, new[t])
        return replace(
            state,
            population=state.population.accept(better),
            fitness=new,
            at_best=better,
            generation=state.generation + 1,
        )


def uniform_draws(gene: Int[Tensor, " d"], seed: Int[Tensor, "*s 1"]) -> Float[Tensor, "*s d"]:
    """Numbers from U[0, 1), multiples of 2^-24, determined by the gene's number and a seed."""
    return (hashed(hashed(gene) + seed) >> 7).to(torch.float32) * 2.0**-24
