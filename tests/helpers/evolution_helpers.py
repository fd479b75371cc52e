"""A small classifier, batches and parents, for tests of evolution."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nslab.neuroevolution.evolution import Evolved


class Net(nn.Module):
    """A small classifier with BatchNorm."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(6, 12)
        self.norm = nn.BatchNorm1d(12)
        self.head = nn.Linear(12, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.norm(self.first(x)).relu())


def data(k: int, n: int = 96) -> tuple[Tensor, Tensor]:
    """Batch k: samples of three classes that are almost linearly separable."""
    gen = torch.Generator().manual_seed(100 + k)
    x = torch.randn(n, 6, generator=gen)
    return x, (x[:, :3] + 0.3 * torch.randn(n, 3, generator=gen)).argmax(1)


def parents(count: int = 8) -> list[nn.Module]:
    """Networks after a little training, each trained a bit longer than the one before."""
    torch.manual_seed(0)
    model = Net()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    found = []
    for k in range(count):
        for _ in range(3):
            x, y = data(50 + k)
            optimizer.zero_grad()
            F.cross_entropy(model(x), y).backward()
            optimizer.step()
        found.append(Net())
        found[-1].load_state_dict(model.state_dict())
    return found


def equal(a: Evolved, b: Evolved) -> bool:
    """Whether two evolutions have the same members, buffers, history and losses, to the bit."""
    same = torch.equal(a.state.population.x(), b.state.population.x())
    for x, y in zip(a.extras.buffers.values(), b.extras.buffers.values(), strict=True):
        rows = [e.state.population.members for e in (a, b)]
        same &= torch.equal(x[rows[0]], y[rows[1]])
    return same and a.history == b.history and torch.equal(a.state.fitness, b.state.fitness)


def sixteenths(count: int, step: int) -> Tensor:
    """Numbers that are the same to the bit on every machine."""
    return (torch.arange(count) * step % 17 - 8) / 16


def exact_data(k: int) -> tuple[Tensor, Tensor]:
    """Batch k, the same to the bit on every machine."""
    return sixteenths(192, 5 + k).view(32, 6), torch.arange(32) * (k + 1) % 3


def exact_parents(count: int = 6) -> list[nn.Module]:
    """Networks that were never trained, the same to the bit on every machine."""
    models: list[nn.Module] = []
    for k in range(count):
        models.append(Net())
        for i, p in enumerate(models[-1].parameters()):
            p.data = sixteenths(p.numel(), 3 + k + i).view(p.shape)
    return models
