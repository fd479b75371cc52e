"""Folders of images with a name in ``DATASETS``: where they lie, and what is in them.

In this module an *entry* is the `ImageFolderDataset` of a name.
"""

import os
import shutil
import tempfile
from dataclasses import replace
from pathlib import Path

from nslab.datasets import several_labels
from nslab.datasets.catalogue import ImageFolderDataset
from nslab.datasets.digit_folders import RECIPE
from nslab.datasets.folder_files import subfolders
from nslab.datasets.image_folder import (
    TESTS,
    Listing,
    kept,
    read_tree,
    split_root,
    tell,
)
from nslab.datasets.imagenet_tree import inner, key_file, read_imagenet
from nslab.datasets.sources import MissingDataset
from nslab.system.code_digest import code_digest, is_own
from nslab.system.files import STRAY, write_text
from nslab.system.locks import locked
from nslab.system.paths import cache_dir, home_cache_dir
from nslab.system.seals import sealed_json, set_aside, unsealed_json

MARK = ".made.json"  # the file in which nslab records what it wrote into a folder
EXPECTED = {
    "classes": "CLASS/image, or train/CLASS/image beside test/ or val/",
    "imagenet": "train/WNID/image and val/WNID/image",
    "labels": several_labels.FORM,
}


def candidates(entry: ImageFolderDataset, folder: Path | None) -> list[Path]:
    """The folders where the images of an entry may lie, in the order in which they are tried."""
    bases = dict.fromkeys((folder or cache_dir(), home_cache_dir()))
    return [base / place for base in bases for place in entry.places]


def place_of(entry: ImageFolderDataset, folder: Path | None = None) -> Path | None:
    """The folder that holds the images of an entry; None if there is none."""
    for place in candidates(entry, folder):
        if not os.path.isdir(place):
            continue
        found = inner(place) if entry.form == "imagenet" else place
        if found and (subfolders(found) or entry.form == "labels"):
            return found
    return None


def found(name: str, entry: ImageFolderDataset, folder: Path | None = None) -> Listing | None:
    """The images of an entry; None if they are not here.

    Raises ``ValueError`` for a folder that does not match the entry, see `listing`.
    """
    place = place_of(entry, folder)
    return listing(name, entry, place) if place else None


def present(name: str, entry: ImageFolderDataset, folder: Path | None = None) -> Listing:
    """The images of an entry, made first if nslab can make them; `MissingDataset` if they are not
    here."""
    if entry.make:
        made(name, entry, folder)
    if there := found(name, entry, folder):
        return there
    raise MissingDataset(absence(name, entry, folder))


def absence(name: str, entry: ImageFolderDataset, folder: Path | None) -> str:
    """The message for missing images: where they were looked for, and what to do."""
    bases = dict.fromkeys((folder or cache_dir(), home_cache_dir()))
    looked = f"looked in {' and '.join(map(str, bases))} for {', '.join(entry.places)}"
    expected = EXPECTED[entry.form]
    if odd := [place for place in candidates(entry, folder) if os.path.isdir(place)]:
        looked += f", and {odd[0]} holds no such folders"
    elif entry.form == "imagenet" and (own := next(filter(inner, bases), None)):
        looked += f"; {own} itself has train or val: set NSLAB_DATA to the folder that holds it"
    return (
        f"data set {name!r} is a folder of images, {expected}, and is not here: {looked}. Put it "
        "there, or a link to it, or set NSLAB_DATA to the folder that holds it; images anywhere "
        "else are folder:PATH"
    )


def listing(name: str, entry: ImageFolderDataset, place: Path, *, quiet: bool = False) -> Listing:
    """The images in the folder ``place``, checked against the entry.

    Warns of whatever is odd, unless ``quiet``. Raises ``ValueError`` for another number of classes,
    and for files that cannot be used.
    """
    classes = entry.layout.num_classes

    def read() -> Listing:
        if entry.form == "imagenet":
            there = read_imagenet(place, classes, name)
        elif entry.form == "labels":
            there = several_labels.read_labelled(place, entry.classes)
        else:
            root = split_root(place)
            if (count := len(subfolders(root or place))) != classes:
                raise ValueError(
                    f"{root or place} has {count} class folders, and {name} has {classes} classes, "
                    f"one folder each: {EXPECTED[entry.form]}. Another set is folder:{place}"
                )
            there = read_tree(place, root, TESTS)
        if entry.whole:
            every = there.train[0] + there.test[0], there.train[1] + there.test[1]
            there = replace(there, train=every, test=every)
        if said := difference(entry, there):
            there = replace(there, remarks=(*there.remarks, f"{name} {said}"))
        if not quiet:
            tell(place, there)
        return there

    beside = several_labels.labels_file(place) if entry.form == "labels" else key_file(place)
    files = [beside] if beside and entry.form != "classes" else []
    return kept(f"{name} {entry.form} {classes} {entry.whole}", place, read, *files)


