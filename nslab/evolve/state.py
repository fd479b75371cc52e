"""What an evolution carries from one generation to the next."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Generic, TypeVar, cast

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from nslab.evolve.adaptation import RecentSuccesses, StrategyBank, SuccessHistory
from nslab.evolve.population import Population

MEMORIES: dict[str, Callable[..., Any]] = {
    "bank": StrategyBank,
    "f": SuccessHistory,
    "cr": SuccessHistory,
    "frequency": SuccessHistory,
    "recent_cr": RecentSuccesses,
}


def checked_fitness(fitness: Float[Tensor, " n"], n: int) -> Float[Tensor, " n"]:
    """Fitness on the CPU in double precision; ``ValueError`` unless there are ``n`` of them."""
    if fitness.shape != (n,):
        raise ValueError(f"fitness must be of shape ({n},), not {tuple(fitness.shape)}")
    return fitness.detach().to("cpu", torch.float64)


S = TypeVar("S", bound=Any)  # a frozen dataclass with fields population and fitness


class StateKeeping(Generic[S]):
    """For evolvers whose state is a population, its fitness, tensors and numbers."""

    STATE: ClassVar[type[Any]]

    def rescore(self, state: S, fitness: Float[Tensor, " np"]) -> S:
        """The same members with their fitness on new data."""
        return replace(state, fitness=checked_fitness(fitness, len(state.fitness)))

    def state_dict(self, state: S) -> dict[str, Any]:
        """Tensors and numbers for ``torch.save``, from which `load` goes on to the bit. Tensors
        are not copied: the next generation writes into them."""
        return {**vars(state), "population": state.population.state_dict()}

    def load(self, saved: dict[str, Any]) -> S:
        """What `state_dict` gave."""
        whole = {**saved, "population": Population.from_state(saved["population"])}
        return cast(S, self.STATE(**whole))


@dataclass(frozen=True, eq=False)
class DEState:
    """A population between two generations; all but the population is small and on the CPU.

    Attributes:
        fitness: of every member, on the current batch.
        generation: generations since the start; ``since_rescore``: on the current batch.
        bank, f, cr, frequency: the memories; ``recent_cr``: SADE's, of Cr.
    """

    population: Population
    fitness: Float[Tensor, " np"]
    bank: StrategyBank
    f: SuccessHistory
    cr: SuccessHistory
    frequency: SuccessHistory
    recent_cr: RecentSuccesses
    generation: int = 0
    since_rescore: int = 0

    def state_dict(self) -> dict[str, Any]:
        """Tensors and numbers; the tensors are not copied."""
        memories = {name: dict(vars(getattr(self, name))) for name in MEMORIES}
        return {**vars(self), **memories, "population": self.population.state_dict()}

    @classmethod
    def load(cls, saved: dict[str, Any]) -> "DEState":
        """What `state_dict` gave."""
        memories = {name: memory(**saved[name]) for name, memory in MEMORIES.items()}
        population = Population.from_state(saved["population"])
        return cls(**{**saved, **memories, "population": population})


@dataclass(frozen=True, eq=False)
class DETrials:
    """Candidates in the spare rows of ``targets``, and how each was made.

    Attributes:
        changed: False where crossover took nothing from the mutant: the candidate is its parent,
            and may go without evaluation (whatever fitness is told, it loses).
        strategy: index into the evolver's strategies.
        frequency: of the adaptive sinusoid; ``sinusoidal``: whether F came from it.
    """

    targets: Int[Tensor, " t"]
    changed: Bool[Tensor, " t"]
    strategy: Int[Tensor, " t"]
    f: Float[Tensor, " t"]
    cr: Float[Tensor, " t"]
    frequency: Float[Tensor, " t"]
    sinusoidal: Bool[Tensor, " t"]
