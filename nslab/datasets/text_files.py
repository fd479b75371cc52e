"""Texts in files: CSV files, also compressed, or one text file per text in class folders; as files
or in an archive, which is not unpacked onto the disk.

A *place* is the path of such a file, folder or archive."""

import hashlib
import io
import lzma
import os
import re
import tarfile
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from nslab.datasets.catalogue import TextDataset
from nslab.datasets.image_folder import Listing, one_in_five

LABELS = ("label", "class", "category", "class index", "sentiment", "target")
TEXTS = ("text", "description", "review", "content", "sentence")
FORM = (
    "a CSV whose first line names the columns, among them label and text, or a folder with such a "
    "train.csv and test.csv; .gz, .xz and .bz2 are read too"
)
SPLITS = ("train", "test")
ARCHIVES = (".tar.gz", ".tgz", ".tar", ".tar.xz", ".tar.bz2")
_CSV = re.compile(r"(train|test)[^/]*\.csv(\.gz|\.xz|\.bz2)?")
# names that begin with a dot are files of the operating system
_TXT = re.compile(r"(train|test)/([^/.][^/]*)/[^/.][^/]*\.txt")
Rows = tuple[list[str], list[str]]  # texts, and labels as the file has them


@dataclass
class _Found:
    """What lies in a place, by split: CSV files (name and bytes), and text files with the names of
    their class folders."""

    tables: dict[str, tuple[str, bytes]] = field(default_factory=dict)
    files: dict[str, Rows] = field(default_factory=dict)


def read_texts(place: Path, entry: TextDataset) -> Listing:
    """The texts in a CSV file, a folder or an archive, in the order of the files. Without a test
    split, one text in five of each class is tested on.

    ``entry`` gives the data set's classes and columns, if they are known. Raises ``ValueError`` for
    anything else, saying what is expected.
    """
    try:
        rows = _rows(place, entry)
    except (OSError, EOFError, zlib.error, lzma.LZMAError, tarfile.TarError) as error:
        raise ValueError(
            f"{place} is damaged or incomplete ({error}): fetch or copy it again"
        ) from None
    if bare := [split for split, (texts, _) in rows.items() if not texts]:
        raise ValueError(f"{place} has no {bare[0]} texts: one line per text is expected in {FORM}")
    classes, labels = numbered(place, {split: labels for split, (_, labels) in rows.items()}, entry)
    texts = {split: found for split, (found, _) in rows.items()}
    whole = {split: (texts[split], labels[split]) for split in texts}
    if "test" not in whole:
        test, train = one_in_five(*whole["train"])
        whole = {"train": train, "test": test}
    if not whole["train"][0] or not whole["test"][0] or len(classes) < 2:
        raise ValueError(
            f"{place} has {len(whole['train'][0])} texts to train on, {len(whole['test'][0])} to "
            f"test on and {len(classes)} classes: at least two classes, with two texts each, are "
            f"expected in {FORM}"
        )
    empty = sum(not text.strip() for split in whole.values() for text in split[0])
    said = (f"{empty} texts are empty",) if empty else ()
    return Listing(classes, whole["train"], whole["test"], digest_of(classes, whole), remarks=said)


def digest_of(classes: Sequence[str], whole: dict[str, tuple[list[str], list[int]]]) -> str:
    """SHA-256 of class names, texts and labels, whichever files hold them."""
    digest = hashlib.sha256("\0".join(classes).encode())
    for split in SPLITS:
        texts, labels = whole[split]
        lengths = np.fromiter(map(len, texts), np.int64, len(texts))
        digest.update(lengths.tobytes() + np.array(labels, np.int64).tobytes())
        digest.update("".join(texts).encode("utf-8", "surrogatepass"))
    return digest.hexdigest()


