"""Fast listing of the files below class folders: names and sizes; no file is opened.

ImageNet has 1.3 million files, often on disks where every system call takes time: each folder is
read once, and the size of each file is asked for once.
"""

import os
import stat
from dataclasses import dataclass, field
from pathlib import Path
from typing import NoReturn, Protocol

IMAGES = (".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".pgm", ".tif", ".tiff", ".webp")
HIDDEN = (".", "__", "$", "@eaDir")  # prefixes of folders that operating systems and tools make
SYSTEM = ("thumbs.db", "desktop.ini", "icon\r")  # files that operating systems leave in folders


class Digest(Protocol):
    """An object that takes in bytes, such as those of `hashlib`."""

    def update(self, data: bytes, /) -> None: ...


@dataclass
class FileCount:
    """Files of one kind that a listing skipped: how many, and the first one's path."""

    count: int = 0
    first: str = ""

    def add(self, path: str) -> None:
        """Count one more."""
        self.count, self.first = self.count + 1, self.first or path


@dataclass
class SkippedFiles:
    """Files that a listing skipped: those that are not images, and images of 0 bytes."""

    other: FileCount = field(default_factory=FileCount)
    hollow: FileCount = field(default_factory=FileCount)


def is_image(name: str) -> bool:
    """Whether a file's name is that of an image."""
    return name.lower().endswith(IMAGES) and not name.startswith(".")


def subfolders(folder: Path) -> dict[str, Path]:
    """Name -> path of the folders in a folder, sorted by name, without hidden ones."""
    with os.scandir(folder) as entries:
        found = sorted(entry.name for entry in entries if entry.is_dir())
    return {name: folder / name for name in found if not name.startswith(HIDDEN)}


def images_of(
    root: Path, classes: tuple[str, ...], digest: Digest, passed: SkippedFiles
) -> tuple[list[str], list[int]]:
    """Paths and labels of the images below the class folders, sorted by name.

    ``digest`` takes in names and sizes, ``passed`` the files that are skipped. Links are followed,
    but no folder is entered twice. Raises ``ValueError`` naming a folder or file that cannot be
    read.
    """
    files: list[str] = []
    labels: list[int] = []
    seen: set[str] = set()  # links may form circles
    for label, name in enumerate(classes):
        if not (root / name).is_dir():
            continue  # a class without test images
        todo = [name]  # stack of folders, relative to root
        while todo:
            place = todo.pop()
            path = os.path.join(root, *filter(None, place.split("/")))
            real = os.path.realpath(path)
            if real in seen:
                continue
            seen.add(real)
            folders, images = scan_folder(path, passed)
            digest.update(os.fsencode("".join(f"\0{place}/{f}\0{size}" for f, size in images)))
            files += [f"{path}{os.sep}{file}" for file, _ in images]
            labels += [label] * len(images)
            todo += [f"{place}/{folder}" for folder in reversed(folders)]
    return files, labels


def scan_folder(path: str, passed: SkippedFiles) -> tuple[list[str], list[tuple[str, int]]]:
    """Folders in a folder, and images with their sizes in bytes, both sorted by name; ``passed``
    takes in the files that are skipped."""
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
                    if not stat.S_ISREG(about.st_mode):  # opening a pipe would block
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
    """Raise ``ValueError`` naming the folder or file that cannot be read."""
    raise ValueError(f"{error.filename} cannot be read: {error.strerror}") from None


def remarks(classes: tuple[str, ...], full: set[int], passed: SkippedFiles) -> tuple[str, ...]:
    """Sentences on what is odd about a folder.

    ``full`` holds the labels of classes that have images, ``passed`` the files that were skipped.
    """
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
