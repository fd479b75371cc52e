"""Domains: the images of one data set in the form of another, for a network trained on the other.

The form is the number of channels, the size, and the mean and sd that images are normalised with.
"""

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
from nslab.system.content_names import parse_content_name
from nslab.types import ImageShape

LUMINANCE = (0.299, 0.587, 0.114)  # ITU-R BT.601
AT_ONCE = 4096  # images resized together


def in_form_of(data: ImageData, form: Dataset) -> ImageData:
    """The data with the size, number of channels and normalisation of ``form``.

    Images in memory are resized bilinearly with antialiasing. Where the channels differ, grey
    images get three equal channels, and colour images become their luminance. Floats stay floats,
    in their own units, which must be those of the form. Image files are resized when decoded.

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
    """Raise ``ValueError`` for a domain that cannot be brought to a form, see `in_form_of`."""
    if about.layout.num_classes != form.layout.num_classes:
        raise ValueError(
            f"{name} has {about.layout.num_classes} classes, the network was trained on "
            f"{form.layout.num_classes}: use a domain with the same classes"
        )
    if is_folder(name) and about.shape != form.shape:
        raise ValueError(
            f"image files are prepared square and in colour, and the network is for images of "
            f"{' x '.join(map(str, form.shape))}: train the source on such images"
        )


def _resized(
    x: Num[np.ndarray, "n h w c"], shape: ImageShape
) -> Num[np.ndarray, "n height width channels"]:
    """Images with the channels, height and width of ``shape``; unchanged if they have them."""
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
    """Raise ``ValueError`` where class k is called otherwise than class k that the network learned.

    Names that are only numbers are not compared, unless both data sets have class folders: they
    say nothing about what is in the images.

    Args:
        trained_on, learned: data set of the network, and its class names.
        dataset, classes: data set to predict on, and its class names, as many as ``learned``.
        network: what the message calls the network.
    """
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
    """Whether a data set's classes have the names of its class folders; ImageNet's have not."""
    entry = DATASETS.get(dataset)
    return entry.form == "classes" if isinstance(entry, ImageFolderDataset) else is_folder(dataset)


def has_names(dataset: str, classes: Sequence[str]) -> bool:
    """Whether the classes of a data set have names of their own, such as ``"cat"``."""
    numbers = all(re.fullmatch(r"(class )?\d+", name) for name in classes)
    return not numbers and (named_by_folders(dataset) or not is_folder(dataset))


def has_floats(dataset: str) -> bool:
    """Whether the images of a data set are floats, as your own arrays may be."""
    kind, _, digest = parse_content_name(dataset) or ("", "", "")
    return kind == "arrays" and own_arrays.read(digest).train_x.dtype.kind == "f"
