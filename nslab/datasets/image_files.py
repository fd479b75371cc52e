"""Batches of image files, decoded in the background and prepared as is usual for ImageNet."""

import math
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor

from nslab.datasets.loader import Augment
from nslab.rng import generator
from nslab.types import Batch

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet
AREA, RATIO = (0.08, 1.0), (3 / 4, 4 / 3)  # of the random part
DECODED_BYTES = 2**30  # bytes of held-out images that are kept decoded


class ImageFiles:
    """Batches of image files, decoded by the threads of ``pool``: the next one in the background,
    while one is used.

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
        index: Int[Tensor, " n"],
        size: int,
        batch_size: int,
        seed: int,
        augment: Augment,
        device: torch.device,
        pool: ThreadPoolExecutor,
        rank: int = 0,
        world: int = 1,
    ) -> None:
        self.files, self.labels, self.index, self.size = files, torch.tensor(labels), index, size
        self.batch_size, self.seed, self.augment, self.device = batch_size, seed, augment, device
        self.pool, self.rank, self.world = pool, rank, world
        self.decoded: dict[int, UInt8[Tensor, "b h w c"]] = {}
        self.ahead: tuple[int, list[Future]] | None = None  # the batch after the last one asked for

    def __len__(self) -> int:
        """Batches of an epoch."""
        return len(self.index) // self.batch_size

    def epoch(self, epoch: int) -> Iterator[Batch]:
        """The batches of an epoch (from 0)."""
        for place in range(len(self)):
            yield self.nth(epoch * len(self) + place)

    def nth(self, k: int) -> Batch:
        """Batch k (from 0) of epoch after epoch."""
        parts = self.ahead[1] if self.ahead and self.ahead[0] == k else self.begin(k)
        self.ahead = k + 1, self.begin(k + 1)
        pixels = torch.from_numpy(np.stack([part.result() for part in parts]))
        return self.batch(pixels, self.members(k), k // len(self))

    def in_order(self) -> Iterator[Batch]:
        """This process's share of the images, as they are evaluated; few are kept decoded."""
        for i, index in enumerate(self.index.split(self.batch_size)):
            if i % self.world == self.rank and len(index):
                pixels = self.decoded.get(i)
                if pixels is None:
                    files = [self.files[j] for j in index.tolist()]
                    pixels = torch.from_numpy(np.stack(list(self.pool.map(self.middle, files))))
                    if 3 * self.size**2 * len(self.index) <= DECODED_BYTES * self.world:
                        self.decoded[i] = pixels
                yield self.batch(pixels, index, 0)

    def begin(self, k: int) -> list[Future]:
        """Have the images of batch k decoded."""
        files = [self.files[i] for i in self.members(k).tolist()]
        if self.augment == "none":
            return [self.pool.submit(self.middle, file) for file in files]
        gens = [generator(self.seed, "image", k, i) for i in range(len(files))]
        return [self.pool.submit(self.part, *one) for one in zip(files, gens, strict=True)]

    def members(self, k: int) -> Int[Tensor, " b"]:
        """Which files batch k has."""
        epoch, place = divmod(k, len(self))
        order = torch.randperm(len(self.index), generator=generator(self.seed, "order", epoch))
        return self.index[order[place * self.batch_size :][: self.batch_size]]

    def batch(
        self, pixels: UInt8[Tensor, "b h w c"], index: Int[Tensor, " b"], epoch: int
    ) -> Batch:
        """Images and labels on the device."""
        place, y = index.to(self.device), self.labels[index].to(self.device)
        return Batch(self.normalised(pixels), y, place, epoch, seed=self.seed)

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
