"""What is written down of a generation."""

from typing import Any

import torch
from jaxtyping import Int
from torch import Tensor

from nslab.evolve.de import AdaptiveDE
from nslab.evolve.population import Population
from nslab.evolve.pso import PSO

BLOCK = 2**20  # genes compared at a time


def generation_row(
    before: Any, trials: Any, after: Any, evolver: AdaptiveDE | PSO
) -> dict[str, Any]:
    """Best and mean fitness of the members (finite ones), how many trials were scored and won, and
    for differential evolution by strategy: how often asked and won, its probability next time, and
    the means of its memories of F, Cr and frequency."""
    won = before.population.members != after.population.members
    finite = after.fitness[after.fitness.isfinite()]
    row: dict[str, Any] = {
        "best": float(finite.min()),
        "mean": float(finite.mean()),
        "asked": int(trials.changed.sum()),
        "wins": int(won.sum()),
    }
    if not isinstance(evolver, AdaptiveDE):
        return row
    s, strategy = len(evolver.strategies), trials.strategy
    return row | {
        "strategy_asked": _counts(strategy, s),
        "strategy_wins": _counts(strategy[won[trials.targets]], s),
        "strategy_probability": after.bank.probabilities(evolver.floor).tolist(),
        "f": after.f.cells.mean(1).tolist(),
        "cr": after.cr.cells.mean(1).tolist(),
        "frequency": after.frequency.cells.mean(1).tolist(),
        "mean_f": float(trials.f.mean()),
        "mean_cr": float(trials.cr.mean()),
    }


def diversity(population: Population) -> float:
    """Mean Euclidean distance between two members; 0 for a population of one."""
    np = population.size
    if np < 2:
        return 0.0
    squares = torch.zeros(np, np, dtype=torch.float64)
    members = population.members.to(population.rows.device)
    for first in range(0, population.genes, BLOCK):
        part = population.rows[members, first : first + BLOCK].double()
        part = part - part.mean(0)  # distances stay, and nothing large cancels
        products = part @ part.T
        norms = products.diagonal()
        squares += (norms[:, None] + norms - 2 * products).clamp(min=0).cpu()
    return float(squares.sqrt().sum() / (np * (np - 1)))


def _counts(strategy: Int[Tensor, " t"], s: int) -> list[int]:
    return torch.bincount(strategy, minlength=s).tolist()
