"""Batches of a split of a data set, whether its images lie in memory or are files."""

from typing import Any

import numpy as np
import torch

from nslab.datasets import Dataset
from nslab.datasets.decoding import Decoding
from nslab.datasets.image_files import ImageFiles
from nslab.datasets.loader import Loader, on_device

DatasetBatches = Loader | ImageFiles


def make_batches(
    x: np.ndarray,
    y: np.ndarray,
    dataset: Dataset,
    device: torch.device,
    *,
    decoding: Decoding = "exact",
    **options: Any,
) -> DatasetBatches:
    """Batches on ``device`` of images, or of files if ``x`` names such; for the options see
    `Loader`, for ``decoding`` `nslab.datasets.decoding`: ``ValueError`` where nothing is decoded
    and it is not ``"exact"``."""
    if x.dtype == object:
        labels = torch.tensor(y).to(device)
        return ImageFiles(x.tolist(), labels, dataset, decoding=decoding, **options)
    if decoding != "exact":
        raise ValueError(f"decoding is {decoding!r}: that is for image files, and these are arrays")
    return Loader(*on_device(x, y, device), dataset, **options)
