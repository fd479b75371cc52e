"""Mutation noise of an evolution strategy: chaotic, and the laws to compare it with.

Every noise has mean 0 and variance 1. Source of chaotic mutation: the EDL abstract. NOTE: the
paper's full text was unavailable; the choice of the logistic map, one map for every offspring and
weight, its initial values and the redraws are ours.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

EDGE = 1e-7  # an orbit this close to 0, 1 or 3/4 would stay there for a dozen steps, or for ever

Matrix = Float[Tensor, "n d"]
Orbit = Float[Tensor, "*orbits"]


def logistic(x: Orbit) -> Orbit:
    """The logistic map, 4 x (1 - x)."""
    return 4 * x * (1 - x)


def arcsine_law(shape: tuple[int, ...], gen: torch.Generator) -> Orbit:
    """Draws from the arcsine distribution on [0, 1], which the logistic map leaves invariant: mean
    1/2, variance 1/8; float64."""
    return (torch.rand(shape, generator=gen, dtype=torch.float64) * (math.pi / 2)).sin().square()


def standardised(x: Orbit) -> Orbit:
    """2 sqrt(2) (x - 1/2): mean 0 and variance 1 under the arcsine law, within +-sqrt(2)."""
    return 2 * math.sqrt(2) * (x - 0.5)


def stuck(x: Orbit) -> Tensor:
    """True at orbits next to 0, to 1 (which maps to 0), and to the fixed point 3/4."""
    return (x < EDGE) | (x > 1 - EDGE) | ((x - 0.75).abs() < EDGE)


def redrawn(x: Orbit, gen: torch.Generator) -> Orbit:
    """``x`` with its stuck orbits drawn anew."""
    while (bad := stuck(x)).any():
        x = x.masked_scatter(bad, arcsine_law((int(bad.sum()),), gen))
    return x


class Noise(NamedTuple):
    """A kind of noise: ``begin(n, d, gen)`` makes its initial state, and ``draw(state, n, d, gen)``
    returns n x d numbers and the next state."""

    begin: Callable[[int, int, torch.Generator], Orbit]
    draw: Callable[[Orbit, int, int, torch.Generator], tuple[Matrix, Orbit]]


def _nothing(n: int, d: int, gen: torch.Generator) -> Orbit:
    return torch.empty(0, dtype=torch.float64)


def _gaussian(x: Orbit, n: int, d: int, gen: torch.Generator) -> tuple[Matrix, Orbit]:
    return torch.randn(n, d, generator=gen, dtype=torch.float64), x


def _arcsine(x: Orbit, n: int, d: int, gen: torch.Generator) -> tuple[Matrix, Orbit]:
    return standardised(arcsine_law((n, d), gen)), x


def _maps(n: int, d: int, gen: torch.Generator) -> Orbit:
    return redrawn(arcsine_law((n, d), gen), gen)


def _chaotic(x: Orbit, n: int, d: int, gen: torch.Generator) -> tuple[Matrix, Orbit]:
    x = redrawn(logistic(x), gen)
    return standardised(x), x


def _one_map(n: int, d: int, gen: torch.Generator) -> Orbit:
    return redrawn(arcsine_law((1,), gen), gen)


def _orbit(x: Orbit, n: int, d: int, gen: torch.Generator) -> tuple[Matrix, Orbit]:
    value, values = float(x), []
    for _ in range(n * d):
        value = 4 * value * (1 - value)
        if not EDGE <= value <= 1 - EDGE or abs(value - 0.75) < EDGE:
            value = float(redrawn(arcsine_law((1,), gen), gen))
        values.append(value)
    after = torch.tensor(values, dtype=torch.float64)
    return standardised(after).view(n, d), after[-1:].clone()


# "chaotic": a logistic map for every offspring and weight, in float64, since float32 reaches 0
# sooner. "orbit": a single map, whose successive values are handed out in turn. "arcsine":
# independent numbers of the same distribution, which separates the effect of chaos from that of
# its bounded, two-peaked distribution.
NOISES: dict[str, Noise] = {
    "gaussian": Noise(_nothing, _gaussian),
    "chaotic": Noise(_maps, _chaotic),
    "arcsine": Noise(_nothing, _arcsine),
    "orbit": Noise(_one_map, _orbit),
}
