"""Folders of images as data sets: ``folder:PATH``, with a subfolder for each class.

The layout is ``PATH/class/image``, or ``PATH/train/class/image`` beside ``PATH/test/class/image``
(or ``val``). Without a folder of test images, one image in five of each class is tested on, the
same in all runs.

A run stores the name ``folder:PATH#DIGEST``. The digest is of the names and sizes of all files, and
of the contents of all of them (in a folder of up to 256 MB) or of about 256. Runs go by the digest:
a folder may move, and a change to its files is noticed.
"""

import hashlib
import os
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch

from nslab.datasets.arrays import Arrays
from nslab.datasets.folder_files import SkippedFiles, images_of, is_image, remarks, subfolders
from nslab.rng import generator
from nslab.system.content_names import content_name, parse_content_name

PREFIX = "folder:"
SIZE = 224  # side of the images in pixels, unless a run sets another
# ImageNet's, by which networks for photographs usually normalise
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
TESTS = ("test", "val", "valid", "validation")
SMALL = 2**28  # bytes up to which the contents of all files are read for the digest
SAMPLE = 256  # of a larger folder, about as many files are read
# A listing is cached for KEPT_SECONDS, or KEPT_TIMES as long as it took if that is more, unless the
# folder or a class folder changes before.
KEPT_SECONDS = 3
KEPT_TIMES = 100
KEPT = 16  # most listings in the cache
LAYOUT = "FOLDER/class/image or FOLDER/train/class/image"


@dataclass(frozen=True)
class Listing:
    """The images of a folder (or texts): class names, and files with their labels.

    Attributes:
        classes: sorted names of the class folders; an empty one keeps its number.
        train, test: paths of the files (or the texts themselves), and labels.
        digest: of names and sizes; for ``folder:PATH`` of contents too.
        accepted: all right labels of each test image, where images have several; int64 (n, most),
            padded with -1.
        remarks: sentences on what is odd, for warnings.
    """

    classes: tuple[str, ...]
    train: tuple[list[str], list[int]]
    test: tuple[list[str], list[int]]
    digest: str
    accepted: np.ndarray | None = field(default=None, compare=False)
    remarks: tuple[str, ...] = ()

    def arrays(self) -> Arrays:
        """Paths (or texts), as object arrays, and labels."""
        parts = [
            array
            for files, labels in (self.train, self.test)
            for array in (np.array(files, dtype=object), np.array(labels, dtype=np.int64))
        ]
        return Arrays(*parts)


@dataclass(frozen=True)
class _Kept:
    times: tuple[int, ...]  # when each folder last changed, in ns
    until: float  # by the monotonic clock, in seconds
    listing: Listing


_KEPT: dict[tuple[str, Path], _Kept] = {}


def listing(folder: Path) -> Listing:
    """The images of a folder; ``ValueError`` if it cannot be used as a data set."""
    if not os.path.isdir(folder):
        raise ValueError(f"{folder} is not a folder: images are expected as {LAYOUT}")

    def read() -> Listing:
        found = read_tree(folder, split_root(folder), TESTS, contents=True)
        tell(folder, found)
        return found

    return kept("own", folder, read)


def kept(kind: str, folder: Path, read: Callable[[], Listing], *files: Path) -> Listing:
    """The cached listing of a folder if neither it, nor its class folders, nor ``files`` have
    changed since; otherwise what ``read`` returns. It is read again every few seconds, or less
    often if that takes long; ``kind`` tells apart listings of one folder read in different ways."""
    outer = subfolders(folder)
    inner = [path for name, path in outer.items() if name in ("train", *TESTS)]
    seen = [folder, *outer.values(), *(p for path in inner for p in subfolders(path).values())]
    times = tuple(os.stat(path).st_mtime_ns for path in (*seen, *files))
    known, began = _KEPT.get((kind, folder)), time.monotonic()
    if known and known.times == times and began < known.until:
        return known.listing
    found = read()
    now = time.monotonic()
    until = now + max(KEPT_SECONDS, KEPT_TIMES * (now - began))
    _KEPT.pop((kind, folder), None)
    _KEPT[kind, folder] = _Kept(times, until, found)
    while len(_KEPT) > KEPT:
        del _KEPT[next(iter(_KEPT))]
    return found


def forget() -> None:
    """Empty the cache of listings."""
    _KEPT.clear()


