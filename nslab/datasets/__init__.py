"""Data sets by name: ``load(name)`` reads a checked array file, which is made at first use.

A name is a key of ``DATASETS``; ``folder:PATH`` for a folder of images (see
`nslab.datasets.image_folder`); ``csv:PATH`` for texts (see `nslab.datasets.text_sets`); or the
name that `nslab.datasets.own_arrays.add_arrays` returned. Some keys stand for image folders or
texts (see `nslab.datasets.catalogue`).

>>> DATASETS["cifar10"].shape, DATASETS["cifar10"].classes[0]
((3, 32, 32), 'airplane')
"""

import dataclasses
import os
from pathlib import Path

from nslab.datasets import image_folder, named_folders, own_arrays, sheets, text_sets
from nslab.datasets.arrays import (
    Arrays,
    CorruptDataset,
    Layout,
    maker_of,
    read_arrays,
    write_arrays,
)
from nslab.datasets.catalogue import DATASETS, Dataset, ImageFolderDataset, TextDataset
from nslab.datasets.image_data import ImageData
from nslab.datasets.sources import MissingDataset
from nslab.datasets.text_sets import is_text
from nslab.system.code_digest import code_digest, is_own
from nslab.system.content_names import parse_content_name, short_name
from nslab.system.files import remove_strays
from nslab.system.locks import locked
from nslab.system.paths import cache_dir, home_cache_dir
from nslab.system.seals import set_aside
from nslab.system.validation import unknown


def resolved(name: str) -> str:
    """The name as a run stores it; for a folder or file, it holds the absolute path and a digest.

    Raises ``ValueError`` for an unknown name, and for a folder or file that is no data set.
    """
    if name.startswith(image_folder.PREFIX):
        return image_folder.resolved(name)
    if name.startswith(text_sets.PREFIX):
        return text_sets.resolved(name)
    if name in DATASETS or parse_content_name(name):
        return name
    hint = f"; a folder of images is folder:{name}" if os.path.isdir(name) else ""
    raise unknown("data set", name, DATASETS, f", folder:PATH and csv:PATH{hint}")


def is_folder(name: str) -> bool:
    """Whether the images of a data set are files in a folder, which can be prepared at any size.

    >>> is_folder("imagenet"), is_folder("folder:pets"), is_folder("cifar10")
    (True, True, False)
    """
    return name.startswith(image_folder.PREFIX) or isinstance(
        DATASETS.get(name), ImageFolderDataset
    )


def image_side(name: str) -> int:
    """Default side, in pixels, of a folder's prepared images; 0 for other data.

    >>> image_side("imagenet"), image_side("digits_folder"), image_side("cifar10")
    (224, 32, 0)
    """
    if isinstance(entry := DATASETS.get(name), ImageFolderDataset):
        return entry.layout.shape[0]
    return image_folder.SIZE if is_folder(name) else 0


def array_sets() -> tuple[str, ...]:
    """The keys of ``DATASETS`` whose images are arrays in memory."""
    return tuple(name for name in DATASETS if not (is_folder(name) or is_text(name)))


def dataset_of(name: str, image_size: int = 0) -> Dataset:
    """Layout, normalisation and classes of a data set, without loading it; names and errors are
    those of `load`.

    For a named folder that is not here, the published numbers are given. ``image_size`` is the
    side of a folder's images in pixels; 0 stands for that of `image_side`.
    """
    name = resolved(name)
    if name in DATASETS:
        entry = DATASETS[name]
        if not isinstance(entry, ImageFolderDataset):
            return entry
        # a folder that nslab makes always has the entry's numbers: otherwise it is made again
        there = None if entry.make else named_folders.found(name, entry)
        return _seen(entry.of_side(image_size), there) if there else entry.of_side(image_size)
    kind, where, digest = parse_content_name(name) or ("", "", "")
    if kind == "csv":
        return _of_texts(text_sets.OWN, text_sets.present(name)[1])
    if kind == "arrays":
        return Dataset(**own_arrays.description(where, digest), fetch=_unfetched)
    if kind != "folder":
        raise ValueError(
            f"unknown data set {name!r}: its kind {kind!r} is none of folder, csv and arrays"
        )
    found = _found(where, digest)
    side = image_size or image_folder.SIZE
    layout = Layout(len(found.train[0]), len(found.test[0]), (side, side, 3), len(found.classes))
    return Dataset(layout, image_folder.MEAN, image_folder.STD, found.classes, _unfetched)


