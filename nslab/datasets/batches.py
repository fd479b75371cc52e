"""Batches of a split of a data set: of images in memory, of image files, or of texts."""

from typing import Any

import numpy as np
import torch

from nslab.datasets import Dataset
from nslab.datasets.decoding import Decoding
from nslab.datasets.image_files import ImageFiles
from nslab.datasets.loader import Loader, on_device
from nslab.datasets.text_batches import TextBatches

DatasetBatches = Loader | ImageFiles | TextBatches


def make_batches(
    x: np.ndarray,
    y: np.ndarray,
    dataset: Dataset,
    device: torch.device,
    *,
    decoding: Decoding = "exact",
    channels_last: bool = True,
    **options: Any,
) -> DatasetBatches:
    """Batches on ``device``: `Loader` for images in memory, `ImageFiles` if ``x`` holds paths, and
    `TextBatches` if it holds rows of token ids, which is so if ``dataset`` has ``tokens``.

    ``options`` are those of `Loader`; for ``decoding`` see `nslab.datasets.decoding`. Raises
    ``ValueError`` if ``decoding`` is not ``"exact"`` and there are no image files.
    """
    if dataset.tokens is None and x.dtype == object:
        labels, options = torch.tensor(y).to(device), options | {"channels_last": channels_last}
        return ImageFiles(x.tolist(), labels, dataset, decoding=decoding, **options)
    if decoding != "exact":
        raise ValueError(
            f"decoding is {decoding!r}, and this data set has no image files to decode: use 'exact'"
        )
    if dataset.tokens is not None:
        return TextBatches(*on_device(x, y, device), dataset, **options)
    return Loader(*on_device(x, y, device), dataset, channels_last=channels_last, **options)
