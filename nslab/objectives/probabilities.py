"""Softmax probabilities as losses need them: in logarithms, so that small ones stay accurate."""

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor

from nslab.networks.logits import check_batch, check_unmasked
from nslab.objectives.weighted import full_precision
from nslab.types import Labels, Logits, PerSample

SMALLEST = 1e-7  # lower bound of p in the released code of SCE, APL, ANL and OGC


def log_probabilities(logits: Logits, y: Labels) -> Logits:
    """log p of every class, in at least float32. Labels and logits are checked first."""
    check_batch(logits, y)
    return full_precision(logits).log_softmax(-1)


def of_label(values: Float[Tensor, "b k"], y: Labels) -> PerSample:
    """The value of each sample's own class."""
    return values.gather(1, y.long()[:, None]).squeeze(1)


def label_mask(values: Float[Tensor, "b k"], y: Labels) -> Bool[Tensor, "b k"]:
    """True at each sample's own class."""
    return F.one_hot(y.long(), values.shape[1]).bool()


def log_one_minus_p(logits: Logits, y: Labels) -> PerSample:
    """log(1 - p_y), from the sum over the other classes: accurate even where p_y rounds to 1.

    Labels and logits are checked first.
    """
    check_batch(logits, y)
    z = full_precision(logits)
    others = z.masked_fill(label_mask(z, y), -torch.inf)
    return others.logsumexp(-1) - z.logsumexp(-1)


def one_minus_p(log_p: Float[Tensor, "*n"]) -> Float[Tensor, "*n"]:
    """1 - p from log p: half the absolute error to a one-hot label."""
    return -torch.expm1(log_p)


def normalised(losses: Float[Tensor, "b k"], y: Labels) -> PerSample:
    """The loss for a sample's own label divided by the sum of the losses for all labels (Ma et al.
    2020).

    Raises ``ValueError`` for a masked class, see `check_unmasked`.
    """
    own, total = of_label(losses, y), losses.sum(-1)
    check_unmasked(total)
    return own / total
