"""Losses as modules for other trainers: with a reduction, like torch's own, and for soft labels.

An objective such as ``GCE(q=0.7)`` is a frozen value that is part of a run's identity, so it cannot
be a module, which changes when it is moved or put into another mode. ``GCE(q=0.7).criterion()``
makes the module.
"""

from typing import Any, Literal, Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor, nn

from nslab.networks.logits import (
    can_read_values,
    check_classes,
    check_labels,
    check_logits,
    check_unmasked,
)
from nslab.system.validation import unknown
from nslab.types import Labels, Logits, PerSample

Reduction = Literal["mean", "sum", "none"]
REDUCTIONS = ("mean", "sum", "none")
SoftLabels = Float[Tensor, "b c"]  # the probability of each class
TOLERANCE = 0.01  # of the sum of a sample's probabilities, which may have 16 bits each


@runtime_checkable
class ByClass(Protocol):
    """A loss per sample that can also be taken for every class."""

    def loss(self, logits: Logits, y: Labels) -> PerSample: ...

    def losses_by_class(self, logits: Logits) -> Float[Tensor, "b c"]: ...


def is_soft(y: Any) -> bool:
    """Whether labels are soft: a matrix of floats, the probability of each class.

    >>> is_soft(torch.tensor([1, 0])), is_soft(torch.tensor([[0.3, 0.7]]))
    (False, True)
    """
    return isinstance(y, Tensor) and y.dim() == 2 and y.is_floating_point()


def check_reduction(reduction: str) -> None:
    """``ValueError`` unless ``reduction`` is one of torch's: mean, sum, none."""
    if reduction not in REDUCTIONS:
        raise unknown("reduction", reduction, REDUCTIONS)


def check_soft(y: Tensor, samples: int, classes: int | None = None) -> None:
    """``ValueError`` unless ``y`` holds soft labels for this many samples and classes. Values are
    checked on a CPU only."""
    if len(y) != samples or classes not in (None, y.shape[1]):
        raise ValueError(
            f"labels of shape {tuple(y.shape)}: soft labels need a probability for each of "
            f"{samples} samples and {classes or 'all'} classes"
        )
    if can_read_values(y) and samples:
        low, sums = float(y.min()), y.detach().float().sum(1)
        if not low >= 0 or not float((sums - 1).abs().max()) <= TOLERANCE:
            raise ValueError(
                "labels that are floats must be probabilities: at least 0, with a sum of 1 for "
                f"each sample; here the lowest is {low:.3g}, and the sums range from "
                f"{float(sums.min()):.3g} to {float(sums.max()):.3g}"
            )


def expected(loss: ByClass, logits: Logits, y: SoftLabels) -> PerSample:
    """sum_k y_k loss(z, k): the expected loss of a sample whose label is drawn from its soft label.

    For cross-entropy this is torch's loss with class probabilities. For a blend of two labels it is
    what the released code of mixup computes for any loss. NOTE: for dense soft labels and losses
    other than cross-entropy the definition is ours; their sources have one label per sample. It
    costs as much as the loss of b * c samples; for mixup with a thousand classes, blend the losses
    of the two labels instead.

    Raises ``ValueError`` for labels that are not probabilities, and for a masked class, whose loss
    would be infinite.
    """
    check_logits(logits)
    check_soft(y, len(logits), logits.shape[1])
    check_classes(logits, y)
    check_unmasked(logits.sum(1))
    losses = loss.losses_by_class(logits)
    return (y.to(losses.dtype) * losses).sum(1)


def per_sample(loss: ByClass, logits: Logits, y: Labels | SoftLabels) -> PerSample:
    """The loss of each sample, for class numbers (b,) or soft labels (b, c)."""
    return expected(loss, logits, y) if is_soft(y) else loss.loss(logits, y)


def reduced(losses: Float[Tensor, "*n"], reduction: Reduction) -> Float[Tensor, "..."]:
    """The losses unchanged (``"none"``), their sum, or their mean.

    >>> reduced(torch.tensor([1.0, 3.0]), "mean")
    tensor(2.)
    """
    check_reduction(reduction)
    return losses if reduction == "none" else getattr(losses, reduction)()


