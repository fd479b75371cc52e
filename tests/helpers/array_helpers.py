"""Small arrays and toy data sets, for tests of data sets."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from nslab.datasets import CorruptDataset, Dataset
from nslab.datasets.arrays import Arrays, Layout, read_arrays

LAYOUT = Layout(6, 4, (3, 2, 2), 3)  # small enough to flip every byte of its file
NAMES = list(Arrays._fields)


def small_arrays(layout: Layout = LAYOUT, seed: int = 0) -> Arrays:
    """Random images, every class in both splits."""
    rng = np.random.default_rng(seed)
    parts = []
    for count in (layout.train, layout.test):
        parts.append(rng.integers(0, 256, (count, *layout.shape), dtype=np.uint8))
        parts.append(np.arange(count, dtype=np.int64) % layout.num_classes)
    return Arrays(*parts)


def same(one: Arrays, other: Arrays) -> bool:
    """Whether two data sets agree in every element and dtype."""
    pairs = zip(one, other, strict=True)
    return all(a.dtype == b.dtype and np.array_equal(a, b) for a, b in pairs)


def toy(fetch: Callable[[Path, str], Arrays], layout: Layout = LAYOUT) -> Dataset:
    """A data set of small arrays."""
    channels, classes = layout.shape[2], tuple(f"c{k}" for k in range(layout.num_classes))
    return Dataset(layout, (0.5,) * channels, (0.2,) * channels, classes, fetch)


def never(folder: Path, name: str) -> Arrays:
    """A fetch function that must not be called."""
    raise AssertionError(f"{name} was fetched again")


def refused(file: Path, layout: Layout = LAYOUT) -> str:
    """The message of the error for a bad file, checked to name the file and say what to do."""
    with pytest.raises(CorruptDataset) as caught:
        read_arrays(file, layout)
    message = str(caught.value)
    assert str(file) in message
    assert f"nslab data {file.stem}" in message
    assert "Delete it" in message
    return message
