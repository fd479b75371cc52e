"""A user's own arrays, or torch data set, as a data set that any run can use and find again.

They are stored under their digest in ``data/arrays``, so that other processes and later sessions
find them; the same arrays are the same data under any name.
"""

import hashlib
import json
import warnings
import zipfile
import zlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from nslab.datasets.arrays import Arrays, Layout, write_arrays
from nslab.datasets.images_and_labels import split
from nslab.system.content_names import DIGITS, content_name
from nslab.system.files import write_text
from nslab.system.locks import locked
from nslab.system.paths import arrays_dir
from nslab.system.plain_checks import check_line
from nslab.system.seals import sealed_json, unsealed_json

MOST_CLASSES = 100_000  # larger labels are more likely identifiers than classes


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

    Returns ``arrays:NAME#DIGEST``. Raises ``ValueError`` for anything else than such images and
    labels.

    >>> x, y = np.zeros((4, 8, 8), np.uint8), np.array([0, 1, 0, 1])
    >>> add_arrays((x, y), (x, y), "black").partition("#")[0]
    'arrays:black'
    """
    check_line("the name of the data", name)
    classes = list(classes)  # an array has no truth value
    arrays = Arrays(*split(train, "train"), *split(test, "test"))
    shape, kind = arrays.train_x.shape[1:], arrays.train_x.dtype
    if arrays.test_x.shape[1:] != shape or arrays.test_x.dtype != kind:
        raise ValueError(
            f"test images are {arrays.test_x.shape[1:]} of {arrays.test_x.dtype}, training images "
            f"{shape} of {kind}: both must be alike"
        )
    numbers = max(int(arrays.train_y.max()), int(arrays.test_y.max())) + 1
    if classes and len(classes) < numbers:
        raise ValueError(
            f"classes has {len(classes)} names, and labels go up to {numbers - 1}: name all "
            f"{numbers} classes"
        )
    if numbers > MOST_CLASSES:
        raise ValueError(
            f"labels go up to {numbers - 1:,}, and at most {MOST_CLASSES:,} classes are possible: "
            "renumber them, for instance by numpy.unique(labels, return_inverse=True)[1]"
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


def tell_gaps(arrays: Arrays, count: int) -> None:
    """Warn of classes without images: numbers that are skipped, and test labels that training
    never sees."""
    train, test = (set(np.unique(y).tolist()) for y in (arrays.train_y, arrays.test_y))
    if skipped := sorted(set(range(count)) - train - test):
        warnings.warn(
            f"no image has class {listed(skipped)} of {count}: if labels skip numbers, or begin "
            "at 1, renumber them; otherwise the network gets outputs without training samples",
            stacklevel=3,
        )
    if unseen := sorted(test - train):
        share = 100 * np.isin(arrays.test_y, unseen).mean()
        warnings.warn(
            f"test images have class {listed(unseen)}, which no training image has: "
            f"{share:.1f} % of the test images can hardly be predicted right",
            stacklevel=3,
        )


def listed(numbers: Sequence[int]) -> str:
    """The first five of some numbers, and how many more there are, as text."""
    more = f" and {len(numbers) - 5} more" if len(numbers) > 5 else ""
    return ", ".join(map(str, numbers[:5])) + more


def moments(x: np.ndarray) -> tuple[list[float], list[float]]:
    """Mean and sd of each channel; of bytes after division by 255. A constant channel gets sd 1."""
    scale = 255.0 if x.dtype == np.uint8 else 1.0
    mean = x.mean((0, 1, 2), dtype=np.float64) / scale
    sd = x.std((0, 1, 2), dtype=np.float64) / scale
    return mean.tolist(), np.where(sd > 1e-8, sd, 1.0).tolist()


def description(where: str, digest: str) -> dict[str, Any]:
    """Layout, mean, sd and class names of stored arrays, as keyword arguments of `Dataset`.

    ``where`` is what a message calls the arrays. Raises ``ValueError`` if they are missing or
    damaged.
    """
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
    """Whether the arrays of a digest are stored here, undamaged."""
    try:
        return bool(len(read(digest).train_y))
    except ValueError:
        return False


def read(digest: str) -> Arrays:
    """The arrays stored under a digest; ``ValueError`` if they are missing, damaged or changed."""
    file, names = arrays_dir() / f"{digest}.npz", description("arrays", digest)["classes"]
    try:
        with np.load(file, allow_pickle=False) as found:
            arrays = Arrays(*(found[name] for name in Arrays._fields))
    except (OSError, ValueError, LookupError, zipfile.BadZipFile, zlib.error, EOFError) as error:
        problem = str(error)
    else:
        problem = "" if _digest(names, arrays) == digest else "its arrays have changed"
    if problem:
        raise ValueError(
            f"{file} is broken ({problem}): remove it and {digest}.json, and add the arrays again, "
            "by nslab.add_arrays(train, test)"
        )
    return arrays
