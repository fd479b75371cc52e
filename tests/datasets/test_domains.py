"""Images of one data set in the form of another's."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from image_helpers import make_images
from PIL import Image

from nslab.datasets import DATASETS, Dataset, dataset_of, load, named_folders
from nslab.datasets.arrays import Layout
from nslab.datasets.catalogue import ImageFolderDataset
from nslab.datasets.domains import in_form_of
from nslab.datasets.sources import SLANT, fetch_digits, fetch_slanted


def form(shape: tuple[int, int, int], classes: int = 10) -> Dataset:
    """A data set of images of that height, width and number of channels."""
    like = load("digits").dataset
    mean = (0.5,) * shape[2]
    return dataclasses.replace(
        like, layout=Layout(1, 1, shape, classes), mean=mean, std=mean, classes=("x",) * classes
    )


def test_images_are_resized_as_pillow_does() -> None:
    """Bilinearly with antialiasing, down and up, to within one step of 255."""
    data = load("digits")
    for side in (20, 45):
        made = in_form_of(data, form((side, side, 1))).arrays.test_x
        assert made.shape == (503, side, side, 1)
        assert made.dtype == np.uint8
        for image, expected in zip(made[:20], data.arrays.test_x[:20], strict=True):
            pillow = Image.fromarray(expected[..., 0]).resize(
                (side, side), Image.Resampling.BILINEAR
            )
            assert np.abs(image[..., 0].astype(int) - np.asarray(pillow).astype(int)).max() <= 1


def test_channels_and_normalisation_are_the_forms() -> None:
    """Gray to colour and back is what it was; mean and sd are the source's."""
    data = load("digits")
    colour = in_form_of(data, dataset_of("cifar10"))
    assert (colour.dataset.mean, colour.dataset.std) == (
        DATASETS["cifar10"].mean,
        DATASETS["cifar10"].std,
    )
    assert np.array_equal(colour.arrays.train_x, np.repeat(data.arrays.train_x, 3, 3))
    back = in_form_of(colour, data.dataset)
    assert np.array_equal(back.arrays.train_x, data.arrays.train_x)
    assert in_form_of(data, data.dataset).arrays.train_x is data.arrays.train_x
    assert np.array_equal(colour.arrays.test_y, data.arrays.test_y)


def test_misfits_are_refused(tmp_path: Path) -> None:
    """Other numbers of classes; image files for a network of gray images."""
    with pytest.raises(ValueError, match="has 10 classes, the network was trained on 7"):
        in_form_of(load("digits"), form((32, 32, 1), 7))
    with pytest.raises(ValueError, match="prepared square and in colour"):
        in_form_of(load("digits_folder"), dataset_of("digits"))


def test_slanted_digits_are_sheared() -> None:
    """A row of pixels d above the middle is moved 0.45 d to the right, between two pixels by their
    distance."""
    plain, slanted = (fetch(Path(), "") for fetch in (fetch_digits, fetch_slanted))
    assert np.array_equal(plain.test_y, slanted.test_y)
    image, found = plain.test_x[7, ..., 0].astype(float), slanted.test_x[7, ..., 0]
    for row in range(32):
        shift = SLANT * (15.5 - row)
        place = np.arange(32) - shift
        left = np.floor(place).astype(int)
        part = place - left
        padded = np.concatenate([np.zeros(64), image[row], np.zeros(64)])
        expected = (1 - part) * padded[64 + left] + part * padded[65 + left]
        assert np.abs(found[row] - expected).max() <= 0.5 + 1e-6


def test_a_whole_domain_is_trained_and_tested_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every image in both, once each, whether its folder has splits or not; the entry beside it of
    the same folder is split."""
    monkeypatch.setenv("NSLAB_DATA", str(tmp_path))
    make_images(tmp_path / "office" / "Art")
    classes = len(list((tmp_path / "office" / "Art").iterdir()))
    shape = (32, 32, 3)
    for name, whole, sizes in (("office/Art", False, (30, 6)), ("office_all/Art", True, (36, 36))):
        layout = Layout(*sizes, shape, classes)
        entry = ImageFolderDataset(layout, places=("office/Art",), whole=whole)
        monkeypatch.setitem(DATASETS, name, entry)
    split, whole_set = load("office/Art").arrays, load("office_all/Art").arrays
    every = sorted([*split.train_x, *split.test_x])
    assert sorted(whole_set.train_x) == sorted(whole_set.test_x) == every
    assert len(split.test_x) < len(split.train_x)
    label = dict(zip(split.train_x, split.train_y, strict=True))
    assert all(
        label.get(f, y) == y for f, y in zip(whole_set.train_x, whole_set.train_y, strict=True)
    )
    assert dataset_of("office_all/Art").layout.test == len(every)
    assert named_folders.digest_of("office_all/Art", DATASETS["office_all/Art"]) == (
        named_folders.digest_of("office/Art", DATASETS["office/Art"])
    )


def test_office_home_can_be_planned_without_its_images() -> None:
    """Published sizes; 65 classes."""
    for domain, images in (("Art", 2427), ("Real World", 4357)):
        layout = dataset_of(f"office_home_all/{domain}").layout
        assert (layout.train, layout.test, layout.num_classes) == (images, images, 65)
        assert dataset_of(f"office_home/{domain}").layout.train == images - images // 5


@pytest.mark.parametrize(("name", "channels"), [("usps", 1), ("svhn", 3)])
def test_downloaded_digits_take_torchvisions_form(
    name: str, channels: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Arrays as these classes of torchvision hold them become images and labels of ours."""
    from torchvision import datasets

    from nslab.datasets.sources import fetch_torchvision

    class Split:
        def __init__(self, folder: Path, download: bool, train: bool = True, split: str = ""):
            count = 3 if train and split != "test" else 2
            if name == "svhn":
                self.data = np.arange(count * 3 * 4).reshape(count, 3, 2, 2).astype(np.uint8)
                self.labels = np.arange(count)
            else:
                self.data = np.arange(count * 4).reshape(count, 2, 2).astype(np.uint8)
                self.targets = torch.arange(count).tolist()

    monkeypatch.setattr(datasets, name.upper(), Split)
    arrays = fetch_torchvision(tmp_path, name)
    assert arrays.train_x.shape == (3, 2, 2, channels)
    assert arrays.test_y.tolist() == [0, 1]
    if name == "svhn":
        assert arrays.train_x[0, 0, 1].tolist() == [1, 5, 9]
