"""The released files of MNIST-C and CIFAR-10-C, made up: found, read, and refused when wrong."""

import dataclasses
import os
from pathlib import Path

import numpy as np
import pytest
from array_helpers import never, toy

from nslab.datasets import CorruptDataset, ImageData, MissingDataset
from nslab.datasets.arrays import Arrays, Layout
from nslab.datasets.corruption.sets import CORRUPTIONS, RELEASED, Corrupted, corrupted


def clean(name: str, n: int = 10) -> ImageData:
    """A few made-up images under the name of the data set that a set corrupts."""
    shape = (5, 4, 1) if name == "mnist_c" else (5, 4, 3)
    rng = np.random.default_rng(1)
    x, y = rng.integers(0, 256, (n, *shape), dtype=np.uint8), np.arange(n) % 10
    arrays = Arrays(x, y, x, y)
    return ImageData(RELEASED[name][0], toy(never, Layout(n, n, shape, 10)), arrays)


def release(name: str, folder: Path, data: ImageData) -> dict[str, Path]:
    """Files as they are released: each severity's images are the clean ones plus its number."""
    x, y = data.arrays.test_x, data.arrays.test_y
    root = folder / RELEASED[name][1]
    files = {}
    for corruption in CORRUPTIONS[name]:
        if name == "mnist_c":
            (root / corruption).mkdir(parents=True)
            files[corruption] = root / corruption / "test_images.npy"
            np.save(files[corruption], x + np.uint8(1))
            np.save(root / corruption / "test_labels.npy", y)
        else:
            root.mkdir(exist_ok=True)
            files[corruption] = root / f"{corruption}.npy"
            np.save(files[corruption], np.concatenate([x + np.uint8(s) for s in range(1, 6)]))
            np.save(root / "labels.npy", np.tile(y, 5).astype(np.uint8))
    return files


def labels_of(file: Path) -> Path:
    """The file of labels beside a file of images."""
    return file.with_name("test_labels.npy" if file.name == "test_images.npy" else "labels.npy")


@pytest.fixture(params=list(CORRUPTIONS))
def name(request: pytest.FixtureRequest) -> str:
    """The name of each set."""
    return request.param


def test_released_files_come_first(name: str, tmp_path: Path) -> None:
    """The severity asked for, with the labels, from the folder given or that of the data sets."""
    data = clean(name)
    release(name, tmp_path, data)
    for corruption, how in CORRUPTIONS[name].items():
        for severity in range(1, len(how.severities) + 1):
            made = corrupted(name, corruption, severity, data, tmp_path)
            assert isinstance(made, Corrupted)
            assert made.origin == "released"
            np.testing.assert_array_equal(made.x, data.arrays.test_x + np.uint8(severity))
            np.testing.assert_array_equal(made.y, data.arrays.test_y)
            assert made.y.dtype == np.int64


def test_released_files_in_the_default_folder(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """``NSLAB_DATA``."""
    data = clean(name)
    release(name, tmp_path, data)
    assert corrupted(name, "fog", 1, data, tmp_path / "elsewhere").origin == "generated"
    monkeypatch.setenv("NSLAB_DATA", str(tmp_path))
    assert corrupted(name, "fog", 1, data).origin == "released"


def test_released_files_are_for_their_own_data_set(name: str, tmp_path: Path) -> None:
    """Digits, and arrays of unknown origin, are corrupted here."""
    data = clean(name)
    release(name, tmp_path, data)
    other = dataclasses.replace(data, name="digits")
    arrays = data.arrays.test_x, data.arrays.test_y
    for given in (other, arrays):
        assert corrupted(name, "shot_noise", 1, given, tmp_path).origin == "generated"


def test_missing_file(name: str, tmp_path: Path) -> None:
    """A folder with some of the files is not silently completed by made images."""
    data = clean(name)
    files = release(name, tmp_path, data)
    os.remove(files["fog"])
    with pytest.raises(MissingDataset, match=r"fog.* is missing: complete the released files in"):
        corrupted(name, "fog", 1, data, tmp_path)
    os.remove(labels_of(files["brightness"]))
    with pytest.raises(MissingDataset, match=r"labels.npy is missing.*move that folder away"):
        corrupted(name, "brightness", 1, data, tmp_path)


class Poison:
    """Unpickling it would be noticed."""

    def __reduce__(self) -> tuple:
        return (pytest.fail, ("a pickle was loaded",))


def test_wrong_images(name: str, tmp_path: Path) -> None:
    """Refused with the file, what is wrong, and what to do."""
    data = clean(name)
    file = release(name, tmp_path, data)["fog"]
    good = np.load(file)
    poison = np.empty(1, dtype=object)
    poison[0] = Poison()
    cases: list[tuple[np.ndarray | bytes, str]] = [
        (good.astype(np.float32), "its images are float32, not uint8"),
        (good[:-1], "its images have shape"),
        (good[:, :-1], "its images have shape"),
        (good[..., 0], "its images have shape"),
        (poison, "it cannot be read"),
        (b"", "it cannot be read"),
        (b"not numpy", "it cannot be read"),
        (file.read_bytes()[:-7], "it cannot be read"),
        (file.read_bytes()[:50], "it cannot be read"),
    ]
    for content, problem in cases:
        file.unlink()
        if isinstance(content, bytes):
            file.write_bytes(content)
        else:
            np.save(file, content, allow_pickle=True)
        with pytest.raises(CorruptDataset) as caught:
            corrupted(name, "fog", 1, data, tmp_path)
        message = str(caught.value)
        assert problem in message
        assert str(file) in message
        assert "Fetch the released files again" in message


def test_wrong_labels(name: str, tmp_path: Path) -> None:
    """Too few, no whole numbers, or not the clean ones."""
    data = clean(name)
    file = labels_of(release(name, tmp_path, data)["fog"])
    good = np.load(file)
    cases = [
        (good[:-1], "its labels are"),
        (good.astype(float), "its labels are float64"),
        (good[:, None], "its labels are"),
        (good[::-1].copy(), "not those of the clean test images"),
    ]
    for content, problem in cases:
        np.save(file, content)
        with pytest.raises(CorruptDataset, match=problem):
            corrupted(name, "fog", 1, data, tmp_path)
