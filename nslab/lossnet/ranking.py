"""Ranking consistency: a loss is good if it is larger for the more erroneous of two predictions.

Source: the EDL abstract ("semantics-free ranking-consistency objective that assigns larger
penalties for more erroneous predictions"). NOTE: the objective's form is ours. Ranking by p_y alone
is satisfied by any decreasing function of p_y, cross-entropy as well as the mean absolute error: it
cannot determine the shape of a loss, which the network's form and the margin do.
"""

from collections.abc import Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from nslab.lossnet.net import AT_ONCE, LossForm, Weights
from nslab.lossnet.synthetic import P, Pairs, Predictions, Y, of_label, towards_label

Margin = Literal["order", "prob", "log"]
PerPair = Float[Tensor, "m n"]  # of m candidates
PerCandidate = Float[Tensor, " m"]

TEMPERATURE = 0.1
SMALLEST = 1e-7  # what p_y is held above, for its logarithm
TOLERANCE = 1e-6  # of a standard deviation of the losses: what rounding does


def pair_losses(form: LossForm, w: Weights, pairs: Sequence[Pairs]) -> tuple[PerPair, PerPair]:
    """The losses of the worse and of the better predictions, for every candidate."""
    parts = []
    for group in pairs:
        p, y = torch.cat([group.worse, group.better]), torch.cat([group.worse_y, group.better_y])
        parts.append(blocked(form, w, p, y).unflatten(1, (2, -1)))
    worse, better = torch.cat(parts, 2).unbind(1)
    return worse, better


def blocked(form: LossForm, w: Weights, p: P, y: Y) -> Float[Tensor, "m b"]:
    """`LossForm.losses`, as many candidates at a time as the cache holds."""
    step = max(1, AT_ONCE // max(1, p.numel() * form.hidden))
    return torch.cat([form.losses(part, p, y) for part in w.split(step)])


def margins(pairs: Sequence[Pairs], margin: Margin) -> Float[Tensor, " n"]:
    """By how much each pair's losses should differ, in standard deviations.

    ``"order"``: 0, the order is all that counts. ``"prob"``: the difference of 1 - p_y;
    ``"log"``: that of -log p_y; each divided by its standard deviation over all predictions.
    """
    worse = torch.cat([of_label(g.worse, g.worse_y) for g in pairs])
    better = torch.cat([of_label(g.better, g.better_y) for g in pairs])
    if margin == "order":
        return torch.zeros_like(worse)
    if margin == "log":
        worse, better = (p.clamp(min=SMALLEST).log() for p in (worse, better))
    return (better - worse) / torch.cat([worse, better]).std()


def ranking_loss(worse: PerPair, better: PerPair, margin: Float[Tensor, " n"]) -> PerCandidate:
    """How far a loss is from ranking consistency; less is better.

    The mean over pairs of T softplus((margin / 2 - gap) / T), T = 0.1, plus the mean over
    predictions of max(0, -loss): a penalty for losses below that of the label. Gaps and losses are
    divided by the standard deviation of all losses of the candidate, so its scale does not matter.
    Infinite for a loss that is constant or not finite.
    """
    both = torch.cat([worse, better], 1)
    std = both.std(1, keepdim=True)
    gap, negative = (worse - better) / std, (-both / std).relu().mean(1)
    unranked = TEMPERATURE * F.softplus((margin / 2 - gap) / TEMPERATURE).mean(1)
    return (unranked + negative).nan_to_num(torch.inf)


def ranking_accuracy(worse: PerPair, better: PerPair) -> PerCandidate:
    """Share of pairs with the larger loss for the worse prediction; a tie is none."""
    return (worse > better).to(worse.dtype).mean(1)


def negative_share(worse: PerPair, better: PerPair) -> PerCandidate:
    """Share of predictions with a loss below the label's own, which is 0."""
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
