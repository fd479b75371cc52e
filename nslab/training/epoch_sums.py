"""Sums over the samples of an epoch, from which the numbers of its row follow."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from nslab.types import Batch, Scored

BLOCK = 16  # batches that are summed up together


class EpochSums:
    """Sums over samples with right labels (row 0) and over those with wrong ones (row 1). The
    columns are the numbers of samples and of hits, the sums of losses, weights and squared weights,
    and the number of negative weights. Double precision, on the device of training.

    Batches are gathered, and brought to double precision ``BLOCK`` at a time, which takes a quarter
    of the time. Each is still summed by itself and in turn, so sums depend neither on ``BLOCK`` nor
    on where an epoch was interrupted.

    Args:
        device: where batches are.
        wrong: which samples of the training set are mislabelled; None: none of them.
        begun: sums to continue from.
    """

    def __init__(
        self,
        device: torch.device | str = "cpu",
        wrong: Bool[Tensor, " n"] | None = None,
        begun: Float[Tensor, "2 6"] | None = None,
    ) -> None:
        self.wrong = None if wrong is None else wrong.to(device)
        self.sums = torch.zeros(2, 6, dtype=torch.float64, device=device)
        if begun is not None:
            self.sums += begun
        self.gathered: list[tuple[Tensor, Tensor, Tensor | None, Tensor]] = []

    def add(self, scored: Scored, batch: Batch) -> None:
        """Count a batch, or a part of one, and what an objective returned for it."""
        hits, loss = scored.logits.detach().argmax(1) == batch.y, scored.loss.detach()
        self.gathered.append((hits, loss, scored.weight, batch.index))
        if len(self.gathered) == BLOCK:
            self._sum_up()

    def total(self) -> Float[Tensor, "2 6"]:
        """The sums so far."""
        self._sum_up()
        return self.sums

    def _sum_up(self) -> None:
        if not self.gathered:
            return
        sizes = [len(hits) for hits, *_ in self.gathered]
        every = [
            (hits, loss, torch.ones_like(loss) if weight is None else weight.detach(), index)
            for hits, loss, weight, index in self.gathered
        ]
        self.gathered.clear()
        hits, loss, w, index = (torch.cat(parts) for parts in zip(*every, strict=True))
        parts = [torch.ones_like(w), hits, loss, w, w * w, w < 0]
        columns = torch.stack([part.double() for part in parts], 1)
        wrong = torch.zeros_like(hits) if self.wrong is None else self.wrong[index]
        kinds = torch.stack([~wrong, wrong]).double()
        for some, kind in zip(columns.split(sizes), kinds.split(sizes, 1), strict=True):
            self.sums += kind @ some
