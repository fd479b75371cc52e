"""Images and labels of a user, in arrays or a torch data set, checked and brought to one form."""

import math
from typing import Any

import numpy as np
import torch

CHANNELS = (1, 2, 3, 4)  # an axis of this length may be that of the channels


def split(data: Any, what: str) -> tuple[np.ndarray, np.ndarray]:
    """Images (n, h, w, c), uint8 or float32, and labels (n,), int64, from a pair of arrays or a
    torch data set. ``what`` names the data in messages; ``ValueError`` says what is wrong."""
    if isinstance(data, tuple | list) and len(data) == 2 and not _items(data):
        x, y = tensor(data[0], what), data[1]
        torch_like = torch.is_tensor(data[0])
        if not x.numel():
            raise ValueError(f"{what} has no images")
    elif not isinstance(data, str | dict) and _countable(data, what) and len(data) > 0:
        items = [data[i] for i in range(len(data))]
        if not all(isinstance(item, tuple | list) and len(item) == 2 for item in items):
            raise ValueError(
                f"{what}: each item of the data set must be an image and a label; arrays are given "
                "as a pair, (images, labels)"
            )
        images = [tensor(image, what) for image, _ in items]
        if len({image.shape for image in images}) > 1:
            raise ValueError(f"{what}: images differ in size; resize them alike first")
        torch_like = torch.is_tensor(items[0][0])
        x, y = torch.stack(images), [label for _, label in items]
    else:
        raise ValueError(
            f"{what} must be a pair (images, labels) or a torch Dataset that is not empty, not "
            f"{type(data).__name__}"
        )
    return pixels(x, what, torch_like), labels(y, len(x), what)


def _countable(data: Any, what: str) -> bool:
    """Whether ``data`` has a length and numbered items; ``ValueError`` for an IterableDataset."""
    if isinstance(data, torch.utils.data.IterableDataset):
        raise ValueError(
            f"{what}: {type(data).__name__} is an IterableDataset, but a map-style data set is "
            "needed, with __len__ and __getitem__: list(...) makes one of it, if it ends"
        )
    return hasattr(data, "__getitem__") and hasattr(data, "__len__")


def tensor(images: Any, what: str) -> torch.Tensor:
    """One image, or several, as a tensor; ``ValueError`` if the pixels are not real numbers."""
    try:
        x = images if torch.is_tensor(images) else np.require(images, requirements=["C", "W"])
    except ValueError:  # NumPy's, for rows of unequal length
        raise ValueError(f"{what}: images differ in size; resize them alike first") from None
    if x.is_complex() if torch.is_tensor(x) else x.dtype.kind not in "biuf":
        kind = x.dtype if torch.is_tensor(x) or not x.size else type(x.flat[0]).__name__
        raise ValueError(
            f'{what}: pixels are {kind}, but must be bytes or floats: .astype("float32") makes '
            'floats of them if they are numbers, and "folder:PATH" reads image files'
        )
    if torch.is_tensor(x):
        return x.detach()
    return torch.as_tensor(x.astype(x.dtype.newbyteorder("="), copy=False))


def _items(data: Any) -> bool:
    """Whether a sequence of two items holds two samples rather than images and labels."""
    first = data[0]
    return isinstance(first, tuple | list) and len(first) == 2 and np.ndim(first[1]) == 0


def pixels(x: torch.Tensor, what: str, torch_like: bool) -> np.ndarray:
    """Images as uint8 or float32, (n, h, w, c).

    ``torch_like`` says that they came as tensors, so that a second axis of 1 to 4 is the channels;
    in arrays the last axis is, if it can be. Raises ``ValueError`` for shapes and values that
    images cannot have.
    """
    if x.ndim == 3:
        x = x.unsqueeze(-1)
    elif x.ndim != 4:
        side = math.isqrt(x.shape[-1]) if x.ndim == 2 else 0
        square = x.ndim == 2 and side * side == x.shape[-1]
        form = f"-1, {side}, {side}" if square else "-1, height, width"
        advice = f"; rows of pixels become images by .reshape({form})" if x.ndim == 2 else ""
        raise ValueError(
            f"{what}: images must be (n, height, width) or have a fourth axis, not "
            f"{tuple(x.shape)}{advice}"
        )
    elif x.shape[1] in CHANNELS and (torch_like or x.shape[3] not in CHANNELS):
        x = x.permute(0, 2, 3, 1)
    elif x.shape[3] not in CHANNELS:
        raise ValueError(f"{what}: neither axis 1 nor 3 of {tuple(x.shape)} can be the channels")
    if x.dtype != torch.uint8:
        x = x if x.is_floating_point() else x.long()
        if not (x.is_floating_point() or (int(x.min()) >= 0 and int(x.max()) <= 255)):
            raise ValueError(f"{what}: pixels that are whole numbers must be 0 to 255")
        x = x.float() if x.is_floating_point() else x.to(torch.uint8)
    if x.is_floating_point() and not x.isfinite().all():
        raise ValueError(f"{what}: some pixels are NaN or infinite")
    return np.ascontiguousarray(x.cpu().numpy())


def _array(value: Any) -> Any:
    """A tensor of any type, on any device, as an array; anything else as it is."""
    if torch.is_tensor(value):
        return (value.double() if value.is_floating_point() else value).cpu().numpy()
    return value


def labels(given: Any, count: int, what: str) -> np.ndarray:
    """Labels as int64; ``ValueError`` unless there is one whole number, 0 or more, per image."""
    meant = f"{what}: labels must be {count} whole numbers from 0"
    try:
        y = _array(given) if torch.is_tensor(given) else np.asarray([_array(v) for v in given])
    except (TypeError, ValueError):  # no sequence, or rows of unequal length
        raise ValueError(f"{meant}, in an array or a list") from None
    if y.dtype.kind not in "biuf":
        first = y.reshape(-1)[0] if y.size else None
        raise ValueError(
            f"{what}: labels are {type(first).__name__} such as {str(first)!r}, but must be whole "
            "numbers from 0: names, numbers = numpy.unique(labels, return_inverse=True) makes "
            "them of the labels of training and test together; pass the names as classes=names"
        )
    y = y[:, 0] if y.ndim == 2 and y.shape[1] == 1 else y
    problem = ""
    if y.ndim == 2 and len(y) == count:
        problem = f"they are rows of {y.shape[1]}: one-hot labels become numbers by .argmax(1)"
    elif y.shape != (count,):
        problem = f"they have the shape {y.shape}"
    elif y.dtype.kind == "f":
        odd, lost = y[y != np.trunc(y)], y[~np.isfinite(y)]
        problem = "they are floats: .astype(int), or .long() of a tensor, makes them whole numbers"
        problem = f"one is {odd[0]:g}: labels name classes, not quantities" if len(odd) else problem
        problem = f"one is {lost[0]}: leave samples without a label out" if len(lost) else problem
    elif y.min() < 0:
        problem = f"the least is {y.min()}: numpy.unique(labels, return_inverse=True)[1] numbers "
        problem += "them anew"
    if problem:
        raise ValueError(f"{meant}, and {problem}")
    return y.astype(np.int64)
