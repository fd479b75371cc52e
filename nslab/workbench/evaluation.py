"""A network on a data set, whatever trained it: top-1, top-5 and loss."""

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
from nslab.datasets.folder_files import Passed, images_of, remarks, subfolders
from nslab.datasets.image_folder import LAYOUT, MEAN, PREFIX, STD, split_root
from nslab.datasets.sources import MissingDataset
from nslab.networks.logits import check_logits, logits_of
from nslab.networks.modes import scoring
from nslab.system.content_names import parts_of
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
    """Top-1 and top-5 accuracy of a network, in percent, its mean cross-entropy in nats, and n.

    On the test images of a data set: of a folder those in ``test/`` or ``val/`` where it has such;
    of a plain folder of class folders all of them, as nothing is trained here. Where images have
    several right labels, any of them counts, and the loss is that of their probabilities together.

    Args:
        model: gives logits, or a tuple, dict or object with them; it stays where it is, and its
            modes are as before.
        data: a name of ``DATASETS``, or ``folder:PATH``.
        size: pixels a side: the shorter side of an image is resized to 256/224 of it, and its
            middle taken. Image files of just that size, both ways, are taken for prepared and stay
            as they are, as images in arrays do.
        mean, std: per channel, of pixels in [0, 1]; default: the data set's, ImageNet's for
            folders.
        classes: names of the network's classes, in the order of its outputs, by which class folders
            are then known. Otherwise they are numbered in sorted order, empty ones too: a folder
            with 1,000 class folders fits an ImageNet network, few as those may be that have images.
        decoding: of image files, see `nslab.datasets.decoding`.

    Raises ``ValueError`` where the classes do not fit the network's outputs.

    >>> from nslab.networks import build_network
    >>> found = evaluate(build_network("mlp", (1, 32, 32), 10, seed=0), "digits")
    >>> list(found), found["n"]
    (['top1', 'top5', 'loss', 'n'], 503)
    """
    if not isinstance(model, nn.Module) or not isinstance(data, str):
        raise ValueError("evaluate takes an nn.Module and the name of data, such as 'folder:PATH'")
    if not isinstance(size, int) or size < 1:
        raise ValueError(f"size is {size!r}: the pixels a side that the network takes, say 224")
    if any(isinstance(values, int | float) for values in (mean, std)):
        raise ValueError("mean and std are numbers for each channel, such as (0.5, 0.5, 0.5)")
    if is_text(data):
        raise ValueError(
            f"{data} has texts, and which tokens a network reads is not known from the network: "
            "test a run on it, nslab.run(EvaluateConfig(config, data)), or nslab predict RUN"
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
    """A data set with the images that networks are tested on; of a plain folder of class folders
    all there are.

    Raises ``ValueError`` for an unknown name, and what has no images to test on.
    """
    path = Path(name.removeprefix(PREFIX)).expanduser()
    own = name.startswith(PREFIX) and not parts_of(name) and name != PREFIX
    if own and path.is_dir() and split_root(path) is None:
        return whole_folder(path.absolute(), size)
    found = load(name, image_size=size if is_folder(name) else 0)
    if not len(found.arrays.test_y):
        raise MissingDataset(f"data set {name} has no images to test on")
    return found


def whole_folder(folder: Path, size: int = 0) -> ImageData:
    """All images of a folder of class folders, as images to test on."""
    classes, passed = tuple(subfolders(folder)), Passed()
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
    """Labels by the places that the classes' names have among ``classes``; as they are without.

    Raises ``ValueError`` for a name that is there twice, and for a class with images that has none.
    """
    if not len(classes):
        return data
    names, places = data.dataset.classes, {name: k for k, name in enumerate(classes)}
    if len(places) < len(classes):
        twice = next(name for k, name in enumerate(classes) if places[name] != k)
        raise ValueError(f"classes has {twice!r} more than once: each output has a name of its own")
    y, accepted = data.arrays.test_y, data.accepted
    used = np.unique(y if accepted is None else accepted[accepted >= 0]).tolist()
    if unknown := [names[k] for k in used if names[k] not in places]:
        raise ValueError(
            f"classes lacks {len(unknown)} of the data's names, such as {unknown[0]!r}: give the "
            "network's classes by the names of the class folders, in the order of its outputs"
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
    """The data set with this mean and sd, where they are given; ``ValueError`` unless there is one
    for each channel, and the sd is positive."""
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
            f"which output is which class cannot be told; {empty}give classes=[...], the names of "
            f"all {outputs} in the order of the outputs"
        )
    raise ValueError(f"{data} has {classes} {unit}, the network gives {outputs} logits: {advice}")


def _none(folder: Path, name: str) -> Any:
    raise MissingDataset(f"{name} is somebody's own: nothing fetches it")
