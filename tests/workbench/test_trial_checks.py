"""A trial refuses no right network, and leaves the layers that it is given as they were."""

import copy
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from nslab.training.checkpoint import load_weights
from nslab.workbench.compare_methods import compare_methods

X, Y = torch.rand(48, 1, 6, 6, generator=torch.Generator().manual_seed(0)), torch.arange(48) % 3
DATA = {"train": (X, Y), "test": (X, Y)}
SHORT: dict[str, Any] = {"seeds": 1, "epochs": 1, "batch_size": 16, "show": False}
GIVEN: dict[str, Any] = {**DATA, **SHORT, "methods": ["ce"]}
pytestmark = pytest.mark.usefixtures("as_users_call")


class Head(nn.Module):
    """A network that is a layer."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.head = nn.Linear(36, classes)

    def forward(self, x: Tensor) -> Any:
        """Logits."""
        return self.head(x.flatten(1))


def test_layers_of_somebody_are_as_before() -> None:
    """Statistics and modes, though the trial is refused."""
    layers = nn.Sequential(nn.BatchNorm2d(1), nn.Flatten(), nn.Linear(36, 3))
    layers.eval()[0].train()
    before = copy.deepcopy(layers.state_dict())
    with pytest.raises(ValueError, match=r"shares .*layers\.requires_grad_\(False\)"):
        compare_methods(lambda: nn.Sequential(layers), **GIVEN)
    layers.requires_grad_(False)
    with pytest.raises(ValueError, match=r"shares .*running statistics: keep those layers in eval"):
        compare_methods(lambda: nn.Sequential(layers, nn.Linear(3, 3)), **GIVEN)
    assert [module.training for module in layers] == [True, False, False]
    assert all(torch.equal(tensor, before[key]) for key, tensor in layers.state_dict().items())


BACKBONE = nn.Sequential(nn.Flatten(), nn.Linear(36, 36))


class Extracts(Head):
    """One on features of layers that stay as they are."""

    def __init__(self, classes: int) -> None:
        super().__init__(classes)
        self.backbone = BACKBONE

    def forward(self, x: Tensor) -> Any:
        """Logits."""
        with torch.no_grad():
            features = self.backbone(x)
        return self.head(features)


class Part(Head):
    """One whose ``parameters`` are some of its own."""

    def __init__(self, classes: int) -> None:
        super().__init__(classes)
        self.first = nn.Linear(36, 36)

    def parameters(self, recurse: bool = True) -> Any:
        """Of the head."""
        return self.head.parameters(recurse)

    def forward(self, x: Tensor) -> Any:
        """Logits."""
        return super().forward(self.first(x.flatten(1)))


class Makes(Head):
    """One that makes a parameter at each call."""

    def forward(self, x: Tensor) -> Any:
        """Logits."""
        return super().forward(x) * nn.Parameter(torch.ones(()))


class Whole(Head):
    """One that takes batches of 16 or 48 only."""

    def forward(self, x: Tensor) -> Any:
        """Logits."""
        return self.head(x.view(16, -1, 36).flatten(0, 1))


@pytest.mark.parametrize("model", [Extracts, Part, Makes, Whole])
def test_right_networks(model: Any) -> None:
    """Are trained."""
    assert len(compare_methods(model, **GIVEN).results) == 1


def test_what_settings_freeze_may_be_shared() -> None:
    """As what is frozen already."""
    shared = nn.Linear(36, 36)
    model = lambda: nn.Sequential(nn.Flatten(), shared, nn.Linear(36, 3))  # noqa: E731
    assert len(compare_methods(model, **GIVEN, frozen=("1",)).results) == 1
    with pytest.raises(ValueError, match="unknown part of the network to freeze 'nine'"):
        compare_methods(model, **GIVEN, frozen=("nine",))


class Raw(Head):
    """One with a plain tensor that nothing trains."""

    def __init__(self, classes: int) -> None:
        super().__init__(classes)
        self.scale = torch.ones(classes, requires_grad=True)

    def forward(self, x: Tensor) -> Any:
        """Logits."""
        return super().forward(x) * self.scale


def test_a_plain_tensor_of_the_network() -> None:
    """Is not the loss's."""
    with pytest.warns(UserWarning, match=r"Raw has a tensor of shape \(3,\) that requires grad"):
        compare_methods(Raw, **GIVEN)


