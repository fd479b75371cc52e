"""Domains: the images of one data set in the form of another's, for a network trained there."""

import dataclasses
import re
from collections.abc import Sequence
from typing import cast

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Num

from nslab.datasets import (
    DATASETS,
    Dataset,
    ImageData,
    ImageFolderDataset,
    is_folder,
    own_arrays,
)
from nslab.system.content_names import parts_of
from nslab.types import ImageShape

LUMINANCE = (0.299, 0.587, 0.114)  # ITU-R BT.601
AT_ONCE = 4096  # images resized together


def in_form_of(data: ImageData, form: Dataset) -> ImageData:
    """The data with images as large as ``form``'s, with as many channels, normalised as there.

    Images in memory are resized bilinearly with antialiasing; gray ones get three equal channels,
    of coloured ones the luminance is taken. Floats stay floats, in their own units, which must be
    the form's. Image files are prepared at that size when they are decoded.

    Raises ``ValueError`` for another number of classes, and for image files where the form is not
    square and in colour.

    >>> from nslab.datasets import dataset_of, load
    >>> in_form_of(load("digits"), dataset_of("cifar10")).arrays.test_x.shape
    (503, 32, 32, 3)
    """
    check_form(data.name, data.dataset, form)
    about, arrays, shape = data.dataset, data.arrays, cast(ImageShape, form.shape)
    if arrays.test_x.dtype != object:
        arrays = arrays._replace(
            train_x=_resized(arrays.train_x, shape), test_x=_resized(arrays.test_x, shape)
        )
    layout = dataclasses.replace(about.layout, shape=(*shape[1:], shape[0]))
    about = dataclasses.replace(about, layout=layout, mean=form.mean, std=form.std)
    return dataclasses.replace(data, dataset=about, arrays=arrays)


def check_form(name: str, about: Dataset, form: Dataset) -> None:
    """``ValueError`` for a domain that cannot be brought to a form, see `in_form_of`."""
    if about.layout.num_classes != form.layout.num_classes:
        raise ValueError(
            f"{name} has {about.layout.num_classes} classes, the network was trained on "
            f"{form.layout.num_classes}: a domain has the same classes"
        )
    if is_folder(name) and about.shape != form.shape:
        raise ValueError(
            f"image files are prepared square and in colour, and the network is for images of "
            f"{' x '.join(map(str, form.shape))}: train the source on such images"
        )


def _resized(
    x: Num[np.ndarray, "n h w c"], shape: ImageShape
) -> Num[np.ndarray, "n height width channels"]:
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
        if x.dtype == np.uint8:
            part = part.round().clamp(0, 255)
        made.append(part.permute(0, 2, 3, 1).numpy().astype(x.dtype))
    return np.concatenate(made) if made else np.empty((0, *side, channels), dtype=x.dtype)


def check_class_names(
    trained_on: str, learned: Sequence[str], dataset: str, classes: Sequence[str], network: str
) -> None:
    """``ValueError`` where classes have other names than those that the network learned, as many of
    them would be taken for each other; where a set's names are but numbers, they say nothing."""
    named = zip((trained_on, dataset), (learned, classes), strict=True)
    folders = all(map(named_by_folders, (trained_on, dataset)))
    if list(learned) != list(classes) and (folders or all(has_names(*pair) for pair in named)):
        pairs = zip(learned, classes, strict=True)
        k = next(k for k, pair in enumerate(pairs) if len({*pair}) > 1)
        raise ValueError(
            f"{dataset} has the classes {', '.join(classes[:5])}, the network of {network} has "
            f"learned {', '.join(learned[:5])}: class {k} is {classes[k]!r} here and "
            f"{learned[k]!r} there. Name the classes alike, and in the same order"
        )


def named_by_folders(dataset: str) -> bool:
    """Whether a data set's classes are called as its class folders: not so ImageNet's."""
    entry = DATASETS.get(dataset)
    return entry.form == "classes" if isinstance(entry, ImageFolderDataset) else is_folder(dataset)


def has_names(dataset: str, classes: Sequence[str]) -> bool:
    """Whether the classes of a data set have names of their own, such as ``"cat"``."""
    numbers = all(re.fullmatch(r"(class )?\d+", name) for name in classes)
    return not numbers and (named_by_folders(dataset) or not is_folder(dataset))


def has_floats(dataset: str) -> bool:
    """Whether the images of a data set are floats, as your own arrays may be."""
    kind, _, digest = parts_of(dataset) or ("", "", "")
    return kind == "arrays" and own_arrays.read(digest).train_x.dtype.kind == "f"
