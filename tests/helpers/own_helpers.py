"""A folder of small images, for the tests of evolving one's own checkpoints."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from nslab.datasets.image_folder import Data, prepared

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three classes of 12 small images, told apart by their colour."""
    folder, noise = tmp_path_factory.mktemp("images"), np.random.default_rng(0)
    for c, name in enumerate(("blue", "green", "red")):
        (folder / name).mkdir()
        for i in range(12):
            pixels = noise.integers(0, 130, (32, 40, 3), dtype=np.uint8)
            pixels[..., 2 - c] += 100
            Image.fromarray(pixels).save(folder / name / f"{i}.{'png' if i % 2 else 'jpg'}")
    return folder


def data_of(images: Path, **options: object) -> Data:
    """The folder prepared as the tests have it, but for ``options``."""
    plain = {"device": CPU, "batch_size": 12, "share": 0.2, "size": 32}
    return prepared(str(images), **plain | options)
