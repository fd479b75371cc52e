"""eps-softmax: cross-entropy of probabilities raised at the predicted class, plus MAE.

Source: Wang et al. 2024, "eps-Softmax: Approximating One-Hot Vectors for Mitigating Label Noise",
and their released code.
"""

import math
from dataclasses import dataclass

import torch

from nslab.objectives.probabilities import log_probabilities, of_label, one_minus_p
from nslab.objectives.recommended import Setting
from nslab.objectives.weighted import PlainLoss
from nslab.system.validation import check_fields
from nslab.types import Labels, Logits, PerSample

FLOOR = math.log(1e-8)


def eps_cross_entropy(log_p: Logits, y: Labels, m: float) -> PerSample:
    """-log max(p_eps_y, 1e-8) with p_eps = (p + m onehot(predicted class)) / (m + 1).

    A misclassified sample whose p_y is below 1e-8 (m + 1) has no gradient. The predicted class is a
    constant of the backward pass; among tied classes it is the first.
    """
    log_p_y = of_label(log_p, y)
    right = torch.log1p(-one_minus_p(log_p_y) / (m + 1))
    missed = log_p_y - math.log1p(m)
    return -torch.where(log_p.argmax(-1) == y, right, missed).clamp(min=FLOOR)


@dataclass(frozen=True)
class CEepsMAE(PlainLoss):
    """alpha CE_eps + beta MAE; CE_eps is `eps_cross_entropy`, and MAE is 2 (1 - p_y), as in the
    source.

    >>> logits, y = torch.tensor([[2.0, 0.0, 0.0]] * 2), torch.tensor([0, 1])
    >>> CEepsMAE().loss(logits, y)  # right, wrong
    tensor([2.1301, 9.0725])
    """

    alpha: float = 0.01
    beta: float = 5.0
    m: float = 1e5

    def __post_init__(self) -> None:
        check_fields(self, at_least={"alpha": 0, "beta": 0, "m": 0})

    def loss(self, logits: Logits, y: Labels) -> PerSample:
        """The loss of each sample."""
        log_p = log_probabilities(logits, y)
        mae = 2 * one_minus_p(of_label(log_p, y))
        return self.alpha * eps_cross_entropy(log_p, y, self.m) + self.beta * mae


_SOURCE = "Wang et al. 2024, released configs"
SETTINGS: dict[str, Setting[CEepsMAE]] = {
    "cifar10": Setting(
        CEepsMAE(0.01, 5.0, 1e5), f"{_SOURCE}, symmetric noise (no values for clean labels)"
    ),
    "cifar10_asymmetric": Setting(CEepsMAE(0.02, 5.0, 1e3), _SOURCE),
    "cifar10_instance": Setting(CEepsMAE(0.045, 10.0, 1e5), _SOURCE),
    "cifar100": Setting(CEepsMAE(0.1, 1.0, 1e4), f"{_SOURCE}, clean"),
    "cifar100_symmetric_0.2": Setting(CEepsMAE(0.05, 1.0, 1e4), _SOURCE),
    "cifar100_symmetric_0.4": Setting(CEepsMAE(0.03, 1.0, 1e4), _SOURCE),
    "cifar100_symmetric_0.6": Setting(CEepsMAE(0.00125, 1.0, 1e4), f"{_SOURCE} (0.0125 meant?)"),
    "cifar100_symmetric_0.8": Setting(CEepsMAE(0.0075, 1.0, 1e4), _SOURCE),
}
