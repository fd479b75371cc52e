"""Evaluate any network on a data set, whatever trained it: top-1, top-5 and loss."""

import dataclasses
import hashlib
import itertools
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from nslab.datasets import ImageData, is_folder, is_text, load
from nslab.datasets.arrays import Arrays, Layout
from nslab.datasets.batches import make_batches
from nslab.datasets.catalogue import Dataset
from nslab.datasets.decoding import Decoding
from nslab.datasets.folder_files import SkippedFiles, images_of, remarks, subfolders
from nslab.datasets.image_folder import LAYOUT, MEAN, PREFIX, STD, split_root
from nslab.datasets.sources import MissingDataset
from nslab.networks.logits import check_logits, logits_of
from nslab.networks.modes import scoring
from nslab.system.content_names import parse_content_name
from nslab.training.metrics import Tally


@torch.no_grad()
def evaluate(
    model: nn.Module,
    data: str,
    *,
    size: int = 224,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    batch_size: int = 256,
    classes: Sequence[str] = (),
    decoding: Decoding = "exact",
) -> dict[str, float]:
    """Top-1 and top-5 accuracy of a network, in percent, its mean cross-entropy in nats, and the
    number of images ``n``.

    It is tested on the test images of a data set: for a folder, those in ``test/`` or ``val/`` if
    it has such; otherwise all images in its class folders, since nothing is trained here. Where
    images have several right labels, any of them counts as right, and the loss is that of the sum
    of their probabilities.

    Args:
        model: gives logits, or a tuple, dict or object with them; its device and modes stay as they
            are.
        data: a name of ``DATASETS``, or ``folder:PATH``.
        size: side of the images in pixels. An image's shorter side is resized to 256/224 of it, and
            the centre is cropped. Image files of exactly this width and height are used as they
            are, as images in arrays are.
        mean, std: per channel, of pixels in [0, 1]; default: those of the data set, or of ImageNet
            for folders.
        batch_size: images per forward pass.
        classes: names of the network's classes, in the order of its outputs; class folders are then
            found by these names. Otherwise they are numbered in sorted order, including empty ones:
            a folder with 1,000 class folders fits an ImageNet network, even if few have images.
        decoding: of image files, see `nslab.datasets.decoding`.

    Raises ``ValueError`` if the classes do not fit the network's outputs.

    >>> from nslab.networks import build_network
    >>> found = evaluate(build_network("mlp", (1, 32, 32), 10, seed=0), "digits")
    >>> list(found), found["n"]
    (['top1', 'top5', 'loss', 'n'], 503)
    """
    if not isinstance(model, nn.Module) or not isinstance(data, str):
        raise ValueError("evaluate takes an nn.Module and the name of data, such as 'folder:PATH'")
    if not isinstance(size, int) or size < 1:
        raise ValueError(f"size is {size!r}: give the side of its images in pixels, such as 224")
    if any(isinstance(values, int | float) for values in (mean, std)):
        raise ValueError("mean and std need a number for each channel, such as (0.5, 0.5, 0.5)")
    if is_text(data):
        raise ValueError(
            f"{data} has texts, and a network alone does not say which tokens it reads: test a run "
            "on it, nslab.run(EvaluateConfig(config, data)), or nslab predict RUN"
        )
    form = next(itertools.chain(model.parameters(), model.buffers()), torch.zeros(()))
    found = relabelled(data_to_test_on(data, size), classes)
    about = normalised_by(found.dataset, mean, std)
    device, count = form.device, about.layout.num_classes
    files = found.arrays.test_x.dtype == object
    of_files: dict[str, Any] = {"decoding": decoding, "prepared": True} if files else {}
    batches = make_batches(
        found.arrays.test_x,
        found.arrays.test_y,
        about,
        device,
        batch_size=batch_size,
        **of_files,
    )
    accepted = None if found.accepted is None else torch.from_numpy(found.accepted).to(device)
    tally = Tally.empty(count, device)
    with scoring(model):
        for batch in batches.in_order():
            x = batch.x.to(form.dtype) if form.is_floating_point() else batch.x
            logits = logits_of(model(x))
            check_logits(logits, len(batch.y))
            check_count(data, count, logits.shape[1], named=bool(classes))
            tally.add(logits, batch.y, None if accepted is None else accepted[batch.index])
    seen = len(found.arrays.test_y)
    return {"top1": tally.accuracy, "top5": tally.top5, "loss": tally.mean_loss, "n": seen}


