"""Evolved losses evaluated on predictions, real and synthetic."""

from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from nslab.analysis.predictions.features import NamedNumbers, steepness
from nslab.lossnet import LossNet, Shipped
from nslab.lossnet.ranking import monotonicity_violations, ranking_accuracy
from nslab.lossnet.synthetic_predictions import Pairs, Predictions, at_label, towards_label
from nslab.rng import generator

EVOLVED: tuple[Literal["order", "log"], ...] = ("order", "log")
RAYS = 256  # predictions from which steps towards the label are taken
VANISHED = 0.01  # a gradient below this share of cross-entropy's counts as vanished


def pairs_of(sample: Predictions, tie: float, seed: int = 0) -> tuple[Pairs, Pairs]:
    """Two kinds of pairs (worse, better) of n predictions: up to n independent ones, ordered by
    p_y, without those that differ by less than ``tie``; and n dominance pairs, of each prediction
    and the same moved towards its label."""
    (p, y), gen = sample, generator(seed, "pairs")
    first = torch.randperm(len(y), generator=gen)
    second, own = first.roll(1), at_label(p, y)
    gap = own[second] - own[first]
    worse, better = torch.where(gap < 0, second, first), torch.where(gap < 0, first, second)
    kept = (gap.abs() >= tie) & (gap != 0)
    worse, better = worse[kept], better[kept]
    t = torch.rand(len(y), generator=gen, dtype=p.dtype)
    return Pairs(p[worse], y[worse], p[better], y[better]), Pairs(p, y, towards_label(p, y, t), y)


def gradients(net: LossNet, sample: Predictions) -> Float[Tensor, " n"]:
    """|dl/dz| for each prediction, with its logits z; for cross-entropy that is |p - onehot(y)|."""
    z = sample.p.log().requires_grad_()
    (gradient,) = torch.autograd.grad(net(z, sample.y).sum(), z)
    return gradient.norm(dim=1)


def behaviour(sample: Predictions, tie: float = 0.01, seed: int = 0) -> NamedNumbers:
    """How the losses that come with the package behave on predictions.

    ``<loss>_independent``, ``<loss>_dominance``: ranking accuracy (0 to 1) on the two kinds of
    `pairs_of`; ``untied``: share of independent pairs that are not tied; ``<loss>_rises``: share of
    steps towards the label at which the loss rises; ``<loss>_gradient``: mean |dl/dz|, to compare
    with ``ce_gradient``; ``<loss>_vanished``, ``<loss>_vanished_wrong``: share of all predictions,
    and of misclassified ones (NaN if there are none), with less than 1 % of cross-entropy's
    gradient.
    """
    p, y = sample
    independent, dominance = pairs_of(sample, tie, seed)
    steep, wrong = steepness(sample), p.argmax(1) != y
    found = {"untied": len(independent.worse) / len(y), "ce_gradient": float(steep.mean())}
    for name in EVOLVED:
        net = Shipped(name).net().matched(p.shape[1])
        w = net.w[None]
        for kind, pairs in (("independent", independent), ("dominance", dominance)):
            worse = net.form.losses(w, pairs.worse, pairs.worse_y)
            better = net.form.losses(w, pairs.better, pairs.better_y)
            found[f"{name}_{kind}"] = float(ranking_accuracy(worse, better))
        rays = [Predictions(p[:RAYS], y[:RAYS])]
        found[f"{name}_rises"] = float(monotonicity_violations(net.form, w, rays))
        slope = gradients(net, sample)
        gone = (slope < VANISHED * steep).double()
        found[f"{name}_gradient"] = float(slope.mean())
        found |= {f"{name}_vanished": float(gone.mean())}
        found |= {f"{name}_vanished_wrong": float(gone[wrong].mean())}
    return found
