"""Test images with several right labels each: a folder of images and a file of labels.

The file is ``labels.json`` (or the only ``.json`` there), ``{"images/a.png": [3, 7], ...}``; or
``metadata.jsonl``, as for Hugging Face's imagefolder: on each line an object with ``file_name``
and ``label``, a number or a list. Paths are relative to the file, or to ``images/`` beside it.
"""

import hashlib
import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from nslab.datasets.folder_files import SkippedFiles, images_of
from nslab.datasets.image_folder import Listing

JSONL = "metadata.jsonl"
FORM = 'labels.json with {"images/a.png": [3, 7], ...}, or metadata.jsonl'
CONVERT = """
import json, pathlib, pandas
for file in sorted(pathlib.Path(".").rglob("*.parquet")):
    for i, row in pandas.read_parquet(file).iterrows():
        name = f"images/{file.stem}-{i:05}.jpg"
        pathlib.Path("images").mkdir(exist_ok=True)
        pathlib.Path(name).write_bytes(row["image"]["bytes"])
        line = {"file_name": name, "label": [int(k) for k in row["label"]]}
        with open("metadata.jsonl", "a") as out:
            print(json.dumps(line), file=out)
"""


def labels_file(folder: Path) -> Path:
    """The file of labels; ``ValueError`` if there is none, or if several could be it."""
    for name in ("labels.json", JSONL):
        if (folder / name).is_file():
            return folder / name
    found = sorted(p for p in folder.glob("*.json") if not p.name.startswith("."))
    if len(found) == 1:
        return found[0]
    if not found and any(folder.rglob("*.parquet")):
        raise ValueError(
            f"{folder} has its images inside parquet files: write them out as files, in that "
            f"folder, with pandas and pyarrow, by\n{CONVERT}"
        )
    names = ", ".join(p.name for p in found) or "none"
    raise ValueError(f"{folder} needs one file of labels, {FORM}; found: {names}")


def read_labelled(folder: Path, classes: tuple[str, ...]) -> Listing:
    """The images that the file of labels lists, sorted by name, with all their labels.

    Raises ``ValueError`` for a file of another form, labels that are not classes, and missing
    images.
    """
    file, digest, passed = labels_file(folder), hashlib.sha256(), SkippedFiles()
    text = file.read_bytes()
    digest.update(text)
    given = _parsed(file, text)
    files, _ = images_of(folder, ("",), digest, passed)
    start = len(os.path.join(folder, ""))
    there = {f[start:].replace(os.sep, "/"): f for f in files}
    images, labels, lacking = list[str](), list[list[int]](), list[str]()
    for name in sorted(given):
        path = there.pop(name, "") or there.pop(f"images/{name}", "")
        if path:
            images.append(path)
            labels.append(_checked(file, name, given[name], len(classes)))
        else:
            lacking.append(name)
    if lacking or not images:
        raise ValueError(
            f"{len(lacking)} of {len(given)} images in {file} are missing or empty"
            + (f", such as {lacking[0]}" if lacking else "")
            + ": put them beside that file, or take them out of it"
        )
    first = next(iter(there.values()), "")
    remark = f"{len(there)} images have no labels and are skipped, such as {first}"
    said = (remark,) if there else ()
    accepted = np.full((len(labels), max(map(len, labels))), -1, np.int64)
    for row, right in zip(accepted, labels, strict=True):
        row[: len(right)] = right
    firsts = [right[0] for right in labels]
    return Listing(classes, ([], []), (images, firsts), digest.hexdigest(), accepted, said)


def _parsed(file: Path, text: bytes) -> dict[str, Any]:
    try:
        if file.suffix != ".jsonl":
            found = json.loads(text)
            pairs: Iterable = found.items() if isinstance(found, dict) else ()
        else:
            rows = [json.loads(line) for line in text.splitlines() if line.strip()]
            pairs = [(row["file_name"], row["label"]) for row in rows]
        given = {str(name).removeprefix("./"): labels for name, labels in pairs}
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise ValueError(f"{file} cannot be read ({error}): it must be {FORM}") from None
    if not given:
        raise ValueError(f"{file} names no images: it must be {FORM}")
    return given


def _checked(file: Path, name: str, labels: Any, classes: int) -> list[int]:
    """The labels of an image without repetitions; ``ValueError`` if one is not a class."""
    right = list(dict.fromkeys(labels if isinstance(labels, list) else [labels]))
    if not right or any(type(k) is not int or not 0 <= k < classes for k in right):
        raise ValueError(
            f"{file}: the labels of {name} are {labels!r}, not numbers from 0 to {classes - 1}"
        )
    return right
