"""Images to evolve networks of one's own on: a data set by name, or a folder with one per class.

Those of a folder are prepared as is usual for ImageNet, to train and to evaluate.
"""

import hashlib
import math
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor

from nslab.datasets import DATASETS, load
from nslab.datasets.loader import Augment, Loader
from nslab.datasets.variants import held_out
from nslab.evolve.loop import BatchOf
from nslab.prepare import on_device
from nslab.rng import generator
from nslab.types import ImageShape

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet
SIZE = 224
AREA, RATIO = (0.08, 1.0), (3 / 4, 4 / 3)  # of the random part
AT_ONCE = 256  # images evaluated together
KEPT = 2**30  # bytes of held-out images that are kept decoded

Augmented = Augment | Literal["auto"]
Pairs = Iterator[tuple[Tensor, Tensor]]


@dataclass(frozen=True)
class Data:
    """Images and labels on a device.

    Attributes:
        shape, num_classes: of the images.
        batch_size: of every batch, cut to what there is.
        batch_of: images and labels of batch k, the same whenever it is asked.
        held_out: ``held_out(rank, world)`` passes over a share of the images that no batch has.
        about: what is written down of them.
    """

    shape: ImageShape
    num_classes: int
    batch_size: int
    batch_of: BatchOf
    held_out: Callable[[int, int], Pairs]
    about: dict[str, Any]


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
) -> Data:
    """A data set's training images (a key of ``DATASETS``), or those of a folder.

    A ``share`` of them is held out, the same for all seeds. ``augment``: of a data set, see
    `Loader`, by default ``"none"``; of a folder, see `ImageFiles`, by default ``"crop_flip"``.
    ``size`` and ``workers`` are for folders. Raises ``ValueError`` where there is no such data, or
    too little of it.
    """
    if name in DATASETS:
        if size is not None:
            raise ValueError(f"images of {name} have their size: size is for folders of images")
        way: Augment = "none" if augment == "auto" else augment
        return named(name, device, batch_size, share, seed, way)
    if not Path(name).is_dir():
        raise ValueError(f"data {name!r} is neither a folder nor one of {', '.join(DATASETS)}")
    way = "crop_flip" if augment == "auto" else augment
    files, labels, classes = listed(Path(name))
    held, batch = sizes(name, len(files), share, batch_size)
    side = SIZE if size is None else size
    images = ImageFiles(files, labels, side, batch, held, seed, way, device, workers)
    names = "\n".join(Path(file).relative_to(name).as_posix() for file in files)
    about = {"data": name, "images": len(files), "classes": len(classes), "held_out": held}
    about |= {"class_names": classes, "size": side, "augment": way}
    about["names_sha256"] = hashlib.sha256(names.encode()).hexdigest()
    return Data((3, side, side), len(classes), batch, images.batch_of, images.held_out, about)


def named(
    name: str, device: torch.device, batch_size: int, share: float, seed: int, augment: Augment
) -> Data:
    """The training images of ``DATASETS[name]``; see `prepared`."""
    whole = load(name)
    n, dataset = len(whole.arrays.train_y), whole.dataset
    held, batch = sizes(name, n, share, batch_size)
    cut = whole.variant(hold_out=held)

    def loader(x: np.ndarray, y: np.ndarray, size: int, way: Augment) -> Loader:
        pair = on_device(x, y, device)
        return Loader(*pair, dataset, batch_size=size, seed=seed, augment=way, min_batch=size)

    train = loader(cut.arrays.train_x, cut.arrays.train_y, batch, augment)
    rest = loader(*cut.held, min(AT_ONCE, held), "none") if cut.held else None

    def passed(rank: int, world: int) -> Pairs:
        for i, found in enumerate(rest.in_order() if rest else ()):
            if i % world == rank:
                yield found.x, found.y

    bits = hashlib.sha256(whole.arrays.train_x.tobytes() + whole.arrays.train_y.tobytes())
    about = {"data": name, "images": n, "classes": dataset.layout.num_classes, "held_out": held}
    about |= {"sha256": bits.hexdigest(), "augment": augment}
    return Data(dataset.shape, dataset.layout.num_classes, batch, train.nth, passed, about)


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


