"""Negative learning: "this image is not of class c", with c drawn among the wrong classes.

Source: Kim et al. 2019, "NLNL: Negative Learning for Noisy Labels", and their released code.
NOTE: only the first stage, as in the ports that other papers compare with; selective negative and
positive learning and pseudo-labels are left out.
"""

from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Int
from torch import Tensor, nn

from nslab.networks.logits import logits_of
from nslab.objectives.probabilities import log_probabilities, of_label, one_minus_p
from nslab.objectives.recommended import Setting
from nslab.rng import hashed, sample_bits
from nslab.system.validation import check_fields
from nslab.types import Batch, DataInfo, Scored


def complementary_labels(
    batch: Batch, num_classes: int, negatives: int
) -> Int[Tensor, "b negatives"]:
    """Classes other than the label, uniform and with replacement.

    They depend only on sample, epoch and the run's seed, so a resumed training draws the same.
    """
    draw = torch.arange(1, negatives + 1, device=batch.y.device) * 0xC2B2AE35
    bits = sample_bits(batch.index, batch.epoch, batch.seed, "complementary labels")
    shift = 1 + hashed(bits[:, None] + draw) % (num_classes - 1)
    return (batch.y.long()[:, None] + shift) % num_classes


@dataclass(frozen=True)
class NegativeLearning:
    """The objective of `NLNL`: w_j times the sum of -log(1 - p_c) over the complementary labels c;
    samples of class j have the weight w_j = max_k n_k / n_j, where n are the class sizes."""

    negatives: int
    info: DataInfo
    min_batch: int = 1

    def __call__(self, model: nn.Module, batch: Batch) -> Scored:
        logits = logits_of(model(batch.x))
        log_p = log_probabilities(logits, batch.y)
        chosen = complementary_labels(batch, log_p.shape[1], self.negatives)
        allowed = one_minus_p(log_p.gather(1, chosen)).clamp(min=1e-5)  # no gradient below
        counts = self.info.class_counts.to(log_p)
        weight = of_label((counts.max() / counts.clamp(min=1)).expand(len(logits), -1), batch.y)
        return Scored(-weight * allowed.log().sum(-1), logits, weight)


@dataclass(frozen=True)
class NLNL:
    """Negative learning with ``negatives`` complementary labels per sample and step.

    NOTE: the released code adds a cross-entropy over an empty set of positive labels, which makes
    the reported loss NaN. It is left out here; the gradients are the same.

    >>> model = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
    >>> batch = Batch(torch.zeros(6, 1, 8, 8), torch.arange(6), torch.arange(6))
    >>> objective = NLNL(negatives=2).build(DataInfo.of(batch.y, 10))
    >>> scored = objective(model, batch)
    >>> scored.loss.shape, bool((scored.loss > 0).all())
    (torch.Size([6]), True)
    """

    revision: ClassVar[int] = 1  # in revision 0 the labels drawn were the same for every seed

    negatives: int = 1

    def __post_init__(self) -> None:
        check_fields(self, at_least={"negatives": 1})

    def build(self, info: DataInfo) -> NegativeLearning:
        """The objective for a training set; class sizes give the weights."""
        return NegativeLearning(self.negatives, info)


SETTINGS: dict[str, Setting[NLNL]] = {
    "cifar10": Setting(NLNL(1), "Kim et al. 2019, released code"),
    "cifar100": Setting(NLNL(110), "Kim et al. 2019, released code"),
}
