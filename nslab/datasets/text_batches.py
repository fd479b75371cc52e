"""Batches of texts: rows of token ids, with texts of similar length in the same batch."""

from collections.abc import Iterator
from typing import Any

import torch
from jaxtyping import Int
from torch import Tensor

from nslab.datasets import Dataset
from nslab.datasets.batch_order import BatchOrder
from nslab.rng import generator
from nslab.types import Batch

WINDOW = 16  # batches whose texts are sorted by length together


class TextBatches(BatchOrder):
    """Batches of token ids, int64 (b, l), as wide as the longest text of the batch.

    The seeded order of an epoch is cut into windows of 16 batches. Within a window, texts are
    sorted by length and cut into batches; the batches are then shuffled, and so are the texts of
    each. So a text moves by less than a window, and consecutive texts are a random group of texts
    of similar length. The few texts after the last whole batch keep their order.

    Args:
        x: token ids, padded on the right, on the device that the batches should be on.
        y: labels, on the same device.
        dataset: gives the id of the padding token.
        bucketed: whether texts of similar length are put into the same batch.
        options: see `BatchOrder`.

    Raises ``ValueError`` for an augmentation: there is none for texts.
    """

    def __init__(
        self,
        x: Int[Tensor, "n l"],
        y: Int[Tensor, " n"],
        dataset: Dataset,
        *,
        bucketed: bool = True,
        **options: Any,
    ) -> None:
        if (given := options.get("augment", "none")) in ("crop", "crop_flip"):
            raise ValueError(f"augment is {given!r}, which is for images: use 'none' for texts")
        super().__init__(y, **options)
        assert dataset.tokens is not None
        self.x, self.bucketed, pad = x, bucketed, dataset.tokens.pad
        places = torch.arange(1, x.shape[1] + 1, device=x.device)
        self.lengths = ((x != pad) * places).amax(1).cpu() if len(x) else torch.zeros(0).long()

    def order(self, epoch: int) -> Int[Tensor, " n"]:
        """Positions of an epoch's texts in the order in which it shows them, on the CPU."""
        order, size = super().order(epoch), self.batch_size
        if not self.bucketed:
            return order
        draws = generator(self.seed, "buckets", epoch)
        whole = len(order) // size * size
        parts = []
        for window in order[:whole].split(WINDOW * size):
            ranked = window[self.lengths[window].argsort(stable=True)].view(-1, size)
            for batch in ranked[torch.randperm(len(ranked), generator=draws)]:
                parts.append(batch[torch.randperm(size, generator=draws)])
        return torch.cat([*parts, order[whole:]])

    def epoch(self, epoch: int, start: int = 0) -> Iterator[Batch]:
        """The batches of an epoch (from 0), from batch ``start`` on; the last batch may be shorter
        or left out, as in `Loader`."""
        order = self.order(epoch)
        for i in range(start, len(self)):
            first, last = i * self.batch_size, (i + 1) * self.batch_size
            width = self._width(order[first:last])  # the same on all ranks
            yield self._batch(order[self.share(i)].to(self.y.device), width, epoch)

    def in_order(self) -> Iterator[Batch]:
        """This rank's texts, ``rank, rank + world, ...``, each once."""
        for index in self.evaluated():
            yield self._batch(index, self._width(index.cpu()), 0)

    def _width(self, index: Int[Tensor, " b"]) -> int:
        return max(1, int(self.lengths[index].amax())) if len(index) else 1

    def _batch(self, index: Int[Tensor, " b"], width: int, epoch: int) -> Batch:
        x = self.x[index, :width].long()
        return Batch(x, self.y[index], index, epoch, seed=self.seed)
