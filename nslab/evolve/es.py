"""An evolution strategy with a choice of noise: (mu/mu_w, lambda), the parent a candidate too.

Sources: Hansen and Ostermeier 2001 for weighted recombination; the EDL abstract for chaotic
mutation. NOTE: the EDL paper's full text was unavailable; sizes, step sizes and their decay are our
own.
"""

from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor

from nslab.evolve.mutation_noise import NOISES
from nslab.evolve.population import Population
from nslab.evolve.protocol import CompleteEvolver, Trials, checked_fitness
from nslab.system.validation import check_fields


@dataclass(frozen=True, eq=False)
class ESState:
    """A strategy between two generations.

    Attributes:
        population: the candidates of the last generation; ``fitness`` is theirs.
        parent: the recombined vector, in double precision, which is the strategy's result.
        noise: the state of the noise, empty before the first generation.
    """

    population: Population
    fitness: Float[Tensor, " np"]
    parent: Float[Tensor, " d"]
    noise: Float[Tensor, "*noise"]
    generation: int = 0


@dataclass(frozen=True, eq=False)
class ESTrials(Trials):
    """Candidates, the parent first, all to be scored; and the state of the noise after them."""

    noise: Float[Tensor, "*noise"]


@dataclass(frozen=True)
class ES(CompleteEvolver[ESState, ESTrials]):
    """parent + sigma xi for each offspring; the mu best candidates make the next parent.

    The parent is a candidate too and is scored with its offspring, so a generation may be scored on
    data of its own. Recombination weights fall with the logarithm of the rank.

    Attributes:
        offspring: lambda; populations have one member more, the parent.
        mu: how many candidates are recombined.
        sigma, sigma_end: the step size in the first and in the last of ``generations``; it
            decreases geometrically, and stays at ``sigma_end`` after them.
        noise: key of `NOISES`.

    >>> gen = torch.Generator().manual_seed(0)
    >>> x, evolver = torch.randn(9, 3, generator=gen), ES(offspring=8, mu=4, generations=20)
    >>> state = evolver.init(Population.of(x), x.square().sum(1))  # fitness: |x|^2, minimised
    >>> for _ in range(20):
    ...     trials = evolver.ask(state, gen)
    ...     rows = state.population.rows[state.population.spare[trials.targets]]
    ...     state = evolver.tell(state, trials, rows.square().sum(1))
    >>> bool(evolver.best(state).square().sum() < x.square().sum(1).min())
    True
    """

    offspring: int = 32
    mu: int = 8
    sigma: float = 0.25
    sigma_end: float = 0.0125
    generations: int = 100
    noise: str = "chaotic"

    def __post_init__(self) -> None:
        check_fields(
            self,
            positive=("sigma", "sigma_end"),
            at_least={"offspring": 1, "mu": 1, "generations": 1},
            one_of={"noise": NOISES},
        )
        check_fields(self, at_most={"mu": self.offspring, "sigma_end": self.sigma})

    @property
    def min_population(self) -> int:
        """Parent and offspring: neither fewer nor more."""
        return self.offspring + 1

    @property
    def generational(self) -> bool:
        """Yes: the parent is a candidate of every generation."""
        return True

    def population_size(self, members: int) -> int:
        """Parent and offspring, whatever is asked for."""
        return self.min_population

    def step(self, generation: int) -> float:
        """Sigma in a generation (from 0)."""
        done = min(1.0, generation / max(1, self.generations - 1))
        return float(self.sigma * (self.sigma_end / self.sigma) ** done)

    def init(self, population: Population, fitness: Float[Tensor, " np"]) -> ESState:
        """The state before the first generation: the fittest member is the parent.

        Raises ``ValueError`` unless there are ``offspring`` + 1 members.
        """
        if population.size != self.min_population:
            raise ValueError(
                f"this strategy needs a population of {self.min_population}, the parent and "
                f"{self.offspring} offspring, not {population.size}"
            )
        fitness = checked_fitness(fitness, population.size)
        first = int(torch.where(fitness.isfinite(), fitness, torch.inf).argmin())
        parent = population.member(first).to("cpu", torch.float64, copy=True)
        return ESState(population, fitness, parent, parent[:0])

    def ask(self, state: ESState, gen: torch.Generator) -> ESTrials:
        """Write the parent and its offspring into the spare rows."""
        population, n, noise = state.population, self.offspring, NOISES[self.noise]
        d, memory = population.genes, state.noise
        if state.generation == 0:
            memory = noise.begin(n, d, gen)
        xi, memory = noise.draw(memory, n, d, gen)
        steps = torch.cat([torch.zeros_like(xi[:1]), self.step(state.generation) * xi])
        population.rows[population.spare.to(population.rows.device)] = (state.parent + steps).to(
            population.rows
        )
        everyone = torch.arange(n + 1)
        return ESTrials(everyone, torch.ones_like(everyone, dtype=torch.bool), memory)

    def tell(self, state: ESState, trials: ESTrials, fitness: Float[Tensor, " t"]) -> ESState:
        """Recombine the best candidates. Those without a finite fitness are left out; if that is
        all of them, the parent stays."""
        fitness = checked_fitness(fitness, len(trials.targets))
        population = state.population.accept(trials.changed)
        order = torch.where(fitness.isfinite(), fitness, torch.inf).argsort(stable=True)
        best = order[: min(self.mu, int(fitness.isfinite().sum()))]
        parent = state.parent
        if len(best):
            ranks = torch.arange(1, len(best) + 1, dtype=torch.float64)
            weights = torch.tensor(self.mu + 0.5).double().log() - ranks.log()
            rows = population.rows[population.members[best].to(population.rows.device)]
            parent = (weights / weights.sum()) @ rows.to("cpu", torch.float64)
        return replace(
            state,
            population=population,
            fitness=fitness,
            parent=parent,
            noise=trials.noise,
            generation=state.generation + 1,
        )

    def best(self, state: ESState) -> Float[Tensor, " d"]:
        """The parent."""
        return state.parent.clone()
