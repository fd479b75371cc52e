"""Batches of a split of a data set, whether its images lie in memory or are files."""

from typing import Any

import numpy as np
import torch

from nslab.datasets import Dataset
from nslab.datasets.image_files import ImageFiles
from nslab.datasets.loader import Loader, on_device

DatasetBatches = Loader | ImageFiles


def make_batches(
    x: np.ndarray, y: np.ndarray, dataset: Dataset, device: torch.device, **options: Any
) -> DatasetBatches:
    """Batches on ``device`` of images, or of files if ``x`` names such; for the options see
    `Loader` and `ImageFiles`.

    Raises ``ValueError`` for a ``decoding`` other than ``"exact"`` of images in memory.
    """
    if x.dtype == object:
        return ImageFiles(x.tolist(), torch.tensor(y).to(device), dataset, **options)
    if (decoding := options.pop("decoding", "exact")) != "exact":
        raise ValueError(f"decoding is {decoding!r}: that is for image files, and these are arrays")
    return Loader(*on_device(x, y, device), dataset, **options)
