"""Images and labels that are none are refused with what to do, the same words for arrays and for
torch data sets."""

from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.data import Dataset, IterableDataset

from nslab.datasets.images_and_labels import split

X = np.arange(24 * 5 * 5, dtype=np.float32).reshape(24, 5, 5)
Y = np.arange(24) % 3


class Items(Dataset):
    """Arrays as a torch data set."""

    def __init__(self, x: Any, y: Any) -> None:
        self.x, self.y = x, y

    def __len__(self) -> int:
        return len(self.x)

    def __getitem__(self, i: int) -> tuple[Any, Any]:
        return self.x[i], self.y[i]


def both(x: Any, y: Any) -> list[Any]:
    """A pair of arrays, and a data set of the same."""
    return [(x, y), Items(x, y)]


@pytest.mark.parametrize(
    ("labels", "problem"),
    [
        (Y + 0.7, "one is 0.7: labels name classes"),
        (torch.tensor(Y) + 0.5, "one is 0.5"),
        (Y * np.nan, "one is nan: leave samples without a label out"),
        (np.where(Y == 1, np.inf, Y), "one is inf: leave samples"),
        (Y.astype(float), r"they are floats: \.astype\(int\)"),
        (torch.tensor(Y).bfloat16(), r"they are floats: .*\.long\(\)"),
        (Y - 1, "the least is -1: numpy.unique"),
        (np.eye(3)[Y], r"they are rows of 3: one-hot labels become numbers by \.argmax\(1\)"),
        (torch.eye(3)[Y], r"by \.argmax\(1\)"),
        (np.zeros((24, 5, 5)), r"they have the shape \(24, 5, 5\)"),
        ([[1, 2], [3]] * 12, "in an array or a list"),
    ],
)
def test_labels_that_are_no_classes(labels: Any, problem: str) -> None:
    """Say what is wrong with them."""
    for data in both(X, labels):
        with pytest.raises(ValueError, match=rf"test: labels must be 24 whole .* 0, .*{problem}"):
            split(data, "test")


@pytest.mark.parametrize(
    "labels",
    [list(Y), [torch.tensor(n) for n in Y], [torch.tensor([n]) for n in Y], Y.astype(np.uint64),
     Y.astype(np.uint8), Y[:, None], torch.tensor(Y), Y.astype(object)],
)  # fmt: skip
def test_labels_of_any_kind(labels: Any) -> None:
    """Are the same whole numbers."""
    for data in both(X, labels):
        y = split(data, "train")[1]
        assert y.dtype == np.int64
        assert y.tolist() == Y.tolist()


@pytest.mark.parametrize(
    ("images", "problem"),
    [
        (X.astype(str), "pixels are str_, but must be bytes or floats"),
        (X.astype(object), r'pixels are float, .*\.astype\("float32"\)'),
        (X.astype(complex), "pixels are complex128"),
        (torch.tensor(X) * 1j, "pixels are torch.complex64"),
        ([None] * 24, "pixels are NoneType"),
        (["a.png"] * 24, "folder:PATH"),
        ([X[0], X[0][:4]] * 12, "images differ in size"),
    ],
)
def test_images_that_are_none(images: Any, problem: str) -> None:
    """Say what is wrong with them."""
    for data in both(images, Y):
        with pytest.raises(ValueError, match=rf"train: .*{problem}"):
            split(data, "train")


def test_images_of_any_kind() -> None:
    """Are read: larger whole numbers, mirrored views, a list of tensors."""
    small = X % 200
    for images in (small.astype(np.uint16), small.astype(int), [torch.tensor(x) for x in small],
                   small[:, ::-1][:, ::-1], small.astype(">f4"), small.astype(">i2"),
                   torch.tensor(small, requires_grad=True)):  # fmt: skip
        for data in both(images, Y):
            assert np.array_equal(split(data, "train")[0][..., 0], small)
    mirrored = split((X[:, ::-1], Y), "train")[0]
    assert np.array_equal(mirrored[..., 0], X[:, ::-1])


class Stream(IterableDataset):
    """Samples without numbers."""

    def __iter__(self) -> Any:
        yield from zip(X, Y, strict=True)


def test_what_has_no_numbered_samples() -> None:
    """Is told."""
    with pytest.raises(ValueError, match="Stream is an IterableDataset, but a map-style data set"):
        split(Stream(), "train")
    assert len(split(list(Stream()), "train")[0]) == 24
    for other in ({"x": X}, iter(X), 3, 3.0):
        with pytest.raises(ValueError, match="train must be a pair"):
            split(other, "train")
    with pytest.raises(ValueError, match=r"images must be \(n, height, width\)"):
        split((3, Y), "train")
