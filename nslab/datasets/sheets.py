"""Sheets: a part of an image data set in one small file, without loss, to be carried elsewhere.

A sheet has all labels, the test images, and the images that a long-tailed training set keeps, each
at its place in the whole data set. So the same samples are drawn from both, and a run on a sheet is
the same run. Missing images cannot be trained on by mistake, see
`nslab.datasets.image_data.ImageData.variant`.

Pixels are coded as differences from a prediction by their neighbours, then compressed by LZMA.
CIFAR-10 takes 53 % of its bytes so; lossless WebP takes 60 %, PNG and LZMA alone 72 %.
"""

import hashlib
import lzma
import zipfile
import zlib
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from nslab.datasets.arrays import Arrays, CorruptDataset, Layout, arrays_digest
from nslab.datasets.variants import long_tail
from nslab.system.files import replacing

SUFFIX = ".sheet"
_BROKEN = (
    OSError,
    ValueError,
    TypeError,
    KeyError,
    EOFError,
    MemoryError,
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
)


class Sheet(NamedTuple):
    """A data set with only some of its training images here.

    Attributes:
        arrays: all labels and test images; training images that the sheet lacks are black.
        present: which training images the sheet has; bool (n,).
        digest: of the arrays of the whole data set.
    """

    arrays: Arrays
    present: np.ndarray
    digest: str


def write_sheet(file: Path, arrays: Arrays, classes: int, imbalance: float) -> Sheet:
    """Write the test set and the long-tailed training set of factor ``imbalance``; 1: everything.

    A larger factor keeps a subset of the same images, so the sheet serves it too. The file is read
    again and checked before it takes its place. Raises ``ValueError`` for anything but uint8
    images.
    """
    if arrays.train_x.dtype != np.uint8 or arrays.train_x.ndim != 4:
        raise ValueError(
            "a sheet holds uint8 images of an array file; image folders and texts are files "
            "already: copy those"
        )
    y = torch.from_numpy(np.ascontiguousarray(arrays.train_y))
    place = long_tail(y, classes, imbalance).numpy() if imbalance != 1 else np.arange(len(y))
    kept = np.zeros(len(y), dtype=bool)
    kept[place] = True
    digest = arrays_digest(arrays)
    members: dict[str, Any] = {
        "present": np.packbits(kept),
        "train_y": arrays.train_y.astype(np.int32),
        "test_y": arrays.test_y.astype(np.int32),
        "train_x": coded(arrays.train_x[place]),
        "test_x": coded(np.asarray(arrays.test_x)),
        "digest": np.array(digest),
        "part": np.array(_part(arrays.train_x[place], arrays, kept, digest)),
        "shape": np.array(arrays.train_x.shape[1:]),
    }
    with replacing(file) as temporary:
        with temporary.open("wb") as out:
            np.savez_compressed(out, **members)
        return read_sheet(temporary)


def read_sheet(file: Path, layout: Layout | None = None) -> Sheet:
    """The sheet in a file; `CorruptDataset` if it is damaged or of another layout."""
    try:
        with file.open("rb") as raw, np.load(raw, allow_pickle=False) as found:
            train_y, test_y = (found[name].astype(np.int64) for name in ("train_y", "test_y"))
            present = np.unpackbits(found["present"], count=len(train_y)).astype(bool)
            shape = tuple(found["shape"].tolist())
            kept = decoded(found["train_x"], (int(present.sum()), *shape))
            test_x = decoded(found["test_x"], (len(test_y), *shape))
            part, digest = str(found["part"]), str(found["digest"])
        train_x = np.zeros((len(train_y), *shape), dtype=np.uint8)  # untouched pages take no memory
        train_x[present] = kept
    except _BROKEN as error:
        raise CorruptDataset(
            f"{file} is not trusted: it cannot be read ({error}). Copy it again, or write it again."
        ) from None
    arrays = Arrays(train_x, train_y, test_x, test_y)
    problem = layout.problem(arrays) if layout else None
    if not problem and _part(kept, arrays, present, digest) != part:
        problem = "its images, their places or the digest have changed since it was written"
    if problem:
        raise CorruptDataset(f"{file} is not trusted: {problem}. Copy it again, or write it again.")
    return Sheet(arrays, present, digest)


def whole_digest(file: Path) -> str:
    """The digest of the whole data set that a sheet is a part of; empty if it cannot be read."""
    try:
        with file.open("rb") as raw, np.load(raw, allow_pickle=False) as found:
            return str(found["digest"])
    except _BROKEN:
        return ""


def coded(images: np.ndarray) -> np.ndarray:
    """Images uint8 (n, height, width, channels) as compressed bytes, which `decoded` undoes."""
    planes = _apart(images)
    errors = planes.copy()
    for row in range(planes.shape[1]):
        for column in range(planes.shape[2]):
            errors[:, row, column] -= _expected(planes, row, column)
    # all images of one colour plane after another: similar bytes lie together
    together = np.ascontiguousarray(errors.transpose(0, 3, 1, 2))
    return np.frombuffer(lzma.compress(together.tobytes(), preset=6), dtype=np.uint8)


def decoded(data: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """The uint8 images of this shape from the bytes of `coded`; ``ValueError`` or
    `lzma.LZMAError` for other bytes."""
    n, height, width, channels = shape
    flat = np.frombuffer(lzma.decompress(data.tobytes()), dtype=np.uint8)
    errors = flat.reshape(channels, n, height, width)
    planes = errors.transpose(0, 2, 3, 1).copy()
    for row in range(height):
        for column in range(width):
            planes[:, row, column] += _expected(planes, row, column)
    images = planes.transpose(3, 1, 2, 0).copy()
    if channels == 3:
        images[..., ::2] += images[..., 1:2]
    return images


def _apart(images: np.ndarray) -> np.ndarray:
    """Colour planes (channels, height, width, n); with three channels, green is subtracted from red
    and blue, modulo 256."""
    planes = images.transpose(3, 1, 2, 0).copy()
    if len(planes) == 3:
        planes[::2] -= planes[1:2]
    return planes


def _expected(planes: np.ndarray, row: int, column: int) -> np.ndarray:
    """A pixel as predicted by its neighbours: the median of left, upper, and left + upper - upper
    left. Source: Weinberger et al. 2000 (LOCO-I, the predictor of JPEG-LS)."""
    if row == 0 and column == 0:
        return np.zeros_like(planes[:, 0, 0])
    if row == 0 or column == 0:
        return planes[:, row - (column == 0), column - (row == 0)]
    left, upper = (
        planes[:, r, c].astype(np.int16) for r, c in ((row, column - 1), (row - 1, column))
    )
    planar = left + upper - planes[:, row - 1, column - 1]
    low, high = np.minimum(left, upper), np.maximum(left, upper)
    return np.clip(planar, low, high).astype(np.uint8)


def _part(kept: np.ndarray, arrays: Arrays, present: np.ndarray, digest: str) -> str:
    """The digest of a sheet's images and labels, of which training images are present, and of the
    whole data set's digest. The places count, since they give each image its label."""
    test_y = np.asarray(arrays.test_y, dtype=np.int64)
    labels = np.asarray(arrays.train_y, dtype=np.int64)
    own = arrays_digest(Arrays(np.asarray(kept), labels, np.asarray(arrays.test_x), test_y))
    return hashlib.sha256(f"{own} {digest}".encode() + np.packbits(present).tobytes()).hexdigest()
