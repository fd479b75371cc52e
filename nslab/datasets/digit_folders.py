"""Scikit-learn's digits written as folders of images as varied as those people have: PNG and JPEG,
grey and in colour, of several sizes, with classes of unequal size.

Nothing is drawn at random: each image follows from its number, so all machines write the same.
"""

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np

RECIPE = 1  # raise it when the code below comes to write other images
LABELS = "labels.json"  # the file with the right labels
TINTS = ((255, 255, 255), (255, 210, 140), (150, 220, 255), (190, 255, 170), (255, 170, 190))


def write_digits(folder: Path) -> str:
    """Ten classes: of class k, 120 - 8 k images to train on and 40 - 2 k to test on.

    Returns a digest of names and pixels.
    """
    return _write_classes(folder, [(120 - 8 * k, 40 - 2 * k) for k in range(10)])


def write_half(folder: Path) -> str:
    """The digits 0 to 4, 120 images of each to train on and 40 to test on.

    Returns a digest of names and pixels.
    """
    return _write_classes(folder, [(120, 40)] * 5)


def write_hard(folder: Path) -> str:
    """200 images to test on, each a blend of two digits, whose labels are both right.

    The digits come from the test images of the other folders. ``labels.json`` has a list of labels
    for each file, first that of the digit with the greater weight. Returns a digest of names,
    pixels and labels.
    """
    digits, digest, labels = _digits(), hashlib.sha256(), {}
    (folder / "images").mkdir(parents=True)
    for i in range(200):
        first, second = i % 10, (i % 10 + 1 + i // 10 % 9) % 10
        pixels = [digits[k][1][(i // 10 + k) % len(digits[k][1])] for k in (first, second)]
        more, less = (_rendered(digit, i).astype(np.int64) for digit in pixels)
        image = more * 3 // 5 + less * 2 // 5
        name = f"images/{i:03}.png"
        _save(image.astype(np.uint8), folder / name, digest)
        labels[name] = [first, second]
    text = json.dumps(labels, indent=0)
    (folder / LABELS).write_text(text, encoding="utf-8")
    digest.update(text.encode())
    return digest.hexdigest()


def _write_classes(folder: Path, counts: list[tuple[int, int]]) -> str:
    digits, digest = _digits(), hashlib.sha256()
    for label, count in enumerate(counts):
        for split, number, images in zip(("train", "val"), count, digits[label], strict=True):
            place = folder / split / str(label)
            place.mkdir(parents=True)
            for i, image in enumerate(images[:number]):
                end = ("png", "jpg", "png", "JPEG")[i % 4]
                pixels = _rendered(image, 3 * i + label)
                _save(pixels, place / f"{i:03}.{end}", digest)
    return digest.hexdigest()


def _digits() -> list[tuple[list[np.ndarray], list[np.ndarray]]]:
    """For each class its digits, 8 x 8 bytes, in published order: those to train on, and those to
    test on (5 of every 18), split as by `nslab.datasets.sources.fetch_digits`."""
    from sklearn.datasets import load_digits

    images, labels = load_digits(return_X_y=True)
    small = (images.reshape(-1, 8, 8) * 15.9375).astype(np.uint8)
    found = []
    for label in range(10):
        members = list(small[labels == label])
        parts: tuple[list, list] = ([], [])
        for place, image in enumerate(members):
            parts[(place * 5) % 18 < 5].append(image)
        found.append(parts)
    return found


def _rendered(digit: np.ndarray, number: int) -> np.ndarray:
    """A digit enlarged on a dark background: grey (h, w) or in colour (h, w, 3); size, tint and
    background follow from ``number``."""
    from PIL import Image

    side = 26 + number % 5
    large = Image.fromarray(digit).resize((side, side), Image.Resampling.BILINEAR)
    height, width = 34 + number * 5 % 9, 34 + number * 7 % 15
    ground = np.full((height, width), 8 * (number % 4), np.int64)
    top, left = (height - side) // 2, (width - side) // 2
    part = ground[top : top + side, left : left + side]
    np.maximum(part, np.asarray(large, np.int64), out=part)
    if number % 3 == 0:
        return ground.astype(np.uint8)
    tint = np.array(TINTS[number % len(TINTS)])
    return (ground[..., None] * tint // 255).astype(np.uint8)


def _save(pixels: np.ndarray, file: Path, digest: Any) -> None:
    from PIL import Image

    digest.update(f"{file.parent.name}/{file.name} {pixels.shape}\0".encode() + pixels.tobytes())
    image = Image.fromarray(pixels)
    if file.suffix == ".png":
        image.save(file, compress_level=1)
    else:
        image.save(file, "JPEG", quality=90)