class ImageFiles:
    """Batches of image files, decoded by ``workers`` threads when they are asked for.

    Every epoch has an order of its own, cut into whole batches (what is left over waits for the
    next). ``augment``: ``"crop"``: a random part, see `random_part`; ``"crop_flip"``: and mirrored
    with probability 1/2; ``"none"``: as evaluated. Draws come from streams named by seed, batch and
    place in the batch, so neither threads nor what was asked before change an image. Where a file
    cannot be read, ``ValueError`` names it.
    """

    def __init__(
        self,
        files: Sequence[str],
        labels: Sequence[int],
        size: int,
        batch_size: int,
        held: int,
        seed: int,
        augment: Augment,
        device: torch.device,
        workers: int,
    ) -> None:
        self.files, self.labels, self.size = files, torch.tensor(labels), size
        self.batch_size, self.seed, self.augment, self.device = batch_size, seed, augment, device
        self.used, self.held = held_out(len(files), held)
        self.pool = ThreadPoolExecutor(max(1, workers))
        self.decoded: dict[int, UInt8[Tensor, "b h w c"]] = {}

    def batch_of(self, k: int) -> tuple[Float[Tensor, "b 3 h w"], Int[Tensor, " b"]]:
        """Images and labels of batch k (from 0)."""
        epoch, place = divmod(k, len(self.used) // self.batch_size)
        order = torch.randperm(len(self.used), generator=generator(self.seed, "order", epoch))
        index = self.used[order[place * self.batch_size :][: self.batch_size]]
        gens = [generator(self.seed, "image", k, i) for i in range(len(index))]
        draw = self.middle if self.augment == "none" else self.part
        return self.normalised(self.stack(draw, index, gens)), self.labels[index].to(self.device)

    def held_out(self, rank: int = 0, world: int = 1) -> Pairs:
        """This rank's share of the held-out images, and their labels."""
        for i, index in enumerate(self.held.split(AT_ONCE)):
            if i % world == rank and len(index):
                pixels = self.decoded.get(i)
                if pixels is None:
                    pixels = self.stack(self.middle, index, [None] * len(index))
                    if 3 * self.size**2 * len(self.held) <= KEPT * world:
                        self.decoded[i] = pixels
                yield self.normalised(pixels), self.labels[index].to(self.device)

    def stack(
        self, draw: Callable, index: Int[Tensor, " b"], gens: Sequence[torch.Generator | None]
    ) -> UInt8[Tensor, "b h w c"]:
        """What ``draw`` makes of some files."""
        files = [self.files[i] for i in index.tolist()]
        return torch.from_numpy(np.stack(list(self.pool.map(draw, files, gens))))

    def part(self, file: str, gen: torch.Generator) -> UInt8[np.ndarray, "h w c"]:
        """A random part of an image, perhaps mirrored."""
        from torchvision.transforms import functional

        image = opened(file)
        box = random_part(image.height, image.width, gen)
        image = functional.resized_crop(image, *box, [self.size, self.size])
        flip = self.augment == "crop_flip" and float(torch.rand((), generator=gen)) < 0.5
        return np.asarray(functional.hflip(image) if flip else image)

    def middle(self, file: str, gen: torch.Generator | None) -> UInt8[np.ndarray, "h w c"]:
        """The middle of an image whose shorter side is resized to 256/224 of the size."""
        from torchvision.transforms import functional

        image = functional.resize(opened(file), [round(self.size * 256 / 224)])
        return np.asarray(functional.center_crop(image, [self.size, self.size]))

    def normalised(self, pixels: UInt8[Tensor, "b h w c"]) -> Float[Tensor, "b c h w"]:
        """On the device, with ImageNet's mean and sd, channels last."""
        mean, std = (torch.tensor(v, device=self.device).view(3, 1, 1) for v in (MEAN, STD))
        x = pixels.to(self.device).permute(0, 3, 1, 2).float()
        return x.div_(255).sub_(mean).div_(std)


def opened(file: str) -> Any:
    """An image in colours, of PIL; ``ValueError`` naming the file if it cannot be read."""
    from torchvision.datasets.folder import pil_loader

    try:
        return pil_loader(file)
    except Exception as error:  # decoders raise whatever they like
        raise ValueError(f"{file} cannot be read as an image: {error}") from None


def random_part(height: int, width: int, gen: torch.Generator) -> tuple[int, int, int, int]:
    """Top, left, height and width of 8 to 100 % of an image's area, with sides 3:4 to 4:3 uniform
    in the logarithm; after ten draws that do not fit, the largest such part in the middle."""
    for _ in range(10):
        u = torch.rand(4, generator=gen, dtype=torch.float64).tolist()
        area = height * width * (AREA[0] + u[0] * (AREA[1] - AREA[0]))
        ratio = RATIO[0] * (RATIO[1] / RATIO[0]) ** u[1]
        w, h = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
        if 0 < w <= width and 0 < h <= height:
            return int(u[2] * (height - h + 1)), int(u[3] * (width - w + 1)), h, w
    w = min(width, round(height * RATIO[1]))
    h = min(height, round(width / RATIO[0]))
    return (height - h) // 2, (width - w) // 2, h, w
