"""Synthetic predictions and labels, in any number: the data that a loss evolves on.

Source: the EDL abstract ("unlimited synthetic prediction-label pairs"), and summaries that mention
a controllable mixture of critical regimes. NOTE: regimes, weights, shapes and pairs are ours.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from nslab.system.validation import hints, strict

# For networks with the log feature, which generalise less far beyond the classes they evolved on.
MORE_CLASSES = (2, 5, 10, 20, 100)

P = Float[Tensor, "n k"]
Y = Int[Tensor, " n"]


@dataclass(frozen=True)
class Regimes:
    """How synthetic predictions are distributed; the weights need not add up to 1.

    Attributes:
        anywhere: weight of predictions uniform on the simplex, Dir(1).
        right, wrong: weights of predictions that are sure of the label, or of another class:
            (1 - d) onehot + d Dir(1).
        boundary: weight of predictions between the label and one other class, with p_y from
            Beta(4, 4).
        even: weight of unsure predictions, Dir(``evenness``).
        classes: numbers of classes, each equally often.
        doubt: d is drawn from Beta(1, ``doubt``).
        evenness: see ``even``.
        dominance: share of pairs in which one prediction is the other moved towards its label.
        tie: independent pairs whose p_y differ by less are dropped.
    """

    anywhere: float = 0.2
    right: float = 0.2
    wrong: float = 0.25
    boundary: float = 0.25
    even: float = 0.1
    classes: tuple[int, ...] = (2, 5, 10, 20)
    doubt: float = 9.0
    evenness: int = 30
    dominance: float = 0.5
    tie: float = 0.01

    def __post_init__(self) -> None:
        for name, hint in hints(Regimes).items():
            value = strict(f"Regimes: {name}", getattr(self, name), hint)
            object.__setattr__(self, name, value)
        weights = self.weights
        for name, ok, words in (
            *((n, 0 <= w < torch.inf, "finite and at least 0") for n, w in weights.items()),
            ("anywhere", sum(weights.values()) > 0, "above 0 if all other weights are 0"),
            ("classes", len(self.classes) > 0, "at least one number"),
            ("classes", all(k >= 2 for k in self.classes), "numbers of at least 2"),
            ("doubt", 0 < self.doubt < torch.inf, "above 0"),
            ("evenness", self.evenness >= 1, "at least 1"),
            ("dominance", 0 <= self.dominance <= 1, "in [0, 1]"),
            ("tie", 0 <= self.tie < 1, "in [0, 1)"),
        ):
            if not ok:
                raise ValueError(f"Regimes: {name} must be {words}, not {getattr(self, name)}")

    @property
    def weights(self) -> dict[str, float]:
        """The weight of each regime."""
        return {name: getattr(self, name) for name in DRAW}


class Predictions(NamedTuple):
    """Predictions with the same number of classes, and their labels."""

    p: Float[Tensor, "n k"]
    y: Int[Tensor, " n"]


class Pairs(NamedTuple):
    """Predictions with the same number of classes: in each row a worse and a better one."""

    worse: Float[Tensor, "n k"]
    worse_y: Int[Tensor, " n"]
    better: Float[Tensor, "n k"]
    better_y: Int[Tensor, " n"]


def draw_predictions(
    regimes: Regimes, n: int, k: int, gen: torch.Generator
) -> tuple[P, Y, Int[Tensor, " n"]]:
    """n predictions of k classes, float64, their labels, and the number of each one's regime."""
    y = torch.randint(k, (n,), generator=gen)
    weights = torch.tensor(list(regimes.weights.values()), dtype=torch.float64)
    which = torch.multinomial(weights, n, replacement=True, generator=gen)
    p = torch.empty(n, k, dtype=torch.float64)
    for i, draw in enumerate(DRAW.values()):
        rows = (which == i).nonzero()[:, 0]
        p[rows] = draw(regimes, y[rows], k, gen)
    return p, y, which


