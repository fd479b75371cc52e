"""Logits and labels: taken out of what a classifier returns, and checked."""

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

NO_LABEL = torch.iinfo(torch.int64).min  # ignore_index of torch's losses: no label equals it


def logits_of(output: Any) -> Tensor:
    """The logits in what a model returned: a tensor, an object with ``logits`` (transformers;
    torchvision's Inception and GoogLeNet), a dict with "logits", or a tuple with the logits first.

    Raises ``ValueError`` for anything else.
    """
    if isinstance(output, Tensor):
        return output
    if isinstance(output, Mapping):
        found = output.get("logits")
    elif hasattr(output, "logits"):
        found = output.logits
    else:
        found = output[0] if isinstance(output, tuple | list) and output else None
    if isinstance(found, Tensor):
        return found
    what = type(output).__name__
    what += f" with {', '.join(map(str, output))}" if isinstance(output, Mapping) else ""
    raise ValueError(
        f"the model returned a {what}, which contains no logits: return a tensor, an object or "
        'dict with "logits", or a tuple with the logits first'
    )


def check_labels(y: Any, samples: int) -> None:
    """Raise ``ValueError`` unless y are class numbers, one for each of ``samples`` samples.

    Values of labels are read on a CPU only: on an accelerator that would stall the queue at every
    step, and torch itself asserts there.
    """
    if not isinstance(y, Tensor):
        raise ValueError(f"labels must be a tensor of class numbers, not {type(y).__name__}")
    numbers = not (y.is_floating_point() or y.is_complex() or y.dtype == torch.bool)
    if y.shape != (samples,) or not numbers:
        if y.shape == (samples, 1):
            advice = "take y.squeeze(1)" + ("" if numbers else ".long()")
        elif y.dim() == 2 and len(y) == samples:
            advice = "for one-hot or soft labels give the class, y.argmax(1)"
        elif y.shape == (samples,):
            advice = "take y.long() if these are class numbers"
        else:
            advice = "give one class number for each sample"
        raise ValueError(
            f"labels must be whole numbers of shape ({samples},), "
            f"not {y.dtype} of shape {tuple(y.shape)}: {advice}"
        )
    if can_read_values(y) and samples and (low := int(y.min())) < 0:
        raise ValueError(
            f"labels must be classes from 0, and one is {low}: leave samples without a class out "
            "of the batch"
        )


def check_logits(logits: Any, rows: int | None = None) -> None:
    """Raise ``ValueError`` unless logits are a matrix, of ``rows`` rows where that is known, with a
    column for each of two classes or more."""
    fits = isinstance(logits, Tensor) and logits.dim() == 2 and rows in (None, len(logits))
    if not fits:
        given = f"shape {tuple(logits.shape)}" if isinstance(logits, Tensor) else type(logits)
        raise ValueError(
            f"logits must be of shape ({rows or 'samples'}, classes), a row for each image "
            f"that the model was given, not {given}"
        )
    if logits.shape[1] < 2:
        raise ValueError(
            "the logits have a single class, so there is nothing to distinguish: give a binary "
            "classifier two logits"
        )


def check_classes(logits: Tensor, y: Tensor) -> None:
    """Raise ``ValueError`` unless the labels, checked already, are among the logits' classes and on
    their device."""
    if y.device != logits.device:
        raise ValueError(
            f"labels are on {y.device}, the logits on {logits.device}: use y.to({logits.device})"
        )
    if can_read_values(y) and len(y) and (high := int(y.max())) >= logits.shape[1]:
        raise ValueError(
            f"labels go up to {high}, but the model has classes 0 to {logits.shape[1] - 1}"
        )


def check_batch(logits: Any, y: Any) -> None:
    """What every loss asks of its arguments: logits, and the class number of each of their rows.

    A logit of -inf masks a class, whose probability is 0. Raises ``ValueError`` for labels that
    are not class numbers (see `check_labels`), and, on a CPU, for the label of a masked class.
    """
    check_logits(logits)
    check_labels(y, len(logits))
    check_classes(logits, y)
    if can_read_values(y) and len(y):
        own = logits.detach().gather(1, y.long()[:, None])
        if own.amin().item() == -math.inf and not overflowed(logits):
            raise ValueError(
                "the class of a label is masked, its logit is -inf: leave such samples out of the "
                "batch, or do not mask their classes"
            )


def overflowed(logits: Tensor) -> bool:
    """Whether infinite logits come from a network that has diverged rather than from a mask: then
    the finite logits, if any, are huge. Its loss is infinite, which training reports."""
    finite = logits.detach()[logits.detach().isfinite()]
    return not len(finite) or float(finite.abs().max()) > torch.finfo(logits.dtype).max ** 0.5


def check_unmasked(sums: Tensor) -> None:
    """On a CPU raise ``ValueError`` if a loss that sums over all classes met a masked one;
    ``sums`` are these sums, one per sample."""
    if can_read_values(sums) and bool(sums.detach().isinf().any()):
        raise ValueError(
            "this loss takes log p of every class, and one is masked, its logit is -inf: mask with "
            "a finite number such as -30, or take a loss of the label's probability alone, such "
            "as cross-entropy"
        )


def can_read_values(values: Tensor) -> bool:
    """Whether reading values costs nothing and is possible: on a CPU, not while compiling."""
    return values.device.type == "cpu" and not torch.compiler.is_compiling()
