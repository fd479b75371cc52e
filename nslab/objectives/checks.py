"""Checks of what users hand to an objective, with errors that say what to do."""

import dataclasses
import math
from typing import Any

from torch import Tensor

from nslab.parameters import hints, strict


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


def check_fields(
    config: Any,
    *,
    positive: tuple[str, ...] = (),
    at_least: dict[str, float] | None = None,
    at_most: dict[str, float] | None = None,
    below: dict[str, float] | None = None,
) -> None:
    """Bring the fields of a frozen dataclass to their declared types and check their ranges.

    Every number must be finite. Raises ``TypeError`` for a wrong type, ``ValueError`` for a number
    out of range, both naming class and field.
    """
    name, types = type(config).__name__, hints(type(config))
    for field in dataclasses.fields(config):
        if getattr(types[field.name], "_is_protocol", False):
            continue  # another config, which has checked itself
        value = strict(f"{name}: {field.name}", getattr(config, field.name), types[field.name])
        object.__setattr__(config, field.name, value)
        if isinstance(value, float) and not math.isfinite(value):
            raise ValueError(f"{name}: {field.name} must be finite, not {value}")
    for field_name, bound, holds, words in (
        *((n, 0.0, float.__gt__, "above") for n in positive),
        *((n, b, float.__ge__, "at least") for n, b in (at_least or {}).items()),
        *((n, b, float.__le__, "at most") for n, b in (at_most or {}).items()),
        *((n, b, float.__lt__, "below") for n, b in (below or {}).items()),
    ):
        value = getattr(config, field_name)
        if value is not None and not holds(float(value), float(bound)):
            raise ValueError(f"{name}: {field_name} must be {words} {bound:g}, not {value}")


def check_images(x: Tensor) -> None:
    """Raise ``ValueError`` unless x is a batch of float images."""
    if x.dim() != 4 or not x.is_floating_point():
        raise ValueError(
            "competition needs float images (batch, channels, height, width), "
            f"not {x.dtype} of shape {tuple(x.shape)}"
        )
