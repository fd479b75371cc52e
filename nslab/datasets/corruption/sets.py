"""Corrupted test sets: MNIST-C and CIFAR-10-C, from the released files if they are here, else made.

What is made is OURS AND NOT THE PUBLISHED SET: the same corruptions with the same constants, but
other random draws and other code. ``origin`` tells the two apart; do not compare results on one
with results on the other.

Released files are looked for in the folder of the data sets, laid out as they are distributed:
``mnist_c/<corruption>/test_images.npy`` and ``test_labels.npy``; ``CIFAR-10-C/<corruption>.npy``
and ``labels.npy``, which hold the five severities one after another.
"""

from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import Int, UInt8

from nslab.datasets import CorruptDataset, ImageData, MissingDataset
from nslab.datasets.corruption.cifar10_c import CIFAR10_C
from nslab.datasets.corruption.mnist_c import MNIST_C
from nslab.datasets.corruption.primitives import Corruption
from nslab.system.paths import cache_dir
from nslab.system.validation import unknown

CorruptedSet = Literal["mnist_c", "cifar10_c"]
Origin = Literal["released", "generated"]

CORRUPTIONS: dict[str, dict[str, Corruption]] = {"mnist_c": MNIST_C, "cifar10_c": CIFAR10_C}

# Of each set: the data set it corrupts, and the folder of the released files.
RELEASED = {"mnist_c": ("mnist", "mnist_c"), "cifar10_c": ("cifar10", "CIFAR-10-C")}


class Corrupted(NamedTuple):
    """Images, labels, and whether they are the published ones."""

    x: UInt8[np.ndarray, "n h w c"]
    y: Int[np.ndarray, " n"]
    origin: Origin


def corrupted(
    name: str,
    corruption: str,
    severity: int,
    data: ImageData | tuple[np.ndarray, np.ndarray],
    folder: Path | None = None,
    seed: int = 0,
) -> Corrupted:
    """The test set of ``data`` (or a pair of images uint8 NHWC and labels) under a corruption of
    the set ``name``; severity 1 is the mildest, and the only one of MNIST-C.

    Released files in ``folder`` (default: that of the data sets) are used when ``data`` is the
    data set that they corrupt. Anything else is corrupted here, with random draws that depend only
    on ``seed``, corruption and severity. Raises ``ValueError`` for unknown names and severities,
    `MissingDataset` and `CorruptDataset` for released files that are incomplete or wrong.
    """
    if name not in CORRUPTIONS:
        raise unknown("set of corruptions", name, CORRUPTIONS)
    known = CORRUPTIONS[name]
    if corruption not in known:
        raise unknown(f"corruption of {name}", corruption, known)
    count = len(known[corruption].severities)
    if not 1 <= severity <= count:
        raise ValueError(f"{name} has severities 1 to {count}, not {severity}")
    if isinstance(data, ImageData):
        x, y = data.arrays.test_x, data.arrays.test_y
        source, distributed = RELEASED[name]
        root = (folder or cache_dir()) / distributed
        if data.name == source and root.is_dir():
            return released(name, corruption, severity, x.shape, y, root)
    else:
        x, y = data
    return Corrupted(known[corruption](np.asarray(x), severity, seed), np.array(y), "generated")


def released(
    name: str,
    corruption: str,
    severity: int,
    shape: tuple[int, ...],
    labels: np.ndarray,
    root: Path,
) -> Corrupted:
    """One corruption and severity of the released files in ``root``, after checking them.

    Images must be uint8, as many and as large as the clean ones (``shape``), and have the clean
    images' labels. Raises `MissingDataset` and `CorruptDataset` if not.
    """
    severities = len(CORRUPTIONS[name][corruption].severities)
    if name == "mnist_c":
        files = root / corruption / "test_images.npy", root / corruption / "test_labels.npy"
    else:
        files = root / f"{corruption}.npy", root / "labels.npy"
    images, classes = (open_set(file, root) for file in files)
    n = shape[0]
    expected = (n * severities, *shape[1:])
    if images.dtype != np.uint8:
        raise corrupt_set(files[0], f"its images are {images.dtype}, not uint8")
    if images.shape != expected:
        raise corrupt_set(files[0], f"its images have shape {images.shape}, not {expected}")
    if not np.issubdtype(classes.dtype, np.integer) or classes.shape != (len(images),):
        raise corrupt_set(
            files[1],
            f"its labels are {classes.dtype} of shape {classes.shape}, "
            f"not {(len(images),)} whole numbers",
        )
    part = slice(n * (severity - 1), n * severity)
    y = np.array(classes[part], dtype=np.int64)
    if not np.array_equal(y, labels):
        raise corrupt_set(
            files[1], "its labels are not those of the clean test images, in their order"
        )
    return Corrupted(np.array(images[part]), y, "released")


def open_set(file: Path, root: Path) -> np.ndarray:
    """A released array, memory-mapped; pickles are refused."""
    if not file.is_file():
        raise MissingDataset(
            f"{file} is missing: complete the released files in {root}, or move that folder away "
            "to have the corruptions made here instead"
        )
    try:
        return np.load(file, mmap_mode="r", allow_pickle=False)
    except (ValueError, EOFError, OverflowError, MemoryError) as error:
        raise corrupt_set(file, f"it cannot be read ({error})") from error


def corrupt_set(file: Path, problem: str) -> CorruptDataset:
    """The error for a released file that is damaged or wrong."""
    return CorruptDataset(
        f"{file} is not trusted: {problem}. Fetch the released files again, or move their folder "
        "away to have the corruptions made here instead."
    )


__all__ = ["CORRUPTIONS", "Corrupted", "CorruptedSet", "Origin", "corrupted", "released"]
