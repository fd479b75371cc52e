"""Self-adaptation of differential evolution: strategies, F, Cr, frequencies.

Each memory is a frozen value with pure updates, small and on the CPU; it has separate entries for
each of S strategies. Sources: SaDE (Qin, Huang and Suganthan 2009), SHADE (Tanabe and Fukunaga
2013), LSHADE-EpSin (Awad et al. 2016), as the DE paper combines them.
"""

import math
from dataclasses import dataclass, replace
from typing import Literal

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

Trials = Float[Tensor, " t"]
Index = Int[Tensor, " t"]
Range = tuple[float, float]
Law = Literal["normal", "cauchy"]


@dataclass(frozen=True, eq=False)
class StrategyBank:
    """Successes and failures of each strategy in the last H generations, the newest last."""

    successes: Int[Tensor, "h s"]
    failures: Int[Tensor, "h s"]
    generations: int = 0

    @classmethod
    def of(cls, strategies: int, history: int) -> "StrategyBank":
        """An empty memory of ``history`` generations."""
        empty = torch.zeros(history, strategies, dtype=torch.long)
        return cls(empty, empty)

    def update(self, strategy: Index, won: Bool[Tensor, " t"]) -> "StrategyBank":
        """Record a generation's trials, by strategy and whether they won, in place of the oldest
        generation."""
        s = self.successes.shape[1]
        wins = torch.bincount(strategy[won], minlength=s)
        losses = torch.bincount(strategy[~won], minlength=s)
        return replace(
            self,
            successes=torch.cat([self.successes[1:], wins[None]]),
            failures=torch.cat([self.failures[1:], losses[None]]),
            generations=self.generations + 1,
        )

    def probabilities(self, floor: float = 0.01) -> Float[Tensor, " s"]:
        """P_S: each strategy's share of successes among its trials, plus ``floor``, normalised to
        sum 1. A strategy without trials has share 0. Uniform until H generations are recorded."""
        if self.generations < len(self.successes):
            shares = torch.ones(self.successes.shape[1], dtype=torch.float64)
        else:
            wins, losses = self.successes.sum(0), self.failures.sum(0)
            shares = wins.double() / (wins + losses).clamp(min=1) + floor
        return shares / shares.sum()


@dataclass(frozen=True, eq=False)
class SuccessHistory:
    """SHADE's archive of one parameter: H cells for each strategy, and which is written next."""

    cells: Float[Tensor, "s h"]
    pointer: Int[Tensor, " s"]

    @classmethod
    def of(cls, strategies: int, history: int, start: float) -> "SuccessHistory":
        """All cells hold ``start``."""
        cells = torch.full((strategies, history), start, dtype=torch.float64)
        return cls(cells, torch.zeros(strategies, dtype=torch.long))

    def at(self, strategy: Index, u: Trials) -> Trials:
        """For each trial the value of one of its strategy's cells, chosen by u from U[0, 1)."""
        return self.cells[strategy, (u * self.cells.shape[1]).long()]

    def update(
        self,
        strategy: Index,
        values: Trials,
        gains: Trials,
        mean: Literal["lehmer", "arithmetic"] = "lehmer",
    ) -> "SuccessHistory":
        """Write the weighted mean of ``values`` into the next cell of each strategy. All arguments
        are of the successful trials only.

        The weight of a success is its gain, the decrease in fitness, over the sum of its
        strategy's gains. Lehmer mean: sum w v^2 / sum w v. A strategy without a success does not
        change; one whose successes all have value 0 keeps the cell's content and moves on to the
        next. NOTE: a gain that is not finite (the parent's loss was not) counts like the
        strategy's largest finite one, or 1 if there is none; the paper does not say.
        """
        s = len(self.pointer)
        finite = gains.isfinite()
        known = torch.where(finite, gains, 0).double()
        most = known.new_zeros(s).scatter_reduce(0, strategy, known, "amax")
        most = torch.where(most > 0, most, 1)[strategy]
        # Divided by the largest, so that neither sums nor quotients leave the range of a float.
        weights = torch.where(finite, known, most) / most
        first = _sums(weights * values, strategy, s)
        if mean == "lehmer":
            means = _sums(weights * values.square(), strategy, s) / first
        else:
            means = first / _sums(weights, strategy, s)
        rows = torch.bincount(strategy, minlength=s).nonzero()[:, 0]
        slots, cells, pointer = self.pointer[rows], self.cells.clone(), self.pointer.clone()
        cells[rows, slots] = torch.where(first[rows] > 0, means[rows], cells[rows, slots])
        pointer[rows] = (slots + 1) % self.cells.shape[1]
        return replace(self, cells=cells, pointer=pointer)


