"""Images to evolve networks of one's own on: a data set by name, or a folder with one per class.

Those of a folder are prepared as is usual for ImageNet, to train and to evaluate.
"""

import hashlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import torch
from jaxtyping import Int
from torch import Tensor

from nslab.datasets import DATASETS, load
from nslab.datasets.image_files import ImageFiles
from nslab.datasets.loader import Augment, Loader, on_device
from nslab.datasets.variants import held_out
from nslab.types import Batches, ImageShape

SIZE = 224
HELD_OUT_BATCH = 256  # images evaluated together

Augmented = Augment | Literal["auto"]


@dataclass(frozen=True)
class Data:
    """Images to evolve on, and those that choose the network.

    Attributes:
        shape, num_classes: of the images.
        batch_size: of every batch, cut to what there is.
        train: batches to evolve on; ``held``: images that none of them has, if any are held out.
        about: what is written down of them.
        close: ends what goes on in the background.
    """

    shape: ImageShape
    num_classes: int
    batch_size: int
    train: Batches
    held: Batches | None
    about: dict[str, Any]
    close: Callable[[], None] = lambda: None


def prepared(
    name: str,
    *,
    device: torch.device,
    batch_size: int,
    share: float = 0.1,
    seed: int = 0,
    augment: Augmented = "auto",
    size: int | None = None,
    workers: int = 4,
    rank: int = 0,
    world: int = 1,
) -> Data:
    """A data set's training images (a key of ``DATASETS``), or those of a folder.

    A ``share`` of them is held out, the same for all seeds. ``augment``: of a data set, see
    `Loader`, by default ``"none"``; of a folder, see `ImageFiles`, by default ``"crop_flip"``.
    ``size`` and ``workers`` are for folders. Of ``world`` processes, process ``rank`` sees its
    share of what is held out; batches are whole. Raises ``ValueError`` where there is no such data,
    or too little of it.
    """
    if name in DATASETS:
        if size is not None:
            raise ValueError(f"images of {name} have their size: size is for folders of images")
        way: Augment = "none" if augment == "auto" else augment
        return named(name, device, batch_size, share, seed, way, rank, world)
    if not Path(name).is_dir():
        raise ValueError(f"data {name!r} is neither a folder nor one of {', '.join(DATASETS)}")
    way = "crop_flip" if augment == "auto" else augment
    files, labels, classes = listed(Path(name))
    held, batch = sizes(name, len(files), share, batch_size)
    side = SIZE if size is None else size
    pool = ThreadPoolExecutor(max(1, workers))
    used, kept = held_out(len(files), held)

    def batches(index: Int[Tensor, " n"], augment: Augment, count: int) -> ImageFiles:
        return ImageFiles(
            files, labels, index, side, count, seed, augment, device, pool, rank, world
        )

    names = "\n".join(Path(file).relative_to(name).as_posix() for file in files)
    about = {"data": name, "images": len(files), "classes": len(classes), "held_out": held}
    about |= {"class_names": classes, "size": side, "augment": way}
    about["names_sha256"] = hashlib.sha256(names.encode()).hexdigest()
    return Data(
        (3, side, side),
        len(classes),
        batch,
        batches(used, way, batch),
        batches(kept, "none", HELD_OUT_BATCH) if held else None,
        about,
        partial(pool.shutdown, wait=False, cancel_futures=True),
    )


def named(
    name: str,
    device: torch.device,
    batch_size: int,
    share: float,
    seed: int,
    augment: Augment,
    rank: int,
    world: int,
) -> Data:
    """The training images of ``DATASETS[name]``; see `prepared`."""
    whole = load(name)
    n, dataset = len(whole.arrays.train_y), whole.dataset
    held, batch = sizes(name, n, share, batch_size)
    cut = whole.variant(hold_out=held)
    pair = on_device(cut.arrays.train_x, cut.arrays.train_y, device)
    train = Loader(*pair, dataset, batch_size=batch, seed=seed, augment=augment, min_batch=batch)
    rest = None
    if cut.held:
        size = min(HELD_OUT_BATCH, held) * world
        pair = on_device(*cut.held, device)
        rest = Loader(*pair, dataset, batch_size=size, rank=rank, world=world)
    bits = hashlib.sha256(whole.arrays.train_x.tobytes() + whole.arrays.train_y.tobytes())
    about = {"data": name, "images": n, "classes": dataset.layout.num_classes, "held_out": held}
    about |= {"sha256": bits.hexdigest(), "augment": augment}
    return Data(dataset.shape, dataset.layout.num_classes, batch, train, rest, about)


def sizes(name: str, n: int, share: float, batch_size: int) -> tuple[int, int]:
    """Numbers of images held out and of a batch; ``ValueError`` with fewer than two to evolve on,
    which BatchNorm needs."""
    held = max(1, round(share * n)) if share else 0
    if n - held < 2:
        raise ValueError(f"{name} has {n} images: too few to evolve on and hold out {held}")
    return held, min(batch_size, n - held)


def listed(folder: Path) -> tuple[list[str], list[int], list[str]]:
    """Files, labels and class names of ``folder/class/image`` or ``folder/train/class/image``."""
    from torchvision.datasets import ImageFolder  # slow to import

    inner = folder / "train"
    root = inner if inner.is_dir() and any(p.is_dir() for p in inner.iterdir()) else folder
    try:
        found = ImageFolder(root)
    except FileNotFoundError as error:
        layout = "FOLDER/class/image or FOLDER/train/class/image"
        raise ValueError(f"{root} is no folder of images, {layout}: {error}") from None
    files, labels = zip(*found.samples, strict=True)
    return list(files), list(labels), found.classes
