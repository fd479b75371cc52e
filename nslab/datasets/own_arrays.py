"""A person's own arrays, or torch data set, as a data set that any run can use and find again.

They are kept under their digest in ``data/arrays``, so that other processes, and tomorrow's, have
them too; the same arrays are the same data, whatever they are called.
"""

import hashlib
import json
import math
import warnings
import zipfile
import zlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from nslab.datasets.arrays import Arrays, Layout, write_arrays
from nslab.system.content_names import DIGITS, content_name
from nslab.system.files import write_text
from nslab.system.locks import locked
from nslab.system.paths import arrays_dir
from nslab.system.seals import sealed_json, unsealed_json

MOST_CLASSES = 100_000
CHANNELS = (1, 2, 3, 4)  # numbers of channels that tell which axis they are on


def add_arrays(train: Any, test: Any, name: str = "mine", classes: Sequence[str] = ()) -> str:
    """Store your own data and return the name by which runs find them.

    Args:
        train, test: each a pair ``(images, labels)`` of arrays or tensors, or a torch ``Dataset``
            of such pairs (read once, so random augmentation is drawn only once). Images have the
            shape (n, height, width), with channels as a last or, as in torch, second axis. They
            are bytes, or floats in any units, which are normalised by the mean and standard
            deviation of the training images. Labels are whole numbers from 0.
        name: what tables call the data.
        classes: names of the classes; by default their numbers.

    Raises ``ValueError`` for anything else than such images and labels.

    >>> x, y = np.zeros((4, 8, 8), np.uint8), np.array([0, 1, 0, 1])
    >>> add_arrays((x, y), (x, y), "black").partition("#")[0]
    'arrays:black'
    """
    arrays = Arrays(*split(train, "train"), *split(test, "test"))
    shape, kind = arrays.train_x.shape[1:], arrays.train_x.dtype
    if arrays.test_x.shape[1:] != shape or arrays.test_x.dtype != kind:
        raise ValueError(
            f"test images are {arrays.test_x.shape[1:]} of {arrays.test_x.dtype}, training images "
            f"{shape} of {kind}: both must be alike"
        )
    numbers = max(int(arrays.train_y.max()), int(arrays.test_y.max())) + 1
    if classes and len(classes) < numbers:
        raise ValueError(f"{len(classes)} names for {numbers} classes")
    if numbers > MOST_CLASSES:
        raise ValueError(
            f"labels go up to {numbers - 1:,}, and {MOST_CLASSES:,} classes are the most: number "
            "them anew, say by numpy.unique(labels, return_inverse=True)[1]"
        )
    tell_gaps(arrays, max(numbers, len(classes)))
    names = tuple(map(str, classes)) or tuple(map(str, range(numbers)))
    short = _digest(names, arrays)
    file = arrays_dir() / f"{short}.json"
    if not kept(short):
        mean, sd = moments(arrays.train_x)
        about: dict[str, Any] = {
            "layout": [len(arrays.train_y), len(arrays.test_y), list(shape), len(names)]
        }
        about |= {"mean": mean, "std": sd, "classes": names}
        busy = f"the arrays {name} are being written by another process"
        with locked(file.with_name(f".{short}.lock"), busy):
            if not kept(short):
                write_arrays(file.with_suffix(".npz"), arrays)
                write_text(file, sealed_json(about))
    return content_name("arrays", name, short)


def _digest(names: Sequence[str], arrays: Arrays) -> str:
    digest = hashlib.sha256(json.dumps(names).encode())
    for array in arrays:
        digest.update(f"{array.dtype}{array.shape}".encode() + np.ascontiguousarray(array).data)
    return digest.hexdigest()[:DIGITS]


def split(data: Any, what: str) -> tuple[np.ndarray, np.ndarray]:
    """Images (n, h, w, c) and labels (int64) of a pair of arrays or of a torch data set."""
    if isinstance(data, tuple | list) and len(data) == 2 and not _items(data):
        check_numbers(data[1], what)
        x, y = (
            p if torch.is_tensor(p) else torch.as_tensor(np.require(p, requirements="W"))
            for p in data
        )
        torch_like = torch.is_tensor(data[0])
        if not len(x):
            raise ValueError(f"{what} has no images")
    elif not isinstance(data, str) and hasattr(data, "__getitem__") and len(data) > 0:
        items = [data[i] for i in range(len(data))]
        if not all(isinstance(item, tuple | list) and len(item) == 2 for item in items):
            raise ValueError(f"{what}: each item of the data set must be an image and a label")
        images = [i if torch.is_tensor(i) else torch.as_tensor(np.array(i)) for i, _ in items]
        if len({image.shape for image in images}) > 1:
            raise ValueError(f"{what}: images differ in size; resize them alike first")
        check_numbers([label for _, label in items], what)
        torch_like = torch.is_tensor(items[0][0])
        x, y = torch.stack(images), torch.tensor([int(label) for _, label in items])
    else:
        raise ValueError(
            f"{what} must be a pair (images, labels) or a torch Dataset that is not empty, not "
            f"{type(data).__name__}"
        )
    return pixels(x, what, torch_like), labels(y, len(x), what)


