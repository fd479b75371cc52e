"""The diversity of a population."""

import torch

from nslab.evolve.population import Population

GENES_AT_ONCE = 2**20  # genes compared at a time


def diversity(population: Population) -> float:
    """Mean Euclidean distance between two members; 0 for a population of one."""
    np = population.size
    if np < 2:
        return 0.0
    squares = torch.zeros(np, np, dtype=torch.float64)
    members = population.members.to(population.rows.device)
    for first in range(0, population.genes, GENES_AT_ONCE):
        part = population.rows[members, first : first + GENES_AT_ONCE].double()
        part = part - part.mean(0)  # distances stay the same, and large numbers need not cancel
        products = part @ part.T
        norms = products.diagonal()
        squares += (norms[:, None] + norms - 2 * products).clamp(min=0).cpu()
    return float(squares.sqrt().sum() / (np * (np - 1)))
