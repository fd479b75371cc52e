"""LOW: samples weighted so that the next step lowers the loss most.

Source: Santiago et al. 2021, "LOW: Training deep neural networks by learning optimal sample
weights", Pattern Recognition 110.
"""

from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from nslab.networks.logits import logits_of
from nslab.objectives.probabilities import label_mask, log_probabilities
from nslab.objectives.recommended import Setting
from nslab.objectives.weighted import Weighted, full_precision
from nslab.system.validation import check_fields
from nslab.types import Batch, DataInfo, Labels, Logits, PerSample


def simplex_projection(v: Float[Tensor, " n"], total: float) -> Float[Tensor, " n"]:
    """The w >= 0 with sum ``total`` nearest to ``v``: max(v - t, 0), where t is found by
    sorting."""
    ordered = v.sort(descending=True).values
    count = torch.arange(1, len(v) + 1, device=v.device, dtype=v.dtype)
    thresholds = (ordered.cumsum(0) - total) / count
    support = (ordered > thresholds).sum()  # number of entries that stay positive
    return (v - thresholds[support - 1]).clamp(min=0)


def low_weights(
    logits: Logits, y: Labels, lam: float, norm: Literal["batch", "sample"] = "batch"
) -> PerSample:
    """w = argmin lam |w|^2 - (g^2 + lam) w over w >= 0 with sum N: a projection on the simplex.

    g_i is the norm of the gradient of sample i's cross-entropy with respect to its logits. NOTE:
    the released code differentiates the batch's *mean* loss (``norm="batch"``), so g_i <= sqrt(2)
    / N, and with lam = 0.1 the weights of a batch of 128 differ from 1 by less than 1e-3.
    ``norm="sample"`` omits the division by N.
    """
    p = log_probabilities(logits.double(), y).exp()
    n = len(y)
    squares = (p - label_mask(p, y).double()).square().sum(-1)
    if norm == "batch":
        squares = squares / n**2
    return simplex_projection((squares + lam) / (2 * lam), n).to(full_precision(logits).dtype)


@dataclass(frozen=True)
class LOW:
    """Cross-entropy with LOW's weights, see `low_weights`; a larger ``lam`` keeps them nearer to 1.

    >>> logits, y = torch.tensor([[2.0, 0.0, 0.0]] * 2), torch.tensor([0, 1])
    >>> batch = Batch(torch.zeros(2, 1, 8, 8), y, torch.arange(2))
    >>> LOW(lam=1.0, norm="sample").weigh(nn.Identity(), batch, logits)  # right, wrong
    tensor([0.6598, 1.3402])
    """

    lam: float = 0.1
    norm: Literal["batch", "sample"] = "batch"

    def __post_init__(self) -> None:
        check_fields(self, positive=("lam",))

    def weigh(self, model: nn.Module, batch: Batch, logits: Logits | None) -> PerSample:
        """Weights of a batch, from its logits (computed here if they are None)."""
        logits = logits_of(model(batch.x)) if logits is None else logits
        return low_weights(logits, batch.y, self.lam, self.norm)

    def build(self, info: DataInfo) -> Weighted:
        """The objective for a training set."""
        return Weighted(weigh=self.weigh)


SETTINGS: dict[str, Setting[LOW]] = {
    name: Setting(LOW(0.1), "Santiago et al. 2021, released code")
    for name in ("cifar10", "cifar100")
}
