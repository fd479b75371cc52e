"""Images and their corruptions, for tests of corrupted sets."""

import numpy as np
from scipy import ndimage

from nslab.datasets.corruption.sets import CORRUPTIONS


def colours(n: int, side: int = 32, seed: int = 0) -> np.ndarray:
    """Colour images with large shapes, edges and some texture."""
    rng = np.random.default_rng(seed)
    noise = rng.standard_normal((n, side, side, 3))
    coarse = ndimage.gaussian_filter(noise, (0, 5, 5, 0.7)) * 6
    fine = ndimage.gaussian_filter(noise, (0, 0.8, 0.8, 0.5)) * 0.2
    x = 0.5 + 0.15 * np.sign(coarse) + 0.2 * coarse + 0.3 * fine
    return (255 * np.clip(x, 0, 1)).astype(np.uint8)


def apply(
    name: str, corruption: str, x: np.ndarray, severity: int = 1, seed: int = 0
) -> np.ndarray:
    """Corrupted images, by one corruption of a set."""
    return CORRUPTIONS[name][corruption](x, severity, seed)


def distance(one: np.ndarray, other: np.ndarray) -> float:
    """Mean squared difference of two uint8 arrays."""
    return float(((one.astype(float) - other) ** 2).mean())
