"""Batches of image files, decoded in the background and prepared as is usual for ImageNet."""

from collections.abc import Iterator, Sequence
from functools import partial

import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor

from nslab.datasets import Dataset
from nslab.datasets.batch_order import Augment, BatchOrder
from nslab.datasets.decoding import (
    Decoding,
    Pending,
    Pixels,
    check_decoding,
    middle_square,
    random_square,
)
from nslab.rng import generator
from nslab.types import Batch

DECODED_BYTES = 2**30  # bytes of images that are kept decoded: to evaluate on, or of one batch


class ImageFiles(BatchOrder):
    """Batches of image files: the next one is decoded in the background, while one is used.

    Epochs and shares are as `BatchOrder` has them. ``augment``: ``"crop"``: a random part, see
    `nslab.datasets.decoding.random_part`; ``"crop_flip"``: and mirrored with probability 1/2;
    ``"none"``: as evaluated. Draws come from streams named by seed, epoch and place in the epoch,
    so neither threads nor ranks nor what was asked before change an image. Where a file cannot be
    read, ``ValueError`` names it.

    Args:
        files: of the images; ``y``: labels, on the device that the batches should be on.
        dataset: gives size, mean and sd; for the others see `BatchOrder`.
        decoding: of all images of these batches, see `nslab.datasets.decoding`. ``"reduced"`` is
            faster and changes pixels a little: what is evaluated is best decoded exactly.
        prepared: images that have the size already are evaluated as they are.
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
        epoch_parts: int = 1,
        decoding: Decoding = "exact",
        prepared: bool = False,
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
        check_decoding(decoding)
        self.files, self.size, self.channels_last = files, dataset.layout.shape[0], channels_last
        self.prepared = prepared
        self.decoding, self.pinned = decoding, y.device.type == "cuda"
        device = y.device
        # Repeated along a row of pixels: the inner loop of the normalisation is then long.
        self.mean, self.std = (
            torch.tensor(v, device=device).repeat(self.size) for v in (dataset.mean, dataset.std)
        )
        self.decoded: dict[int, UInt8[Tensor, "b h w c"]] = {}
        self.ahead: tuple[int, Pending] | None = None  # the batch after the last of `nth`
        self.held: tuple[int, Pending] | None = None  # the batch that `parts` gives
        self.members: tuple[int, Int[Tensor, " n"]] | None = None  # an epoch and its order

    def epoch(self, epoch: int, start: int = 0) -> Iterator[Batch]:
        """The batches of an epoch (from 0), from batch ``start`` on; those before are not read."""
        try:
            for place in range(start, len(self)):
                yield self._nth(epoch * len(self) + place, ahead=place + 1 < len(self))
        finally:
            self.close()  # what comes next may be another epoch

    def nth(self, k: int) -> Batch:
        """Batch k (from 0) of epoch after epoch; call `close` after the last one."""
        return self._nth(k, ahead=True)

    def parts(self, k: int, size: int) -> Iterator[Batch]:
        """Batch k in parts of ``size`` images, the last perhaps fewer: together `nth`, to the bit.

        Parts are decoded while those before are used. Of a batch of up to 1 GiB of bytes these
        are kept until another is asked for, so it is decoded once however often it is gone
        through, and the next one is decoded meanwhile; of a larger one only two parts are there at
        a time. Call `close` after the last one.
        """
        if size < 1:
            raise ValueError(f"a part of a batch must have samples, not {size}")
        index, epoch = self.places(k), k // len(self)
        cuts = [slice(first, first + size) for first in range(0, len(index), size)]
        if 3 * self.size**2 * len(index) <= DECODED_BYTES:
            self.held = k, (whole := self._take(k, ahead=True))
            for cut in cuts:
                yield self.batch(self._pixels(whole, cut), index[cut], epoch)
            return
        following = self.begin(k, cuts[0])
        try:
            for number, cut in enumerate(cuts):
                part = following
                if number + 1 < len(cuts):
                    following = self.begin(k, cuts[number + 1])
                yield self.batch(self._pixels(part), index[cut], epoch)
        finally:
            following.cancel()

    def _nth(self, k: int, ahead: bool) -> Batch:
        pixels = self._pixels(self._take(k, ahead))
        return self.batch(pixels, self.places(k), k // len(self))

    def _take(self, k: int, ahead: bool) -> Pending:
        """The images of batch k, those of the next one being decoded too."""
        there = dict(pair for pair in (self.ahead, self.held) if pair)
        found = there.get(k) or self.begin(k)
        if self.ahead and self.ahead[0] not in (k, k + 1):
            self.ahead[1].cancel()
        self.held = None
        self.ahead = (k + 1, there.get(k + 1) or self.begin(k + 1)) if ahead else None
        return found

    def _pixels(self, pending: Pending, part: slice = slice(None)) -> UInt8[Tensor, "b h w c"]:
        """Images once they are decoded; if one cannot be, or that is interrupted, all ends."""
        try:
            return pending.pixels(part)
        except BaseException:
            pending.cancel()
            self.close()
            raise

    def in_order(self) -> Iterator[Batch]:
        """This rank's share of the images, as they are evaluated: decoded ahead; few are kept."""
        shares = [index.cpu() for index in self.evaluated() if len(index)]
        keep = 3 * self.size**2 * len(self.y) <= DECODED_BYTES * self.world
        following: Pending | None = None
        try:
            for i, index in enumerate(shares):
                pending, following = following, None
                if i not in self.decoded and pending is None:
                    pending = self._middles(index)
                if i + 1 < len(shares) and i + 1 not in self.decoded:
                    following = self._middles(shares[i + 1])
                pixels = self.decoded[i] if pending is None else self._pixels(pending)
                if keep:
                    self.decoded[i] = pixels
                yield self.batch(pixels, index, 0)
        finally:
            if following:
                following.cancel()

    def close(self) -> None:
        """Decode no further ahead."""
        if self.ahead:
            self.ahead[1].cancel()
        self.ahead = self.held = None

    def begin(self, k: int, part: slice = slice(None)) -> Pending:
        """Have the images of batch k decoded, or of a part of it."""
        epoch, i = divmod(k, len(self))
        index, share = self.places(k)[part], self.share(i)
        if self.augment == "none":
            return self._middles(index)
        files = [self.files[j] for j in index.tolist()]
        places = range(share.start, share.stop)[part]
        jobs = [
            partial(self.part, file, epoch, place)
            for file, place in zip(files, places, strict=True)
        ]
        return Pending(jobs, self.size, pinned=self.pinned)

    def _middles(self, index: Int[Tensor, " b"]) -> Pending:
        jobs = [partial(self.middle, self.files[j]) for j in index.tolist()]
        return Pending(jobs, self.size, pinned=self.pinned)

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

    def part(self, file: str, epoch: int, place: int) -> Pixels:
        """A random part of an image, perhaps mirrored."""
        gen = generator(self.seed, "image", epoch, place)
        flip = self.augment == "crop_flip"
        return random_square(file, self.size, gen, flip, self.decoding)

    def middle(self, file: str) -> Pixels:
        """The middle of an image, as it is evaluated."""
        return middle_square(file, self.size, self.decoding, self.prepared)

    def normalised(self, pixels: UInt8[Tensor, "b h w c"]) -> Float[Tensor, "b c h w"]:
        """On the device, with the data set's mean and sd."""
        x = pixels.to(self.y.device, non_blocking=True).flatten(2).float()
        x = x.div_(255).sub_(self.mean).div_(self.std)
        images = x.view(pixels.shape).permute(0, 3, 1, 2)
        return images if self.channels_last else images.contiguous()
