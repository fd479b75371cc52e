"""Per-sample losses, and weights put on top of them: most methods are one, the other, or both."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from nslab.networks.logits import NO_LABEL, check_batch, logits_of
from nslab.objectives.checks import check_loss, check_per_sample, loss_name
from nslab.objectives.criterion import Criterion, Reduction, SoftLabels, per_sample, reduced
from nslab.types import Batch, DataInfo, Labels, Logits, Loss, Objective, PerSample, Scored, Weigh

COUNTER = "counter"  # key of an objective's state: the state of its counter


def full_precision(logits: Logits) -> Logits:
    """Logits in at least float32: in 16 bits, small probabilities would be lost."""
    return logits.float() if logits.dtype in (torch.float16, torch.bfloat16) else logits


def cross_entropy(logits: Logits, y: Labels) -> PerSample:
    """Cross-entropy of each sample, ``-log softmax(logits)[y]``; no label is ignored."""
    check_batch(logits, y)
    return F.cross_entropy(
        full_precision(logits), y.long(), reduction="none", ignore_index=NO_LABEL
    )


@dataclass(frozen=True)
class Weighted:
    """The objective ``weigh(model, batch, logits) * loss(logits, y)``.

    Weights are constants of the backward pass: ``weigh`` is called without gradients, with the
    batch's logits.

    >>> objective = Weighted(weigh=lambda model, batch, logits: 1.0 + (batch.y == 0))
    >>> batch = Batch(torch.zeros(2, 1, 8, 8), torch.tensor([0, 1]), torch.arange(2))
    >>> objective(nn.Sequential(nn.Flatten(), nn.Linear(64, 10)), batch).weight
    tensor([2., 1.])
    """

    loss: Loss = cross_entropy
    weigh: Weigh | None = None
    min_batch: int = 1

    def __post_init__(self) -> None:
        check_loss(self.loss)

    def __call__(self, model: nn.Module, batch: Batch) -> Scored:
        logits = logits_of(model(batch.x))
        loss = self.loss(logits, batch.y)
        check_per_sample(loss, batch.y, loss_name(self.loss))
        if self.weigh is None:
            return Scored(loss, logits)
        with torch.no_grad():
            weight = self.weigh(model, batch, logits.detach())
        return Scored(weight * loss, logits, weight)


@dataclass(frozen=True)
class Reweighted:
    """Another objective with its losses multiplied by ``weigh(model, batch, None)``.

    The weights are computed before the batch passes through the network, while no activations are
    kept. Penalties are not weighted: they belong to no sample.

    Attributes:
        smallest: the smallest batch that ``weigh`` can take.
        counter: an object that counts something while weights are computed, see `counted`.
    """

    inner: Objective
    weigh: Weigh
    smallest: int = 1
    counter: Any = None

    @property
    def min_batch(self) -> int:
        """The smallest batch that both the inner objective and ``weigh`` can take."""
        return max(self.smallest, self.inner.min_batch)

    def __call__(self, model: nn.Module, batch: Batch) -> Scored:
        with torch.no_grad():
            weight = self.weigh(model, batch, None)
        scored = self.inner(model, batch)
        total = weight if scored.weight is None else weight * scored.weight
        return dataclasses.replace(scored, loss=weight * scored.loss, weight=total)

    def state_dict(self) -> dict[str, Any]:
        """The states of the inner objective and of the counter."""
        counts = state_of(self.counter)
        return state_of(self.inner) | ({COUNTER: counts} if counts else {})

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue with these states."""
        restore_state(self.inner, {name: value for name, value in state.items() if name != COUNTER})
        restore_state(self.counter, state.get(COUNTER, {}))

    def counted(self) -> dict[str, Tensor]:
        """What was counted since the last call."""
        return counted(self.inner) | counted(self.counter)


def state_of(objective: Any) -> dict[str, Any]:
    """The state that an objective keeps from batch to batch; empty for most."""
    return objective.state_dict() if hasattr(objective, "state_dict") else {}


def restore_state(objective: Any, state: Mapping[str, Any]) -> None:
    """Restore the state that `state_of` returned, if the objective keeps one."""
    if hasattr(objective, "load_state_dict"):
        objective.load_state_dict(state)


def counted(objective: Any) -> dict[str, Tensor]:
    """Shares that an objective has counted since the last call: by name a tensor of two numbers,
    how many and out of how many. Empty for most."""
    return objective.counted() if hasattr(objective, "counted") else {}


class PlainLoss:
    """Base of the methods that are a loss per sample and nothing else.

    ``loss`` maps logits (b, c) of any precision and labels (b,) to the loss of each sample (b,), in
    at least float32, in nats where it is a cross-entropy. Calling the objective gives their mean,
    or what ``reduction`` says; its labels may also be soft, probabilities (b, c), see `expected`.
    Both raise ``ValueError`` for labels that are neither. The constructor raises it for
    hyper-parameters out of range, naming the field.

    In your own training loop: ``loss = GCE(q=0.7)(model(x), y)``. For a trainer that takes a
    module: ``criterion = GCE(q=0.7).criterion()``.
    """

    def loss(self, logits: Logits, y: Labels) -> PerSample:
        """The loss of each sample."""
        raise NotImplementedError

    def losses_by_class(self, logits: Logits) -> Float[Tensor, "b c"]:
        """What the loss of each sample would be for every class as its label.

        By default this computes the loss of b * c samples; losses with a cheaper way override it.

        >>> from nslab.objectives import GCE
        >>> GCE(q=1.0).losses_by_class(torch.zeros(1, 4))
        tensor([[0.7500, 0.7500, 0.7500, 0.7500]])
        """
        b, c = logits.shape
        labels = torch.arange(c, device=logits.device).repeat(b)
        return self.loss(logits.repeat_interleave(c, 0), labels).view(b, c)

    def __call__(
        self, logits: Logits, y: Labels | SoftLabels, reduction: Reduction = "mean"
    ) -> Float[Tensor, "..."]:
        """Mean loss of a batch; ``reduction`` may also be ``"sum"`` or ``"none"``, as in torch."""
        return reduced(per_sample(self, logits, y), reduction)

    def criterion(
        self, reduction: Reduction = "mean", ignore_index: int | None = None
    ) -> Criterion:
        """The loss as an ``nn.Module``, see `Criterion`."""
        return Criterion(self, reduction, ignore_index)

    def build(self, info: DataInfo) -> Objective:
        """The objective for a training set."""
        return Weighted(self.loss)


@dataclass(frozen=True)
class CrossEntropy(PlainLoss):
    """Plain cross-entropy in nats. Source: the baseline of all three papers.

    >>> logits, y = torch.tensor([[2.0, 0.0, 0.0]] * 2), torch.tensor([0, 1])
    >>> CrossEntropy().loss(logits, y)  # right, wrong
    tensor([0.2395, 2.2395])
    >>> CrossEntropy()(logits, y)  # their mean
    tensor(1.2395)
    """

    def loss(self, logits: Logits, y: Labels) -> PerSample:
        """Cross-entropy of each sample."""
        return cross_entropy(logits, y)

    def losses_by_class(self, logits: Logits) -> Float[Tensor, "b c"]:
        """-log p of every class."""
        return -full_precision(logits).log_softmax(-1)
