"""Batches from images in the device's memory: a whole batch is cropped, flipped and normalised at
once.

A small data set is held on the training device as bytes, height x width x channels. A batch is one
gather of rows, so augmentation costs less than the copy it replaces, and the result is
channels-last without a further copy. Every random draw is made on the CPU from streams named by
seed and epoch: batches are the same on any device, and each of several ranks takes its share of
the very batch that a single process would see.
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
        augment: ``"crop"``: a random crop of the image with ``pad`` black pixels around it;
            ``"crop_flip"``: also mirrored with probability 1/2.
        pad: width in pixels of the border that a crop may reach into.
        min_batch: smallest share worth training on; see `epoch`.
        channels_last: memory layout of the images.
        rank, world, sampler, epochs, epoch_parts: see `BatchOrder`.
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
        # Repeated along a row of pixels: one long inner loop normalises faster than many short ones
        self.scale, self.shift = (v.repeat(x.shape[2]).to(x.device) for v in (scale, shift))

    def epoch(self, epoch: int, start: int = 0) -> Iterator[Batch]:
        """Shuffled, augmented batches of an epoch (from 0), from batch ``start`` on.

        Each sample comes once, unless the sampler rebalances the classes. The last batch may be
        shorter: it is cut to a multiple of the number of ranks, and left out if a rank's share
        would fall below ``min_batch``.
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
        """This rank's samples, ``rank, rank + world, ...``, each once and not augmented."""
        for index in self.evaluated():
            centre = torch.full_like(index, self.pad)
            yield Batch(self._normalised(self._crop(index, centre, centre)), self.y[index], index)

    def _crop(
        self, index: Int[Tensor, " b"], top: Int[Tensor, " b"], left: Int[Tensor, " b"]
    ) -> Num[Tensor, "b h w c"]:
        """Windows of the padded images, gathered row by row: a window's row is w*c adjacent values
        of the padded image, so an overlapping view of all such rows makes cropping one
        ``index_select``."""
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
    """All samples and labels of a split as tensors on a device."""
    return torch.tensor(x).to(device), torch.tensor(y).to(device)
