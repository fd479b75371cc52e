"""Fast scores: Natural Selection scored by a folded copy of the network in bfloat16.

They are the scores of the network itself up to rounding, for half the time where the processor
computes in bfloat16, and for more where it does not. They are another setting of `NS`, so a run
with them has another id; plans take them by ``scores="fast"``.
"""

import dataclasses
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor, nn

from nslab.objectives.ns import NS

Scores = Literal["exact", "fast"]

# Networks whose fast scores were measured beside the plain ones, and came sooner
# (benchmarks/fast_scores.py).
# NOTE: all others keep the plain ones: those too small to gain (LeNet-5, the MLP), those that
# torch.fx cannot trace, texts, and whatever was not measured.
PROVEN = frozenset(
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
    """Of fast scores with plain ones: their correlation, the shares of groups with the same winner
    and with the same order, and the largest difference."""

    correlation: float
    winners: float
    orders: float
    difference: float


def fast(ns: NS) -> NS:
    """The same with fast scores."""
    return dataclasses.replace(ns, fold_batchnorm=True, score_dtype="bfloat16")


def fast_scored(objective: Any, network: str) -> Any:
    """An objective as it scores fast on a network: other than it is only for an `NS` of images that
    depends on scores and says nothing of how they are computed, and a network in `PROVEN`.

    >>> fast_scored(NS(), "resnet20").score_dtype, fast_scored(NS(), "vit_b_16").score_dtype
    ('bfloat16', 'model')
    """
    fits = isinstance(objective, NS) and network in PROVEN and objective.rho != 0
    plain = fits and not objective.copies and objective.mode == "eval"
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
    """How fast scores of whole groups agree with plain ones, ``ns`` having the grid.

    >>> model = nn.Sequential(nn.Flatten(), nn.Linear(192, 10))
    >>> agreement(model, torch.randn(64, 3, 8, 8), torch.arange(64) % 10).correlation > 0.99
    True
    """
    ns = dataclasses.replace(ns or NS(), sigma=0.0, rho=1.0, min_weight=None)
    m = ns.grid[0] * ns.grid[1]
    plain, quick = (
        way.weights(model, x, y).view(-1, m).double() for way in (exactly_scored(ns), fast(ns))
    )
    both = torch.stack([plain.flatten(), quick.flatten()])
    return Agreement(
        float(both.corrcoef()[0, 1]),
        float((plain.argmax(1) == quick.argmax(1)).double().mean()),
        float((plain.argsort(1) == quick.argsort(1)).all(1).double().mean()),
        float((plain - quick).abs().max()),
    )
