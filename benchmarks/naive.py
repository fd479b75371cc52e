"""A naive implementation of Natural Selection, as one would write it after reading the paper.

The weights are those of `nslab.objectives.NS` except for their timing: they are computed before the
batch's own forward pass, hence before BatchNorm's running statistics are updated by it.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import nn

from nslab.types import Batch, DataInfo, Scored


class Naive:
    """The objective, with the default sigma 0.7 and rho +1. The batch must fill its groups."""

    def __init__(self, rows: int, cols: int) -> None:
        self.rows, self.cols, self.min_batch = rows, cols, rows * cols

    def __call__(self, model: nn.Module, batch: Batch) -> Scored:
        x, y, (_, c, h, w) = batch.x, batch.y, batch.x.shape
        tiles = x.reshape(-1, self.rows, self.cols, c, h, w).permute(0, 3, 1, 4, 2, 5)
        stitched = tiles.reshape(-1, c, self.rows * h, self.cols * w)
        composites = F.interpolate(stitched, size=(h, w), mode="bilinear", align_corners=False)
        model.eval()
        with torch.no_grad():
            q = model(composites).softmax(1).gather(1, y.view(-1, self.min_batch))
        model.train()
        weight = 0.7 + (self.min_batch * q / q.sum(1, keepdim=True)).flatten()
        logits = model(x)
        return Scored(weight * F.cross_entropy(logits, y, reduction="none"), logits, weight)


@dataclass(frozen=True)
class NaiveConfig:
    """The config of `Naive`."""

    rows: int
    cols: int

    def build(self, info: DataInfo) -> Naive:
        """The objective, the same for every training set."""
        return Naive(self.rows, self.cols)
