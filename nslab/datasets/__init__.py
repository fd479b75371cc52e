"""Data sets by name: ``load(name)`` reads a checked array file, making it at first use.

A name is a key of ``DATASETS``; ``folder:PATH`` for a folder of images, see
`nslab.datasets.image_folder`; or what `nslab.datasets.own_arrays.add_arrays` gave.

>>> DATASETS["cifar10"].shape, DATASETS["cifar10"].classes[0]
((3, 32, 32), 'airplane')
"""

import dataclasses
import functools
import hashlib
import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from nslab.datasets import image_folder, own_arrays
from nslab.datasets.arrays import (
    Arrays,
    CorruptDataset,
    Layout,
    arrays_digest,
    maker_of,
    read_arrays,
    write_arrays,
)
from nslab.datasets.catalogue import DATASETS, Dataset
from nslab.datasets.sources import MissingDataset
from nslab.datasets.variants import LabelNoise, held_out, long_tail, noisy_labels
from nslab.system.code_digest import code_digest, is_own
from nslab.system.content_names import parts_of, short_name
from nslab.system.files import remove_strays
from nslab.system.locks import locked
from nslab.system.paths import cache_dir, home_cache_dir
from nslab.system.seals import set_aside
from nslab.system.validation import unknown
from nslab.types import DataInfo


@dataclass(frozen=True)
class ImageData:
    """A loaded data set."""

    name: str
    dataset: Dataset
    arrays: Arrays
    mislabelled: np.ndarray | None = None  # of a noisy training set: which labels are wrong
    held: tuple[np.ndarray, np.ndarray] | None = None  # images and labels kept out of training

    @property
    def info(self) -> DataInfo:
        """What a method may know of the training set."""
        labels = torch.from_numpy(np.ascontiguousarray(self.arrays.train_y))
        return DataInfo.of(labels, self.dataset.layout.num_classes)

    def variant(
        self,
        imbalance: float = 1.0,
        noise: LabelNoise = "none",
        noise_rate: float = 0.0,
        hold_out: int = 0,
        train_size: int = 0,
    ) -> "ImageData":
        """The same with another training set: first samples are held out, then so many of the
        others taken (0: all), then comes the long tail, then wrong labels. What is held out keeps
        its classes and labels."""
        arrays, classes, wrong, held = self.arrays, self.dataset.layout.num_classes, None, None
        if hold_out:
            stay, out = (part.numpy() for part in held_out(len(arrays.train_y), hold_out))
            held = arrays.train_x[out], arrays.train_y[out]
            arrays = arrays._replace(train_x=arrays.train_x[stay], train_y=arrays.train_y[stay])
        if train_size:
            _, part = held_out(len(arrays.train_y), train_size)
            arrays = arrays._replace(train_x=arrays.train_x[part], train_y=arrays.train_y[part])
        if imbalance != 1:
            kept = long_tail(torch.tensor(arrays.train_y), classes, imbalance).numpy()
            arrays = arrays._replace(train_x=arrays.train_x[kept], train_y=arrays.train_y[kept])
        if noise != "none":
            labels = noisy_labels(torch.tensor(arrays.train_y), classes, noise, noise_rate)
            wrong = labels.numpy() != arrays.train_y
            arrays = arrays._replace(train_y=labels.numpy())
        return dataclasses.replace(self, arrays=arrays, mislabelled=wrong, held=held)


def resolved(name: str) -> str:
    """The name as a run keeps it: that of a folder has its absolute path and a digest.

    Raises ``ValueError`` for an unknown name and a folder without images of classes.
    """
    if name.startswith(image_folder.PREFIX):
        return image_folder.resolved(name)
    if name in DATASETS or parts_of(name):
        return name
    hint = f"; a folder of images is folder:{name}" if os.path.isdir(name) else ""
    raise unknown("data set", name, DATASETS, f", and folder:PATH{hint}")


def dataset_of(name: str, image_size: int = 0) -> Dataset:
    """What is known of a data set without loading it, see `load` for names and errors.

    ``image_size``: side of a folder's images; 0: 224.
    """
    name = resolved(name)
    if name in DATASETS:
        return DATASETS[name]
    kind, where, digest = parts_of(name) or ("", "", "")
    if kind == "arrays":
        return Dataset(**own_arrays.description(where, digest), fetch=_unfetched)
    if kind != "folder":
        raise ValueError(f"unknown data set {name!r}: nothing here reads {kind}")
    found = _found(where, digest)
    side = image_size or image_folder.SIZE
    layout = Layout(len(found.train[0]), len(found.test[0]), (side, side, 3), len(found.classes))
    return Dataset(layout, image_folder.MEAN, image_folder.STD, found.classes, _unfetched)