def _seen(entry: ImageFolderDataset, there: image_folder.Listing) -> Dataset:
    """An entry with the numbers of images and the class names of the files found here."""
    layout = dataclasses.replace(entry.layout, train=len(there.train[0]), test=len(there.test[0]))
    return dataclasses.replace(entry, layout=layout, classes=there.classes)


def _of_texts(entry: TextDataset, there: image_folder.Listing) -> TextDataset:
    """An entry with the numbers of texts and the class names of the files found here."""
    layout = Layout(len(there.train[0]), len(there.test[0]), (), len(there.classes))
    return dataclasses.replace(entry, layout=layout, classes=there.classes)


def _found(where: str, digest: str) -> image_folder.Listing:
    """The images of a folder; raises if it is missing or its digest is not ``digest``."""
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
    raise MissingDataset(f"{name} is your own data set: nothing downloads it")


def load(name: str, folder: Path | None = None, image_size: int = 0) -> ImageData:
    """Load a data set from ``folder`` (default: ``NSLAB_DATA``, else ``data/cache``); if that is
    read-only, files made from it go to ``data/cache``.

    For a folder of images (``folder:PATH``, or a named one) the files are listed; ``image_size`` is
    the side, in pixels, to which they will be resized. If only a sheet of a data set is here
    (`nslab.datasets.sheets`), the sheet is read. Raises ``ValueError`` for an unknown name,
    `MissingDataset` and `CorruptDataset`; their messages say what to do.

    >>> digits = load("digits")
    >>> digits.arrays.train_x.shape, digits.info.num_classes
    ((1294, 32, 32, 1), 10)
    """
    name = resolved(name)
    if is_text(name):
        _, texts = text_sets.present(name, folder)
        return ImageData(name, _of_texts(text_sets.entry_of(name), texts), texts.arrays())
    if isinstance(entry := DATASETS.get(name), ImageFolderDataset):
        there = named_folders.present(name, entry, folder)
        about = _seen(entry.of_side(image_size), there)
        return ImageData(name, about, there.arrays(), accepted=there.accepted)
    dataset, folder = dataset_of(name, image_size), folder or cache_dir()
    if name not in DATASETS:
        kind, where, digest = parse_content_name(name) or ("", "", "")
        own = own_arrays.read(digest) if kind == "arrays" else _found(where, digest).arrays()
        return ImageData(name, dataset, own)
    file, maker = array_file(name, folder), maker_digest(dataset)
    if not file.exists() and (part := sheet_file(name, folder)).exists():
        found = sheets.read_sheet(part, dataset.layout)
        return ImageData(name, dataset, found.arrays, present=found.present)
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
                # If running the code changed its own digest (it holds a value that it changes),
                # the digest identifies nothing: leave it out.
                write_arrays(file, arrays, maker if maker_digest(dataset) == maker else "")
    return ImageData(name, dataset, read_arrays(file, dataset.layout))


def array_file(name: str, folder: Path | None = None) -> Path:
    """The file of a data set's arrays (a key of ``DATASETS``), whether or not it exists yet."""
    folder = folder or cache_dir()
    file = folder / f"{name}.npz"
    if not file.exists() and folder.is_dir() and not os.access(folder, os.W_OK):
        file = home_cache_dir() / file.name
    return file


def sheet_file(name: str, folder: Path | None = None) -> Path:
    """The file of a data set's sheet, the part of it that stands in where the whole is missing."""
    return (folder or cache_dir()) / f"{name}{sheets.SUFFIX}"


def maker_digest(dataset: Dataset) -> str:
    """The digest of the code that makes a data set; empty for a data set that comes with nslab."""
    try:
        return code_digest(dataset.fetch) if is_own(dataset.fetch) else ""
    except ValueError:  # a value that the function encloses has no digest
        return ""


__all__ = [
    "DATASETS",
    "CorruptDataset",
    "Dataset",
    "ImageData",
    "ImageFolderDataset",
    "MissingDataset",
    "TextDataset",
    "array_sets",
    "dataset_of",
    "image_side",
    "is_folder",
    "is_text",
    "load",
    "resolved",
    "sheet_file",
]