class Criterion(nn.Module):
    """A loss as an ``nn.Module``, to serve as a trainer's criterion. The method ``criterion`` of a
    loss per sample makes one.

    It is called like ``torch.nn.CrossEntropyLoss``: with logits (b, c) and labels (b,) of any
    integer type, or with logits (b, c, d1, ...) and labels (b, d1, ...), where each position is a
    sample. Float labels in the shape of the logits are soft, see `expected`. Losses are computed in
    float32 or better, also under autocast. Only the module of `EDL` has a state dict.

    For class weights use ``reduction="none"``: ``(weight[y] * criterion(z, y)).mean()``.

    Args:
        config: the loss.
        reduction: ``"mean"`` over the samples that are not ignored, ``"sum"``, or ``"none"`` for
            losses in the shape of the labels.
        ignore_index: samples with this label have loss 0 and do not count in the mean, as with
            torch's losses; -100 in transformers' token classifiers. By default no label is ignored,
            and a label that is not a class is refused.

    >>> from nslab.objectives import GCE
    >>> GCE(q=0.5).criterion(reduction="none")
    Criterion(GCE(q=0.5, k=None, clamp=None), reduction='none')
    >>> z = torch.tensor([[2.0, 0.0, 0.0]] * 2)
    >>> GCE(q=0.7).criterion("sum")(z, torch.tensor([0, 1]))
    tensor(1.3512)
    """

    def __init__(
        self, config: ByClass, reduction: Reduction = "mean", ignore_index: int | None = None
    ) -> None:
        super().__init__()
        check_reduction(reduction)
        self.config, self.reduction, self.ignore_index = config, reduction, ignore_index

    def extra_repr(self) -> str:
        """The loss, its reduction, and ``ignore_index`` if it is set."""
        text = f"{self.config!r}, reduction={self.reduction!r}"
        return text if self.ignore_index is None else f"{text}, ignore_index={self.ignore_index}"

    def loss(self, logits: Logits, y: Labels) -> PerSample:
        """The loss of each sample."""
        return self.config.loss(logits, y)

    def losses_by_class(self, logits: Logits) -> Float[Tensor, "b c"]:
        """The loss of each sample for every class."""
        return self.config.losses_by_class(logits)

    def forward(self, logits: Tensor, y: Tensor) -> Tensor:
        """The reduced loss; ``ValueError`` for labels that do not fit the logits."""
        rows, labels, shape = flat(logits, y)
        if self.ignore_index is None or is_soft(labels):
            losses = per_sample(self, rows, labels)
            return reduced(losses.view(shape), self.reduction)
        check_labels(labels.clamp(min=0), len(rows))
        kept = labels != self.ignore_index
        # in place of an ignored label a class that cannot be masked: the likeliest one
        losses = self.loss(rows, torch.where(kept, labels.long(), rows.detach().argmax(1)))
        losses = torch.where(kept, losses, 0.0)
        if self.reduction == "mean":
            return losses.sum() / kept.sum()
        return reduced(losses.view(shape), self.reduction)


def flat(logits: Any, y: Any) -> tuple[Tensor, Tensor, tuple[int, ...]]:
    """Logits (b, c, d1, ...) and their labels as rows, and the shape (b, d1, ...) of the losses;
    ``ValueError`` for labels that do not fit."""
    if not isinstance(y, Tensor) or not isinstance(logits, Tensor) or logits.dim() <= 2:
        check_logits(logits)
        if not isinstance(y, Tensor):
            check_labels(y, len(logits))
        return logits, y, (len(logits),)
    positions = (len(logits), *logits.shape[2:])
    soft = y.is_floating_point() and y.shape == logits.shape
    if not soft and (y.shape != positions or y.is_floating_point()):
        raise ValueError(
            f"labels must be whole numbers of shape {positions}, or probabilities of shape "
            f"{tuple(logits.shape)}, as the logits have, with classes second; not {y.dtype} of "
            f"shape {tuple(y.shape)}"
        )
    labels = y.movedim(1, -1).flatten(0, -2) if soft else y.flatten()
    return logits.movedim(1, -1).flatten(0, -2), labels, positions
