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

DECODED_BYTES = 2**30  # most bytes kept decoded: of images to evaluate on, and of one batch


class ImageFiles(BatchOrder):
    """Batches of image files: while one batch is used, the next is decoded in the background.

    Random draws come from streams named by seed, epoch and place in the epoch, so an image does not
    depend on threads, ranks or earlier calls. If a file cannot be read, ``ValueError`` names it.

    Args:
        files: paths of the images.
        y: labels, on the device that the batches should be on.
        dataset: gives size, mean and sd.
        augment: ``"crop"``: a random crop, see `nslab.datasets.decoding.random_part`;
            ``"crop_flip"``: also mirrored with probability 1/2; ``"none"``: the centre crop, as for
            evaluation.
        channels_last: memory layout of the images.
        decoding: see `nslab.datasets.decoding`. ``"reduced"`` is faster and changes pixels a
            little, so images to evaluate on are best decoded exactly.
        prepared: whether images that already have the size are evaluated without being cropped.

    For the other arguments see `BatchOrder`.
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
        # Repeated along a row of pixels: one long inner loop normalises faster than many short ones
        self.mean, self.std = (
            torch.tensor(v, device=device).repeat(self.size) for v in (dataset.mean, dataset.std)
        )
        self.decoded: dict[int, UInt8[Tensor, "b h w c"]] = {}
        self.ahead: tuple[int, Pending] | None = None  # the next batch, decoded in the background
        self.held: tuple[int, Pending] | None = None  # the batch that `parts` gives
        self.members: tuple[int, Int[Tensor, " n"]] | None = None  # an epoch and its order

    def epoch(self, epoch: int, start: int = 0) -> Iterator[Batch]:
        """The batches of an epoch (from 0), from batch ``start`` on; earlier ones are not read."""
        try:
            for place in range(start, len(self)):
                yield self._nth(epoch * len(self) + place, ahead=place + 1 < len(self))
        finally:
            self.close()  # the next call may ask for any epoch

    def nth(self, k: int) -> Batch:
        """Batch k, counted from 0 through all epochs; call `close` after the last one."""
        return self._nth(k, ahead=True)

    def parts(self, k: int, size: int) -> Iterator[Batch]:
        """Batch k in parts of ``size`` images (the last may be smaller): together, to the bit, the
        batch of `nth`.

        While one part is used, the next ones are decoded. A batch of up to 1 GiB stays decoded
        until another is asked for, so going through it again costs nothing; meanwhile the next
        batch is decoded. Of a larger batch only two parts are in memory at a time. Call `close`
        after the last batch.
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
        """The images of batch k, pending; with ``ahead``, decoding of batch k + 1 begins too."""
        there = dict(pair for pair in (self.ahead, self.held) if pair)
        found = there.get(k) or self.begin(k)
        if self.ahead and self.ahead[0] not in (k, k + 1):
            self.ahead[1].cancel()
        self.held = None
        self.ahead = (k + 1, there.get(k + 1) or self.begin(k + 1)) if ahead else None
        return found

    def _pixels(self, pending: Pending, part: slice = slice(None)) -> UInt8[Tensor, "b h w c"]:
        """Images once they are decoded; if that fails or is interrupted, all decoding stops."""
        try:
            return pending.pixels(part)
        except BaseException:
            pending.cancel()
            self.close()
            raise

    def in_order(self) -> Iterator[Batch]:
        """This rank's share of the images, cropped for evaluation, decoded one batch ahead. If they
        all fit in ``DECODED_BYTES`` they stay decoded for the next time."""
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
        """Stop decoding ahead."""
        if self.ahead:
            self.ahead[1].cancel()
        self.ahead = self.held = None

    def begin(self, k: int, part: slice = slice(None)) -> Pending:
        """Start to decode the images of batch k, or of a part of it."""
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
        """Numbers of the files in this rank's share of batch k."""
        epoch, i = divmod(k, len(self))
        if self.members is None or self.members[0] != epoch:
            self.members = epoch, self.order(epoch)
        return self.members[1][self.share(i)]

    def batch(
        self, pixels: UInt8[Tensor, "b h w c"], index: Int[Tensor, " b"], epoch: int
    ) -> Batch:
        """Decoded images as a normalised batch on the device, with their labels."""
        place = index.to(self.y.device)
        return Batch(self.normalised(pixels), self.y[place], place, epoch, seed=self.seed)

    def part(self, file: str, epoch: int, place: int) -> Pixels:
        """A random crop of an image, perhaps mirrored, drawn for this place of this epoch."""
        gen = generator(self.seed, "image", epoch, place)
        flip = self.augment == "crop_flip"
        return random_square(file, self.size, gen, flip, self.decoding)

    def middle(self, file: str) -> Pixels:
        """The centre crop of an image, for evaluation."""
        return middle_square(file, self.size, self.decoding, self.prepared)

    def normalised(self, pixels: UInt8[Tensor, "b h w c"]) -> Float[Tensor, "b c h w"]:
        """Images on the device, normalised by the data set's mean and sd."""
        x = pixels.to(self.y.device, non_blocking=True).flatten(2).float()
        x = x.div_(255).sub_(self.mean).div_(self.std)
        images = x.view(pixels.shape).permute(0, 3, 1, 2)
        return images if self.channels_last else images.contiguous()
