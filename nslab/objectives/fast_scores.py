"""Fast scores: Natural Selection scored by a folded copy of the network in bfloat16.

Up to rounding they are the scores of the network itself. They take about half the time where the
processor computes in bfloat16, and more time where it does not. They are a setting of `NS`, so a
run with fast scores has an id of its own; ``scores="fast"`` selects them in a plan.
"""

import dataclasses
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor, nn

from nslab.objectives.ns import NS

Scores = Literal["exact", "fast"]

# Networks for which fast scores were measured to take less time than exact ones
# (benchmarks/fast_scores.py).
# NOTE: all others keep exact scores: networks too small to gain (LeNet-5, the MLP), those that
# torch.fx cannot trace, those for texts, and all that were not measured.
FASTER_NETWORKS = frozenset(
    (
        "resnet8",
        "resnet8b",
        "resnet14",
        "resnet14b",
        "resnet20",
        "resnet20b",
        "resnet32",
        "resnet32b",
        "resnet56",
        "resnet110b",
        "alexnet_cifar",
        "vgg19_bn_cifar",
        "mobilenet_v2_cifar",
    )
)


class Agreement(NamedTuple):
    """How well fast scores agree with exact ones.

    Attributes:
        correlation: Pearson's, over all samples.
        winners, orders: shares of groups with the same winner and with the same ranking.
        difference: the largest absolute difference of two scores.
    """

    correlation: float
    winners: float
    orders: float
    difference: float


def fast(ns: NS) -> NS:
    """``ns`` with fast scores."""
    return dataclasses.replace(ns, fold_batchnorm=True, score_dtype="bfloat16")


def fast_scored(objective: Any, network: str) -> Any:
    """The objective with fast scores where they pay off, else the objective itself.

    They pay off for an `NS` on images whose weights depend on scores (rho is not 0) and whose
    scoring is the default (evaluation mode, no copy), with a network in `FASTER_NETWORKS`.

    >>> fast_scored(NS(), "resnet20").score_dtype, fast_scored(NS(), "vit_b_16").score_dtype
    ('bfloat16', 'model')
    """
    fits = isinstance(objective, NS) and network in FASTER_NETWORKS and objective.rho != 0
    plain = fits and not objective.uses_copy and objective.mode == "eval"
    return fast(objective) if plain and objective.compose == "images" else objective


def exactly_scored(objective: Any) -> Any:
    """The inverse of `fast_scored`.

    >>> exactly_scored(fast_scored(NS(), "resnet20")) == NS()
    True
    """
    if isinstance(objective, NS) and fast(objective) == objective:
        return dataclasses.replace(objective, fold_batchnorm=False, score_dtype="model")
    return objective


def agreement(model: nn.Module, x: Tensor, y: Tensor, ns: NS | None = None) -> Agreement:
    """How well fast scores agree with exact ones on the whole groups of a batch; ``ns`` gives the
    grid. Raises ``ValueError`` for a batch smaller than a group.

    >>> model = nn.Sequential(nn.Flatten(), nn.Linear(192, 10))
    >>> agreement(model, torch.randn(64, 3, 8, 8), torch.arange(64) % 10).correlation > 0.99
    True
    """
    ns = dataclasses.replace(
        ns or NS(), sigma=0.0, rho=1.0, min_weight=None, grouping="consecutive"
    )
    m = ns.grid[0] * ns.grid[1]
    if len(y) < m:
        raise ValueError(f"{len(y)} samples are less than one group of {m}: give a larger batch")
    whole = len(y) // m * m
    exact, quick = (
        each.weights(model, x, y)[:whole].view(-1, m).double()
        for each in (exactly_scored(ns), fast(ns))
    )
    both = torch.stack([exact.flatten(), quick.flatten()])
    return Agreement(
        float(both.corrcoef()[0, 1]),
        float((exact.argmax(1) == quick.argmax(1)).double().mean()),
        float((exact.argsort(1) == quick.argsort(1)).all(1).double().mean()),
        float((exact - quick).abs().max()),
    )
