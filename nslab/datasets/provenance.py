"""Provenance of data, as a run records it: digest of the content, path, and classes.

A trained network outlives its data: the record is enough to predict with it when they are gone.
"""

import dataclasses
import functools
import hashlib
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from nslab.datasets import (
    DATASETS,
    CorruptDataset,
    Dataset,
    ImageFolderDataset,
    MissingDataset,
    TextDataset,
    array_file,
    array_sets,
    dataset_of,
    image_folder,
    is_text,
    load,
    maker_digest,
    named_folders,
    sheet_file,
    sheets,
    text_sets,
)
from nslab.datasets.arrays import Layout, arrays_digest, maker_of, read_arrays
from nslab.datasets.catalogue import not_fetched
from nslab.system.content_names import DIGITS, parse_content_name
from nslab.system.files import sha256


def data_digest(name: str) -> str | None:
    """SHA-256 of a data set of ``DATASETS``: of its arrays, or of the digest of its files or texts,
    with the mean and sd that images are normalised by.

    None if the data are not here, or if the name holds a digest already. For a sheet, the digest is
    that of the whole data set.
    """
    if name not in DATASETS:
        return None
    dataset, file = DATASETS[name], array_file(name)
    if isinstance(dataset, TextDataset):
        return text_sets.digest_of(name) or None
    if isinstance(dataset, ImageFolderDataset):
        listed = named_folders.digest_of(name, dataset)
        return _normalised(listed, dataset) if listed else None
    if not file.exists() and (part := sheet_file(name)).exists():
        digest = sheets.whole_digest(part)
        return _normalised(digest, dataset) if digest else None
    maker = maker_digest(dataset)
    if maker and (not file.exists() or maker_of(file) not in ("", maker)):
        with suppress(MissingDataset):
            load(name)
    if not file.exists():
        return None
    about = file.stat()
    digest = _file_digest(file, about.st_mtime_ns, about.st_size, about.st_ino, dataset.layout)
    return _normalised(digest, dataset) if digest else None


def _normalised(digest: str, dataset: Dataset) -> str:
    return hashlib.sha256(f"{digest} {dataset.mean} {dataset.std}".encode()).hexdigest()


@functools.lru_cache(maxsize=64)
def _file_digest(file: Path, mtime: int, size: int, inode: int, layout: Layout) -> str:
    try:
        return arrays_digest(read_arrays(file, layout))
    except CorruptDataset:  # loading the data raises it again
        return ""


def provenance_of(name: str, image_size: int = 0) -> dict[str, object]:
    """The record of a user's own data, a named folder that is here, texts, or a sheet: kind, path,
    digest, and numbers of samples and classes. Empty for any other data set of ``DATASETS``."""
    if is_text(name):
        return text_sets.provenance(name)
    parts, entry = parse_content_name(name), DATASETS.get(name)
    if name in array_sets():
        sheet = sheet_file(name)
        from_sheet = sheet.exists() and not array_file(name).exists()
        parts = ("sheet", str(sheet), sha256(sheet)[:DIGITS]) if from_sheet else None
    if isinstance(entry, ImageFolderDataset):
        where, digest = named_folders.place_of(entry), named_folders.digest_of(name, entry)
        parts = ("folder", str(where), digest[:DIGITS]) if where and digest else None
    if parts is None:
        return {}
    about = dataset_of(name, image_size)
    layout = about.layout
    found: dict[str, object] = dict(zip(("kind", "where", "digest"), parts, strict=True))
    found |= {"classes": layout.num_classes, "train": layout.train, "test": layout.test}
    return found | ({} if name in DATASETS else {"names": about.classes})


def remembered(name: str, written: Mapping[str, Any], image_size: int = 0) -> Dataset | None:
    """Layout and classes of a user's own images or texts, from ``written``, an earlier record by
    `provenance_of`. None if that is of other data, or was written by version 0.2.0 or before,
    which did not record the names of the classes.

    >>> digest = "0123456789ab"
    >>> written = {"digest": digest, "names": ["cat", "dog"], "train": 8, "test": 2}
    >>> remembered(f"folder:/gone#{digest}", written, image_size=32).classes
    ('cat', 'dog')
    """
    kind, _, digest = parse_content_name(name) or ("", "", "")
    if kind not in ("folder", "csv") or "names" not in written or written["digest"] != digest:
        return None
    classes = tuple(written["names"])
    shape: tuple[int, ...] = ()
    if kind == "folder":
        side = image_size or image_folder.SIZE
        shape = (side, side, 3)
    layout = Layout(int(written["train"]), int(written["test"]), shape, len(classes))
    if kind == "csv":
        return dataclasses.replace(text_sets.OWN, layout=layout, classes=classes)
    return Dataset(layout, image_folder.MEAN, image_folder.STD, classes, not_fetched)
