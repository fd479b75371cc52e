"""Report on a folder of images: what is there, what is odd, and whether images decode."""

import os
import warnings
from collections import Counter
from pathlib import Path

import numpy as np

from nslab.datasets import DATASETS, ImageFolderDataset, image_folder, load, named_folders, resolved
from nslab.datasets.decoding import opened, pool
from nslab.datasets.image_folder import Listing
from nslab.system.content_names import DIGITS, parse_content_name

TRIED = 256  # images that are decoded at most, evenly spaced in the list of files


def report(name: str) -> list[str]:
    """Lines on a named folder or ``folder:PATH``: images of each split, classes, file types,
    digest, and whatever is odd. Some images are decoded as a check.

    Raises ``ValueError`` and `MissingDataset` as `nslab.datasets.load` does, and ``ValueError`` for
    an image that cannot be decoded.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the report has a line for each warning
        name = resolved(name)
        data = load(name)
        if isinstance(entry := DATASETS.get(name), ImageFolderDataset):
            place = named_folders.place_of(entry)
            there = named_folders.present(name, entry)
        else:
            place = Path((parse_content_name(name) or ("", "", ""))[1])
            there = image_folder.listing(place)
    layout = data.dataset.layout
    lines = [
        f"{name}: {layout.train} training and {layout.test} test images, "
        f"{layout.num_classes} classes, in {place}"
    ]
    for split, (files, labels) in (("training", there.train), ("test", there.test)):
        if files:
            lines.append(f"  {split}: {_sizes(labels, layout.num_classes)}; {_kinds(files)}")
    if there.accepted is not None:
        right = (there.accepted >= 0).sum(1)
        lines.append(f"  right labels of an image: {right.min()} to {right.max()}")
    names = data.dataset.classes
    shown = ", ".join(names) if len(names) <= 12 else f"{', '.join(names[:3])}, ..., {names[-1]}"
    tried = _decode_some(there)
    lines.append(f"  classes: {shown}")
    lines.append(f"  digest of the file list {there.digest[:DIGITS]}, {tried} images decoded")
    return lines + [f"  note: {remark}" for remark in there.remarks]


def _sizes(labels: list[int], classes: int) -> str:
    counts = np.bincount(labels, minlength=classes)
    return f"{counts.min()} to {counts.max()} images a class"


def _kinds(files: list[str]) -> str:
    ends = Counter(os.path.splitext(file)[1] for file in files)
    return ", ".join(f"{count} {end}" for end, count in ends.most_common())


def _decode_some(there: Listing) -> int:
    """Decode every n-th image, at most ``TRIED``, and return how many there were."""
    files = there.train[0] + there.test[0]
    some = files[:: -(-len(files) // TRIED)]
    for _ in pool().map(opened, some):
        pass
    return len(some)