def resolved(name: str) -> str:
    """``folder:PATH`` with the folder's absolute path and digest. A name that has a digest is
    returned unchanged, whether or not the folder exists."""
    if parse_content_name(name):
        return name
    if name == PREFIX:
        raise ValueError("folder: needs the path of a folder of images, as folder:PATH")
    folder = Path(os.path.abspath(os.path.expanduser(name.removeprefix(PREFIX))))
    return content_name("folder", folder, listing(folder).digest)


def split_root(folder: Path) -> Path | None:
    """``folder/train`` if it holds class folders and is not itself a class; else None.

    Raises ``ValueError`` if it might be either.
    """
    outer = subfolders(folder)
    if "train" not in outer or not (inner := subfolders(outer["train"])):
        return None
    others = [name for name in outer if name not in ("train", *TESTS)]
    if not others:
        return outer["train"]
    if any(map(is_image, os.listdir(outer["train"]))):
        return None
    raise ValueError(
        f"{folder} has train/{next(iter(inner))}, so train looks like a split, and beside it "
        f"{others[0]}, so it looks like a class: move one of them elsewhere"
    )


def read_tree(
    folder: Path, root: Path | None, tests: tuple[str, ...], *, contents: bool = False
) -> Listing:
    """The images of the class folders in ``root``, or in ``folder`` itself if ``root`` is None.

    Test images are those in the first of the folders ``tests`` that exists beside ``root``;
    without one, one in five. With ``contents`` the digest is of contents too. Raises ``ValueError``
    for fewer than two classes, unknown test classes, and if there are no test images.
    """
    split, root = root is not None, root or folder
    classes = tuple(subfolders(root))
    digest, passed = hashlib.sha256(b"\0".join(map(os.fsencode, classes))), SkippedFiles()
    files, labels = images_of(root, classes, digest, passed)
    every = list(files) if contents else []
    if not files or len(classes) < 2:
        raise ValueError(
            f"{root} has {len(files)} images in {len(classes)} class folders: at least two classes "
            f"are expected, as {LAYOUT}"
        )
    for name in tests if split else ():
        if (folder / name).is_dir() and (other := tuple(subfolders(folder / name))):
            if more := sorted(set(other) - set(classes)):
                raise ValueError(f"{folder / name} has classes that {root} lacks: {more[0]}, ...")
            digest.update(f"\0{name}".encode())
            test = images_of(folder / name, classes, digest, passed)
            every += test[0] if contents else []
            break
    else:
        test, (files, labels) = one_in_five(files, labels)
    if not test[0]:
        raise ValueError(f"{folder} has no images to test on: give each class two or more")
    if contents:
        add_contents(every, digest)
    said = remarks(classes, {*labels, *test[1]}, passed)
    return Listing(classes, (files, labels), test, digest.hexdigest(), remarks=said)


def tell(folder: Path, found: Listing) -> None:
    """Warn of what is odd in a folder."""
    for remark in found.remarks:
        warnings.warn(f"{folder}: {remark}", stacklevel=2)


def add_contents(files: list[str], digest: "hashlib._Hash") -> None:
    """Add the contents of files to a digest: of all, or of every n-th if together they are
    large."""
    if sum(map(os.path.getsize, files)) > SMALL:
        files = files[:: -(-len(files) // SAMPLE)]
    for file in files:
        with open(file, "rb") as opened:
            digest.update(hashlib.file_digest(opened, "sha256").digest())


def one_in_five(
    files: list[str], labels: list[int]
) -> tuple[tuple[list[str], list[int]], tuple[list[str], list[int]]]:
    """Test and training images: one in five of each class is tested on, and at least one if the
    class has two or more. The draws depend only on the order of the images."""
    draws, test = generator(0, "folder test"), set[int]()
    by_class: dict[int, list[int]] = {}
    for place, label in enumerate(labels):
        by_class.setdefault(label, []).append(place)
    for places in by_class.values():
        count = max(len(places) // 5, int(len(places) > 1))
        order = torch.randperm(len(places), generator=draws)[:count]
        test |= {places[i] for i in order.tolist()}
    parts = [[i for i in range(len(files)) if (i in test) == wanted] for wanted in (True, False)]
    tests, train = (([files[i] for i in part], [labels[i] for i in part]) for part in parts)
    return tests, train
