"""Label smoothing: cross-entropy to a target that gives every class some probability.

Source: Szegedy et al. 2016, "Rethinking the Inception Architecture", section 7.
"""

from dataclasses import dataclass

from nslab.networks.logits import check_unmasked
from nslab.objectives.probabilities import log_probabilities, of_label
from nslab.objectives.recommended import Setting
from nslab.objectives.weighted import PlainLoss, full_precision
from nslab.system.validation import check_fields
from nslab.types import Labels, Logits, PerSample


def label_smoothing(logits: Logits, y: Labels, epsilon: float) -> PerSample:
    """-sum_k t_k log p_k with t = (1 - epsilon) one-hot + epsilon / K, the label included."""
    log_p = log_probabilities(logits, y)
    own, mean = of_label(log_p, y), log_p.mean(-1)
    check_unmasked(mean)
    return -(1 - epsilon) * own - epsilon * mean


@dataclass(frozen=True)
class LabelSmoothing(PlainLoss):
    """Label smoothing; ``epsilon`` is the share spread over all K classes.

    >>> import torch
    >>> logits, y = torch.tensor([[2.0, 0.0, 0.0]] * 2), torch.tensor([0, 1])
    >>> LabelSmoothing(epsilon=0.1).loss(logits, y)  # right, wrong
    tensor([0.3729, 2.1729])
    """

    epsilon: float = 0.1

    def __post_init__(self) -> None:
        check_fields(self, at_least={"epsilon": 0}, at_most={"epsilon": 1})

    def loss(self, logits: Logits, y: Labels) -> PerSample:
        """Smoothed cross-entropy of each sample."""
        return label_smoothing(logits, y, self.epsilon)

    def losses_by_class(self, logits: Logits) -> Logits:
        """Smoothed cross-entropy of each sample for every class."""
        log_p = full_precision(logits).log_softmax(-1)
        return -(1 - self.epsilon) * log_p - self.epsilon * log_p.mean(-1, keepdim=True)


SETTINGS: dict[str, Setting[LabelSmoothing]] = {
    name: Setting(LabelSmoothing(0.1), "Szegedy et al. 2016, section 7")
    for name in ("cifar10", "cifar100")
}
