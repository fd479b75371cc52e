"""Data that are gone or have changed, as a run wrote them down: a trained network outlives them."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from nslab.datasets import image_folder, text_sets
from nslab.datasets.arrays import Layout
from nslab.datasets.catalogue import Dataset, not_fetched
from nslab.system.content_names import parts_of


def remembered(name: str, written: Mapping[str, Any], image_size: int = 0) -> Dataset | None:
    """What is known of a folder of images or of texts of one's own from ``written``, what
    `nslab.datasets.provenance_of` said of it once; None where that is of other data, or was written
    by version 0.2.0 or before, which did not name the classes.

    >>> digest = "0123456789ab"
    >>> written = {"digest": digest, "names": ["cat", "dog"], "train": 8, "test": 2}
    >>> remembered(f"folder:/gone#{digest}", written, image_size=32).classes
    ('cat', 'dog')
    """
    kind, _, digest = parts_of(name) or ("", "", "")
    if kind not in ("folder", "csv") or "names" not in written or written["digest"] != digest:
        return None
    classes = tuple(written["names"])
    shape: tuple[int, ...] = ()
    if kind == "folder":
        side = image_size or image_folder.SIZE
        shape = (side, side, 3)
    layout = Layout(int(written["train"]), int(written["test"]), shape, len(classes))
    if kind == "csv":
        return dataclasses.replace(text_sets.OWN, layout=layout, classes=classes)
    return Dataset(layout, image_folder.MEAN, image_folder.STD, classes, not_fetched)
