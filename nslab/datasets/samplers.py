"""Samplers, the order of samples in an epoch: every sample once, or classes rebalanced.

All samplers show n samples an epoch, n being the size of the training set, so that methods are
compared at equal cost. NOTE: class-aware sampling as released with Kang et al. 2020 shows (number
of classes) x (size of the largest class) samples instead. A class that is drawn more often than it
has samples cycles through them, each pass in a new random order. NOTE: the cycle starts again with
each epoch, so that an epoch depends only on its number.
"""

from collections.abc import Callable

import torch
from jaxtyping import Float, Int
from torch import Generator, Tensor

from nslab.system.registry import Registry, callable_with

# (labels, epoch from 0, epochs in all, random stream) -> positions of the samples to show
Sampler = Callable[[Int[Tensor, " n"], int, int, Generator], Int[Tensor, " n"]]


def shuffle(y: Int[Tensor, " n"], epoch: int, epochs: int, draws: Generator) -> Int[Tensor, " n"]:
    """Every sample once, in random order."""
    return torch.randperm(len(y), generator=draws)


def class_balanced(
    y: Int[Tensor, " n"], epoch: int, epochs: int, draws: Generator
) -> Int[Tensor, " n"]:
    """CBS: every class equally likely (Shen et al. 2016)."""
    return by_class(y, shares(y, 0), draws)


def square_root(
    y: Int[Tensor, " n"], epoch: int, epochs: int, draws: Generator
) -> Int[Tensor, " n"]:
    """SRS: a class's probability is proportional to the square root of its size (Mahajan et al.
    2018)."""
    return by_class(y, shares(y, 0.5), draws)


def progressive(
    y: Int[Tensor, " n"], epoch: int, epochs: int, draws: Generator
) -> Int[Tensor, " n"]:
    """PBS: from probabilities proportional to class sizes in the first epoch to equal ones in the
    last: (1 - s) n_j / n + s / K with s = t / (T - 1) (Kang et al. 2020; T - 1 as in their released
    code, so that the last epoch is fully balanced)."""
    part = epoch / (epochs - 1) if epochs > 1 else 0.0
    return by_class(y, (1 - part) * shares(y, 1) + part * shares(y, 0), draws)


def shares(y: Int[Tensor, " n"], power: float) -> Float[Tensor, " k"]:
    """Probability of each class, n_j^power / sum_k n_k^power; 0 for a class without samples."""
    counts = torch.bincount(y).double()
    weights = torch.where(counts > 0, counts**power, 0.0)
    return weights / weights.sum()


def by_class(
    y: Int[Tensor, " n"], probability: Float[Tensor, " k"], draws: Generator
) -> Int[Tensor, " n"]:
    """Positions of n samples: classes drawn with replacement, samples of a class in turn."""
    classes = torch.multinomial(probability, len(y), replacement=True, generator=draws)
    order = torch.empty_like(classes)
    for label in classes.unique().tolist():
        places = (classes == label).nonzero().flatten()
        members = (y == label).nonzero().flatten()
        passes = -(-len(places) // len(members))
        turns = [torch.randperm(len(members), generator=draws) for _ in range(passes)]
        order[places] = members[torch.cat(turns)[: len(places)]]
    return order


SAMPLERS: Registry[Sampler] = Registry(
    "sampler", check=callable_with(None, 0, 1, None, says="(labels, epoch, epochs, generator)")
)
SAMPLERS |= {
    "shuffle": shuffle,
    "cbs": class_balanced,
    "srs": square_root,
    "pbs": progressive,
}
