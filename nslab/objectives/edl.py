"""Evolutionary Dynamic Loss: a loss network evolved on synthetic predictions, as an objective.

Source: "Distribution-Free Pretraining of Classification Losses via Evolutionary Dynamics" (EDL).
NOTE: the paper's full text was unavailable; `nslab.lossnet` says which parts are our own.
"""

import functools
from dataclasses import dataclass, field
from typing import Literal, Protocol, runtime_checkable

import torch

from nslab.lossnet import LossNet
from nslab.lossnet.shipped import Shipped
from nslab.networks.logits import check_batch
from nslab.objectives.criterion import Criterion, Reduction
from nslab.objectives.weighted import PlainLoss
from nslab.system.validation import check_fields
from nslab.types import DataInfo, Labels, Logits, Objective, PerSample


@runtime_checkable
class LossSource(Protocol):
    """Where a loss network comes from: a frozen value that names a shipped network or says how to
    evolve one."""

    def net(self) -> LossNet: ...


@dataclass(frozen=True)
class EDL(PlainLoss):
    """A loss network in place of cross-entropy, for any number of classes.

    In your own training loop: ``loss = nslab.EDL()(model(x), y)``. For a trainer that takes a
    module: ``criterion = nslab.EDL().criterion()``.

    Attributes:
        source: ``Shipped("log")`` or ``Shipped("order")``, which come with the package, or a
            ``LossSearchConfig``, which evolves one.
        scale: ``"ce"``: as steep as cross-entropy at uniform predictions, see `LossNet.matched`;
            ``"evolved"``: the network's own scale.

    >>> logits, y = torch.tensor([[2.0, 0.0, 0.0]] * 2), torch.tensor([0, 1])
    >>> EDL().loss(logits, y)  # right, wrong
    tensor([0.9324, 3.0620])
    """

    source: LossSource = field(default_factory=Shipped)
    scale: Literal["ce", "evolved"] = "ce"

    def __post_init__(self) -> None:
        check_fields(self)
        if isinstance(self.source, type) or not isinstance(self.source, LossSource):
            raise TypeError(f"EDL: source must have a method net, not {self.source!r}")

    def loss(self, logits: Logits, y: Labels) -> PerSample:
        """The evolved loss of each sample."""
        check_batch(logits, y)
        return loss_network(self, logits.shape[-1], logits.device)(logits, y)

    def criterion(
        self, reduction: Reduction = "mean", ignore_index: int | None = None
    ) -> Criterion:
        """The loss as an ``nn.Module`` that holds the weights of its network."""
        from nslab.objectives.edl_criterion import EvolvedCriterion  # imports torch's compiler

        return EvolvedCriterion(self, reduction, ignore_index)

    def build(self, info: DataInfo) -> Objective:
        """The objective for a training set; ``ValueError`` for a loss network that does not fit
        its number of classes."""
        loss_network(self, info.num_classes, torch.device("cpu"))
        return super().build(info)


def __getattr__(name: str) -> object:
    """The class of `EDL.criterion`, for modules that were pickled while it was defined here."""
    if name != "EvolvedCriterion":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from nslab.objectives.edl_criterion import EvolvedCriterion

    return EvolvedCriterion


@functools.lru_cache(maxsize=64)
def loss_network(edl: EDL, classes: int, device: torch.device) -> LossNet:
    """The loss network, scaled for this many classes, on a device."""
    net = edl.source.net()
    return (net.matched(classes) if edl.scale == "ce" else net).to(device)
