"""Images, states and short trainings, for tests of networks."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

# Depth -> numbers of parameters with shortcut options A and B, for 10 classes and colour images.
RESNETS = {
    20: (269_722, 272_474),
    32: (464_154, 466_906),
    44: (658_586, 661_338),
    56: (853_018, 855_770),
    110: (1_727_962, 1_730_714),
}


def images(n: int, c: int = 3, h: int = 32, w: int = 32, seed: int = 0) -> Tensor:
    """Random images."""
    return torch.randn(n, c, h, w, generator=torch.Generator().manual_seed(seed))


def size(model: nn.Module) -> int:
    """Number of parameters."""
    return sum(p.numel() for p in model.parameters())


def state(model: nn.Module) -> dict[str, Tensor]:
    """A copy of all parameters and buffers."""
    return {name: value.clone() for name, value in model.state_dict().items()}


def equal(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    """Whether two states agree to the bit."""
    return one.keys() == other.keys() and all(torch.equal(one[k], other[k]) for k in one)


def train(model: nn.Module, x: Tensor, steps: int = 3) -> nn.Module:
    """Train for a few steps, so that weights and running statistics are no longer initial ones."""
    model.train()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
    for step in range(steps):
        y = (torch.arange(len(x)) + step) % 7
        logits = model(x * (1 + step) + step)
        optimizer.zero_grad()
        F.cross_entropy(logits, y).backward()
        optimizer.step()
    return model