def draw_pairs(
    regimes: Regimes, n: int, gen: torch.Generator, dtype: torch.dtype = torch.float32
) -> list[Pairs]:
    """About n pairs (independent ties are dropped), a group for each number of classes.

    Dominance pairs are p and (1 - t) p + t onehot(y), with t from U(0, 1): the label's probability
    grows and all others shrink in proportion, so the first is worse by any measure. In independent
    pairs each prediction has its own label, and p_y decides which is better. NOTE: both predictions
    of a pair have the same number of classes.
    """
    groups = []
    for i, k in enumerate(regimes.classes):
        share = len(range(i, n, len(regimes.classes)))
        moved = round(regimes.dominance * share)
        p, y, _ = draw_predictions(regimes, 2 * share - moved, k, gen)
        t = torch.rand(moved, generator=gen, dtype=torch.float64)
        other = torch.cat([towards_label(p[:moved], y[:moved], t), p[share:]])
        other_y = torch.cat([y[:moved], y[share:]])
        p, y = p[:share], y[:share]
        gap = at_label(other, other_y) - at_label(p, y)
        least = torch.full_like(gap, regimes.tie)
        least[:moved] = 0
        keep = (gap.abs() >= least) & (gap != 0)
        swap = (gap < 0)[:, None]
        worse, better = torch.where(swap, other, p), torch.where(swap, p, other)
        worse_y, better_y = (torch.where(swap[:, 0], *ys) for ys in ((other_y, y), (y, other_y)))
        groups.append(
            Pairs(worse[keep].to(dtype), worse_y[keep], better[keep].to(dtype), better_y[keep])
        )
    return groups


def draw_rays(
    regimes: Regimes, n: int, gen: torch.Generator, dtype: torch.dtype = torch.float32
) -> list[Predictions]:
    """About n predictions at which rays begin, a group for each number of classes."""
    share = -(-n // len(regimes.classes))
    drawn = (draw_predictions(regimes, share, k, gen) for k in regimes.classes)
    return [Predictions(p.to(dtype), y) for p, y, _ in drawn]


def at_label(p: P, y: Y) -> Float[Tensor, " n"]:
    """p_y, the probability of each label."""
    return p.gather(1, y[:, None]).squeeze(1)


def towards_label(p: P, y: Y, t: Float[Tensor, " n"]) -> P:
    """Predictions moved towards their labels: (1 - t) p + t onehot(y)."""
    return ((1 - t[:, None]) * p).scatter_add(1, y[:, None], t[:, None])


def _dirichlet(n: int, k: int, shape: int, gen: torch.Generator) -> P:
    # Gamma variates with an integer shape are sums of exponential ones, which take a generator.
    draws = torch.empty(shape, n, k, dtype=torch.float64).exponential_(generator=gen).sum(0)
    return draws / draws.sum(1, keepdim=True)


def _anywhere(regimes: Regimes, y: Y, k: int, gen: torch.Generator) -> P:
    return _dirichlet(len(y), k, 1, gen)


def _sure(regimes: Regimes, y: Y, k: int, gen: torch.Generator) -> P:
    u = torch.rand(len(y), generator=gen, dtype=torch.float64)
    d = 1 - u ** (1 / regimes.doubt)  # Beta(1, doubt)
    return towards_label(_dirichlet(len(y), k, 1, gen), y, 1 - d)


def _other(y: Y, k: int, gen: torch.Generator) -> Y:
    return (y + torch.randint(1, k, y.shape, generator=gen)) % k


def _wrong(regimes: Regimes, y: Y, k: int, gen: torch.Generator) -> P:
    return _sure(regimes, _other(y, k, gen), k, gen)


def _boundary(regimes: Regimes, y: Y, k: int, gen: torch.Generator) -> P:
    # The median of seven uniform numbers has the distribution Beta(4, 4).
    share = torch.rand(len(y), 7, generator=gen, dtype=torch.float64).median(1).values
    p = torch.zeros(len(y), k, dtype=torch.float64)
    p.scatter_(1, y[:, None], share[:, None])
    return p.scatter_(1, _other(y, k, gen)[:, None], 1 - share[:, None])


def _even(regimes: Regimes, y: Y, k: int, gen: torch.Generator) -> P:
    return _dirichlet(len(y), k, regimes.evenness, gen)


DRAW: dict[str, Callable[[Regimes, Y, int, torch.Generator], P]] = {
    "anywhere": _anywhere,
    "right": _sure,
    "wrong": _wrong,
    "boundary": _boundary,
    "even": _even,
}
