"""Composites of images: the images of a group stitched together and shrunk to the size of one.

Texts are joined in `nslab.objectives.joined_texts`. A batch is a tensor with a row for each sample,
or a mapping of such tensors, as models of transformers take it.
"""

from collections.abc import Callable, Mapping
from typing import Any, Protocol, runtime_checkable

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from nslab.objectives.checks import checked_grid
from nslab.types import Images

Grid = tuple[int, int]
IDS = "input_ids"  # key of a mapping: token ids, with a row for each sample


@runtime_checkable
class Compose(Protocol):
    """Makes composites, as a model takes them, from a batch of samples that fills its grids."""

    def __call__(self, x: Any, grid: Grid) -> Any: ...


def stitch(x: Images, grid: Grid) -> Float[Tensor, "g c H W"]:
    """Tile every R*C consecutive images into one of R rows and C columns, row by row.

    Raises ``ValueError`` if the number of images is not a multiple of R*C.
    """
    rows, cols = checked_grid(grid)
    b, c, h, w = x.shape
    if b % (rows * cols):
        raise ValueError(f"{b} images do not fill {rows} x {cols} grids")
    if x.is_contiguous(memory_format=torch.channels_last):  # keep the layout, in one copy
        tiles = x.permute(0, 2, 3, 1).view(-1, rows, cols, h, w, c)
        tiled = tiles.permute(0, 1, 3, 2, 4, 5).reshape(-1, rows * h, cols * w, c)
        return tiled.permute(0, 3, 1, 2)
    tiles = x.reshape(-1, rows, cols, c, h, w)
    tiled = tiles.permute(0, 3, 1, 4, 2, 5)
    return tiled.reshape(-1, c, rows * h, cols * w)  # [NS Eq. 3]


def composite(x: Images, grid: Grid, antialias: bool = False) -> Float[Tensor, "g c h w"]:
    """Stitched images resized bilinearly to the size of one image (S' of the paper).

    Each image shrinks by a factor of R in height and C in width. Where these divide the image's
    sides, bilinear sampling (``align_corners=False``, no antialias) reads the middle pixel of each
    block if the factor is odd, the mean of the middle two if it is even, and never looks across a
    seam. Shrinking each image before stitching then gives the same numbers with less memory
    traffic. Otherwise the stitched image itself is resized.

    Raises ``ValueError`` for a grid with more rows or columns than an image has pixels, and for
    images that do not fill the grids.
    """
    (rows, cols), (h, w) = checked_grid(grid), x.shape[-2:]
    if rows > h or cols > w:
        raise ValueError(
            f"a {rows} x {cols} grid leaves less than a pixel of each {h} x {w} image: "
            "use a smaller grid or larger images"
        )
    if antialias or h % rows or w % cols:
        return F.interpolate(
            stitch(x, grid), (h, w), mode="bilinear", align_corners=False, antialias=antialias
        )
    if rows * cols == 1:
        return x
    top, left = (rows - 1) // 2, (cols - 1) // 2
    window = (2 - rows % 2, 2 - cols % 2)
    return stitch(F.avg_pool2d(x[..., top:, left:], window, stride=grid), grid)


def sample_tensor(x: Any, y: Tensor) -> Tensor:
    """A tensor with a row for each sample: the batch itself; of a mapping its token ids, or the
    labels ``y`` if it has none."""
    return x.get(IDS, y) if isinstance(x, Mapping) else x


def select_rows(x: Any, which: slice | Tensor) -> Any:
    """The samples of a batch that ``which`` selects."""
    if isinstance(x, Mapping):
        return {k: v[which] if isinstance(v, Tensor) else v for k, v in x.items()}
    return x[which]


def call_model(model: Callable[..., Any], x: Any) -> Any:
    """The output of a model for a batch; a mapping is passed as keyword arguments."""
    return model(**x) if isinstance(x, Mapping) else model(x)