def _sums(values: Trials, strategy: Index, s: int) -> Float[Tensor, " {s}"]:
    return torch.zeros(s, dtype=torch.float64).index_add(0, strategy, values)


@dataclass(frozen=True, eq=False)
class RecentSuccesses:
    """SADE's memory: the values that succeeded in the last H generations, NaN for the others."""

    values: Float[Tensor, "h s np"]
    generations: int = 0

    @classmethod
    def of(cls, strategies: int, history: int, np: int) -> "RecentSuccesses":
        """An empty memory for a population of ``np`` members."""
        return cls(torch.full((history, strategies, np), math.nan, dtype=torch.float64))

    def update(self, strategy: Index, targets: Index, values: Trials) -> "RecentSuccesses":
        """Record a generation; all arguments are of its successful trials only."""
        new = torch.full_like(self.values[:1], math.nan)
        new[0, strategy, targets] = values
        return replace(
            self, values=torch.cat([self.values[1:], new]), generations=self.generations + 1
        )

    def centres(self, start: float, kind: Literal["mean", "median"]) -> Float[Tensor, " s"]:
        """Mean or median per strategy; ``start`` until H generations are known, and where a
        strategy had no success in them."""
        h, s, _ = self.values.shape
        if self.generations < h:
            return torch.full((s,), start, dtype=torch.float64)
        known = self.values.transpose(0, 1).reshape(s, -1)
        found = known.nanmean(1) if kind == "mean" else known.nanquantile(0.5, 1)
        return found.nan_to_num(start)


def decreasing(g: int, g_max: int, frequency: float) -> float:
    """The non-adaptive sinusoid, in [0, 1], whose swing about 1/2 shrinks as g goes 1 .. g_max.

    NOTE: at the frequency 1/2 of its source the sine is 0 for every whole g: always 1/2. The paper
    names no frequency; 1/4 lets it swing.
    """
    return 0.5 * (math.sin(2 * math.pi * frequency * g + math.pi) * (g_max - g) / g_max + 1)


def increasing(g: int, g_max: int, frequency: Trials) -> Trials:
    """The adaptive sinusoid, in [0, 1], whose swing about 1/2 grows as g goes 1 .. g_max; a
    frequency per trial."""
    return 0.5 * (torch.sin(2 * math.pi * frequency * g) * (g / g_max) + 1)


def scaled(share: Trials, within: Range) -> Trials:
    """Maps [0, 1] to a range linearly.

    NOTE: the paper gives F the range 0 to 0.2, but sinusoids that reach from 0 to 1. Scaling keeps
    their shape, and the paper's Fig. 5 shows values about 0.1; clipping would pin F at 0.2.
    """
    return within[0] + (within[1] - within[0]) * share


def draw_normal(u: Trials, centre: Trials, std: float, within: Range) -> Trials:
    """Normally distributed values, computed from u of U[0, 1) and clipped to the range."""
    return (centre + std * _normal_quantile(1 - u)).clamp(*within)


def draw_positive(u: Trials, centre: Trials, scale: float, within: Range, law: Law) -> Trials:
    """Values of a distribution truncated above the range's lower end, capped at its upper end.

    They are distributed as if values at or below the lower end were redrawn, but each takes a
    single u of U[0, 1). NOTE: SHADE draws F like this from a Cauchy distribution; the paper says
    "randn" and does not say what happens at the lower end.
    """
    reach = (within[0] - centre) / scale
    if law == "normal":
        below = 0.5 * (1 + torch.erf(reach / math.sqrt(2)))
        x = _normal_quantile(below + (1 - below) * (1 - u))
    else:
        below = 0.5 + torch.atan(reach) / math.pi
        x = torch.tan(math.pi * (below + (1 - below) * (1 - u) - 0.5))
    least = math.nextafter(within[0], math.inf)
    return (centre + scale * x).clamp(least, within[1])


def _normal_quantile(p: Trials) -> Trials:
    return math.sqrt(2) * torch.erfinv(2 * p - 1)
