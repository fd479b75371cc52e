"""Batches of image files, decoded in the background and prepared as is usual for ImageNet."""

import math
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cache
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor

from nslab.datasets import Dataset
from nslab.datasets.batch_order import Augment, BatchOrder
from nslab.rng import generator
from nslab.types import Batch

AREA, RATIO = (0.08, 1.0), (3 / 4, 4 / 3)  # of the random part
WIDE = 2**16 - 1  # the white of 16 bits
DECODED_BYTES = 2**30  # bytes of images to evaluate on that are kept decoded
WORKERS = "NSLAB_WORKERS"  # threads that decode images, in the environment


@cache
def pool() -> ThreadPoolExecutor:
    """The threads that decode: as many as ``NSLAB_WORKERS`` says, else one a core, 16 at most."""
    given = os.environ.get(WORKERS, "")
    if given and not (given.isdecimal() and int(given)):
        raise ValueError(f"{WORKERS} is {given!r}: the number of threads that decode images, say 4")
    return ThreadPoolExecutor(int(given or min(16, os.cpu_count() or 1)))


class ImageFiles(BatchOrder):
    """Batches of image files: the next one is decoded in the background, while one is used.

    Epochs and shares are as `BatchOrder` has them. ``augment``: ``"crop"``: a random part, see
    `random_part`; ``"crop_flip"``: and mirrored with probability 1/2; ``"none"``: as evaluated.
    Draws come from streams named by seed, epoch and place in the epoch, so neither threads nor
    ranks nor what was asked before change an image. Where a file cannot be read, ``ValueError``
    names it.

    Args:
        files: of the images; ``y``: labels, on the device the batches shall be on.
        dataset: gives size, mean and sd; for the others see `BatchOrder`.
    """

    def __init__(
        self,
        files: Sequence[str],
        y: Int[Tensor, " n"],
        dataset: Dataset,
        *,
        batch_size: int,
        seed: int = 0,
        augment: Augment = "none",
        rank: int = 0,
        world: int = 1,
        min_batch: int = 1,
        channels_last: bool = True,
        sampler: str = "shuffle",
        epochs: int = 1,
        parts: int = 1,
    ) -> None:
        super().__init__(
            y,
            batch_size,
            seed,
            augment,
            rank,
            world,
            min_batch,
            sampler=sampler,
            epochs=epochs,
            parts=parts,
        )
        self.files, self.size, self.channels_last = files, dataset.layout.shape[0], channels_last
        device = y.device
        self.mean, self.std = (
            torch.tensor(v, device=device).view(3, 1, 1) for v in (dataset.mean, dataset.std)
        )
        self.decoded: dict[int, UInt8[Tensor, "b h w c"]] = {}
        self.ahead: tuple[int, list[Future]] | None = None  # the batch after the last of `nth`
        self.members: tuple[int, Int[Tensor, " n"]] | None = None  # an epoch and its order

    def epoch(self, epoch: int, start: int = 0) -> Iterator[Batch]:
        """The batches of an epoch (from 0), from batch ``start`` on."""
        try:
            for place in range(start, len(self)):
                yield self._nth(epoch * len(self) + place, ahead=place + 1 < len(self))
        finally:
            self.close()  # what comes next may be another epoch

    def nth(self, k: int) -> Batch:
        """Batch k (from 0) of epoch after epoch; call `close` after the last one."""
        return self._nth(k, ahead=True)

    def _nth(self, k: int, ahead: bool) -> Batch:
        parts = self.ahead[1] if self.ahead and self.ahead[0] == k else self.begin(k)
        self.ahead = (k + 1, self.begin(k + 1)) if ahead else None
        pixels = torch.from_numpy(np.stack([part.result() for part in parts]))
        return self.batch(pixels, self.places(k), k // len(self))

    def in_order(self) -> Iterator[Batch]:
        """This rank's share of the images, as they are evaluated; few are kept decoded."""
        for i, index in enumerate(self.evaluated()):
            if not len(index):
                continue
            pixels = self.decoded.get(i)
            if pixels is None:
                files = [self.files[j] for j in index.tolist()]
                pixels = torch.from_numpy(np.stack(list(pool().map(self.middle, files))))
                if 3 * self.size**2 * len(self.y) <= DECODED_BYTES * self.world:
                    self.decoded[i] = pixels
            yield self.batch(pixels, index.cpu(), 0)

    def close(self) -> None:
        """Decode no further ahead."""
        for part in self.ahead[1] if self.ahead else ():
            part.cancel()
        self.ahead = None

    def begin(self, k: int) -> list[Future]:
        """Have the images of batch k decoded."""
        epoch, i = divmod(k, len(self))
        files = [self.files[j] for j in self.places(k).tolist()]
        if self.augment == "none":
            return [pool().submit(self.middle, file) for file in files]
        places = range(self.share(i).start, self.share(i).stop)
        gens = [generator(self.seed, "image", epoch, place) for place in places]
        return [pool().submit(self.part, *one) for one in zip(files, gens, strict=True)]

    def places(self, k: int) -> Int[Tensor, " b"]:
        """Which files this rank's share of batch k has."""
        epoch, i = divmod(k, len(self))
        if self.members is None or self.members[0] != epoch:
            self.members = epoch, self.order(epoch)
        return self.members[1][self.share(i)]

    def batch(
        self, pixels: UInt8[Tensor, "b h w c"], index: Int[Tensor, " b"], epoch: int
    ) -> Batch:
        """Images and labels on the device."""
        place = index.to(self.y.device)
        return Batch(self.normalised(pixels), self.y[place], place, epoch, seed=self.seed)

    def part(self, file: str, gen: torch.Generator) -> UInt8[np.ndarray, "h w c"]:
        """A random part of an image, perhaps mirrored."""
        from torchvision.transforms import functional

        image = opened(file)
        box = random_part(image.height, image.width, gen)
        image = functional.resized_crop(image, *box, [self.size, self.size])
        flip = self.augment == "crop_flip" and float(torch.rand((), generator=gen)) < 0.5
        return np.asarray(functional.hflip(image) if flip else image)

    def middle(self, file: str) -> UInt8[np.ndarray, "h w c"]:
        """The middle of an image whose shorter side is resized to 256/224 of the size."""
        from torchvision.transforms import functional

        image = functional.resize(opened(file), [round(self.size * 256 / 224)])
        return np.asarray(functional.center_crop(image, [self.size, self.size]))

    def normalised(self, pixels: UInt8[Tensor, "b h w c"]) -> Float[Tensor, "b c h w"]:
        """On the device, with the data set's mean and sd."""
        x = pixels.to(self.y.device).permute(0, 3, 1, 2).float()
        x = x.div_(255).sub_(self.mean).div_(self.std)
        return x if self.channels_last else x.contiguous()


def opened(file: str) -> Any:
    """An image in colours, of PIL; one of 16 bits is scaled to 8. ``ValueError`` naming the file if
    it cannot be read, or has numbers of no known range."""
    from PIL import Image

    try:
        with Image.open(file) as source:
            image: Image.Image = source
            if image.mode.startswith("I"):
                wide = np.asarray(image, dtype=np.int64)
                if wide.min() < 0 or wide.max() > WIDE:
                    raise ValueError(f"its values go from {wide.min()} to {wide.max()}")
                image = Image.fromarray((wide * 255 // WIDE).astype(np.uint8))
            elif image.mode == "F":
                raise ValueError("its values are floats, of no range that is known")
            return image.convert("RGB")
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
