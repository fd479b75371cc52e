"""Active passive loss: normalised cross-entropy plus a loss on the probability of wrong classes.

Source: Ma et al. 2020, "Normalized Loss Functions for Deep Learning with Noisy Labels".
"""

from dataclasses import dataclass
from typing import Literal

from nslab.objectives.probabilities import log_probabilities, normalised, of_label, one_minus_p
from nslab.objectives.recommended import Setting
from nslab.objectives.sce import reverse_cross_entropy
from nslab.objectives.weighted import PlainLoss
from nslab.system.validation import check_fields
from nslab.types import Labels, Logits, PerSample


@dataclass(frozen=True)
class APL(PlainLoss):
    """alpha NCE + beta RCE, or alpha NCE + beta MAE.

    NCE is log p_y / sum_k log p_k; RCE is `reverse_cross_entropy`; MAE is 1 - p_y, as in the
    source (some later code doubles it).

    >>> import torch
    >>> logits, y = torch.tensor([[2.0, 0.0, 0.0]] * 2), torch.tensor([0, 1])
    >>> APL().loss(logits, y)  # right, wrong
    tensor([2.0127, 8.7040])
    """

    active: Literal["nce"] = "nce"
    passive: Literal["mae", "rce"] = "rce"
    alpha: float = 1.0
    beta: float = 1.0

    def __post_init__(self) -> None:
        check_fields(self, at_least={"alpha": 0, "beta": 0})

    def loss(self, logits: Logits, y: Labels) -> PerSample:
        """Active passive loss of each sample."""
        log_p = log_probabilities(logits, y)
        if self.passive == "rce":
            passive = reverse_cross_entropy(log_p, y)
        else:
            passive = one_minus_p(of_label(log_p, y))
        return self.alpha * normalised(log_p, y) + self.beta * passive


SETTINGS: dict[str, Setting[APL]] = {
    "cifar10": Setting(APL("nce", "rce", 1.0, 1.0), "Ma et al. 2020, released configs"),
    "cifar100": Setting(APL("nce", "rce", 10.0, 0.1), "Ma et al. 2020, released configs"),
    "cifar10_mae": Setting(APL("nce", "mae", 1.0, 1.0), "Ma et al. 2020, released configs"),
    "cifar100_mae": Setting(APL("nce", "mae", 10.0, 1.0), "Ma et al. 2020, released configs"),
}
