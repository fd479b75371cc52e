"""Mixup: the network trains on blends of two images, with both labels in the same proportion.

Source: Zhang et al. 2018, "mixup: Beyond Empirical Risk Minimization".
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
from torch import nn

from nslab.networks.logits import logits_of
from nslab.objectives.competition import shuffled_order
from nslab.objectives.ns import NS
from nslab.objectives.weighted import CrossEntropy
from nslab.rng import stream_seed
from nslab.system.validation import check_fields
from nslab.types import Batch, DataInfo, Loss, LossConfig, Scored


class Blended:
    """The objective of `Mixup`; it counts training steps, so that each step draws its own blend."""

    min_batch = 1

    def __init__(self, loss: Loss, alpha: float) -> None:
        self.loss, self.alpha, self.step = loss, alpha, 0

    def __call__(self, model: nn.Module, batch: Batch) -> Scored:
        share = np.random.default_rng(stream_seed(batch.seed, "mixup", self.step)).beta(
            self.alpha, self.alpha
        )
        self.step += model.training
        other = shuffled_order(batch, "mixup partner")
        logits = logits_of(model(share * batch.x + (1 - share) * batch.x[other]))
        loss = share * self.loss(logits, batch.y) + (1 - share) * self.loss(logits, batch.y[other])
        return Scored(loss, logits)

    def state_dict(self) -> dict[str, Any]:
        """Steps taken."""
        return {"step": self.step}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue counting from there."""
        self.step = state["step"]


@dataclass(frozen=True)
class Mixup:
    """Blends each image with another of the batch: the input is lambda x_i + (1 - lambda) x_j, the
    loss lambda l(z, y_i) + (1 - lambda) l(z, y_j), with one lambda ~ Beta(alpha, alpha) per batch.

    The loss l is that of ``base``, any loss per sample.

    >>> import torch
    >>> model = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
    >>> batch = Batch(torch.zeros(6, 1, 8, 8), torch.arange(6), torch.arange(6))
    >>> Mixup(alpha=0.2).build(DataInfo.of(batch.y, 10))(model, batch).loss.shape
    torch.Size([6])
    """

    revision: ClassVar[int] = 1  # in revision 0 the blends were the same for every seed

    alpha: float = 0.2
    base: LossConfig = field(default_factory=CrossEntropy)

    def __post_init__(self) -> None:
        if not hasattr(self.base, "loss") or isinstance(self.base, NS):  # NS.loss takes a model
            raise TypeError(
                f"Mixup: base must be a loss per sample, which {type(self.base).__name__} is not"
            )
        check_fields(self, positive=("alpha",))

    def build(self, info: DataInfo) -> Blended:
        """The objective for a training set."""
        return Blended(self.base.loss, self.alpha)
