"""Folders of images as data sets: ``folder:PATH``, a subfolder for each class.

``PATH/class/image``, or ``PATH/train/class/image`` beside ``PATH/test/class/image`` (or ``val``).
Where no test images are set apart, one in five of each class is, the same for all runs.

The name that a run keeps, ``folder:PATH#DIGEST``, has a digest of the names and sizes of all files,
and of the contents of all (of a folder of up to 256 MB) or of 256 of them. It is the digest that
counts: a folder may move, and one that changed is noticed.
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
HIDDEN = (".", "__", "$", "@eaDir")  # how names of folders begin that systems and tools make
SYSTEM = ("thumbs.db", "desktop.ini", "icon\r")  # what operating systems leave in folders
TESTS = ("test", "val", "valid", "validation")
SMALL, SAMPLE = 2**28, 256  # bytes of a folder that is read whole, files of a larger one
KEPT_SECONDS = 3  # that a listing answers for a folder whose subfolders look unchanged
LAYOUT = "FOLDER/class/image or FOLDER/train/class/image"


@dataclass(frozen=True)
class Listing:
    """The images of a folder: class names, and files with the classes they are of.

    Attributes:
        classes: sorted names of the class folders; an empty one keeps its number.
        train, test: files, as paths, and labels.
        digest: of names, sizes and contents.
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
    if name == PREFIX:
        raise ValueError("folder: needs the path of a folder of images, as folder:PATH")
    folder = Path(os.path.abspath(os.path.expanduser(name.removeprefix(PREFIX))))
    return content_name("folder", folder, listing(folder).digest)


def subfolders(folder: Path) -> dict[str, Path]:
    """Folders in a folder by name, sorted, without hidden ones."""
    found = sorted(entry.name for entry in os.scandir(folder) if entry.is_dir())
    return {name: folder / name for name in found if not name.startswith(HIDDEN)}


def split_root(folder: Path) -> Path | None:
    """``folder/train`` if that holds class folders, and is no class itself."""
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


@functools.lru_cache(maxsize=16)
def _listing(folder: Path, times: tuple[int, ...], turn: int) -> Listing:
    root = split_root(folder) or folder
    classes = tuple(subfolders(root))
    digest, passed = hashlib.sha256(b"\0".join(map(os.fsencode, classes))), list[str]()
    files, labels = images_of(root, classes, digest, passed)
    every = list(files)
    if not files or len(classes) < 2:
        raise ValueError(
            f"{root} has {len(files)} images in {len(classes)} class folders: at least two classes "
            f"are expected, as {LAYOUT}"
        )
    for name in TESTS if root != folder else ():
        if (folder / name).is_dir() and (other := tuple(subfolders(folder / name))):
            if more := sorted(set(other) - set(classes)):
                raise ValueError(f"{folder / name} has classes that {root} lacks: {more[0]}, ...")
            digest.update(f"\0{name}".encode())
            test = images_of(folder / name, classes, digest, passed)
            every += test[0]
            break
    else:
        test, (files, labels) = one_in_five(files, labels)
    if not test[0]:
        raise ValueError(f"{folder} has no images to test on: give each class two or more")
    add_contents(every, digest)
    for remark in remarks(classes, {*labels, *test[1]}, passed):
        warnings.warn(f"{root}: {remark}", stacklevel=2)
    return Listing(classes, (files, labels), test, digest.hexdigest())


def add_contents(files: list[str], digest: "hashlib._Hash") -> None:
    """Have a digest take in what files hold: all of them, or some of many, far apart."""
    if sum(map(os.path.getsize, files)) > SMALL:
        files = files[:: -(-len(files) // SAMPLE)]
    for file in files:
        with open(file, "rb") as opened:
            digest.update(hashlib.file_digest(opened, "sha256").digest())


def remarks(classes: tuple[str, ...], full: set[int], passed: list[str]) -> list[str]:
    """What a person should know of a folder that is odd, if anything."""
    said = []
    if empty := [name for k, name in enumerate(classes) if k not in full]:
        said.append(
            f"no images in {len(empty)} of {len(classes)} class folders, such as {empty[0]!r}: "
            "they keep their number among the classes"
        )
    if all(name.isdecimal() for name in classes) and list(classes) != sorted(classes, key=int):
        place = next(k for k, name in enumerate(classes) if int(name) != k)
        said.append(
            f"class folders are numbers, which sort as text: {classes[place]!r} is class {place}; "
            "write 00, 01, ... to have them in order"
        )
    if passed:
        said.append(f"{len(passed)} files are no images and passed over, such as {passed[0]}")
    return said


def is_image(name: str) -> bool:
    """Whether a file is taken for an image, by its name."""
    return name.lower().endswith(IMAGES) and not name.startswith(".")


def images_of(
    root: Path, classes: tuple[str, ...], digest: "hashlib._Hash", passed: list[str]
) -> tuple[list[str], list[int]]:
    """Files and labels below the class folders, in the order of their names; ``digest`` takes in
    names and sizes, ``passed`` what is neither an image nor the system's.

    Raises ``ValueError`` naming a folder or file that cannot be looked at.
    """
    files: list[str] = []
    labels: list[int] = []
    seen: set[str] = set()  # of links that go in circles

    def unreadable(error: OSError) -> None:
        raise ValueError(f"{error.filename} cannot be read: {error.strerror}") from None

    for label, name in enumerate(classes):
        if not (root / name).is_dir():
            continue  # a class that is not tested on
        for path, folders, names in os.walk(root / name, onerror=unreadable, followlinks=True):
            real = os.path.realpath(path)
            folders[:] = (
                [] if real in seen else sorted(f for f in folders if not f.startswith(HIDDEN))
            )
            for file in sorted(names) if real not in seen else ():
                whole = os.path.join(path, file)
                if is_image(file):
                    try:
                        size = os.path.getsize(whole)
                    except OSError as error:
                        unreadable(error)
                    place = os.fsencode(os.path.relpath(whole, root).replace(os.sep, "/"))
                    digest.update(b"\0" + place + f"\0{size}".encode())
                    files.append(whole)
                    labels.append(label)
                elif file.lower() not in SYSTEM and not file.startswith("."):
                    passed.append(whole)
            seen.add(real)
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
