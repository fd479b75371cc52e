"""Order of samples in batches: the same for images, files and texts, and on any device."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Literal

import torch
from jaxtyping import Int
from torch import Tensor

from nslab.datasets.samplers import SAMPLERS
from nslab.rng import generator
from nslab.system.validation import unknown
from nslab.types import Batch

Augment = Literal["none", "crop", "crop_flip"]


class BatchOrder:
    """Epochs cut into batches, and batches shared out to ranks.

    Args:
        y: labels, on the device that the batches should be on.
        batch_size: samples of a batch over all ranks together.
        seed: names the random streams of order and augmentation.
        augment: see `Loader` and `ImageFiles`.
        rank, world: number of this process and how many there are; each takes an equal share of
            every batch.
        min_batch: smallest share worth training on: a shorter last batch of an epoch is left out.
        sampler, epochs: key of ``SAMPLERS``, and how many epochs there will be (for ``pbs``).
        epoch_parts: number of epochs that one pass over the samples is cut into, each with the same
            number of whole batches; what remains of the pass is left out.

    Raises ``ValueError`` for an unknown ``augment`` or ``sampler``, and for batches that cannot be
    shared out evenly or are too few or too small.
    """

    def __init__(
        self,
        y: Int[Tensor, " n"],
        batch_size: int,
        seed: int = 0,
        augment: Augment = "none",
        rank: int = 0,
        world: int = 1,
        min_batch: int = 1,
        *,
        sampler: str = "shuffle",
        epochs: int = 1,
        epoch_parts: int = 1,
    ) -> None:
        if batch_size < 1 or batch_size % world:
            raise ValueError(f"batch_size {batch_size} is not a positive multiple of {world} ranks")
        if min(batch_size, len(y)) // world < min_batch:
            raise ValueError(
                f"{min(batch_size, len(y)) // world} samples per batch and rank are fewer than the "
                f"{min_batch} the method needs: use a larger batch_size"
            )
        if augment not in ("none", "crop", "crop_flip"):
            raise ValueError(f"augment is {augment!r}, not one of none, crop, crop_flip")
        if sampler not in SAMPLERS:
            raise unknown("sampler", sampler, SAMPLERS)
        self.y, self.batch_size, self.seed, self.augment = y, batch_size, seed, augment
        self.rank, self.world, self.min_batch = rank, world, min_batch
        self.sampler, self.epochs, self.epoch_parts = SAMPLERS[sampler], epochs, epoch_parts
        # which batch `nth` would give next without starting anew, and the iterator that gives it
        self._upcoming: tuple[int, Iterator[Batch]] | None = None
        whole = len(y) // batch_size // epoch_parts * batch_size
        self.samples = whole if epoch_parts > 1 else len(y)  # of an epoch
        if self.samples < 1 and len(y):
            raise ValueError(
                f"{len(y)} samples are {len(y) // batch_size} whole batches of {batch_size}, too "
                f"few for {epoch_parts} partial epochs: use fewer parts or a smaller batch_size"
            )

    def __len__(self) -> int:
        """Batches of a training epoch."""
        full, rest = divmod(self.samples, self.batch_size)
        share = rest // self.world
        return full + (share > 0 and share >= self.min_batch)

    def nth(self, k: int) -> Batch:
        """Batch k, counted from 0 through all epochs, for `nslab.neuroevolution.evolution.evolve`.

        It does not depend on earlier calls; calls in order of k make no batch twice.
        """
        epoch, place = divmod(k, len(self))
        if self._upcoming is None or self._upcoming[0] != k:
            self._upcoming = k, self.epoch(epoch, place)
        batch = next(batches := self._upcoming[1])
        self._upcoming = (k + 1, batches) if place + 1 < len(self) else None
        return batch

    def parts(self, k: int, size: int) -> Iterator[Batch]:
        """Batch k in parts of ``size`` samples; the last part may be smaller."""
        if size < 1:
            raise ValueError(f"a part of a batch must have samples, not {size}")
        whole = self.nth(k)
        for first in range(0, len(whole.y), size):
            x, y, index = (t[first : first + size] for t in (whole.x, whole.y, whole.index))
            yield replace(whole, x=x, y=y, index=index)

    def epoch(self, epoch: int, start: int = 0) -> Iterator[Batch]:
        """The batches of an epoch, from batch ``start`` on; subclasses, which hold the samples,
        make them."""
        raise NotImplementedError

    def order(self, epoch: int) -> Int[Tensor, " n"]:
        """Positions of an epoch's samples in the order in which it shows them, on the CPU."""
        whole, part = divmod(epoch, self.epoch_parts)
        draws = generator(self.seed, "order", whole)
        order = self.sampler(self.y.cpu(), whole, max(1, self.epochs // self.epoch_parts), draws)
        return order[part * self.samples : (part + 1) * self.samples]

    def share(self, i: int) -> slice:
        """Where in an epoch's order this rank's share of batch i is."""
        size = min(self.batch_size, self.samples - i * self.batch_size) // self.world
        start = i * self.batch_size + self.rank * size
        return slice(start, start + size)

    def evaluated(self) -> Iterator[Int[Tensor, " b"]]:
        """Positions of this rank's samples, ``rank, rank + world, ...``, in batches; over all ranks
        every sample comes once."""
        mine = torch.arange(self.rank, len(self.y), self.world, device=self.y.device)
        yield from mine.split(max(1, self.batch_size // self.world))

    def close(self) -> None:
        """Stop work in the background; here there is none."""
