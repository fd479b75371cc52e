"""Data sets of texts: those with a name in ``DATASETS``, and ``csv:PATH`` for a user's own.

A run stores the name ``csv:PATH#DIGEST``, with a digest of classes, texts and labels: a file may
move or be compressed, and a change is noticed (for text files in class folders that were edited in
place, by the next process).
"""

import functools
import hashlib
import json
import os
import warnings
from pathlib import Path
from typing import Any

from nslab.datasets import docstrings
from nslab.datasets.arrays import Layout
from nslab.datasets.catalogue import DATASETS, TextDataset
from nslab.datasets.image_folder import Listing
from nslab.datasets.sources import MissingDataset
from nslab.datasets.text_files import FORM, has_texts, read_texts, sets_apart, stamp
from nslab.system.content_names import DIGITS, content_name, parse_content_name, short_name
from nslab.system.files import write_text
from nslab.system.locks import locked
from nslab.system.paths import cache_dir, home_cache_dir
from nslab.system.seals import sealed_json, unsealed_json

PREFIX = "csv:"
RECIPE = 1  # raise it when nslab comes to list the texts that it makes differently
OWN = TextDataset(Layout(0, 0, (), 0))  # the entry of a user's own texts: nothing is known of them

DATASETS |= {
    # Zhang et al. 2015
    "ag_news": TextDataset(
        Layout(120000, 7600, (), 4),
        classes=("World", "Sports", "Business", "Sci/Tech"),
        places=("ag_news", "ag_news_csv", "AG_NEWS", "AG_News", "ag_news_csv.tar.gz"),
        columns=("label", "title", "text"),
        titled=True,
        length=64,
    ),
    # Maas et al. 2011
    "imdb": TextDataset(
        Layout(25000, 25000, (), 2),
        classes=("negative", "positive"),
        places=("imdb", "aclImdb", "IMDB", "aclImdb_v1.tar.gz"),
        length=200,
    ),
    "docstrings": TextDataset(
        Layout(4427, 1103, (), 6),
        classes=tuple(docstrings.LIBRARIES),
        length=32,
        make=docstrings.read_docstrings,
        version=docstrings.versions,
    ),
}


def is_text(name: str) -> bool:
    """Whether a data set holds texts.

    >>> is_text("imdb"), is_text("csv:reviews.csv"), is_text("digits")
    (True, True, False)
    """
    return name.startswith(PREFIX) or isinstance(DATASETS.get(name), TextDataset)


def entry_of(name: str) -> TextDataset:
    """The entry of a data set of texts: what is known of it without reading it."""
    entry = DATASETS.get(name, OWN)
    assert isinstance(entry, TextDataset)
    return entry


def resolved(name: str) -> str:
    """``csv:PATH`` with the file's absolute path and digest; a name that has a digest is unchanged.

    Raises ``ValueError`` for a file that cannot be read as texts.
    """
    if parse_content_name(name):
        return name
    if name == PREFIX:
        raise ValueError(f"csv: needs the path of texts, as csv:PATH; there must be {FORM}")
    place = Path(os.path.abspath(os.path.expanduser(name.removeprefix(PREFIX))))
    return content_name("csv", place, read(place, OWN).digest)


def read(place: Path, entry: TextDataset) -> Listing:
    """The texts in a place, cached while the `stamp` of its files stays the same."""
    return _read(place, stamp(place) if place.exists() else (), entry)


@functools.lru_cache(maxsize=4)
def _read(place: Path, state: tuple, entry: TextDataset) -> Listing:
    found = read_texts(place, entry)
    for remark in found.remarks:
        warnings.warn(f"{place}: {remark}", stacklevel=2)
    return found


def present(name: str, folder: Path | None = None) -> tuple[Path, Listing]:
    """Where the texts of a data set lie, and the texts.

    Raises `MissingDataset` if they are not here, ``ValueError`` if they cannot be read or their
    digest is not that in the name.
    """
    entry = entry_of(name)
    if entry.make:
        return _made(name, entry, folder)
    if name in DATASETS:
        if place := _place(entry, folder):
            return place, read(place, entry)
        raise MissingDataset(_absence(name, entry, folder))
    _, where, digest = parse_content_name(resolved(name)) or ("", "", "")
    place = Path(where)
    if not place.exists():
        raise MissingDataset(
            f"{where} is not there: put it back, or name the place it is at now; the same texts "
            "are the same data wherever they lie"
        )
    found = read(place, entry)
    if not found.digest.startswith(digest):
        raise ValueError(
            f"the texts in {where} are no longer those of {short_name(f'csv:{where}#{digest}')}. "
            f"To run on them as they are, name the data csv:{where}"
        )
    return place, found


