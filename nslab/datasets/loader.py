"""Batches straight from the device's memory: crop, flip and normalise a whole batch at once.

A small data set lives on the training device as bytes, height x width x channels. A batch is one
gather of rows, so augmentation costs less than the copy it replaces, and the result is
channels-last without a further copy. Every random draw is made on the CPU from streams named by
seed and epoch: batches are the same on any device, and a rank of many cuts its share out of the
very batch that one process alone would see.
"""

from collections.abc import Iterator

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int, Num
from torch import Tensor

from nslab.datasets import Dataset
from nslab.datasets.batch_order import Augment, BatchOrder
from nslab.rng import generator
from nslab.types import Batch


class Loader(BatchOrder):
    """Batches of one split; iterate ``epoch(e)`` to train, ``in_order()`` to evaluate.

    Args:
        x, y: images (NHWC; uint8, or floats in the units of mean and sd) and labels (int64), on the
            device that the batches should be on.
        dataset: gives the mean and sd to normalise with.
        batch_size: samples of a batch over all ranks together.
        seed: names the random streams of order and augmentation.
        augment: ``"crop"``: from the image with ``pad`` black pixels around it, at random;
            ``"crop_flip"``: and mirrored with probability 1/2.
        rank, world: which share of each batch is this process's.
        min_batch: smallest share worth training on; see `epoch`.
        channels_last: memory layout of the images.
        sampler, epochs, epoch_parts: see `BatchOrder`.
    """

    def __init__(
        self,
        x: Num[Tensor, "n h w c"],
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
        epoch_parts: int = 1,
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
            epoch_parts=epoch_parts,
        )
        self.channels_last = channels_last
        self.pad = 0 if augment == "none" else pad
        self.shape = x.shape[1:]
        self.images = F.pad(x, (0, 0, self.pad, self.pad, self.pad, self.pad))
        top = 1 if x.is_floating_point() else 255  # mean and sd are of pixels in [0, 1]
        scale = 1 / (top * torch.tensor(dataset.std))
        shift = torch.tensor(dataset.mean) / torch.tensor(dataset.std)
        # Repeated along a row of pixels: the inner loop of the normalisation is then long.
        self.scale, self.shift = (v.repeat(x.shape[2]).to(x.device) for v in (scale, shift))

    def epoch(self, epoch: int, start: int = 0) -> Iterator[Batch]:
        """Shuffled, augmented batches of an epoch (from 0), from batch ``start`` on.

        Each sample comes once, unless a sampler rebalances the classes. The last batch is shorter
        if it must be: cut to a multiple of the ranks, and left out if a rank's share would fall
        below ``min_batch``.
        """
        n, device = self.samples, self.y.device
        order = self.order(epoch).to(device)
        draws = generator(self.seed, "augment", epoch)
        corner = torch.randint(0, 2 * self.pad + 1, (2, n), generator=draws).to(device)
        flip = (torch.rand(n, generator=draws) < 0.5).to(device)
        for i in range(start, len(self)):
            part = self.share(i)
            index = order[part]
            x = self._crop(index, corner[0, part], corner[1, part])
            if self.augment == "crop_flip":
                x = torch.where(flip[part, None, None, None], x.flip(2), x)
            yield Batch(self._normalised(x), self.y[index], index, epoch, seed=self.seed)

    def in_order(self) -> Iterator[Batch]:
        """Every sample once, not augmented: this rank's are ``rank, rank + world, ...``"""
        for index in self.evaluated():
            centre = torch.full_like(index, self.pad)
            yield Batch(self._normalised(self._crop(index, centre, centre)), self.y[index], index)

    def _crop(
        self, index: Int[Tensor, " b"], top: Int[Tensor, " b"], left: Int[Tensor, " b"]
    ) -> Num[Tensor, "b h w c"]:
        """Gather windows as rows: a window's row is w*c bytes that lie together in the padded
        image, so an overlapping view of all such rows makes cropping a plain ``index_select``."""
        h, w, c = self.shape
        total, height, width, _ = self.images.shape
        rows = self.images.as_strided((total * height * width - w + 1, w * c), (c, 1))
        line = index * height + top
        lines = line[:, None] + torch.arange(h, device=index.device)
        starts = lines * width + left[:, None]
        return rows.index_select(0, starts.flatten()).view(-1, h, w, c)

    def _normalised(self, x: Num[Tensor, "b h w c"]) -> Float[Tensor, "b c h w"]:
        b, h, w, c = x.shape
        flat = x.reshape(b, h, w * c).float().mul_(self.scale).sub_(self.shift)
        images = flat.view(b, h, w, c).permute(0, 3, 1, 2)
        return images if self.channels_last else images.contiguous()


def on_device(
    x: np.ndarray, y: np.ndarray, device: torch.device
) -> tuple[Num[Tensor, "n *rest"], Int[Tensor, " n"]]:
    """Samples and labels as tensors on a device; a split lives there whole."""
    return torch.tensor(x).to(device), torch.tensor(y).to(device)
