"""Focal loss: well-classified samples count less.

Source: Lin et al. 2017, "Focal Loss for Dense Object Detection", Eq. 4, without its alpha.
"""

from dataclasses import dataclass

from nslab.objectives.probabilities import log_one_minus_p, log_probabilities, of_label
from nslab.objectives.recommended import Setting
from nslab.objectives.weighted import PlainLoss
from nslab.system.validation import check_fields
from nslab.types import Labels, Logits, PerSample


def focal(logits: Logits, y: Labels, gamma: float, detach: bool = False) -> PerSample:
    """-(1 - p_y)^gamma log p_y.

    The factor is computed from log(1 - p_y), because with gamma < 1 the derivative of the power is
    infinite at p_y = 1, although that of the loss is 0.
    """
    factor = (gamma * log_one_minus_p(logits, y)).exp()
    return -(factor.detach() if detach else factor) * of_label(log_probabilities(logits, y), y)


@dataclass(frozen=True)
class Focal(PlainLoss):
    """Focal loss, -(1 - p_y)^gamma log p_y.

    ``detach`` makes the factor a constant of the backward pass, as the released code of the
    noisy-label papers (APL, ALF, ANL, eps-softmax, OGC) does: the loss is the same, its gradient
    is not.

    >>> import torch
    >>> logits, y = torch.tensor([[2.0, 0.0, 0.0]] * 2), torch.tensor([0, 1])
    >>> Focal(gamma=2.0).loss(logits, y)  # right, wrong
    tensor([0.0109, 1.7879])
    """

    gamma: float = 2.0
    detach: bool = False

    def __post_init__(self) -> None:
        check_fields(self, at_least={"gamma": 0})

    def loss(self, logits: Logits, y: Labels) -> PerSample:
        """Focal loss of each sample."""
        return focal(logits, y, self.gamma, self.detach)


SETTINGS: dict[str, Setting[Focal]] = {
    **{
        name: Setting(Focal(2.0), "Lin et al. 2017, best in their experiments")
        for name in ("cifar10", "cifar100")
    },
    **{
        f"{name}_noisy": Setting(Focal(0.5, detach=True), "Ma et al. 2020 (APL), released configs")
        for name in ("cifar10", "cifar100")
    },
}
