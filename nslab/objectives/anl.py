"""Active negative loss: a normalised loss plus its negative counterpart, with an L1 penalty.

Source: Ye et al. 2023, "Active Negative Loss Functions for Learning with Noisy Labels", and their
released code.
"""

import dataclasses
import math
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from nslab.objectives.probabilities import SMALLEST, log_probabilities, normalised
from nslab.objectives.recommended import Setting
from nslab.objectives.weighted import PlainLoss, Weighted
from nslab.system.validation import check_fields
from nslab.types import Batch, DataInfo, Labels, Logits, Objective, PerSample, Scored


def class_losses(log_p: Logits, gamma: float | None) -> Logits:
    """The loss for each possible label: -log p, or with ``gamma`` -(1 - p)^gamma log p, where the
    factor is a constant of the backward pass."""
    if gamma is None:
        return -log_p
    return -((-torch.expm1(log_p)) ** gamma).detach() * log_p


def normalised_negative(log_p: Logits, y: Labels, gamma: float | None) -> PerSample:
    """1 - (A - f_y) / sum_k (A - f_k), where f_k is the loss for label k with p_k clamped to at
    least 1e-7, and A the largest value of f."""
    floor = math.log(SMALLEST)
    clamped = log_p.clamp(min=floor)
    largest = class_losses(torch.full_like(clamped, floor), gamma)  # rounded like f, so A - A is 0
    return 1 - normalised(largest - class_losses(clamped, gamma), y)


@dataclass(frozen=True)
class Penalised:
    """An objective plus ``delta`` times the sum of the absolute values of all parameters."""

    inner: Objective
    delta: float

    @property
    def min_batch(self) -> int:
        """The smallest batch that the inner objective can score."""
        return self.inner.min_batch

    def __call__(self, model: nn.Module, batch: Batch) -> Scored:
        scored = self.inner(model, batch)
        return dataclasses.replace(scored, penalty=self.delta * l1(model, scored.loss))


def l1(model: nn.Module, like: Tensor) -> Float[Tensor, ""]:
    """Sum of the absolute values of all parameters, BatchNorm's included."""
    sums = [parameter.abs().sum() for parameter in model.parameters()]
    return torch.stack(sums).sum() if sums else like.new_zeros(())


@dataclass(frozen=True)
class ANL(PlainLoss):
    """alpha times the normalised loss plus beta times the normalised negative loss, plus delta
    times the L1 norm of all parameters.

    Both losses are built from ``base``: cross-entropy, or focal loss with exponent ``gamma``, whose
    factors are constants of the backward pass. The source trains without weight decay and with
    gradients clipped to norm 5 (see `SETTINGS`). ``loss`` does not include the penalty; ``build``
    adds it. In your own training loop: ``loss = anl(model(x), y) + anl.penalty(model)``.

    >>> logits, y = torch.tensor([[2.0, 0.0, 0.0]] * 2), torch.tensor([0, 1])
    >>> ANL().loss(logits, y)  # right, wrong
    tensor([3.4344, 5.7828])
    """

    base: Literal["ce", "focal"] = "ce"
    alpha: float = 5.0
    beta: float = 5.0
    delta: float = 5e-5
    gamma: float = 0.5

    def __post_init__(self) -> None:
        check_fields(self, at_least={"alpha": 0, "beta": 0, "delta": 0, "gamma": 0})

    def loss(self, logits: Logits, y: Labels) -> PerSample:
        """Active negative loss of each sample, without the penalty."""
        log_p = log_probabilities(logits, y)
        gamma = self.gamma if self.base == "focal" else None
        active = normalised(class_losses(log_p, gamma), y)
        return self.alpha * active + self.beta * normalised_negative(log_p, y, gamma)

    def penalty(self, model: nn.Module) -> Float[Tensor, ""]:
        """delta times the sum of the absolute values of all parameters."""
        return self.delta * l1(model, torch.zeros(()))

    def build(self, info: DataInfo) -> Penalised:
        """The objective for a training set."""
        return Penalised(Weighted(self.loss), self.delta)


_SOURCE = "Ye et al. 2023, released configs"
_TRAINING = {"weight_decay": 0.0, "clip_norm": 5.0}
SETTINGS: dict[str, Setting[ANL]] = {
    "cifar10": Setting(ANL("ce", 5.0, 5.0, 5e-5), _SOURCE, _TRAINING),
    "cifar100": Setting(ANL("ce", 10.0, 1.0, 5e-7), _SOURCE, _TRAINING),
    "cifar10_focal": Setting(ANL("focal", 5.0, 5.0, 5e-5), _SOURCE, _TRAINING),
    "cifar100_focal": Setting(ANL("focal", 10.0, 1.0, 5e-7), _SOURCE, _TRAINING),
}
