"""Models whose outputs can be computed by hand, for tests of Natural Selection."""

import torch
from torch import Tensor, nn


class Constant(nn.Module):
    """A model with the same logits for every input."""

    def __init__(self, logits: Tensor) -> None:
        super().__init__()
        self.logits = nn.Parameter(logits)

    def forward(self, x: Tensor) -> Tensor:
        return self.logits.expand(len(x), -1)


class Mean(nn.Module):
    """A model whose logits are linear in the mean colour."""

    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        self.weight = nn.Parameter(weight)

    def forward(self, x: Tensor) -> Tensor:
        return x.mean((2, 3)) @ self.weight.to(x.dtype)


def images(n: int, c: int = 3, h: int = 8, w: int = 8, seed: int = 0) -> Tensor:
    """Random images."""
    return torch.randn(n, c, h, w, generator=torch.Generator().manual_seed(seed))
