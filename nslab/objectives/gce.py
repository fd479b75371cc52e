"""Generalised cross-entropy: between cross-entropy (q -> 0) and mean absolute error (q = 1).

Source: Zhang and Sabuncu 2018, "Generalized Cross Entropy Loss for Training Deep Neural Networks
with Noisy Labels", Eq. 6, and the truncated form.
"""

import math
from dataclasses import dataclass

import torch

from nslab.objectives.probabilities import log_probabilities, of_label
from nslab.objectives.recommended import Setting
from nslab.objectives.weighted import PlainLoss
from nslab.system.validation import check_fields
from nslab.types import Labels, Logits, PerSample


def gce(
    logits: Logits, y: Labels, q: float, k: float | None = None, clamp: float | None = None
) -> PerSample:
    """L(p_y) = (1 - p_y^q) / q; with ``clamp``, p_y is first clamped to at least that.

    With ``k``, the truncated form w (L(p_y) - L(k)), w = 1 where p_y > k, else 0.
    NOTE: Zhang and Sabuncu update w for the whole training set every ten epochs; here it follows
    the network at every step, which gives their truncated loss up to a constant.
    """
    log_p = of_label(log_probabilities(logits, y), y)
    clamped = log_p if clamp is None else log_p.clamp(min=math.log(clamp))
    loss = -torch.expm1(q * clamped) / q
    if k is None:
        return loss
    return torch.where(log_p > math.log(k), loss + math.expm1(q * math.log(k)) / q, 0.0)


@dataclass(frozen=True)
class GCE(PlainLoss):
    """Generalised cross-entropy, (1 - p_y^q) / q.

    Attributes:
        q: the exponent; towards 0 the loss is cross-entropy, with 1 it is 1 - p_y.
        k: samples with p_y up to ``k`` have no loss (the truncated form); None: none of them.
        clamp: lower bound of p_y; None, as in the paper, for no bound. The released code of APL
            clamps at 1e-7.

    >>> logits, y = torch.tensor([[2.0, 0.0, 0.0]] * 2), torch.tensor([0, 1])
    >>> GCE(q=0.7).loss(logits, y)  # right, wrong
    tensor([0.2205, 1.1307])
    """

    q: float = 0.7
    k: float | None = None
    clamp: float | None = None

    def __post_init__(self) -> None:
        check_fields(
            self, positive=("q", "k", "clamp"), at_most={"q": 1}, below={"k": 1, "clamp": 1}
        )

    def loss(self, logits: Logits, y: Labels) -> PerSample:
        """Generalised cross-entropy of each sample."""
        return gce(logits, y, self.q, self.k, self.clamp)


SETTINGS: dict[str, Setting[GCE]] = {
    name: Setting(GCE(0.7), "Zhang and Sabuncu 2018, section 4.1")
    for name in ("cifar10", "cifar100")
}
