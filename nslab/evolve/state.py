"""State of differential evolution between two generations."""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from nslab.evolve.adaptation import RecentSuccesses, StrategyBank, SuccessHistory
from nslab.evolve.population import Population
from nslab.evolve.protocol import Trials
from nslab.types import Row


@dataclass(frozen=True, eq=False)
class DEState:
    """A population between two generations; all but the population is small and on the CPU.

    Attributes:
        fitness: of every member, on the current batch.
        bank: successes and failures of each strategy.
        f, cr, frequency: SHADE's archives.
        recent_cr: SADE's memory of Cr.
        generation: generations since the start; ``since_rescore``: on the current batch.
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


@dataclass(frozen=True, eq=False)
class DETrials(Trials):
    """Candidates, and how each was made; unchanged where crossover took nothing from the mutant.

    Attributes:
        strategy: index into the evolver's strategies.
        frequency: of the adaptive sinusoid; ``sinusoidal``: whether F came from it.
    """

    strategy: Int[Tensor, " t"]
    f: Float[Tensor, " t"]
    cr: Float[Tensor, " t"]
    frequency: Float[Tensor, " t"]
    sinusoidal: Bool[Tensor, " t"]


def strategy_numbers(
    trials: DETrials, won: Bool[Tensor, " t"], after: DEState, floor: float
) -> Row:
    """For each strategy: how many trials it made and won, its probability in the next generation,
    and the means of its archives of F, Cr and frequency. Over all trials: the means of F and Cr."""
    asked, wins = (
        torch.bincount(strategy, minlength=len(after.f.cells)).tolist()
        for strategy in (trials.strategy, trials.strategy[won])
    )
    return {
        "strategy_asked": asked,
        "strategy_wins": wins,
        "strategy_probability": after.bank.probabilities(floor).tolist(),
        "f": after.f.cells.mean(1).tolist(),
        "cr": after.cr.cells.mean(1).tolist(),
        "frequency": after.frequency.cells.mean(1).tolist(),
        "mean_f": float(trials.f.mean()),
        "mean_cr": float(trials.cr.mean()),
    }
