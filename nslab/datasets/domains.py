"""Domains: the images of one data set in the form of another's, for a network trained there."""

import dataclasses
from collections.abc import Sequence
from typing import cast

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import UInt8

from nslab.datasets import DATASETS, Dataset, ImageData, ImageFolderDataset, is_folder
from nslab.types import ImageShape

LUMINANCE = (0.299, 0.587, 0.114)  # ITU-R BT.601
AT_ONCE = 4096  # images resized together


def in_form_of(data: ImageData, form: Dataset) -> ImageData:
    """The data with images as large as ``form``'s, with as many channels, normalised as there.

    Images in memory are resized bilinearly with antialiasing; gray ones get three equal channels,
    of coloured ones the luminance is taken. Image files are prepared at that size when they are
    decoded. Raises ``ValueError`` for another number of classes, and for image files where the form
    is not square and in colour.

    >>> from nslab.datasets import dataset_of, load
    >>> in_form_of(load("digits"), dataset_of("cifar10")).arrays.test_x.shape
    (503, 32, 32, 3)
    """
    about, shape = data.dataset, cast(ImageShape, form.shape)
    if about.layout.num_classes != form.layout.num_classes:
        raise ValueError(
            f"{data.name} has {about.layout.num_classes} classes, the network was trained on "
            f"{form.layout.num_classes}: a domain has the same classes"
        )
    arrays = data.arrays
    if arrays.test_x.dtype == object:
        if about.shape != shape:
            raise ValueError(
                f"image files are prepared square and in colour, and the network is for images of "
                f"{' x '.join(map(str, shape))}: train the source on such images"
            )
    else:
        arrays = arrays._replace(
            train_x=_resized(arrays.train_x, shape), test_x=_resized(arrays.test_x, shape)
        )
    layout = dataclasses.replace(about.layout, shape=(*shape[1:], shape[0]))
    about = dataclasses.replace(about, layout=layout, mean=form.mean, std=form.std)
    return dataclasses.replace(data, dataset=about, arrays=arrays)


def _resized(
    x: UInt8[np.ndarray, "n h w c"], shape: ImageShape
) -> UInt8[np.ndarray, "n height width channels"]:
    """Images of that many channels and pixels; themselves, if they are so already."""
    channels, *side = shape
    if x.shape[1:] == (*side, channels):
        return x
    made = []
    for first in range(0, len(x), AT_ONCE):
        part = torch.tensor(x[first : first + AT_ONCE]).permute(0, 3, 1, 2).float()
        if part.shape[1] == 3 and channels == 1:
            part = (part * torch.tensor(LUMINANCE).view(1, 3, 1, 1)).sum(1, keepdim=True)
        part = F.interpolate(part, side, mode="bilinear", align_corners=False, antialias=True)
        part = part.expand(-1, channels, -1, -1) if part.shape[1] == 1 else part
        made.append(part.round().clamp(0, 255).to(torch.uint8).permute(0, 2, 3, 1).numpy())
    return np.concatenate(made) if made else np.empty((0, *side, channels), dtype=np.uint8)


def check_class_names(
    trained_on: str, learned: Sequence[str], dataset: str, classes: Sequence[str], network: str
) -> None:
    """``ValueError`` where class folders have other names than those that the network learned: as
    many of them would be taken for each other."""
    if all(map(named_by_folders, (trained_on, dataset))) and list(learned) != list(classes):
        pairs = zip(learned, classes, strict=True)
        k = next(k for k, pair in enumerate(pairs) if len({*pair}) > 1)
        raise ValueError(
            f"{dataset} has the classes {', '.join(classes[:5])}, the network of {network} has "
            f"learned {', '.join(learned[:5])}: class {k} is {classes[k]!r} here and "
            f"{learned[k]!r} there. Name the class folders alike"
        )


def named_by_folders(dataset: str) -> bool:
    """Whether a data set's classes are called as its class folders: not so ImageNet's."""
    entry = DATASETS.get(dataset)
    return entry.form == "classes" if isinstance(entry, ImageFolderDataset) else is_folder(dataset)
