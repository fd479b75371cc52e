"""Smooth top-k loss: the hinge loss for the label among the k best classes, smoothed.

Source: Berrada, Zisserman and Kumar 2018, "Smooth Loss Functions for Deep Top-k Classification".
The DE paper cites it for the "smoothed loss" that its initial populations Init-HP vary.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from nslab.networks.logits import check_batch
from nslab.objectives.probabilities import label_mask, of_label
from nslab.objectives.weighted import PlainLoss, full_precision
from nslab.system.validation import check_fields
from nslab.types import Labels, Logits, PerSample

LOG_ZERO = -1e30  # in place of log 0; finite, so that gradients are finite


def log_symmetric_sums(x: Float[Tensor, "b n"], k: int) -> Float[Tensor, "b {k}+1"]:
    """Logarithms of the elementary symmetric polynomials of degree 0 to k of exp(x).

    They are the coefficients of the product of all 1 + exp(x_j) t, which is multiplied out pair by
    pair in log2 n steps, without powers above k.
    """
    terms = F.pad(torch.stack([torch.zeros_like(x), x], -1), (0, k - 1), value=LOG_ZERO)
    while terms.shape[1] > 1:
        if terms.shape[1] % 2:
            one = F.pad(torch.zeros_like(terms[:, :1, :1]), (0, k), value=LOG_ZERO)
            terms = torch.cat([terms, one], 1)
        a, b = terms[:, ::2], terms[:, 1::2]
        terms = torch.stack(
            [(a[..., : j + 1] + b[..., : j + 1].flip(-1)).logsumexp(-1) for j in range(k + 1)], -1
        )
    return terms[:, 0]


@dataclass(frozen=True)
class SmoothTopK(PlainLoss):
    """tau log(sum_A exp((m(A) + mean of z over A) / tau) / sum_B exp((mean of z over B) / tau)).

    A runs over all sets of k classes, B over those with the label; m(A) is 0 if A has the label,
    else the margin. With k = 1 and no margin it is tau times cross-entropy at temperature tau. Of
    K <= k classes it uses K - 1 in place of k, since the label is always among the K best.

    Attributes:
        k: the label should be among this many best classes.
        tau: temperature, in logits; as it goes to 0 the loss becomes the top-k hinge loss.
        margin: by how much the mean logit of the sets with the label must lead, 1 in the source.

    >>> logits, y = torch.tensor([[2.0, 0.0, 0.0]] * 2), torch.tensor([0, 1])
    >>> SmoothTopK(k=2).loss(logits, y)  # right, wrong
    tensor([0.4055, 1.0943])
    """

    k: int = 5
    tau: float = 1.0
    margin: float = 1.0

    def __post_init__(self) -> None:
        check_fields(self, positive=("tau",), at_least={"k": 1, "margin": 0})

    def loss(self, logits: Logits, y: Labels) -> PerSample:
        """The loss of each sample: a single softplus, after dividing by exp(z_y / (k tau))."""
        check_batch(logits, y)
        z = full_precision(logits)
        k = min(self.k, z.shape[1] - 1)
        ahead = (z - of_label(z, y)[:, None]) / (k * self.tau)
        others = ahead.masked_fill(label_mask(z, y), LOG_ZERO).clamp(min=LOG_ZERO)  # masked: -inf
        sums = log_symmetric_sums(others, k)
        return self.tau * F.softplus(self.margin / self.tau + sums[:, k] - sums[:, k - 1])
