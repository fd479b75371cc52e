"""Mistakes in a network or a method are told before any run, and cost nothing."""

import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

import nslab
from nslab.runs.results import every_run
from nslab.system.paths import runs_dir
from nslab.workbench.compare_methods import compare_methods
from nslab.workbench.own_objects import objective_of

X, Y = torch.rand(48, 1, 6, 6, generator=torch.Generator().manual_seed(0)), torch.arange(48) % 3
DATA = {"train": (X, Y), "test": (X, Y)}
SHORT: dict[str, Any] = {"seeds": 1, "epochs": 1, "batch_size": 16, "show": False}
pytestmark = pytest.mark.usefixtures("as_users_call")


class Sized(nn.Sequential):
    """A network whose inputs and outputs are fixed."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(nn.Flatten(), nn.Dropout(0.5), nn.Linear(inputs, outputs))


class Named(Sized):
    """One that takes the number of classes, and has another default."""

    def __init__(self, num_classes: int = 1000) -> None:
        super().__init__(36, num_classes)


@pytest.mark.parametrize(
    ("model", "more", "message"),
    [
        (lambda: Sized(49, 3), {}, r"on 16 images of 1 x 6 x 6 .*RuntimeError: mat1"),
        (lambda: nn.Flatten(0), {}, r"must be of shape \(16, classes\)"),
        (lambda: Sized(36, 2), {}, "has 2 outputs, and there are 3 classes: give it the number"),
        (Named, {"methods": ["ce", "ns"], "batch_size": 2}, "needs 4 .* has 2: give a batch_size"),
        (
            Named,
            {"hold_out": 47},
            "a batch needs 2 samples, and here it has 1: train on more samples",
        ),
        (lambda: nn.Sequential(nn.Flatten(), nn.LazyLinear(3)), {}, "lazy layers have no size yet"),
        (Named, {"methods": {"t": nn.CrossEntropyLoss()}}, "method t cannot|no objective|loss"),
    ],
)
def test_told_before_any_run(model: Any, more: dict, message: str) -> None:
    """By a ``ValueError`` that says what to do."""
    before = {run.id for run in every_run()}
    with pytest.raises(ValueError, match=message):
        compare_methods(model, **DATA, **{"methods": ["ce"], **SHORT, **more})
    assert {run.id for run in every_run()} == before
    assert not runs_dir().exists() or not [*runs_dir().iterdir()]


def test_outputs_without_a_class() -> None:
    """Are told, and trained; a parameter for the number gets it."""
    with pytest.warns(UserWarning, match="has 5 outputs, and there are only 3 classes"):
        compare_methods(lambda: Sized(36, 5), **DATA, methods=["ce"], **SHORT)
    found = compare_methods(Named, **DATA, methods=["ce"], **SHORT)
    assert len(found.results) == 1


def test_no_generator_moves() -> None:
    """Neither torch's nor those of NumPy and Python, though the network draws."""

    def draws() -> nn.Module:
        random.random(), np.random.rand()  # noqa: NPY002
        return Sized(36, 2)

    def state() -> tuple:
        return random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()  # type: ignore[index,union-attr] # noqa: NPY002

    before = state()
    with pytest.raises(ValueError, match="2 outputs"):
        compare_methods(draws, **DATA, methods=["ce"], **SHORT)
    assert state() == before


SHARED, NORM, FLATTEN = nn.Linear(36, 3), nn.BatchNorm2d(1).requires_grad_(False), nn.Flatten()
FROZEN = nn.Linear(36, 36).requires_grad_(False)


class Shifted(Sized):
    """One with a constant that is made outside."""

    def __init__(self, num_classes: int) -> None:
        super().__init__(36, num_classes)
        self.register_buffer("shift", FROZEN.bias)


@pytest.mark.parametrize(
    "model",
    [
        lambda: nn.Sequential(FLATTEN, SHARED),
        lambda: nn.Sequential(FLATTEN, nn.Linear(36, 36), SHARED),
        lambda: nn.Sequential(NORM, Sized(36, 3)),
    ],
)
def test_networks_that_share_what_is_trained(model: Any) -> None:
    """Are refused, since one run would go on from another's weights; what stays may be shared."""
    given: dict[str, Any] = {**DATA, **SHORT, "methods": ["ce"]}
    with pytest.raises(ValueError, match=r"shares \S+ with the one made before.*deepcopy"):
        compare_methods(model, **given)
    frozen = lambda: nn.Sequential(nn.Flatten(), FROZEN, nn.Linear(36, 3))  # noqa: E731
    for fresh in (frozen, Shifted):
        assert len(compare_methods(fresh, **given).results) == 1


