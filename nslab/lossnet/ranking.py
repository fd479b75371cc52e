"""Ranking consistency: a loss is good if it is larger for the more erroneous of two predictions.

Source: the EDL abstract ("semantics-free ranking-consistency objective that assigns larger
penalties for more erroneous predictions"). NOTE: the objective's form is ours. Ranking by p_y alone
is satisfied by any decreasing function of p_y, cross-entropy as well as the mean absolute error: it
cannot determine the shape of a loss, which the network's form and the margin do.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Literal, NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from nslab.lossnet.net import PAIRS_AT_ONCE, Begins, Layers, LossForm, Moves, Weights, changes
from nslab.lossnet.synthetic_predictions import P, Pairs, Predictions, Y, at_label, towards_label

Margin = Literal["order", "prob", "log"]
PerPair = Float[Tensor, "m n"]  # of m candidates
PerCandidate = Float[Tensor, " m"]

TEMPERATURE = 0.1  # T of `ranking_loss`
TEMPORARIES = 4  # how many temporaries `changes` makes, about
SMALLEST_P = 1e-7  # p_y is clamped to at least this before its logarithm is taken
TOLERANCE = 1e-6  # in standard deviations of the losses: smaller differences may be rounding


class MovedPairs(NamedTuple):
    """Pairs as the layers of a form read them, without the parts that do not move: these change
    nothing.

    Attributes:
        x, begins: of every part that moves, see `LossForm.moves`.
        row: the prediction that the part belongs to.
        sizes: number of predictions for each number of classes: first the worse, then as many
            better ones.
    """

    x: Moves
    begins: Begins
    row: Int[Tensor, " n"]
    sizes: tuple[int, ...]

    @classmethod
    def of(cls, form: LossForm, pairs: Sequence[Pairs]) -> "MovedPairs":
        """The moves of these pairs, which serve for all candidates that are scored on them."""
        parts, sizes = [], list[int]()
        for g in pairs:
            x, begins = form.moves(torch.cat(g[::2]), torch.cat(g[1::2]))
            part, row = x.any(0).nonzero(as_tuple=True)
            parts.append((x[:, part, row], begins[:, part, row], (row + sum(sizes))[None]))
            sizes.append(x.shape[2])
        x, begins, (row,) = (torch.cat(each, 1) for each in zip(*parts, strict=True))
        return cls(x, begins, row, tuple(sizes))


def pair_losses(
    form: LossForm, w: Weights, pairs: MovedPairs | Sequence[Pairs]
) -> tuple[PerPair, PerPair]:
    """The losses of the worse and of the better predictions, for every candidate.

    For one candidate they are as exact as `LossForm.losses`, for several as exact as `quick`.
    """
    moved = pairs if isinstance(pairs, MovedPairs) else MovedPairs.of(form, pairs)
    x, begins, row, sizes = moved
    layers, losses = form.layers(w.to(x)), x.new_zeros(len(w), sum(sizes))
    change = partial(changes, layers) if len(w) == 1 else quick(layers)
    step = max(1, PAIRS_AT_ONCE // (form.hidden * (TEMPORARIES if len(w) == 1 else len(w))))
    for each in zip(row.split(step), x.split(step, 1), begins.split(step, 1), strict=True):
        losses.index_add_(1, each[0], change(*each[1:]))
    both = [v.unflatten(1, (2, -1)) for v in losses.split(list(sizes), 1)]
    worse, better = torch.cat(both, 2).unbind(1)
    return worse, better


def quick(layers: Layers) -> Callable[[Moves, Begins], PerPair]:
    """`changes` by subtracting outputs, which is exact up to the rounding of the outputs: small
    changes lose digits."""
    into, corners, out = layers
    both, out = 2 * torch.cat([into, corners], 2), 2 * out  # tanh(u) = 2 sigmoid(2u) - 1
    before = out @ (2 * corners).sigmoid()

    def change(x: Moves, begins: Begins) -> PerPair:
        after = out @ (both @ torch.cat([x, begins])).sigmoid_()
        return (after - before @ begins).squeeze(1)

    return change


def blocked(form: LossForm, w: Weights, p: P, y: Y) -> Float[Tensor, "m b"]:
    """`LossForm.losses`, for as many candidates and predictions at a time as the cache holds."""
    rows = max(1, PAIRS_AT_ONCE // (TEMPORARIES * p.shape[1] * form.hidden))
    candidates = w.split(max(1, rows // max(1, len(y))))
    parts = zip(p.split(rows), y.split(rows), strict=True)
    return torch.cat([torch.cat([form.losses(v, *part) for v in candidates]) for part in parts], 1)


def margins(pairs: Sequence[Pairs], margin: Margin) -> Float[Tensor, " n"]:
    """By how much each pair's losses should differ, in standard deviations.

    ``"order"``: 0, only the order counts. ``"prob"``: the difference of 1 - p_y; ``"log"``: that
    of -log p_y; each divided by its standard deviation over all predictions.
    """
    worse = torch.cat([at_label(g.worse, g.worse_y) for g in pairs])
    better = torch.cat([at_label(g.better, g.better_y) for g in pairs])
    if margin == "order":
        return torch.zeros_like(worse)
    if margin == "log":
        worse, better = (p.clamp(min=SMALLEST_P).log() for p in (worse, better))
    return (better - worse) / torch.cat([worse, better]).std()


def ranking_loss(worse: PerPair, better: PerPair, margin: Float[Tensor, " n"]) -> PerCandidate:
    """How far a loss is from ranking consistency; lower is better.

    The mean over pairs of T softplus((margin / 2 - gap) / T), with T = 0.1 and the gap worse -
    better, plus the mean over predictions of max(0, -loss): a penalty for losses below 0, the loss
    at the label itself. Gaps and losses are divided by the standard deviation of all losses of the
    candidate, so its scale does not matter. Infinite for a loss that is constant or not finite.
    """
    both = torch.cat([worse, better], 1)
    std = both.std(1, keepdim=True)
    gap, negative = (worse - better) / std, (-both / std).relu().mean(1)
    unranked = TEMPERATURE * F.softplus((margin / 2 - gap) / TEMPERATURE).mean(1)
    return (unranked + negative).nan_to_num(torch.inf)


def ranking_accuracy(worse: PerPair, better: PerPair) -> PerCandidate:
    """Share of pairs with the larger loss for the worse prediction; ties do not count."""
    return (worse > better).to(worse.dtype).mean(1)


def negative_share(worse: PerPair, better: PerPair) -> PerCandidate:
    """Share of predictions with a loss below 0, the loss at the label itself."""
    both = torch.cat([worse, better], 1)
    return (both < -TOLERANCE * both.std(1, keepdim=True)).to(both.dtype).mean(1)


def monotonicity_violations(
    form: LossForm, w: Weights, rays: Sequence[Predictions], steps: int = 32
) -> PerCandidate:
    """Share of steps at which the loss rises while a prediction moves straight to its label.

    Each of ``rays`` goes from its prediction to onehot(y) in ``steps`` equal steps.
    """
    rises, values = [], []
    for p, y in rays:
        t = torch.linspace(0, 1, steps + 1, dtype=p.dtype).repeat_interleave(len(y))
        along = towards_label(p.repeat(steps + 1, 1), y.repeat(steps + 1), t)
        losses = blocked(form, w, along, y.repeat(steps + 1)).unflatten(1, (steps + 1, -1))
        rises.append(losses.diff(dim=1).flatten(1))
        values.append(losses.flatten(1))
    std = torch.cat(values, 1).std(1, keepdim=True)
    return (torch.cat(rises, 1) > TOLERANCE * std).to(w.dtype).mean(1)
