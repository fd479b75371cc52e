"""Training sets that are smaller or harder: a part held out, long-tailed class sizes, wrong labels.
Test sets stay as they are.

A variant does not depend on the seed of a run: which samples stay and which labels are wrong
follows from the data set and the variant alone, so all seeds and methods train on the same data.
"""

from typing import Literal

import torch
from jaxtyping import Int
from torch import Tensor

from nslab.rng import generator

LabelNoise = Literal["none", "symmetric", "pair_flip"]


def held_out(n: int, count: int) -> tuple[Int[Tensor, " kept"], Int[Tensor, " held"]]:
    """Positions of the samples that stay, and of ``count`` random ones that are held out; both
    ascending. The larger of two held-out sets of the same ``n`` contains the smaller.

    Raises ``ValueError`` if nothing is left to train on.
    """
    if not 0 <= count < n:
        raise ValueError(
            f"{count} of {n} training samples cannot be held out: hold out at most {n - 1}"
        )
    order = torch.randperm(n, generator=generator(0, "held out"))
    return order[count:].sort().values, order[:count].sort().values


def long_tail_counts(largest: int, num_classes: int, factor: float) -> list[int]:
    """Class sizes n_j = largest * factor^(-j / (K - 1)), j = 0 ... K - 1, rounded down, at least 1.

    ``factor`` is the size of the first class over that of the last. Source: Cui et al. 2019
    (class-balanced loss), as in the long-tailed CIFAR of Cao et al. 2019 (LDAM-DRW).
    """
    if not factor >= 1:
        raise ValueError(f"imbalance factor must be at least 1, not {factor}")
    last = max(1, num_classes - 1)
    return [max(1, int(largest * (1 / factor) ** (j / last))) for j in range(num_classes)]


def long_tail(y: Int[Tensor, " n"], num_classes: int, factor: float) -> Int[Tensor, " m"]:
    """Positions of the samples that stay, in ascending order: a random part of each class.

    Class sizes are those of `long_tail_counts`, the largest being the mean class size of ``y``, as
    in LDAM-DRW. A class that has fewer samples keeps them all.
    """
    counts = long_tail_counts(len(y) // num_classes, num_classes, factor)
    draws = generator(0, "long tail")
    kept = []
    for label, count in enumerate(counts):
        members = (y == label).nonzero().flatten()
        kept.append(members[torch.randperm(len(members), generator=draws)[:count]])
    return torch.cat(kept).sort().values


def noisy_labels(
    y: Int[Tensor, " n"], num_classes: int, kind: LabelNoise, rate: float
) -> Int[Tensor, " n"]:
    """Labels each of which is wrong with probability ``rate``, independently.

    ``"symmetric"``: a wrong label is any other class, with equal probability. ``"pair_flip"``: it
    is the next class. NOTE: some authors draw symmetric noise from all classes, the right one too;
    their rate r is our r (K - 1) / K.
    """
    if not 0 <= rate <= 1:
        raise ValueError(f"noise rate must lie between 0 and 1, not {rate}")
    draws = generator(0, "label noise", kind)
    wrong = torch.rand(len(y), generator=draws) < rate
    if kind == "symmetric":
        shift = torch.randint(1, num_classes, (len(y),), generator=draws)
    elif kind == "pair_flip":
        shift = torch.ones_like(y)
    elif kind == "none":
        return y
    else:
        raise ValueError(f"noise is {kind!r}, not one of none, symmetric, pair_flip")
    return torch.where(wrong, (y + shift) % num_classes, y)