def all_to_test_on(name: str) -> bool:
    """Whether ``csv:PATH`` has no test split, so that a network trained on other texts is tested on
    all of its texts."""
    parts = parse_content_name(name)
    return parts is not None and not sets_apart(Path(parts[1]))


def digest_of(name: str) -> str:
    """The digest of a named data set's texts; empty if they are not here, or cannot be read."""
    try:
        return present(name)[1].digest
    except (MissingDataset, ValueError):  # loading the data raises it again
        return ""


def provenance(name: str) -> dict[str, Any]:
    """The record of texts that are here: path, digest, numbers of texts and classes; with the
    published numbers, the versions that the texts come from, or the class names. Empty if the texts
    are not here."""
    try:
        place, found = present(name)
    except MissingDataset:
        return {}
    entry = entry_of(name)
    about: dict[str, Any] = {
        "kind": "csv",
        "where": str(place),
        "digest": found.digest[:DIGITS],
        "classes": len(found.classes),
        "train": len(found.train[0]),
        "test": len(found.test[0]),
    }
    if entry.version:
        about["versions"] = entry.version()
    elif name in DATASETS:
        about["published"] = [entry.layout.train, entry.layout.test]
    else:
        about["names"] = found.classes
    return about


def _bases(folder: Path | None) -> list[Path]:
    return list(dict.fromkeys((folder or cache_dir(), home_cache_dir())))


def _place(entry: TextDataset, folder: Path | None) -> Path | None:
    places = (base / place for base in _bases(folder) for place in entry.places)
    return next(filter(has_texts, places), None)


def _absence(name: str, entry: TextDataset, folder: Path | None) -> str:
    headless = f", or lines of {', '.join(entry.columns)} as released" if entry.columns else ""
    return (
        f"data set {name!r} is not here, and nothing downloads it: looked in "
        f"{' and '.join(map(str, _bases(folder)))} for {', '.join(entry.places)}. Put its archive "
        f"there as released, or a folder with train.csv and test.csv (.gz, .xz, .bz2 too; the "
        f"first line names the columns label and text{headless}), or with train/CLASS/*.txt and "
        "test/CLASS/*.txt; or set NSLAB_DATA to the folder that holds it. Texts anywhere else are "
        "csv:PATH"
    )


def _made(name: str, entry: TextDataset, folder: Path | None) -> tuple[Path, Listing]:
    """The texts of a data set that nslab makes, and the file where they are stored for the
    installed versions; they are made at first use."""
    assert entry.make
    assert entry.version
    version = json.dumps([RECIPE, entry.version()])
    base = folder or cache_dir()
    stem = f"{name}-{hashlib.sha256(version.encode()).hexdigest()[:DIGITS]}.json"
    for place in (base / stem, home_cache_dir() / stem):
        if found := _stored(place, _state(place)):
            return place, found
    if base.is_dir() and not os.access(base, os.W_OK):
        base = home_cache_dir()
    file = base / stem
    with locked(base / f".{name}.lock", f"data set {name} is being made by another process"):
        if not (found := _stored(file, _state(file))):
            made = entry.make()
            whole = {"classes": made.classes, "train": made.train, "test": made.test}
            write_text(file, sealed_json(whole | {"digest": made.digest}))
            found = made
    return file, found


def _state(file: Path) -> tuple:
    """Time of change, size and inode of a file; empty if it does not exist."""
    try:
        about = file.stat()
    except OSError:
        return ()
    return about.st_mtime_ns, about.st_size, about.st_ino


@functools.lru_cache(maxsize=4)
def _stored(file: Path, state: tuple) -> Listing | None:
    """The texts in a file that `_made` wrote; None if it is missing or has changed. ``state`` is
    that of the file, so that the cache notices a change."""
    try:
        found, sealed = unsealed_json(file.read_bytes())
        train, test = (tuple(found[split]) for split in ("train", "test"))
        return Listing(tuple(found["classes"]), train, test, found["digest"]) if sealed else None
    except (OSError, ValueError, LookupError, TypeError):
        return None
