"""A trial refuses no right loss, and calls a copy of one that remembers."""

import threading
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nslab.workbench.compare_methods import compare_methods

X, Y = torch.rand(48, 1, 6, 6, generator=torch.Generator().manual_seed(0)), torch.arange(48) % 3
DATA = {"train": (X, Y), "test": (X, Y)}
SHORT: dict[str, Any] = {"seeds": 1, "epochs": 1, "batch_size": 16, "show": False}
GIVEN: dict[str, Any] = {**DATA, **SHORT, "methods": ["ce"]}
pytestmark = pytest.mark.usefixtures("as_users_call")


def ce(logits: Tensor, y: Tensor) -> Tensor:
    """Per sample."""
    return F.cross_entropy(logits, y, reduction="none")


class Steps(nn.Module):
    """A loss that counts its calls."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("calls", torch.zeros((), dtype=torch.long))
        self.calls: Tensor

    def forward(self, logits: Tensor, y: Tensor) -> Tensor:
        """Cross-entropy."""
        self.calls += 1
        return ce(logits, y)


class Keeps:
    """A loss that keeps something that has no digest."""

    def __init__(self, make: Callable[[], Any]) -> None:
        self.make, self.kept = make, None

    def __call__(self, logits: Tensor, y: Tensor) -> Tensor:
        self.kept = self.make()
        return ce(logits, y)


def test_losses_that_remember() -> None:
    """Are tried as copies, and told of, whatever it is that they keep."""
    steps = Steps()
    with pytest.warns(UserWarning, match="its loss changes something that it holds"):
        compare_methods("mlp", **GIVEN | {"methods": {"s": steps}})
    assert int(steps.calls) == 3
    for make in (torch.Generator, threading.Lock):
        with pytest.warns(UserWarning, match="its loss changes something that it holds"):
            compare_methods("mlp", **GIVEN | {"methods": {"k": Keeps(make)}})


def test_a_copy_that_is_another_loss() -> None:
    """Is not called."""

    class Copied:
        def __init__(self, factor: float = 1.0) -> None:
            self.factor = factor

        def __call__(self, logits: Tensor, y: Tensor) -> Tensor:
            assert self.factor == 1
            return ce(logits, y)

        def __deepcopy__(self, memo: dict) -> "Copied":
            return Copied(2.0)

    assert len(compare_methods("mlp", **GIVEN | {"methods": {"c": Copied()}}).results) == 1


def test_a_loss_of_the_whole_batch() -> None:
    """Sees one that is as large as the run's."""

    def hardest(logits: Tensor, y: Tensor) -> Tensor:
        losses = ce(logits, y)
        return losses * (losses >= losses.topk(8).values.min())

    assert len(compare_methods("mlp", **GIVEN | {"methods": {"h": hardest}}).results) == 1
