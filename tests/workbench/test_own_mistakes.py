"""Mistakes that people make with losses, labels and methods: each is told before or at the first
step, with what to write."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

import nslab
from nslab import NS, TrainConfig, add_arrays
from nslab.objectives import OBJECTIVES, CrossEntropy
from nslab.objectives.weighted import PlainLoss
from nslab.workbench.compare_methods import compare_methods
from nslab.workbench.own_objects import objective_of

X, Y = torch.rand(48, 1, 6, 6, generator=torch.Generator().manual_seed(0)), torch.arange(48) % 2
DATA = {"train": (X, Y), "test": (X, Y)}
SHORT: dict[str, Any] = {"seeds": 1, "epochs": 1, "batch_size": 16, "show": False}
pytestmark = pytest.mark.usefixtures("as_users_call")


def ce(logits: Tensor, y: Tensor) -> Tensor:
    """Per sample."""
    return F.cross_entropy(logits, y, reduction="none")


def forgets(logits: Tensor, y: Tensor) -> None:
    """No return."""
    ce(logits, y)


LOSSES: list[tuple[Callable, str]] = [
    (forgets, " gives None: it does not return what it computes"),
    (lambda logits, y: ce(logits, y).detach(), "a loss without a gradient.*no detach"),
    (lambda logits, y: (logits.argmax(1) != y).float(), "a loss without a gradient.*argmax"),
    (lambda logits, y: ce(logits, y).mean(), r"losses of shape \(\) for 16 samples"),
    (lambda logits, y: ce(logits, y).detach().numpy(), "gives a ndarray, not a tensor"),
    (lambda logits, y: 1.0, "gives a float, not a tensor"),
]


@pytest.mark.parametrize(("loss", "message"), LOSSES)
def test_a_loss_that_cannot_be_trained_by(loss: Callable, message: str) -> None:
    """A function, a method of a class, and under NS, whose weights would hide a mean."""

    @dataclass(frozen=True)
    class Own(PlainLoss):
        def loss(self, logits: Tensor, y: Tensor) -> Any:
            return loss(logits, y)

    for method in (loss, Own()):
        with pytest.raises(ValueError, match=message):
            compare_methods("mlp", **DATA, methods={"mine": method}, **SHORT)
    own = objective_of(Own())
    with pytest.raises(ValueError, match=message):
        compare_methods("mlp", **DATA, methods={"NS": NS(base=own)}, **SHORT)


def test_a_loss_of_three() -> None:
    """Said before anything runs."""

    @dataclass(frozen=True)
    class Own(PlainLoss):
        def loss(self, logits: Tensor, y: Tensor, weights: Tensor) -> Tensor:  # type: ignore[override]
            return ce(logits, y)

    def three(logits: Tensor, y: Tensor, weights: Tensor) -> Tensor:
        return ce(logits, y)

    for method, name in ((three, "three"), (Own(), "Own.loss"), (lambda logits: logits, "lambda")):
        with pytest.raises(ValueError, match=rf"the loss .*{name}.* called with logits"):
            compare_methods("mlp", **DATA, methods={"mine": method}, **SHORT)
    with pytest.raises(ValueError, match=r"the loss .*three.* called with logits"):
        nslab.Weighted(three)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="it is not a function"):
        nslab.Weighted(None)  # type: ignore[arg-type]


def test_an_objective_that_gives_a_tensor() -> None:
    """Where a `Scored` is meant."""

    @dataclass(frozen=True)
    class Own:
        def build(self, info: Any) -> Any:
            built = nslab.Weighted()

            class Bare:
                min_batch = 1

                def __call__(self, model: Any, batch: Any) -> Tensor:
                    return built(model, batch).loss

            return Bare()

    with pytest.raises(ValueError, match=r"Own gives a Tensor when called, not nslab.Scored"):
        compare_methods("mlp", **DATA, methods={"mine": Own()}, **SHORT)


def test_a_class_that_is_not_frozen() -> None:
    """Named, with its file."""

    @dataclass
    class Loose(PlainLoss):
        def loss(self, logits: Tensor, y: Tensor) -> Tensor:
            return ce(logits, y)

    for method in (Loose(), Loose):
        with pytest.raises(ValueError, match=r"class .*Loose in .*test_own_mistakes.py is no obj.*"
                           r"write @dataclass\(frozen=True\) above the class$"):  # fmt: skip
            objective_of(method)


def test_what_is_no_objective() -> None:
    """A key, a class, a function: what to write instead."""
    for value, advice in (
        ("ce", r"that is a key: write nslab.OBJECTIVES\['ce'\]\(\)"),
        ("cross", r"such as nslab.CrossEntropy\(\)"),
        (CrossEntropy, r"that is the class: write CrossEntropy\(\)"),
        (ce, r"nslab.compare_methods; here it is meant as a frozen dataclass"),
        (lambda logits, y: logits, r"nslab.compare_methods"),
        (None, r"such as nslab.CrossEntropy\(\)"),
    ):
        with pytest.raises(TypeError, match=rf"NS: base must be an objective, not .*{advice}"):
            NS(base=value)  # type: ignore[arg-type]
        with pytest.raises(TypeError, match=rf"TrainConfig: objective must be .*{advice}"):
            TrainConfig("digits", "mlp", value)  # type: ignore[arg-type]
    assert NS(base=OBJECTIVES["ce"]()) == NS()


@pytest.mark.parametrize(("methods", "shown"), [("ns", "'ns'"), (NS(), r"NS\(\)"), (ce, ".*ce")])
def test_one_method_is_not_a_list(methods: Any, shown: str) -> None:
    """A word is no list of letters."""
    with pytest.raises(ValueError, match=rf"methods is one method, {shown}: give a list"):
        compare_methods("mlp", **DATA, methods=methods, **SHORT)


def test_too_many_seeds() -> None:
    """Refused before a config is made."""
    with pytest.raises(ValueError, match=r"10,000,000 combinations \(10,000,000 seeds"):
        compare_methods("mlp", **DATA, **SHORT | {"seeds": 10**7})


class Pairs(torch.utils.data.Dataset):
    """A torch data set with text for labels."""

    def __len__(self) -> int:
        return 4

    def __getitem__(self, i: int) -> tuple[Tensor, str]:
        return X[i], "cat"


def test_labels_that_are_text() -> None:
    """As arrays, as lists, as objects, in a torch data set."""
    words = ["cat", "dog"] * 24
    for labels in (np.array(words), words, np.array(words, object)):
        with pytest.raises(ValueError, match=r"train: labels are str_? such as 'cat'.*unique"):
            add_arrays((X, labels), (X, labels))
    with pytest.raises(ValueError, match=r"train: labels are str_? such as 'cat'"):
        add_arrays(Pairs(), Pairs())
    with pytest.raises(ValueError, match="test: labels are"):
        compare_methods("mlp", (X, Y), (X, words), **SHORT)


def test_labels_that_skip_numbers() -> None:
    """Told, and taken; those far above all others are refused before a name is made of each."""
    with pytest.warns(UserWarning, match=r"no image has class 0 of 3: .*begin at 1"):
        add_arrays((X, Y + 1), (X, Y + 1))
    with pytest.warns(UserWarning, match=r"no image has class 1, 2, 3, 4, 5 and 4 more of 11"):
        add_arrays((X, 10 * Y), (X, 10 * Y))
    with pytest.warns(UserWarning, match=r"class 2, which no training image has: 50.0 %"):
        add_arrays((X, Y), (X, 2 * Y))
    with pytest.warns(UserWarning, match=r"no image has class 2 of 3"):
        add_arrays((X, Y), (X, Y), classes=["a", "b", "c"])
    with pytest.raises(ValueError, match="labels go up to 1,000,000,000"):
        add_arrays((X, 10**9 * Y), (X, Y))
