"""Files below a folder's class folders, listed fast: names and sizes, nothing is opened.

A folder in the layout of ImageNet has 1.3 million files, on disks where each question takes time:
every folder is read once and every file's size asked for once.
"""

import os
import stat
from dataclasses import dataclass, field
from pathlib import Path
from typing import NoReturn, Protocol

IMAGES = (".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".pgm", ".tif", ".tiff", ".webp")
HIDDEN = (".", "__", "$", "@eaDir")  # how names of folders begin that systems and tools make
SYSTEM = ("thumbs.db", "desktop.ini", "icon\r")  # what operating systems leave in folders


class Digest(Protocol):
    """What takes in bytes."""

    def update(self, data: bytes, /) -> None: ...


@dataclass
class Odd:
    """Files that a listing passed over: how many, and the first."""

    count: int = 0
    first: str = ""

    def add(self, path: str) -> None:
        """One more."""
        self.count, self.first = self.count + 1, self.first or path


@dataclass
class Passed:
    """What a listing passed over: files that are no images, and images of no bytes."""

    other: Odd = field(default_factory=Odd)
    hollow: Odd = field(default_factory=Odd)


def is_image(name: str) -> bool:
    """Whether a file is taken for an image, by its name."""
    return name.lower().endswith(IMAGES) and not name.startswith(".")


def subfolders(folder: Path) -> dict[str, Path]:
    """Folders in a folder by name, sorted, without hidden ones."""
    with os.scandir(folder) as entries:
        found = sorted(entry.name for entry in entries if entry.is_dir())
    return {name: folder / name for name in found if not name.startswith(HIDDEN)}


def images_of(
    root: Path, classes: tuple[str, ...], digest: Digest, passed: Passed
) -> tuple[list[str], list[int]]:
    """Files and labels below the class folders, in the order of their names; ``digest`` takes in
    names and sizes, ``passed`` what is neither an image nor the system's.

    Links are followed, a folder that was seen before is not entered again. Raises ``ValueError``
    naming a folder or file that cannot be looked at.
    """
    files: list[str] = []
    labels: list[int] = []
    seen: set[str] = set()  # of links that go in circles
    for label, name in enumerate(classes):
        if not (root / name).is_dir():
            continue  # a class that is not tested on
        todo = [name]  # folders, relative to root, the next one last
        while todo:
            place = todo.pop()
            path = os.path.join(root, *filter(None, place.split("/")))
            real = os.path.realpath(path)
            if real in seen:
                continue
            seen.add(real)
            folders, images = looked_through(path, passed)
            digest.update(os.fsencode("".join(f"\0{place}/{f}\0{size}" for f, size in images)))
            files += [f"{path}{os.sep}{file}" for file, _ in images]
            labels += [label] * len(images)
            todo += [f"{place}/{folder}" for folder in reversed(folders)]
    return files, labels


def looked_through(path: str, passed: Passed) -> tuple[list[str], list[tuple[str, int]]]:
    """Folders in a folder, and images with their sizes in bytes; both sorted by name."""
    folders, images = [], []
    try:
        with os.scandir(path) as entries:
            for entry in entries:
                name = entry.name
                if entry.is_dir():
                    if not name.startswith(HIDDEN):
                        folders.append(name)
                elif name.startswith("."):
                    pass
                elif name.lower().endswith(IMAGES):
                    about = entry.stat()
                    if not stat.S_ISREG(about.st_mode):  # a pipe would be waited for
                        passed.other.add(entry.path)
                    elif about.st_size:
                        images.append((name, about.st_size))
                    else:
                        passed.hollow.add(entry.path)
                elif name.lower() not in SYSTEM:
                    passed.other.add(entry.path)
    except OSError as error:
        unreadable(error)
    return sorted(folders), sorted(images)


def unreadable(error: OSError) -> NoReturn:
    """``ValueError`` naming what cannot be looked at."""
    raise ValueError(f"{error.filename} cannot be read: {error.strerror}") from None


def remarks(classes: tuple[str, ...], full: set[int], passed: Passed) -> tuple[str, ...]:
    """What a person should know of a folder that is odd, if anything."""
    said = []
    if empty := [name for k, name in enumerate(classes) if k not in full]:
        said.append(
            f"no images in {len(empty)} of {len(classes)} class folders, such as {empty[0]!r}: "
            "they keep their class number"
        )
    if all(name.isdecimal() for name in classes) and list(classes) != sorted(classes, key=int):
        place = next(k for k, name in enumerate(classes) if int(name) != k)
        said.append(
            f"class folders are numbers, which sort as text: {classes[place]!r} is class {place}; "
            "write 00, 01, ... to have them in order"
        )
    if (odd := passed.hollow).count:
        said.append(
            f"{odd.count} image files are empty (0 bytes) and are skipped, such as {odd.first}"
        )
    if (odd := passed.other).count:
        said.append(f"{odd.count} files are not images and are skipped, such as {odd.first}")
    return tuple(said)
