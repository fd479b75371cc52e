"""Batches on a device: their samples, crops and flips, compared one by one with the raw bytes."""

from collections.abc import Iterator

import numpy as np
import torch

from nslab.datasets import Dataset
from nslab.datasets.arrays import Layout
from nslab.datasets.catalogue import not_fetched
from nslab.datasets.loader import Loader, on_device
from nslab.rng import generator
from nslab.workbench.device_check.findings import Finding, largest_error, worst

PART = "batches"
MEAN, SD = (0.49, 0.48, 0.45), (0.2, 0.21, 0.19)
SEED, EPOCH = 2024, 2


def check_batches(device: torch.device) -> Iterator[Finding]:
    """Check an epoch of augmented batches, and every sample without augmentation."""
    draw = np.random.default_rng(0)
    x = draw.integers(0, 256, (77, 16, 14, 3), dtype=np.uint8)
    y = draw.integers(0, 10, 77)
    about = Dataset(Layout(77, 0, (16, 14, 3), 10), MEAN, SD, tuple("0123456789"), not_fetched)
    loader = Loader(
        *on_device(x, y, device), about, batch_size=16, seed=SEED, augment="crop_flip", min_batch=2
    )
    order = torch.randperm(77, generator=generator(SEED, "order", EPOCH)).tolist()
    draws = generator(SEED, "augment", EPOCH)
    corners = torch.randint(0, 9, (2, 77), generator=draws).tolist()
    mirrored = (torch.rand(77, generator=draws) < 0.5).tolist()
    errors, right, place = [], True, 0
    for batch in loader.epoch(EPOCH):
        for image, label, index in zip(batch.x, batch.y, batch.index, strict=True):
            right &= int(index) == order[place] and int(label) == y[order[place]]
            padded = np.pad(x[order[place]], ((4, 4), (4, 4), (0, 0)))
            top, left = corners[0][place], corners[1][place]
            window = padded[top : top + 16, left : left + 14]
            window = window[:, ::-1] if mirrored[place] else window
            errors.append(largest_error(image, normalised(window)))
            place += 1
    rounding = "float32: one multiplication and one subtraction of numbers up to 5"
    yield Finding(PART, "crops and mirrors", worst(errors), 1e-6, rounding)
    exact = "the same samples in the same order on every device"
    yield Finding(PART, "samples of an epoch", 0.0 if right and place == 77 else 1.0, 0.0, exact)
    seen = torch.cat([batch.x for batch in loader.in_order()])
    wanted = np.stack([normalised(image) for image in x])
    yield Finding(PART, "evaluation", largest_error(seen, wanted), 1e-6, rounding)


def normalised(image: np.ndarray) -> np.ndarray:
    """An image of bytes (h, w, c) as the network gets it: normalised, (c, h, w), in float64."""
    return ((image / 255 - np.array(MEAN)) / np.array(SD)).transpose(2, 0, 1)
