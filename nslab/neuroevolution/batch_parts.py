"""Batches too large for memory: their parts are made one by one, anew for each generation."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Int
from torch import Tensor

from nslab.types import Pair


@dataclass(frozen=True, eq=False)
class BatchParts:
    """A batch of which only a part is in memory at a time.

    Attributes:
        y: the labels of all samples, on the device the parts come to.
        shape: the shape that all inputs would have as one tensor.
        parts: starts a new pass over inputs and labels, part by part, always the same ones.

    >>> x, y = torch.arange(6.0).view(6, 1), torch.zeros(6, dtype=torch.long)
    >>> batch = BatchParts(y, x.shape, lambda: zip(x.split(4), y.split(4)))
    >>> len(batch), [len(part) for part, _ in batch.parts()]
    (6, [4, 2])
    """

    y: Int[Tensor, " b"]
    shape: torch.Size
    parts: Callable[[], Iterator[Pair]]

    def __len__(self) -> int:
        """Number of samples in the whole batch."""
        return int(self.shape[0])

    @property
    def device(self) -> torch.device:
        """The device of the parts."""
        return self.y.device
