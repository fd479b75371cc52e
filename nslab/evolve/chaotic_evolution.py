"""Chaotic evolution: each member is moved by a chaotic share of itself, and keeps improvements.

Source: Pei 2015, "From Determinism to Probability, From Certainty to Uncertainty: Chaotic
Evolution", as later papers restate it. NOTE: as far as we know the EDL paper does not use it;
chaotic evolution is by one of that paper's authors and a plausible ancestor of its chaotic
mutation.
"""

from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor

from nslab.evolve.mutation_noise import arcsine_law, logistic, redrawn
from nslab.evolve.operators import survives
from nslab.evolve.population import Population
from nslab.evolve.protocol import CompleteEvolver, Trials, checked_fitness
from nslab.system.validation import check_fields


@dataclass(frozen=True, eq=False)
class ChaoticState:
    """A population between two generations; ``chaos``: the state of each gene's logistic map,
    empty before the first generation."""

    population: Population
    fitness: Float[Tensor, " np"]
    chaos: Float[Tensor, "_ d"]
    generation: int = 0


@dataclass(frozen=True, eq=False)
class ChaoticTrials(Trials):
    """Candidates, unchanged where no gene moved, and the states of the maps that moved them."""

    chaos: Float[Tensor, "t d"]


@dataclass(frozen=True)
class ChaoticEvolution(CompleteEvolver[ChaoticState, ChaoticTrials]):
    """x' = x (1 + D c), D = +-1 by a coin, c of a logistic map; x' replaces x if it is better.

    Attributes:
        cr: probability that a gene moves.

    A gene keeps its sign, as 1 + D c is never negative, and a gene of 0 stays 0.

    >>> gen = torch.Generator().manual_seed(0)
    >>> x, evolver = torch.randn(10, 3, generator=gen), ChaoticEvolution(cr=0.5)
    >>> state = evolver.init(Population.of(x), x.square().sum(1))  # fitness: |x|^2, minimised
    >>> for _ in range(20):
    ...     trials = evolver.ask(state, gen)
    ...     rows = state.population.rows[state.population.spare[trials.targets]]
    ...     state = evolver.tell(state, trials, rows.square().sum(1))
    >>> bool(evolver.best(state).square().sum() < x.square().sum(1).min())
    True
    """

    cr: float = 0.5

    def __post_init__(self) -> None:
        check_fields(self, positive=("cr",), at_most={"cr": 1})

    @property
    def min_population(self) -> int:
        """One: members do not interact."""
        return 1

    def init(self, population: Population, fitness: Float[Tensor, " np"]) -> ChaoticState:
        """The state before the first generation."""
        fitness = checked_fitness(fitness, population.size)
        return ChaoticState(population, fitness, fitness.new_empty(0, population.genes))

    def ask(self, state: ChaoticState, gen: torch.Generator) -> ChaoticTrials:
        """Write a candidate for every member into its spare row."""
        population, shape = state.population, (state.population.size, state.population.genes)
        chaos = logistic(state.chaos) if state.generation else arcsine_law(shape, gen)
        chaos = redrawn(chaos, gen)
        u = torch.rand(2, *shape, generator=gen, dtype=torch.float64)
        share = torch.where(u[0] < 0.5, chaos, -chaos) * (u[1] < self.cr)
        x = population.x()
        moved = (x.to("cpu", torch.float64) * (1 + share)).to(x)
        population.rows[population.spare.to(x.device)] = moved
        return ChaoticTrials(torch.arange(len(x)), (moved != x).any(1).cpu(), chaos)

    def tell(
        self, state: ChaoticState, trials: ChaoticTrials, fitness: Float[Tensor, " t"]
    ) -> ChaoticState:
        """Keep the candidates that are strictly better than their parents."""
        trial = checked_fitness(fitness, len(trials.targets))
        won = trials.changed & survives(state.fitness, trial)
        return replace(
            state,
            population=state.population.accept(won),
            fitness=torch.where(won, trial, state.fitness),
            chaos=trials.chaos,
            generation=state.generation + 1,
        )