def check_numbers(labels: Any, what: str) -> None:
    """``ValueError`` for labels that are text, or other objects."""
    found = labels if torch.is_tensor(labels) else np.asarray(labels)
    if not torch.is_tensor(found) and found.dtype.kind not in "biuf":
        first = found.reshape(-1)[0] if found.size else None
        raise ValueError(
            f"{what}: labels are {type(first).__name__} such as {str(first)!r}, and whole numbers "
            "from 0 are meant: names, numbers = numpy.unique(labels, return_inverse=True) makes "
            "them of the labels of training and test together; give the names by classes=names"
        )


def tell_gaps(arrays: Arrays, count: int) -> None:
    """Warn of classes without images: numbers that are skipped, and test labels that training
    never sees."""
    train, test = (set(np.unique(y).tolist()) for y in (arrays.train_y, arrays.test_y))
    if skipped := sorted(set(range(count)) - train - test):
        warnings.warn(
            f"no image has class {listed(skipped)} of {count}: if labels skip numbers, or begin "
            "at 1, renumber them, or the network has outputs that nothing trains",
            stacklevel=3,
        )
    if unseen := sorted(test - train):
        share = 100 * np.isin(arrays.test_y, unseen).mean()
        warnings.warn(
            f"test images have class {listed(unseen)}, which no training image has: "
            f"{share:.1f} % of them can hardly be right",
            stacklevel=3,
        )


def listed(numbers: Sequence[int]) -> str:
    """The first of some numbers."""
    more = f" and {len(numbers) - 5} more" if len(numbers) > 5 else ""
    return ", ".join(map(str, numbers[:5])) + more


def _items(data: Any) -> bool:
    """Whether a sequence of two is of two samples, not of images and labels."""
    first = data[0]
    return isinstance(first, tuple | list) and len(first) == 2 and np.ndim(first[1]) == 0


def pixels(x: torch.Tensor, what: str, torch_like: bool) -> np.ndarray:
    """Images as bytes or float32, channels last."""
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
        if not (x.is_floating_point() or (int(x.min()) >= 0 and int(x.max()) <= 255)):
            raise ValueError(f"{what}: whole numbers of images must be 0 to 255")
        x = x.float() if x.is_floating_point() else x.to(torch.uint8)
    if x.is_floating_point() and not x.isfinite().all():
        raise ValueError(f"{what}: some pixels are NaN or infinite")
    return np.ascontiguousarray(x.cpu().numpy())


def labels(y: torch.Tensor, count: int, what: str) -> np.ndarray:
    """Labels as int64."""
    y = y[:, 0] if y.ndim == 2 and y.shape[1] == 1 else y
    if y.shape != (count,) or y.is_floating_point() or y.is_complex() or int(y.min()) < 0:
        raise ValueError(
            f"{what}: labels must be {count} whole numbers from 0, not {y.dtype} of "
            f"shape {tuple(y.shape)}"
        )
    return y.cpu().numpy().astype(np.int64)


def moments(x: np.ndarray) -> tuple[list[float], list[float]]:
    """Mean and sd of each channel, of bytes as shares of 255; a constant channel has sd 1."""
    scale = 255.0 if x.dtype == np.uint8 else 1.0
    mean = x.mean((0, 1, 2), dtype=np.float64) / scale
    sd = x.std((0, 1, 2), dtype=np.float64) / scale
    return mean.tolist(), np.where(sd > 1e-8, sd, 1.0).tolist()


def description(where: str, digest: str) -> dict[str, Any]:
    """Layout, mean, sd and class names; ``ValueError`` if the arrays are not kept here as they
    were added."""
    file = arrays_dir() / f"{digest}.json"
    again = "add them again, by nslab.add_arrays(train, test)"
    try:
        about, _ = unsealed_json(file.read_bytes())
        train, test, shape, classes = about["layout"]
    except FileNotFoundError:
        raise ValueError(
            f"the arrays {where} #{digest} are not in {arrays_dir()}: {again}"
        ) from None
    except (ValueError, LookupError, TypeError) as error:
        raise ValueError(f"{file} is broken ({error}): remove it, and {again}") from None
    layout = Layout(train, test, tuple(shape), classes)
    return {
        "layout": layout,
        "mean": tuple(about["mean"]),
        "std": tuple(about["std"]),
        "classes": tuple(about["classes"]),
    }


def kept(digest: str) -> bool:
    """Whether arrays are kept here, as they were added."""
    try:
        return bool(len(read(digest).train_y))
    except ValueError:
        return False


def read(digest: str) -> Arrays:
    """The arrays that are kept under a digest; ``ValueError`` if they are not those any more."""
    file, names = arrays_dir() / f"{digest}.npz", description("arrays", digest)["classes"]
    try:
        with np.load(file, allow_pickle=False) as found:
            arrays = Arrays(*(found[name] for name in Arrays._fields))
    except (OSError, ValueError, LookupError, zipfile.BadZipFile, zlib.error, EOFError) as error:
        problem = str(error)
    else:
        problem = "" if _digest(names, arrays) == digest else "its arrays are others"
    if problem:
        raise ValueError(
            f"{file} is broken ({problem}): remove it and {digest}.json, and add the arrays again, "
            "by nslab.add_arrays(train, test)"
        )
    return arrays
