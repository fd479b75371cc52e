"""Mistakes in a network or a method are told before any run, and cost nothing."""

import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import nslab
from nslab.runs.results import every_run
from nslab.system.paths import runs_dir
from nslab.workbench.compare_methods import compare_methods

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
        (lambda: Sized(49, 3), {}, r"on 4 images of 1 x 6 x 6 .*RuntimeError: mat1"),
        (lambda: nn.Flatten(0), {}, r"must be of shape \(4, classes\)"),
        (lambda: Sized(36, 2), {}, "has 2 outputs, and there are 3 classes: give it the number"),
        (Named, {"methods": ["ce", "ns"], "batch_size": 2}, "method ns needs 4 samples.* has 2: "),
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


def test_texts(tmp_path: Path) -> None:
    """Are made up too: of the length and the ids that the run's have."""
    for part in ("train", "test"):
        lines = [f"{k % 2},{'good' if k % 2 else 'bad'} film {k}" for k in range(24)]
        (tmp_path / f"{part}.csv").write_text("\n".join(["label,text", *lines]))
    given: dict[str, Any] = {"train": f"csv:{tmp_path}", "vocabulary": 50, "text_length": 8}
    told = r"FewWords cannot be trained on 4 texts of 8 tokens below 50 and 2 classes: \w+Error"
    with pytest.raises(ValueError, match=told):
        compare_methods(FewWords, methods=["ce"], **given, **SHORT)
    with pytest.raises(ValueError, match="compose"):
        compare_methods(Words, methods=["ce", "ns"], **given, **SHORT)
    with pytest.raises(ValueError, match="mark it with for_texts = True"):
        compare_methods(lambda classes: Words((8, 50), classes), **given, **SHORT)
    assert not runs_dir().exists() or not [*runs_dir().iterdir()]
    methods = {"ce": "ce", "ns": nslab.NS(grid=(1, 2), compose="literal")}
    assert len(compare_methods(Words, methods=methods, **given, **SHORT).results) == 2