class Probabilities(Head):
    """One with other outputs in evaluation."""

    def forward(self, x: Tensor) -> Any:
        """Logits, or not."""
        logits = super().forward(x)
        return logits if self.training else {"probabilities": logits.softmax(1)}


class Fewer(Head):
    """One with fewer outputs in evaluation."""

    def forward(self, x: Tensor) -> Any:
        """Logits."""
        logits = super().forward(x)
        return logits if self.training else logits[:, :2]


class Detached(Head):
    """One whose logits have no gradient."""

    def forward(self, x: Tensor) -> Any:
        """Logits."""
        return super().forward(x).detach()


class Sparse(Head):
    """One whose weights cannot be kept."""

    def __init__(self, classes: int) -> None:
        super().__init__(classes)
        self.register_buffer("eye", torch.eye(2).to_sparse())


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (Probabilities, "cannot be evaluated on 16 images .* contains no logits.* In eval mode"),
        (Fewer, "cannot be evaluated on .* it gives 2 outputs, in training 3"),
        (Detached, "Detached gives logits without a gradient"),
        (lambda: Head(3).requires_grad_(False), "has no parameter that requires grad"),
        (Sparse, "has a sparse tensor, eye"),
    ],
)
def test_networks_that_cannot_be_used(model: Any, message: str) -> None:
    """Are told, and the method is not blamed."""
    with pytest.raises(ValueError, match=message):
        compare_methods(model, **GIVEN)


class Tied(nn.Module):
    """One with a weight under two names, and a buffer under two."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(36, 36), nn.Linear(36, 36)
        self.second.weight = self.first.weight
        self.head = nn.Linear(36, classes)
        shift = torch.zeros(36)
        self.register_buffer("shift", shift)
        self.register_buffer("again", shift)

    def forward(self, x: Tensor) -> Any:
        """Logits."""
        return self.head(self.second(self.first(x.flatten(1)).relu()))


def test_tied_weights_are_kept() -> None:
    """And load again."""
    (result,) = compare_methods(Tied, **GIVEN).results
    again = load_weights(Tied(3), result.folder)
    assert torch.equal(again.first.weight, again.second.weight)
    assert not torch.equal(again.first.weight, Tied(3).first.weight)


def reads(shape: tuple[int, int], num_classes: int, dim: int, least: int = 1) -> nn.Module:
    """A network of texts, of some length at least."""

    class Words(nn.Sequential):
        def forward(self, x: Tensor) -> Tensor:
            x = self[0](x).transpose(1, 2)
            return self[2](self[1](x).mean(2))

    return Words(nn.Embedding(shape[1], dim), nn.Conv1d(dim, dim, least), nn.Linear(dim, 2))


def test_partials_of_texts(tmp_path: Path) -> None:
    """May be marked themselves; short batches are told of."""
    for part in ("train", "test"):
        lines = [f"{k % 2},{'good' if k % 2 else 'bad'} film {k}" for k in range(24)]
        (tmp_path / f"{part}.csv").write_text("\n".join(["label,text", *lines]))
    given: dict[str, Any] = {"train": f"csv:{tmp_path}", "vocabulary": 50, "text_length": 8}
    for least in (1, 5):
        marked: Any = partial(reads, dim=4, least=least)
        marked.for_texts = True
        if least == 1:
            assert len(compare_methods(marked, methods=["ce"], **given, **SHORT).results) == 1
        else:
            with pytest.raises(ValueError, match="or pad short batches to what your layers need"):
                compare_methods(marked, methods=["ce"], **given, **SHORT)