def stamp(place: Path) -> tuple:
    """Paths, times of change, sizes and inodes of the files of a place; of class folders those of
    the folders. If it is unchanged, so are the files (text files edited in place excepted)."""
    if place.is_file():
        return _stat(place)
    inside = [path for split in SPLITS if (path := place / split).is_dir()]
    folders = [path for outer in inside for path in sorted(outer.iterdir()) if path.is_dir()]
    tables = [path for path in sorted(place.iterdir()) if _CSV.fullmatch(path.name.lower())]
    return tuple(_stat(path) for path in (*tables, *inside, *folders))


def _stat(path: Path) -> tuple:
    about = path.stat()
    return str(path), about.st_mtime_ns, about.st_size, about.st_ino


def has_texts(place: Path) -> bool:
    """Whether a place seems to hold texts, by the names of its files."""
    if place.is_file():
        return place.name.lower().endswith(ARCHIVES)
    if not place.is_dir():
        return False
    names = {path.name.lower() for path in place.iterdir()}
    return any(map(_CSV.fullmatch, names)) or set(SPLITS) <= names


def sets_apart(place: Path) -> bool:
    """Whether a place has a test split; an archive is assumed to have one."""
    if place.is_file():
        return place.name.lower().endswith(ARCHIVES)
    names = [path.name.lower() for path in place.iterdir()]
    return "test" in names or any((m := _CSV.fullmatch(n)) and m[1] == "test" for n in names)


def _rows(place: Path, entry: TextDataset) -> dict[str, Rows]:
    """Texts and labels, as written, of each split that is there."""
    if not place.exists():
        raise ValueError(f"{place} is not there: it must be {FORM}")
    if place.is_file() and not place.name.lower().endswith(ARCHIVES):
        return {"train": read_table(place.name, place.read_bytes(), entry)}
    found = _gathered(_members(place), place)
    rows = {split: read_table(*table, entry) for split, table in found.tables.items()}
    rows = rows or found.files
    if "train" not in rows:
        raise ValueError(f"{place} has no texts to train on: it must be {FORM}")
    return rows


def _members(place: Path) -> Iterator[tuple[str, Any]]:
    """Names of the files in a folder or archive, relative to it, and a function that reads each."""
    if place.is_file():
        with tarfile.open(place) as archive:
            for member in archive:
                if member.isfile() and (opened := archive.extractfile(member)):
                    name = member.name.removeprefix("./")
                    yield name.partition("/")[2] or name, opened.read
        return
    folders = [place, *(place / split for split in SPLITS)]
    folders += [p for f in folders[1:] if f.is_dir() for p in sorted(f.iterdir()) if p.is_dir()]
    for folder in (f for f in folders if f.is_dir()):
        for name in sorted(os.listdir(folder)):
            if name.lower().endswith((".txt", ".csv", ".gz", ".xz", ".bz2")):
                file = folder / name
                yield file.relative_to(place).as_posix(), file.read_bytes


def _gathered(members: Iterable[tuple[str, Any]], place: Path) -> _Found:
    """The CSV and text files among ``members``, see `_members`, sorted by name."""
    found, texts = _Found(), dict[tuple[str, str, str], str]()
    for name, read in members:
        if table := _CSV.fullmatch(name.lower()):
            if other := found.tables.get(table[1]):
                raise ValueError(f"{place} has {other[0]} and {name}: move one of them elsewhere")
            found.tables[table[1]] = name, read()
        elif part := _TXT.fullmatch(name):
            if part[2].startswith("unsup"):  # IMDB's texts without labels
                continue
            texts[part[1], part[2], name] = read().decode("utf-8", "replace")
    for (split, label, _), text in sorted(texts.items()):
        rows = found.files.setdefault(split, ([], []))
        rows[0].append(text)
        rows[1].append(label)
    return found


