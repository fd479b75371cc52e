"""Batches straight from the device's memory: crop, flip and normalise a whole batch at once.

A small data set lives on the training device as bytes, height x width x channels. A batch is one
gather of rows, so augmentation costs less than the copy it replaces, and the result is
channels-last without a further copy. Every random draw is made on the CPU from streams named by
seed and epoch: batches are the same on any device, and a rank of many cuts its share out of the
very batch that one process alone would see.
"""

import itertools
from collections.abc import Iterator
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int, UInt8
from torch import Tensor

from nslab.datasets import Dataset
from nslab.datasets.samplers import SAMPLERS
from nslab.rng import generator
from nslab.types import Batch

Augment = Literal["none", "crop", "crop_flip"]


class Loader:
    """Batches of one split; iterate ``epoch(e)`` to train, ``in_order()`` to evaluate.

    Args:
        x, y: images (uint8, NHWC) and labels (int64), on the device the batches shall be on.
        dataset: gives the mean and sd to normalise with.
        batch_size: samples of a batch over all ranks together.
        seed: names the random streams of order and augmentation.
        augment: ``"crop"``: from the image with ``pad`` black pixels around it, at random;
            ``"crop_flip"``: and mirrored with probability 1/2.
        rank, world: which share of each batch is this process's.
        min_batch: smallest share worth training on; see `epoch`.
        channels_last: memory layout of the images.
        sampler, epochs: key of ``SAMPLERS``, and how many epochs there will be (for ``pbs``).
    """

    def __init__(
        self,
        x: UInt8[Tensor, "n h w c"],
        y: Int[Tensor, " n"],
        dataset: Dataset,
        *,
        batch_size: int,
        seed: int = 0,
        augment: Augment = "none",
        pad: int = 4,
        rank: int = 0,
        world: int = 1,
        min_batch: int = 1,
        channels_last: bool = True,
        sampler: str = "shuffle",
        epochs: int = 1,
    ) -> None:
        if batch_size < 1 or batch_size % world:
            raise ValueError(f"batch_size {batch_size} is no positive multiple of {world} ranks")
        if min(batch_size, len(y)) // world < min_batch:
            raise ValueError(
                f"{min(batch_size, len(y)) // world} samples per batch and rank are fewer than the "
                f"{min_batch} the method needs: use a larger batch_size"
            )
        if augment not in ("none", "crop", "crop_flip"):
            raise ValueError(f"augment is {augment!r}, not one of none, crop, crop_flip")
        self.y, self.batch_size, self.seed, self.augment = y, batch_size, seed, augment
        self.rank, self.world, self.min_batch = rank, world, min_batch
        if sampler not in SAMPLERS:
            raise ValueError(f"unknown sampler {sampler!r}; there are {', '.join(SAMPLERS)}")
        self.channels_last, self.sampler, self.epochs = channels_last, SAMPLERS[sampler], epochs
        self._upcoming: tuple[int, Iterator[Batch]] | None = None  # the next of `nth`
        self.pad = 0 if augment == "none" else pad
        self.shape = x.shape[1:]
        self.images = F.pad(x, (0, 0, self.pad, self.pad, self.pad, self.pad))
        scale = 1 / (255 * torch.tensor(dataset.std))
        shift = torch.tensor(dataset.mean) / torch.tensor(dataset.std)
        # Repeated along a row of pixels: the inner loop of the normalisation is then long.
        self.scale, self.shift = (v.repeat(x.shape[2]).to(x.device) for v in (scale, shift))

    def __len__(self) -> int:
        """Batches of a training epoch."""
        full, rest = divmod(len(self.y), self.batch_size)
        share = rest // self.world
        return full + (share > 0 and share >= self.min_batch)

    def epoch(self, epoch: int) -> Iterator[Batch]:
        """Shuffled, augmented batches of an epoch (from 0).

        Each sample comes once, unless a sampler rebalances the classes. The last batch is shorter
        if it must be: cut to a multiple of the ranks, and left out if a rank's share would fall
        below ``min_batch``.
        """
        n, device = len(self.y), self.y.device
        stream = generator(self.seed, "order", epoch)
        order = self.sampler(self.y.cpu(), epoch, self.epochs, stream).to(device)
        draws = generator(self.seed, "augment", epoch)
        corner = torch.randint(0, 2 * self.pad + 1, (2, n), generator=draws).to(device)
        flip = (torch.rand(n, generator=draws) < 0.5).to(device)
        for i in range(len(self)):
            size = min(self.batch_size, n - i * self.batch_size) // self.world
            start = i * self.batch_size + self.rank * size
            part = slice(start, start + size)
            index = order[part]
            x = self._crop(index, corner[0, part], corner[1, part])
            if self.augment == "crop_flip":
                x = torch.where(flip[part, None, None, None], x.flip(2), x)
            yield Batch(self._normalised(x), self.y[index], index, epoch, seed=self.seed)

    def nth(self, k: int) -> Batch:
        """Batch k (from 0) of epoch after epoch, for `nslab.neuroevolution.evolution.evolve`.

        The same whatever was asked before; asked in order, nothing is made twice.
        """
        epoch, place = divmod(k, len(self))
        if self._upcoming is None or self._upcoming[0] != k:
            self._upcoming = k, itertools.islice(self.epoch(epoch), place, None)
        batch = next(batches := self._upcoming[1])
        self._upcoming = (k + 1, batches) if place + 1 < len(self) else None
        return batch

    def in_order(self) -> Iterator[Batch]:
        """Every sample once, not augmented: this rank's are ``rank, rank + world, ...``"""
        mine = torch.arange(self.rank, len(self.y), self.world, device=self.y.device)
        for index in mine.split(max(1, self.batch_size // self.world)):
            centre = torch.full_like(index, self.pad)
            yield Batch(self._normalised(self._crop(index, centre, centre)), self.y[index], index)

    def _crop(
        self, index: Int[Tensor, " b"], top: Int[Tensor, " b"], left: Int[Tensor, " b"]
    ) -> UInt8[Tensor, "b h w c"]:
        """Gather windows as rows: a window's row is w*c bytes that lie together in the padded
        image, so an overlapping view of all such rows makes cropping a plain ``index_select``."""
        h, w, c = self.shape
        total, height, width, _ = self.images.shape
        rows = self.images.as_strided((total * height * width - w + 1, w * c), (c, 1))
        line = index * height + top
        lines = line[:, None] + torch.arange(h, device=index.device)
        starts = lines * width + left[:, None]
        return rows.index_select(0, starts.flatten()).view(-1, h, w, c)

    def _normalised(self, x: UInt8[Tensor, "b h w c"]) -> Float[Tensor, "b c h w"]:
        b, h, w, c = x.shape
        flat = x.reshape(b, h, w * c).float().mul_(self.scale).sub_(self.shift)
        images = flat.view(b, h, w, c).permute(0, 3, 1, 2)
        return images if self.channels_last else images.contiguous()


def on_device(
    x: np.ndarray, y: np.ndarray, device: torch.device
) -> tuple[UInt8[Tensor, "n h w c"], Int[Tensor, " n"]]:
    """Images and labels as tensors on a device; a split lives there whole."""
    return torch.tensor(x).to(device), torch.tensor(y).to(device)