def _found(where: str, digest: str) -> image_folder.Listing:
    """The images of a folder, if they are those of the digest."""
    folder = Path(where)
    if not os.path.isdir(folder):
        raise MissingDataset(
            f"the folder {where} is not there: put it back, or name the place it is at now; the "
            "same files are the same data wherever they lie"
        )
    found = image_folder.listing(folder)
    if not found.digest.startswith(digest):
        raise ValueError(
            f"the images in {where} are no longer those of {short_name(f'folder:{where}#{digest}')}"
            f": there are {len(found.train[0]) + len(found.test[0])} now. To run on them as they "
            f"are, name the data folder:{where}"
        )
    return found


def _unfetched(folder: Path, name: str) -> Arrays:
    raise MissingDataset(f"{name} is somebody's own: nothing fetches it")


def load(name: str, folder: Path | None = None, image_size: int = 0) -> ImageData:
    """Load a data set from ``folder`` (default: ``NSLAB_DATA``, else ``data/cache``); where that is
    read-only, what is made of its files goes to ``data/cache``.

    Of a folder of images (``folder:PATH``) the files are listed; ``image_size`` is their side.
    Raises ``ValueError`` for an unknown name, `MissingDataset` and `CorruptDataset` with advice.

    >>> digits = load("digits")
    >>> digits.arrays.train_x.shape, digits.info.num_classes
    ((1294, 32, 32, 1), 10)
    """
    name = resolved(name)
    dataset, folder = dataset_of(name, image_size), folder or cache_dir()
    if name not in DATASETS:
        kind, where, digest = parts_of(name) or ("", "", "")
        own = own_arrays.read(digest) if kind == "arrays" else _found(where, digest).arrays()
        return ImageData(name, dataset, own)
    file, maker = array_file(name, folder), maker_digest(dataset)
    if not file.exists() or (maker and maker_of(file) not in ("", maker)):
        folder, source = file.parent, folder
        busy = f"data set {name} is being made by another process"
        with locked(folder / f".{name}.lock", busy):
            remove_strays(folder, file.name)
            if maker and file.exists() and maker_of(file) not in ("", maker):
                set_aside(file, f"was made by other code of data set {name!r} and is made anew")
            if not file.exists():
                try:
                    arrays = dataset.fetch(source, name)
                except MissingDataset:
                    if source == folder:
                        raise
                    arrays = dataset.fetch(folder, name)
                if problem := dataset.layout.problem(arrays):
                    raise CorruptDataset(
                        f"the files of data set {name!r} in {source} are wrong: {problem}. "
                        "Remove them, then fetch them again."
                    )
                # code that holds something it changes would be other code the next time
                write_arrays(file, arrays, maker if maker_digest(dataset) == maker else "")
    return ImageData(name, dataset, read_arrays(file, dataset.layout))


def array_file(name: str, folder: Path | None = None) -> Path:
    """Where the arrays of a data set of ``DATASETS`` lie, or are put when they are first needed."""
    folder = folder or cache_dir()
    file = folder / f"{name}.npz"
    if not file.exists() and folder.is_dir() and not os.access(folder, os.W_OK):
        file = home_cache_dir() / file.name
    return file


def maker_digest(dataset: Dataset) -> str:
    """The digest of the code that makes a data set that is not nslab's own; else empty."""
    try:
        return code_digest(dataset.fetch) if is_own(dataset.fetch) else ""
    except ValueError:  # it encloses what does not show what it holds
        return ""


def data_digest(name: str) -> str | None:
    """SHA-256 of the arrays of a data set of ``DATASETS`` and of how they are normalised; None if
    they are not here, or the name says their digest already."""
    if name not in DATASETS:
        return None
    dataset, file = DATASETS[name], array_file(name)
    maker = maker_digest(dataset)
    if maker and (not file.exists() or maker_of(file) not in ("", maker)):
        with suppress(MissingDataset):
            load(name)
    if not file.exists():
        return None
    about = file.stat()
    digest = _file_digest(file, about.st_mtime_ns, about.st_size, about.st_ino, dataset.layout)
    if not digest:
        return None
    normalised = f"{digest} {dataset.mean} {dataset.std}"
    return hashlib.sha256(normalised.encode()).hexdigest()


@functools.lru_cache(maxsize=64)
def _file_digest(file: Path, mtime: int, size: int, inode: int, layout: Layout) -> str:
    try:
        return arrays_digest(read_arrays(file, layout))
    except CorruptDataset:  # said when it is loaded
        return ""


def provenance_of(name: str, image_size: int = 0) -> dict[str, object]:
    """What is written down of somebody's own data; nothing of a data set of ``DATASETS``."""
    if (parts := parts_of(name)) is None:
        return {}
    layout = dataset_of(name, image_size).layout
    found = dict(zip(("kind", "where", "digest"), parts, strict=True))
    return found | {"classes": layout.num_classes, "train": layout.train, "test": layout.test}


__all__ = [
    "DATASETS",
    "CorruptDataset",
    "Dataset",
    "ImageData",
    "MissingDataset",
    "data_digest",
    "dataset_of",
    "load",
    "provenance_of",
    "resolved",
]