def difference(entry: ImageFolderDataset, there: Listing) -> str:
    """How the numbers of images differ from the published ones; empty if they do not."""
    layout, train, test = entry.layout, len(there.train[0]), len(there.test[0])
    if entry.whole:
        here, published = f"{train:,}", f"{layout.train:,}"
    elif entry.form == "classes":
        here, published = f"{train + test:,}", f"{layout.train + layout.test:,}"
    else:
        here, published = f"{train:,} + {test:,}", f"{layout.train:,} + {layout.test:,}"
    return "" if here == published else f"is published with {published} images, but {here} are here"


def digest_of(name: str, entry: ImageFolderDataset) -> str:
    """The digest of an entry's data here: of the names and sizes of the files, or of the pixels if
    nslab made them, since other machines may encode them differently. Empty if there are none, or
    they cannot be used."""
    try:
        if not (place := place_of(entry)):
            return ""
        there = listing(name, entry, place)
        mark = _mark(place) if entry.make else {}
    except ValueError:  # loading the data raises it again
        return ""
    as_made = mark.get("files") == there.digest and mark.get("recipe") in ("", recipe(entry))
    return str(mark["pixels"]) if as_made else there.digest


def made(name: str, entry: ImageFolderDataset, folder: Path | None = None) -> None:
    """Write the folder of an entry that nslab makes, unless it is here, unchanged since."""
    base = folder or cache_dir()
    places = dict.fromkeys((base, home_cache_dir()))
    if any(_whole(name, entry, place / entry.places[0]) for place in places):
        return
    if base.is_dir() and not os.access(base, os.W_OK):
        base = home_cache_dir()
    target, safe = base / entry.places[0], name.replace("/", "-")
    with locked(base / f".{safe}.lock", f"data set {name} is being made by another process"):
        if _whole(name, entry, target):
            return
        for stray in base.glob(f".{safe}.*{STRAY}"):
            shutil.rmtree(stray, ignore_errors=True)
        if target.exists():
            set_aside(target, "has changed since it was made, and is made again")
        part = Path(tempfile.mkdtemp(STRAY, f".{safe}.", base))
        try:
            part.chmod(0o755)
            assert entry.make is not None
            code = recipe(entry)
            mark = {"pixels": entry.make(part)}
            # If running the code changed its own digest (it holds a value that it changes), the
            # digest identifies nothing: leave it out.
            mark["recipe"] = code if recipe(entry) == code else ""
            mark["files"] = listing(name, entry, part, quiet=True).digest
            write_text(part / MARK, sealed_json(mark))
            target.parent.mkdir(parents=True, exist_ok=True)
            part.rename(target)
        finally:
            shutil.rmtree(part, ignore_errors=True)


def recipe(entry: ImageFolderDataset) -> str:
    """A string that changes with the code of ``make``: its digest, or nslab's own ``RECIPE``."""
    try:
        return code_digest(entry.make) if is_own(entry.make) else str(RECIPE)
    except ValueError:  # a value that the function encloses has no digest
        return ""


def _whole(name: str, entry: ImageFolderDataset, place: Path) -> bool:
    """Whether a folder is there as nslab wrote it, by the same code."""
    if not os.path.isdir(place):
        return False
    try:
        files, mark = listing(name, entry, place, quiet=True).digest, _mark(place)
        return mark["recipe"] in ("", recipe(entry)) and mark["files"] == files
    except (ValueError, LookupError):
        return False


def _mark(place: Path) -> dict:
    try:
        return unsealed_json((place / MARK).read_bytes())[0]
    except OSError:
        return {}
