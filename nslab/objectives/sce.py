"""Symmetric cross-entropy: cross-entropy plus its reverse.

Source: Wang et al. 2019, "Symmetric Cross Entropy for Robust Learning with Noisy Labels".
"""

import math
from dataclasses import dataclass

from nslab.objectives.probabilities import SMALLEST, label_mask, log_probabilities, of_label
from nslab.objectives.recommended import Setting
from nslab.objectives.weighted import PlainLoss
from nslab.system.validation import check_fields
from nslab.types import Labels, Logits, PerSample

MINUS_LOG_ZERO = -math.log(1e-4)  # for the zeros of a one-hot label, which the code clamps at 1e-4


def reverse_cross_entropy(log_p: Logits, y: Labels) -> PerSample:
    """-sum_k p_k log o_k with p clamped to at least 1e-7, and the one-hot label o to at least 1e-4.

    Nearly 9.21 (1 - p_y).
    """
    p = log_p.exp().clamp(SMALLEST, 1)
    return MINUS_LOG_ZERO * p.masked_fill(label_mask(p, y), 0).sum(-1)


@dataclass(frozen=True)
class SCE(PlainLoss):
    """alpha CE + beta RCE; RCE is `reverse_cross_entropy`.

    >>> import torch
    >>> logits, y = torch.tensor([[2.0, 0.0, 0.0]] * 2), torch.tensor([0, 1])
    >>> SCE(alpha=0.1, beta=1.0).loss(logits, y)  # right, wrong
    tensor([1.9859, 8.4533])
    """

    alpha: float = 0.1
    beta: float = 1.0

    def __post_init__(self) -> None:
        check_fields(self, at_least={"alpha": 0, "beta": 0})

    def loss(self, logits: Logits, y: Labels) -> PerSample:
        """Symmetric cross-entropy of each sample."""
        log_p = log_probabilities(logits, y)
        return -self.alpha * of_label(log_p, y) + self.beta * reverse_cross_entropy(log_p, y)


SETTINGS: dict[str, Setting[SCE]] = {
    "cifar10": Setting(SCE(0.1, 1.0), "Wang et al. 2019, released code"),
    "cifar100": Setting(SCE(6.0, 0.1), "Wang et al. 2019, released code"),
}