class Listed(Sized):
    """One with a layer that is no attribute."""

    def __init__(self) -> None:
        super().__init__(36, 3)
        self.layers = [nn.Linear(36, 36)]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Logits."""
        return super().forward(self.layers[0](x.flatten(1)))


class Scaled(nn.Module):
    """A loss with a parameter."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(()))

    def forward(self, logits: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        """A loss per sample."""
        return F.cross_entropy(self.scale * logits, y, reduction="none")


def test_what_nothing_would_train() -> None:
    """Is refused: parameters of a loss, and layers that a network does not know as its own; what a
    loss makes at each call is none."""
    given: dict[str, Any] = {**DATA, **SHORT}
    with pytest.raises(ValueError, match=r"Listed has layers that nothing would train.*ModuleList"):
        compare_methods(Listed, **given, methods=["ce"])
    bare = torch.ones((), requires_grad=True)
    for loss in (Scaled(), lambda logits, y: Scaled()(bare * logits, y)):
        with pytest.raises(ValueError, match=r"method s .*a trainable tensor of its own, of shape"):
            compare_methods("mlp", **given, methods={"s": loss, "ns": "ns"})
    made = compare_methods("mlp", **given, methods={"s": lambda logits, y: Scaled()(logits, y)})
    assert len(made.results) == 1


def test_a_loss_that_remembers() -> None:
    """From run to run is told."""
    mean = torch.ones(())

    def scaled(logits: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        losses = F.cross_entropy(logits, y, reduction="none")
        mean.mul_(0.9).add_(0.1 * losses.detach().mean())
        return losses / mean

    for method in (scaled, nslab.NS(base=objective_of(scaled))):  # type: ignore[arg-type]
        with pytest.warns(UserWarning, match=r"method s: .* keeps from run to run, .*build"):
            compare_methods("mlp", **DATA, methods={"s": method}, **SHORT)


class Words(nn.Module):
    """A network of texts."""

    for_texts = True

    def __init__(self, shape: tuple[int, int], num_classes: int) -> None:
        super().__init__()
        self.bag = nn.EmbeddingBag(shape[1], 4)
        self.head = nn.Linear(4, num_classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Logits of rows of token ids."""
        return self.head(self.bag(x))


class FewWords(Words):
    """One that knows ten words only."""

    def __init__(self, num_classes: int) -> None:
        super().__init__((8, 10), num_classes)


class Flat(Words):
    """One that needs texts of full length."""

    def __init__(self, shape: tuple[int, int], num_classes: int) -> None:
        super().__init__(shape, num_classes)
        self.head = nn.Linear(shape[0], num_classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Logits of rows of token ids."""
        return self.head(x.float())


def test_texts(tmp_path: Path) -> None:
    """Are made up too: of the length and the ids that the run's have."""
    for part in ("train", "test"):
        lines = [f"{k % 2},{'good' if k % 2 else 'bad'} film {k}" for k in range(24)]
        (tmp_path / f"{part}.csv").write_text("\n".join(["label,text", *lines]))
    given: dict[str, Any] = {"train": f"csv:{tmp_path}", "vocabulary": 50, "text_length": 8}
    told = r"FewWords cannot be trained on 16 texts of 8 tokens below 50 and 2 classes: \w+Error"
    with pytest.raises(ValueError, match=told):
        compare_methods(FewWords, methods=["ce"], **given, **SHORT)
    told = r"Flat cannot be trained on 16 texts of 4 tokens .*may be shorter than text_length"
    with pytest.raises(ValueError, match=told):
        compare_methods(Flat, methods=["ce"], **given, **SHORT)
    with pytest.raises(ValueError, match="compose"):
        compare_methods(Words, methods=["ce", nslab.NS()], **given, **SHORT)

    def unmarked(classes: int) -> nn.Module:
        return Words((8, 50), classes)

    with pytest.raises(ValueError, match="mark it with for_texts = True"):
        compare_methods(unmarked, **given, **SHORT)
    assert not runs_dir().exists() or not [*runs_dir().iterdir()]
    unmarked.for_texts = True  # type: ignore[attr-defined]
    assert len(compare_methods(unmarked, methods=["ce"], **given, **SHORT).results) == 1
    methods = {"ce": "ce", "ns": nslab.NS(grid=(1, 2), compose="literal")}
    assert len(compare_methods(Words, methods=methods, **given, **SHORT).results) == 2