def data_to_test_on(name: str, size: int = 0) -> ImageData:
    """A data set with the images that networks are tested on; for a folder of class folders without
    a split, all of them.

    Raises ``ValueError`` for an unknown name, and for data without images to test on.
    """
    path = Path(name.removeprefix(PREFIX)).expanduser()
    own = name.startswith(PREFIX) and not parse_content_name(name) and name != PREFIX
    if own and path.is_dir() and split_root(path) is None:
        return whole_folder(path.absolute(), size)
    found = load(name, image_size=size if is_folder(name) else 0)
    if not len(found.arrays.test_y):
        raise MissingDataset(f"data set {name} has no images to test on")
    return found


def whole_folder(folder: Path, size: int = 0) -> ImageData:
    """All images of a folder of class folders, as images to test on."""
    classes, passed = tuple(subfolders(folder)), SkippedFiles()
    files, labels = images_of(folder, classes, hashlib.sha256(), passed)
    if not files or len(classes) < 2:
        raise ValueError(
            f"{folder} has {len(files)} images in {len(classes)} class folders: at least two "
            f"classes are expected, as {LAYOUT}"
        )
    for remark in remarks(classes, set(labels), passed):
        warnings.warn(f"{folder}: {remark}", stacklevel=2)
    side = size or 224
    about = Dataset(Layout(0, len(files), (side, side, 3), len(classes)), MEAN, STD, classes, _none)
    none = np.array([], dtype=object), np.array([], dtype=np.int64)
    x, y = np.array(files, dtype=object), np.array(labels, dtype=np.int64)
    return ImageData(f"{PREFIX}{folder}", about, Arrays(*none, x, y))


def relabelled(data: ImageData, classes: Sequence[str]) -> ImageData:
    """The data with labels that are the indices of their class names in ``classes``; unchanged if
    that is empty.

    Raises ``ValueError`` for a name that occurs twice in ``classes``, and for a class with images
    that is missing there.
    """
    if not len(classes):
        return data
    names, places = data.dataset.classes, {name: k for k, name in enumerate(classes)}
    if len(places) < len(classes):
        twice = next(name for k, name in enumerate(classes) if places[name] != k)
        raise ValueError(f"classes has {twice!r} more than once: give each output another name")
    y, accepted = data.arrays.test_y, data.accepted
    used = np.unique(y if accepted is None else accepted[accepted >= 0]).tolist()
    if unknown := [names[k] for k in used if names[k] not in places]:
        raise ValueError(
            f"classes lacks {len(unknown)} of the data's names, such as {unknown[0]!r}: name the "
            "network's classes like the class folders, in the order of its outputs"
        )
    found = np.array([places.get(name, -1) for name in names] + [-1])  # -1 stays -1
    layout = dataclasses.replace(data.dataset.layout, num_classes=len(classes))
    about = dataclasses.replace(data.dataset, layout=layout, classes=tuple(classes))
    return dataclasses.replace(
        data,
        dataset=about,
        arrays=data.arrays._replace(test_y=found[y]),
        accepted=None if accepted is None else found[accepted],
    )


def normalised_by(
    dataset: Dataset, mean: Sequence[float] | None, std: Sequence[float] | None
) -> Dataset:
    """The data set with this mean and sd, if they are given; ``ValueError`` unless each has a
    number per channel, and the sd is positive."""
    channels = dataset.layout.shape[2]
    given = tuple(mean or dataset.mean), tuple(std or dataset.std)
    if any(len(values) != channels for values in given) or min(given[1]) <= 0:
        raise ValueError(
            f"mean is {given[0]} and std {given[1]}: give a number for each of {channels} "
            "channels, of pixels in [0, 1], and an sd above 0"
        )
    return dataclasses.replace(dataset, mean=given[0], std=given[1])


def check_count(data: str, classes: int, outputs: int, *, named: bool = False) -> None:
    """``ValueError`` unless data have as many classes as a network has outputs."""
    if classes == outputs:
        return
    if named:
        raise ValueError(f"classes has {classes} names, and the network gives {outputs} logits")
    unit = "class folders" if is_folder(data) else "classes"
    advice = "evaluate it on data of its own classes"
    if classes < outputs:
        empty = "add an empty folder for each class without images, or " if is_folder(data) else ""
        advice = (
            f"nslab cannot tell which output is which class; {empty}give classes=[...], the names "
            f"of all {outputs} in the order of the outputs"
        )
    raise ValueError(f"{data} has {classes} {unit}, the network gives {outputs} logits: {advice}")


def _none(folder: Path, name: str) -> Any:
    raise MissingDataset(f"{name} is a user's own data set, which nslab cannot fetch")
