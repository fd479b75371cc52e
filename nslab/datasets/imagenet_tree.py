"""ImageNet on disk: ``train/wnid/image``, and ``val/wnid/image`` or ``val/image`` with a key.

ImageNet is distributed with all images of ``val`` in one folder, without classes. Their labels are
then read from a file that comes with them: Kaggle's ``LOC_val_solution.csv``, torchvision's
``meta.bin``, or one in the folder ``ILSVRC2012_devkit_t12``. It is looked for beside ``train`` and
``val``, and in up to three folders above.
"""

import csv
import hashlib
import os
from functools import cache
from pathlib import Path

from nslab.datasets.folder_files import SkippedFiles, images_of, remarks, scan_folder, subfolders
from nslab.datasets.image_folder import Listing
from nslab.system.files import read_tensors

INNER = ("", "ILSVRC/Data/CLS-LOC", "Data/CLS-LOC")  # where Kaggle's archive has the folders
SOLUTION, META, DEVKIT = "LOC_val_solution.csv", "meta.bin", "ILSVRC2012_devkit_t12"
KEYS = (SOLUTION, META, f"{DEVKIT}/data/ILSVRC2012_validation_ground_truth.txt")
NO_KEY = (
    "has {images} images without class folders, and no file beside it gives their classes. Sort "
    "them into one folder per wnid, like those of train/ (torchvision's ImageNet class does it "
    f"when it unpacks the archives), or put {SOLUTION} (from Kaggle's copy), {META} (which "
    f"torchvision writes) or {DEVKIT}/ beside the folder"
)


def inner(place: Path) -> Path | None:
    """The folder that holds ``train`` or ``val``, if there is one."""
    for name in INNER:
        if (place / name / "train").is_dir() or (place / name / "val").is_dir():
            return place / name
    return None


def read_imagenet(folder: Path, classes: int, name: str) -> Listing:
    """The images of ``folder``, which has ``train`` and ``val``, or only ``val``.

    ``classes`` is the number of classes expected, ``name`` what messages call the data set. Raises
    ``ValueError`` if ``val`` is missing or empty, has classes that ``train`` lacks, or has images
    of unknown class; and for another number of class folders, before their files are listed.
    """
    train, val = folder / "train", folder / "val"
    if not val.is_dir():
        raise ValueError(f"{folder} has no val: the images to test {name} on are expected there")
    flat, digest, passed = not subfolders(val), hashlib.sha256(), SkippedFiles()
    wnids = tuple(subfolders(train if train.is_dir() else val))
    key: dict[str, str] = {}
    if flat:
        looked = scan_folder(str(val), passed)[1]
        key = key_of(folder)
        if not key:
            raise ValueError(f"{val} " + NO_KEY.format(images=len(looked)))
        wnids = wnids or tuple(sorted(set(key.values())))
    if len(wnids) != classes:
        raise ValueError(
            f"{train if train.is_dir() else val} has {len(wnids):,} class folders, and {name} has "
            f"{classes:,} classes, one folder each. A part of it, or another set, is "
            f"folder:{folder}"
        )
    digest.update(b"\0".join(map(os.fsencode, wnids)))
    files, labels = images_of(train, wnids, digest, passed)
    digest.update(b"\0val")
    if flat:
        numbers = {wnid: k for k, wnid in enumerate(wnids)}
        stems = [(file, size, key.get(os.path.splitext(file)[0])) for file, size in looked]
        if odd := [file for file, _, wnid in stems if wnid not in numbers]:
            raise ValueError(f"{len(odd)} images of {val} have no known class, such as {odd[0]}")
        digest.update(os.fsencode("".join(f"\0{wnid}/{f}\0{size}" for f, size, wnid in stems)))
        test = [str(val / file) for file, _, _ in stems], [numbers[str(w)] for _, _, w in stems]
    else:
        if more := sorted(set(subfolders(val)) - set(wnids)):
            raise ValueError(f"{val} has classes that {train} lacks: {more[0]}, ...")
        test = images_of(val, wnids, digest, passed)
    if not test[0]:
        raise ValueError(f"{val} has no images: those to test {name} on are expected there")
    said = remarks(wnids, {*labels, *test[1]}, passed)
    return Listing(_readable(wnids), (files, labels), test, digest.hexdigest(), remarks=said)


def key_file(folder: Path) -> Path | None:
    """The file that gives the classes of the images of ``val``, in the folder or above it."""
    every = [place / name for place in (folder, *folder.parents[:3]) for name in KEYS]
    return next((file for file in every if file.is_file()), None)


def key_of(folder: Path) -> dict[str, str]:
    """Name without extension -> wnid, for each image of ``val``; empty if there is no key file."""
    file = key_file(folder)
    if file is None:
        return {}
    try:
        if file.name == SOLUTION:
            with file.open(encoding="utf-8", newline="") as opened:
                return {row[0]: row[1].split()[0] for row in list(csv.reader(opened))[1:] if row}
        wnids = read_tensors(file)[1] if file.name == META else _of_devkit(file)
        return {f"ILSVRC2012_val_{k:08}": str(wnid) for k, wnid in enumerate(wnids, 1)}
    except (ValueError, LookupError, TypeError, OSError) as error:
        raise ValueError(
            f"the classes of {folder / 'val'} cannot be read from {file}: {error}. Put a good copy "
            "in its place"
        ) from None


def _of_devkit(truth: Path) -> list[str]:
    """The wnid of each image in order: ``truth`` lists class numbers, and ``meta.mat`` beside it
    gives the wnid of each number."""
    from scipy.io import loadmat

    rows = loadmat(truth.with_name("meta.mat"), squeeze_me=True)["synsets"]
    wnids = {int(row[0]): str(row[1]) for row in rows}
    return [wnids[int(line)] for line in truth.read_text().split()]


@cache
def _readable(wnids: tuple[str, ...]) -> tuple[str, ...]:
    """Readable class names if the classes are those of ImageNet-1k, else the wnids. torchvision
    lists the names in the order of the wnids."""
    if len(wnids) != 1000 or not all(w[:1] == "n" and w[1:].isdecimal() for w in wnids):
        return wnids
    from torchvision.models import ResNet18_Weights

    names = tuple(ResNet18_Weights.IMAGENET1K_V1.meta["categories"])
    return names if len(set(names)) == len(wnids) else wnids
