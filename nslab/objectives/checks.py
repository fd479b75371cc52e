"""Checks of what users hand to an objective, with errors that say what to do."""

import math
from typing import Any

import torch
from torch import Tensor

from nslab.system.registry import EVERY, callable_with, name_of
from nslab.types import Scored

_TEXTS = (
    "texts need compose='tiled' or 'literal', and in your own training loop "
    "compose=nslab.Joined.of(tokenizer)"
)


def check_loss(loss: Any) -> None:
    """``ValueError`` unless ``loss`` can be called with logits and labels."""
    problem = "it is not a function"
    if callable(loss):
        problem = callable_with(None, None, says="logits (n, classes) and labels (n,)")("", loss)
    if problem:
        raise ValueError(
            f"the loss {loss_name(loss)}: {problem}. Give further parameters a default, or make "
            "them fields of a frozen dataclass, as in nslab.objectives.GCE"
        )


def loss_name(loss: Any) -> str:
    """What a loss is called: by its class if it is a method."""
    owner = getattr(loss, "__self__", None)
    return name_of(loss) if owner is None else f"{type(owner).__name__}.{loss.__name__}"


def check_per_sample(loss: Any, y: Tensor, name: str) -> None:
    """``ValueError``, with what to write, unless ``loss`` holds a loss for each of the labels
    ``y``."""
    problem = ""
    if loss is None:
        problem = "gives None: it does not return what it computes"
    elif not isinstance(loss, Tensor):
        problem = f"gives a {type(loss).__name__}, not a tensor: compute the loss with torch"
    elif loss.shape != y.shape:
        problem = (
            f"gives losses of shape {tuple(loss.shape)} for {len(y)} samples: one for each is "
            'needed, as torch\'s losses give with reduction="none"'
        )
    if problem:
        raise ValueError(f"{name} {problem}")


def check_scored(scored: Any, y: Tensor, name: str) -> None:
    """``ValueError``, with what to write, unless training can use what an objective returned for a
    batch with labels ``y``."""
    if not isinstance(scored, Scored):
        kind = type(scored).__name__
        raise ValueError(f"{name} gives a {kind} when called, not nslab.Scored(loss, logits)")
    check_per_sample(scored.loss, y, name)
    if not any(part is not None and part.requires_grad for part in (scored.loss, scored.penalty)):
        raise ValueError(
            f"{name} gives a loss without a gradient: compute it from the logits with torch, "
            "with no detach, item, numpy, argmax or no_grad on the way"
        )


def check_objective(name: str, value: Any) -> None:
    """``TypeError``, with what to write, unless ``value`` can be an objective of a config."""
    if hasattr(value, "build") and not isinstance(value, type):
        return
    advice = "it has no method build, as values of OBJECTIVES have, such as nslab.CrossEntropy()"
    if isinstance(value, str) and value in EVERY["objective"]:
        advice = f"that is a key: write nslab.OBJECTIVES[{value!r}]()"
    elif isinstance(value, type):
        advice = f"that is the class: write {value.__name__}(), or with its fields"
    elif callable(value):
        advice = (
            "a plain function can be given to nslab.compare_methods; here it is meant as a frozen "
            "dataclass with a method loss(self, logits, y), a subclass of "
            "nslab.objectives.weighted.PlainLoss"
        )
    raise TypeError(f"{name} must be an objective, not {value!r}: {advice}")


def checked_grid(grid: tuple[int, int]) -> tuple[int, int]:
    """``grid`` as a tuple; ``ValueError`` unless it is two positive whole numbers."""
    ok = isinstance(grid, tuple | list) and len(grid) == 2
    if not ok or any(isinstance(n, bool) or not isinstance(n, int) or n < 1 for n in grid):
        raise ValueError(f"grid must be (rows, columns), two positive whole numbers, not {grid!r}")
    return grid[0], grid[1]


def checked_number(name: str, value: float) -> float:
    """``value`` as a float; ``TypeError`` if it is not a number, ``ValueError`` if not finite."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"{name} must be a number, not {value!r}")
    if not math.isfinite(value):
        raise ValueError(f"{name} must be finite, not {value}")
    return float(value)


def check_images(x: Any) -> None:
    """Raise ``ValueError`` unless x is a batch of float images."""
    if not isinstance(x, Tensor):
        raise ValueError(f"NS needs float images, not a {type(x).__name__}; {_TEXTS}")
    if x.dim() != 4 or not x.is_floating_point():
        texts = x.dim() == 2 and not x.is_floating_point()
        raise ValueError(
            "NS needs float images (batch, channels, height, width), "
            f"not {x.dtype} of shape {tuple(x.shape)}" + (f"; {_TEXTS}" if texts else "")
        )


def check_tokens(x: Any) -> None:
    """Raise ``ValueError`` unless x is a batch of token ids."""
    kind = f"a {type(x).__name__}"
    if isinstance(x, Tensor):
        whole = not (x.is_floating_point() or x.is_complex() or x.dtype == torch.bool)
        if x.dim() == 2 and x.shape[1] and whole:
            return
        kind = f"{x.dtype} of shape {tuple(x.shape)}"
    raise ValueError(
        f"texts are joined as rows of token ids (batch, length), not as {kind}; images need "
        "compose='images'"
    )
