"""Smooth top-k loss: a support vector machine that asks for the label among the k best, smoothed.

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

NOTHING = -1e30  # the logarithm of 0, finite so that gradients stay so


def log_symmetric_sums(x: Float[Tensor, "b n"], k: int) -> Float[Tensor, "b {k}+1"]:
    """Logarithms of the elementary symmetric polynomials of degree 0 to k of exp(x).

    They are the coefficients of the product of all 1 + exp(x_j) t, which is multiplied out pair by
    pair in log2 n steps, powers above k left out.
    """
    terms = F.pad(torch.stack([torch.zeros_like(x), x], -1), (0, k - 1), value=NOTHING)
    while terms.shape[1] > 1:
        if terms.shape[1] % 2:
            one = F.pad(torch.zeros_like(terms[:, :1, :1]), (0, k), value=NOTHING)
            terms = torch.cat([terms, one], 1)
        a, b = terms[:, ::2], terms[:, 1::2]
        terms = torch.stack(
            [(a[..., : j + 1] + b[..., : j + 1].flip(-1)).logsumexp(-1) for j in range(k + 1)], -1
        )
    return terms[:, 0]


@dataclass(frozen=True)
class SmoothTopK(PlainLoss):
    """tau log(sum over k classes with a margin for those without the label / sum for those with).

    With k = 1 and no margin it is cross-entropy at temperature tau. Of fewer than k + 1 classes it
    asks for the best K - 1: the label is always among k of them.

    Attributes:
        k: how many predictions the label may be among.
        tau: temperature, in logits; towards 0 the loss is the top-k support vector machine's.
        margin: by which mean score the label must be ahead, 1 in the source.

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
        """The loss of each sample: one softplus, once exp(z_y / (k tau)) is divided out."""
        check_batch(logits, y)
        z = full_precision(logits)
        k = min(self.k, z.shape[1] - 1)
        ahead = (z - of_label(z, y)[:, None]) / (k * self.tau)
        others = ahead.masked_fill(label_mask(z, y), NOTHING).clamp(min=NOTHING)  # masked: -inf
        sums = log_symmetric_sums(others, k)
        return self.tau * F.softplus(self.margin / self.tau + sums[:, k] - sums[:, k - 1])
