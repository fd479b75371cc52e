"""Folders of images as data sets: ``folder:PATH``, a subfolder for each class.

``PATH/class/image``, or ``PATH/train/class/image`` beside ``PATH/test/class/image`` (or ``val``).
Where no test images are set apart, one in five of each class is, the same for all runs.

The name that a run keeps, ``folder:PATH#DIGEST``, has a digest of the list of files (their names
and sizes). It is the digest that counts: a folder may move, and one that changed is noticed.
"""

import functools
import hashlib
import os
import time
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from nslab.datasets.arrays import Arrays
from nslab.rng import generator
from nslab.system.content_names import content_name, parts_of

PREFIX = "folder:"
SIZE = 224  # pixels a side, unless a run says another
# of ImageNet, which networks for photographs are normalised by
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
IMAGES = (".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".pgm", ".tif", ".tiff", ".webp")
TESTS = ("test", "val", "valid", "validation")
KEPT_SECONDS = 30  # that a listing answers for a folder whose subfolders look unchanged
LAYOUT = "FOLDER/class/image or FOLDER/train/class/image"


@dataclass(frozen=True)
class Listing:
    """The images of a folder: class names, and files with the classes they are of.

    Attributes:
        classes: sorted names of the class folders; an empty one keeps its number.
        train, test: files, as paths, and labels.
        digest: of all names and sizes.
    """

    classes: tuple[str, ...]
    train: tuple[list[str], list[int]]
    test: tuple[list[str], list[int]]
    digest: str

    def arrays(self) -> Arrays:
        """Files in the place of images, and labels."""
        parts = [
            array
            for files, labels in (self.train, self.test)
            for array in (np.array(files, dtype=object), np.array(labels, dtype=np.int64))
        ]
        return Arrays(*parts)


def listing(folder: Path) -> Listing:
    """The images of a folder; ``ValueError`` if it is none that can be used."""
    if not os.path.isdir(folder):
        raise ValueError(f"{folder} is no folder: images are expected as {LAYOUT}")
    outer = subfolders(folder)
    inner = [path for name, path in outer.items() if name in ("train", *TESTS)]
    seen = [folder, *outer.values(), *(p for path in inner for p in subfolders(path).values())]
    times = tuple(path.stat().st_mtime_ns for path in seen)
    return _listing(folder, times, int(time.monotonic() // KEPT_SECONDS))


def resolved(name: str) -> str:
    """``folder:PATH`` with the folder's absolute path and digest; one that has them stays as it is,
    whether or not the folder is there."""
    if parts_of(name):
        return name
    folder = Path(os.path.expanduser(name.removeprefix(PREFIX))).absolute()
    return content_name("folder", folder, listing(folder).digest)


def subfolders(folder: Path) -> dict[str, Path]:
    """Folders in a folder by name, sorted, without hidden ones."""
    found = sorted(entry.name for entry in os.scandir(folder) if entry.is_dir())
    return {name: folder / name for name in found if not name.startswith((".", "__"))}


@functools.lru_cache(maxsize=16)
def _listing(folder: Path, times: tuple[int, ...], turn: int) -> Listing:
    split = (folder / "train").is_dir() and bool(subfolders(folder / "train"))
    root = folder / "train" if split else folder
    classes = tuple(subfolders(root))
    digest = hashlib.sha256("\0".join(classes).encode())
    files, labels = images_of(root, classes, digest)
    full = set(labels)
    empty = [name for k, name in enumerate(classes) if k not in full]
    if not files or len(classes) < 2:
        raise ValueError(
            f"{root} has {len(files)} images in {len(classes)} class folders: at least two classes "
            f"are expected, as {LAYOUT}"
        )
    if empty:
        warnings.warn(
            f"{root}: no images in {len(empty)} of {len(classes)} class folders, such as "
            f"{empty[0]!r}: they keep their number among the classes",
            stacklevel=2,
        )
    for name in TESTS if split else ():
        if (folder / name).is_dir() and (other := tuple(subfolders(folder / name))):
            if more := sorted(set(other) - set(classes)):
                raise ValueError(f"{folder / name} has classes that {root} lacks: {more[0]}, ...")
            digest.update(f"\0{name}".encode())
            test = images_of(folder / name, classes, digest)
            break
    else:
        test, (files, labels) = one_in_five(files, labels)
    if not test[0]:
        raise ValueError(f"{folder} has no images to test on: give each class two or more")
    return Listing(classes, (files, labels), test, digest.hexdigest())


def images_of(
    root: Path, classes: tuple[str, ...], digest: "hashlib._Hash"
) -> tuple[list[str], list[int]]:
    """Files and labels below the class folders, in the order of their names; ``digest`` takes in
    names and sizes."""
    files: list[str] = []
    labels: list[int] = []
    for label, name in enumerate(classes):
        for path, folders, names in os.walk(root / name, followlinks=True):
            folders[:] = sorted(f for f in folders if not f.startswith((".", "__")))
            for file in sorted(names):
                if file.lower().endswith(IMAGES) and not file.startswith("."):
                    whole = os.path.join(path, file)
                    place = Path(whole).relative_to(root).as_posix()
                    digest.update(f"\0{place}\0{os.path.getsize(whole)}".encode())
                    files.append(whole)
                    labels.append(label)
    return files, labels


def one_in_five(
    files: list[str], labels: list[int]
) -> tuple[tuple[list[str], list[int]], tuple[list[str], list[int]]]:
    """Test and training images: of each class one in five, at least one of two, drawn at random by
    the images' order alone."""
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
