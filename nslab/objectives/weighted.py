"""Per-sample losses, and weights put on top of them: most methods are one, the other, or both."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import nn

from nslab.types import Batch, DataInfo, Labels, Logits, Loss, PerSample, Scored, Weigh


def full_precision(logits: Logits) -> Logits:
    """Logits in at least float32: a loss in 16 bits would lose the small probabilities."""
    return logits.float() if logits.dtype in (torch.float16, torch.bfloat16) else logits


def cross_entropy(logits: Logits, y: Labels) -> PerSample:
    """Cross-entropy of each sample, ``-log softmax(logits)[y]``."""
    return F.cross_entropy(full_precision(logits), y, reduction="none")


@dataclass(frozen=True)
class Weighted:
    """The objective ``weigh(model, batch, logits) * loss(logits, y)``.

    Weights are constants of the backward pass: ``weigh`` is called without gradients. It is given
    the batch's logits, or, with ``before``, None: it then runs before the batch passes through the
    network, while no activations are kept.
    """

    loss: Loss = cross_entropy
    weigh: Weigh | None = None
    before: bool = False
    min_batch: int = 1

    def __call__(self, model: nn.Module, batch: Batch) -> Scored:
        weight = None
        if self.weigh is not None and self.before:
            with torch.no_grad():
                weight = self.weigh(model, batch, None)
        logits = model(batch.x)
        loss = self.loss(logits, batch.y)
        if self.weigh is not None and weight is None:
            with torch.no_grad():
                weight = self.weigh(model, batch, logits.detach())
        return Scored(loss if weight is None else weight * loss, logits, weight)


@dataclass(frozen=True)
class CrossEntropy:
    """Plain cross-entropy, what every paper calls baseline or basic."""

    def loss(self, logits: Logits, y: Labels) -> PerSample:
        """Cross-entropy of each sample."""
        return cross_entropy(logits, y)

    def build(self, info: DataInfo) -> Weighted:
        """The objective for a training set."""
        return Weighted(self.loss)