def read_table(name: str, data: bytes, entry: TextDataset, *, labelled: bool = True) -> Rows:
    """Texts and labels of a CSV file; labels may be missing, and are then blank, unless
    ``labelled``.

    Args:
        name: the file's name, which tells how it is compressed.
        data: its bytes.
        entry: gives the columns of files without a header line.
        labelled: whether every text must have a label.

    Raises ``ValueError`` if the file cannot be read or its columns are unknown.
    """
    ending = name.lower().rpartition(".")[2]
    packed: Any = {"gz": "gzip", "xz": "xz", "bz2": "bz2"}.get(ending)
    try:
        table = pd.read_csv(
            io.BytesIO(data),
            header=None,
            dtype=str,
            keep_default_na=False,
            encoding="utf-8-sig",
            compression=packed,
        )
    except UnicodeDecodeError:
        raise ValueError(f"{name} is not UTF-8: save it as UTF-8") from None
    except ValueError as error:
        raise ValueError(f"{name} cannot be read ({error}): it must be {FORM}") from None
    names = [str(value).strip().casefold() for value in table.iloc[0]]
    label, text = (next((n for n in known if n in names), "") for known in (LABELS, TEXTS))
    if text and (label or not labelled):
        table = table.iloc[1:]
    elif entry.columns and len(names) == len(entry.columns):
        names, label, text = list(entry.columns), "label", "text"
    else:
        raise ValueError(
            f"{name} begins with the line {', '.join(names)[:80]!r}: name the columns there, with "
            "label for the classes and text for the texts"
        )
    table = table.fillna("")  # rows that end early
    texts = table[names.index(text)]
    labels = table[names.index(label)].str.strip() if label else texts.str[:0]
    if label and labelled and (labels == "").any():
        text = texts[labels == ""].iloc[0]
        raise ValueError(f"{name}: {text[:60]!r} has no label: give it one, or take it out")
    if entry.titled and "title" in names:
        texts = table[names.index("title")] + " . " + texts
    return texts.tolist(), labels.tolist()


def in_order(names: set[str]) -> list[str]:
    """Labels sorted; by value if all are numbers.

    >>> in_order({"10", "9"}), in_order({"b", "a"})
    (['9', '10'], ['a', 'b'])
    """
    return sorted(names, key=int if all(name.isdecimal() for name in names) else None)


def numbered(
    place: Path, written: dict[str, list[str]], entry: TextDataset
) -> tuple[tuple[str, ...], dict[str, list[int]]]:
    """Class names, and labels as numbers from 0, by split.

    If ``entry`` has class names, ``written`` labels may be numbers from 0 or from 1, the names, or
    the beginnings of names; otherwise the labels of the training texts are the classes. Raises
    ``ValueError`` for labels that fit no class.
    """
    if not entry.classes:
        known = {split: set(labels) for split, labels in written.items()}
        if more := known.get("test", set()) - known["train"]:
            raise ValueError(
                f"{place}: test texts have the label {min(more)!r}, which no training text has: "
                "add such training texts, or take the test texts out"
            )
        names = known["train"]
        classes = tuple(in_order(names))
        places = {name: k for k, name in enumerate(classes)}
        return classes, {s: [places[label] for label in labels] for s, labels in written.items()}
    numbers = {}
    for split, labels in written.items():
        places = {label: _place(label, entry.classes) for label in set(labels)}
        first = int(min(places.values()) == 1 and max(places.values()) == len(entry.classes))
        found = {label: k - first for label, k in places.items()}
        if sorted(found.values()) != list(range(len(entry.classes))):
            raise ValueError(
                f"{place}: {split} labels are {', '.join(sorted(found))}; they must be "
                f"{', '.join(entry.classes)}, or numbers for these, each at least once"
            )
        numbers[split] = [found[label] for label in labels]
    return entry.classes, numbers


def _place(label: str, classes: Sequence[str]) -> int:
    """The number that a label is, or that of the class whose name it begins; -1 for none."""
    if label.isdecimal():
        return int(label)
    given = label.casefold()
    begin = [k for k, name in enumerate(classes) if given and name.casefold().startswith(given)]
    return begin[0] if len(begin) == 1 else -1
