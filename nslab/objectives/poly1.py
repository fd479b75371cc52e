"""Poly-1: cross-entropy with the first coefficient of its expansion in 1 - p changed.

Source: Leng et al. 2022, "PolyLoss", section 4.3.
"""

from dataclasses import dataclass

from nslab.objectives.probabilities import log_probabilities, of_label, one_minus_p
from nslab.objectives.recommended import Setting
from nslab.objectives.weighted import PlainLoss
from nslab.system.validation import check_fields
from nslab.types import Labels, Logits, PerSample


@dataclass(frozen=True)
class Poly1(PlainLoss):
    """-log p_y + epsilon (1 - p_y).

    >>> import torch
    >>> logits, y = torch.tensor([[2.0, 0.0, 0.0]] * 2), torch.tensor([0, 1])
    >>> Poly1(epsilon=1.0).loss(logits, y)  # right, wrong
    tensor([0.4526, 3.1330])
    """

    epsilon: float = 1.0

    def __post_init__(self) -> None:
        check_fields(self, at_least={"epsilon": -1})

    def loss(self, logits: Logits, y: Labels) -> PerSample:
        """Poly-1 of each sample."""
        log_p = of_label(log_probabilities(logits, y), y)
        return self.epsilon * one_minus_p(log_p) - log_p


SETTINGS: dict[str, Setting[Poly1]] = {
    name: Setting(Poly1(1.0), "Leng et al. 2022, first value they recommend to try")
    for name in ("cifar10", "cifar100")
}
