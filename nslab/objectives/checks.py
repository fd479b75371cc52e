"""Checks of what users hand to an objective, with errors that say what to do."""

import math

from torch import Tensor


def checked_grid(grid: tuple[int, int]) -> tuple[int, int]:
    """``grid`` as a tuple; ``ValueError`` unless it is two positive whole numbers."""
    ok = isinstance(grid, tuple | list) and len(grid) == 2
    if not ok or any(isinstance(n, bool) or not isinstance(n, int) or n < 1 for n in grid):
        raise ValueError(f"grid must be (rows, columns), two positive whole numbers, not {grid!r}")
    return grid[0], grid[1]


def checked_number(name: str, value: float) -> float:
    """``value`` as a float; ``TypeError`` if it is no number, ``ValueError`` if not finite."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"{name} must be a number, not {value!r}")
    if not math.isfinite(value):
        raise ValueError(f"{name} must be finite, not {value}")
    return float(value)


def check_images(x: Tensor) -> None:
    """Raise ``ValueError`` unless x is a batch of float images."""
    if x.dim() != 4 or not x.is_floating_point():
        raise ValueError(
            "competition needs float images (batch, channels, height, width), "
            f"not {x.dtype} of shape {tuple(x.shape)}"
        )
