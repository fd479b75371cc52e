"""A folder of small images, for tests of users' own data and checkpoints."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from nslab.datasets import ImageData, load
from nslab.datasets.image_files import ImageFiles
from nslab.types import Batch

CPU = torch.device("cpu")
CLASSES = ("blue", "green", "red")


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three classes of 12 small images, told apart by their colour."""
    folder = tmp_path_factory.mktemp("images") / "colours"
    make_images(folder)
    return folder


def make_images(folder: Path, each: int = 12) -> None:
    """Write class folders of random images, ``each`` per class, in the colour of the class."""
    noise = np.random.default_rng(0)
    for c, name in enumerate(CLASSES):
        (folder / name).mkdir(parents=True)
        for i in range(each):
            pixels = noise.integers(0, 130, (32, 40, 3), dtype=np.uint8)
            pixels[..., 2 - c] += 100
            Image.fromarray(pixels).save(folder / name / f"{i}.{'png' if i % 2 else 'jpg'}")


def folder_data(images: Path, size: int = 32) -> ImageData:
    """The folder as a data set."""
    return load(f"folder:{images}", image_size=size)


def file_batches(images: Path, size: int = 32, **options: object) -> ImageFiles:
    """Batches of the folder's training images."""
    data = folder_data(images, size)
    plain = {"batch_size": 12, "augment": "crop_flip", "min_batch": 1}
    y = torch.tensor(data.arrays.train_y)
    return ImageFiles(data.arrays.train_x.tolist(), y, data.dataset, **plain | options)


def seen(batches: list[Batch]) -> list[bytes]:
    """The bytes of each image in some batches."""
    return [image.numpy().tobytes() for batch in batches for image in batch.x]
