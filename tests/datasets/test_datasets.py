"""Data sets: what the digits are, and how the others are fetched."""

import dataclasses
import os
import urllib.error
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torchvision
from array_helpers import same, small_arrays
from sklearn.datasets import load_digits

from nslab.datasets import DATASETS, ImageData, MissingDataset, load
from nslab.datasets.sources import fetch_digits


def test_unknown_name(tmp_path: Path) -> None:
    """``ValueError`` that lists the names; nothing is made."""
    with pytest.raises(
        ValueError, match=r"'cifar': did you mean cifar10 or cifar100\? There are d"
    ):
        load("cifar", tmp_path / "new")
    assert os.listdir(tmp_path) == []


@pytest.fixture(scope="module")
def digits() -> ImageData:
    """The digits as everyone gets them."""
    return load("digits")


def enlarged(images: np.ndarray) -> np.ndarray:
    """Bilinear enlargement of 8 x 8 to 24 x 24 in whole numbers: 144 / 255 times the pixels.

    Pixel 3 k + d of the large image lies at k + (d - 1) / 3 of the small one.
    """
    thirds = np.zeros((24, 8), dtype=np.int64)
    for i in range(24):
        k, d = divmod(i, 3)
        thirds[i, k] += 3 if d == 1 else 2
        if d != 1:
            thirds[i, min(7, max(0, k + d - 1))] += 1
    return np.einsum("ik,nkl,jl->nij", thirds, images.astype(np.int64), thirds)


def test_digits_counts(digits: ImageData) -> None:
    """1,294 to train on and 503 to test, of 1,797; each class within one of 28 %."""
    arrays = digits.arrays
    assert arrays.train_x.shape == (1294, 32, 32, 1)
    assert arrays.test_x.shape == (503, 32, 32, 1)
    published = Counter(load_digits().target.tolist())
    train, test = Counter(arrays.train_y.tolist()), Counter(arrays.test_y.tolist())
    assert train + test == published
    for label, count in published.items():
        assert abs(test[label] - 0.28 * count) <= 1
    assert digits.info.class_counts.tolist() == [train[k] for k in range(10)]
    assert (digits.info.num_classes, digits.info.num_samples) == (10, 1294)


def test_digits_images(digits: ImageData) -> None:
    """Every published image is in one split, in its order, enlarged inside a black frame.

    Walking through the published images, each is the next of its split; 5 of every 18 of a class
    are test images. The enlargement is checked in whole numbers, to half a grey level.
    """
    source = load_digits()
    exact = enlarged(source.images) * (255 / 144)
    arrays, taken = digits.arrays, {"train": 0, "test": 0}
    choices: dict[int, list[str]] = {k: [] for k in range(10)}
    for image, label in zip(exact, source.target.tolist(), strict=True):
        found = []
        for split, position in taken.items():
            x, y = getattr(arrays, f"{split}_x"), getattr(arrays, f"{split}_y")
            if position < len(y) and y[position] == label:
                inside = x[position, 4:28, 4:28, 0].astype(float)
                found += [split] if np.abs(inside - image).max() < 0.5 + 1e-6 else []
        assert len(found) == 1
        taken[found[0]] += 1
        choices[label].append(found[0])
    assert taken == {"train": 1294, "test": 503}
    for splits in choices.values():
        for start in range(0, len(splits) - 17, 18):
            assert splits[start : start + 18].count("test") == 5


def test_digits_frame_is_black(digits: ImageData) -> None:
    """Four pixels on each side are 0; inside, the whole range of grey is used."""
    for x in (digits.arrays.train_x, digits.arrays.test_x):
        outside = np.array(x)
        assert outside[:, 4:28, 4:28].min() == 0
        assert outside[:, 4:28, 4:28].max() == 255
        outside[:, 4:28, 4:28] = 0
        assert not outside.any()


def test_digits_are_normalised(digits: ImageData) -> None:
    """The registry's mean and sd are those of the training images."""
    pixels = np.asarray(digits.arrays.train_x) / 255
    assert digits.dataset.mean[0] == pytest.approx(pixels.mean(), abs=5e-5)
    assert digits.dataset.std[0] == pytest.approx(pixels.std(), abs=5e-5)


def test_digits_are_deterministic(digits: ImageData, tmp_path: Path) -> None:
    """Made anew, with any state of the generators: the same bytes, and no generator touched."""
    torch.manual_seed(1)
    state = torch.get_rng_state()
    assert same(fetch_digits(tmp_path, "digits"), digits.arrays)
    assert torch.equal(torch.get_rng_state(), state)


CLASSES = {
    "mnist": "MNIST",
    "fashion_mnist": "FashionMNIST",
    "cifar10": "CIFAR10",
    "cifar100": "CIFAR100",
}


@pytest.mark.parametrize("name", sorted(CLASSES))
@pytest.mark.parametrize(
    "error",
    [
        urllib.error.URLError("no route to host"),
        RuntimeError("Dataset not found or corrupted"),
        PermissionError(13, "Permission denied"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, error: Exception
) -> None:
    """Not here and not to be had: the folder, the command and the variable are named."""

    def fail(*args: object, **options: object) -> None:
        raise error

    monkeypatch.setattr(torchvision.datasets, CLASSES[name], fail)
    with pytest.raises(MissingDataset) as caught:
        load(name, tmp_path)
    message = str(caught.value)
    for part in (str(tmp_path), f"nslab data {name}", f"{name}.npz", "NSLAB_DATA", str(error)):
        assert part in message
    assert isinstance(caught.value, FileNotFoundError)
    assert caught.value.__cause__ is error
    assert not list(tmp_path.glob("*.npz"))


@pytest.mark.parametrize("name", sorted(CLASSES))
def test_fetch_through_torchvision(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """Grey images come as tensors without channels, colour as arrays with labels in a list."""
    dataset = DATASETS[name]
    layout = dataclasses.replace(dataset.layout, train=120, test=110)
    arrays = small_arrays(layout)
    monkeypatch.delitem(DATASETS, name)  # a key is given once
    monkeypatch.setitem(DATASETS, name, dataclasses.replace(dataset, layout=layout))
    calls: list[tuple] = []

    class Fake:
        """As torchvision's classes, which keep images in ``data`` and labels in ``targets``."""

        def __init__(self, root: Path, train: bool, download: bool) -> None:
            calls.append((root, train, download))
            x, y = arrays[:2] if train else arrays[2:]
            grey = layout.shape[2] == 1
            self.data: Any = torch.from_numpy(x[..., 0].copy()) if grey else x
            self.targets: Any = torch.from_numpy(y) if grey else y.tolist()

    monkeypatch.setattr(torchvision.datasets, CLASSES[name], Fake)
    data = load(name, tmp_path)
    assert same(data.arrays, arrays)
    assert data.arrays.train_x.shape == (120, *dataset.layout.shape)
    assert calls == [(tmp_path, True, True), (tmp_path, False, True)]
    assert data.info.class_counts.tolist() == np.bincount(arrays.train_y).tolist()
    load(name, tmp_path)
    assert len(calls) == 2, "the second time it is read from the file"
