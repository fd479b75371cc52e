"""Building blocks of corruptions, and the corruptions that both sets share.

A corruption maps a batch of images in [0, 1] to another batch; it draws for each image separately
from the generator it is given. Values outside [0, 1] are clamped by `Corruption`.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, UInt8
from scipy import ndimage
from torch import Generator, Tensor

from nslab.rng import generator
from nslab.types import Images

CHUNK = 250  # images corrupted at a time: fog needs half a GB for this many


@dataclass(frozen=True)
class Corruption:
    """A corruption: ``apply(images, gen, *constants)``, and the constants of each severity, mildest
    first."""

    apply: Callable[..., Images]
    severities: tuple[tuple[float, ...], ...]

    def __call__(
        self, x: UInt8[np.ndarray, "n h w c"], severity: int = 1, seed: int = 0
    ) -> UInt8[np.ndarray, "n h w c"]:
        """Corrupted images, the same for the same ``x``, ``severity`` and ``seed``.

        NOTE: grey levels are rounded; in the published sets they are truncated.
        """
        if not 1 <= severity <= len(self.severities):
            raise ValueError(f"severity is {severity}, not one of 1 to {len(self.severities)}")
        constants = self.severities[severity - 1]
        out = np.empty_like(x, subok=False)
        for start in range(0, len(x), CHUNK):
            gen = generator(seed, "corruption", self.apply.__name__, severity, start)
            images = torch.tensor(x[start : start + CHUNK]).permute(0, 3, 1, 2).float() / 255
            made = self.apply(images.contiguous(), gen, *constants).clamp(0, 1) * 255
            out[start : start + CHUNK] = made.round().to(torch.uint8).permute(0, 2, 3, 1).numpy()
        return out


def uniform(low: float, high: float, size: tuple[int, ...], gen: Generator) -> Tensor:
    """Draws from [low, high)."""
    return low + (high - low) * torch.rand(size, generator=gen)


def signs(n: int, gen: Generator) -> Float[Tensor, " n"]:
    """-1 or 1 with equal probability."""
    return torch.randint(0, 2, (n,), generator=gen).float() * 2 - 1


def blurred(
    x: Images,
    sigma: float | tuple[float, float],
    mode: str = "nearest",
    truncate: float = 4.0,
) -> Images:
    """Gaussian blur with sd ``sigma`` (rows, columns) in pixels; ``mode`` as in scipy."""
    rows, columns = sigma if isinstance(sigma, tuple) else (sigma, sigma)
    found = ndimage.gaussian_filter(x.numpy(), (0, 0, rows, columns), mode=mode, truncate=truncate)
    return torch.from_numpy(found)


def motion_blurred(x: Images, radius: float, sigma: float, angle: Float[Tensor, " n"]) -> Images:
    """One-sided Gaussian along a line at ``angle`` (radians) from each pixel, as in ImageMagick:
    2 radius + 1 taps at whole pixels; beyond the border its pixels repeat."""
    n, c, h, w = x.shape
    steps = torch.arange(2 * math.ceil(radius) + 1)
    weights = torch.exp(-0.5 * (steps / sigma) ** 2)
    out, flat = torch.zeros_like(x), x.flatten(2)
    for step, weight in zip(steps.tolist(), (weights / weights.sum()).tolist(), strict=True):
        down = torch.ceil(step * angle.sin() - 0.5).long()[:, None] + torch.arange(h)
        along = torch.ceil(step * angle.cos() - 0.5).long()[:, None] + torch.arange(w)
        place = down.clamp(0, h - 1)[:, :, None] * w + along.clamp(0, w - 1)[:, None]
        taken = flat.gather(2, place.flatten(1)[:, None].expand(n, c, -1))
        out += weight * taken.view_as(x)
    return out


def shuffled(x: Images, gen: Generator, delta: int, rounds: int, swap: bool) -> Images:
    """Pixels moved locally, in ``rounds`` passes from the last pixel to the first: each is paired
    with one whose row and column are each shifted at random by -``delta`` to ``delta`` - 1.

    With ``swap`` half of the pixels change places with their partner; without it, every pixel
    becomes a copy of its partner, as happens to images of several channels in the published sets.
    """
    n, c, h, w = x.shape
    pixels, images = x.permute(2, 3, 0, 1).reshape(h * w, n, c).clone(), torch.arange(n)
    for _ in range(rounds):
        for row in range(h - delta, delta, -1):
            shifts = torch.randint(-delta, delta, (2, w, n), generator=gen)
            moves = torch.rand(w, n, generator=gen) < (0.5 if swap else 1.0)
            for column in range(w - delta, delta, -1):
                here = row * w + column
                shift = shifts[0, column] * w + shifts[1, column]
                other = here + shift * moves[column]
                kept = pixels[here].clone()
                pixels[here] = pixels[other, images]
                if swap:
                    pixels[other, images] = kept
    return pixels.view(h, w, n, c).permute(2, 3, 0, 1).contiguous()


def warped(x: Images, rows: Tensor, columns: Tensor, beyond: str = "zeros") -> Images:
    """Bilinear samples of each image at ``rows`` and ``columns`` (n, h, w), in pixels; outside the
    image there are ``"zeros"`` or its ``"reflection"``."""
    h, w = x.shape[2:]
    grid = torch.stack((columns * (2 / (w - 1)) - 1, rows * (2 / (h - 1)) - 1), -1)
    return F.grid_sample(x, grid, "bilinear", beyond, align_corners=True)


def affine(
    x: Images, matrix: Float[Tensor, "n 2 2"], shift: Float[Tensor, "n 2"], beyond: str = "zeros"
) -> Images:
    """Images sampled at matrix (column, row) + shift."""
    h, w = x.shape[2:]
    rows, columns = torch.meshgrid(torch.arange(h), torch.arange(w), indexing="ij")
    place = torch.stack((columns, rows)).flatten(1).float()  # (2, h w)
    found = (matrix @ place + shift[:, :, None]).unflatten(2, (h, w))
    return warped(x, found[:, 1], found[:, 0], beyond)


def about_centre(x: Images, matrix: Float[Tensor, "n 2 2"]) -> Images:
    """`affine` with the shift that leaves the image's centre where it is."""
    centre = torch.tensor([(x.shape[3] - 1) / 2, (x.shape[2] - 1) / 2])
    return affine(x, matrix, centre - matrix @ centre)


def zooming(side: int, factor: float) -> Float[Tensor, "side side"]:
    """The linear map of a row of pixels to its middle part, enlarged by ``factor`` and trimmed to
    the old length, as by scipy's ``zoom`` of order 1."""
    part = math.ceil(side / factor)
    large = round(part * factor)
    place = torch.arange(side) + (large - side) // 2
    place = (side - part) // 2 + place * ((part - 1) / max(1, large - 1))
    return (1 - (place[:, None] - torch.arange(side)).abs()).clamp(min=0)


def boxed(old: int, new: int) -> Float[Tensor, "new old"]:
    """The linear map of ``old`` to ``new`` pixels by Pillow's box filter."""
    ratio = old / new
    centre = (torch.arange(new, dtype=torch.float64) + 0.5) * ratio
    place = (torch.arange(old) + 0.5 - centre[:, None]) / max(1.0, ratio)
    inside = ((place > -0.5) & (place <= 0.5)).float()
    return inside / inside.sum(1, keepdim=True)


def resampled(
    x: Float[Tensor, "n c h w"], rows: Float[Tensor, "h2 h"], columns: Float[Tensor, "w2 w"]
) -> Float[Tensor, "n c h2 w2"]:
    """Images with one linear map applied along the rows' axis and one along the columns'."""
    return rows @ x @ columns.T


def plasma(n: int, side: int, size: int, decay: float, gen: Generator) -> Float[Tensor, "n 1 s s"]:
    """Cloudy noise in [0, 1] by the diamond-square method on a torus of ``size`` pixels a side (or
    the next power of two), of which the first ``side`` rows and columns are returned.

    Each halving of the grid divides the amplitude by decay^2. Source: Fournier, Fussell &
    Carpenter 1982.
    """
    grid, amplitude = torch.zeros(n, 1, 1), 1.0
    while grid.shape[1] < size:
        k = grid.shape[1]
        below, right = grid.roll(-1, 1), grid.roll(-1, 2)
        centre = (grid + below + right + below.roll(-1, 2)) / 4
        centre += uniform(-amplitude, amplitude, (n, k, k), gen)
        top = (grid + right + centre + centre.roll(1, 1)) / 4
        top += uniform(-amplitude, amplitude, (n, k, k), gen)
        left = (grid + below + centre + centre.roll(1, 2)) / 4
        left += uniform(-amplitude, amplitude, (n, k, k), gen)
        upper, lower = torch.stack((grid, top), 3), torch.stack((left, centre), 3)
        grid = torch.stack((upper.flatten(2), lower.flatten(2)), 2).flatten(1, 2)
        amplitude /= decay**2
    low, high = grid.amin((1, 2), keepdim=True), grid.amax((1, 2), keepdim=True)
    return ((grid[:, :side, :side] - low) / (high - low))[:, None]


def shot_noise(x: Images, gen: Generator, photons: float) -> Images:
    """Poisson noise: a white pixel counts ``photons`` photons on average."""
    return torch.poisson(x * photons, generator=gen) / photons


def impulse_noise(x: Images, gen: Generator, share: float) -> Images:
    """Salt and pepper: ``share`` of the values become 0 or 1, with equal probability."""
    draw = torch.rand(x.shape, generator=gen)
    return x.masked_fill(draw < share, 0).masked_fill(draw < share / 2, 1)


def glass_blur(
    x: Images, gen: Generator, sigma: float, delta: int, rounds: int, swap: bool
) -> Images:
    """Gaussian blur with sd ``sigma``, then `shuffled` pixels, then the same blur again."""
    # MNIST-C's code (which swaps) passes grey images to a filter that mistakes the columns for
    # channels, so it blurs along one axis only.
    widths = (sigma, 0.0 if swap else sigma)
    return blurred(shuffled(blurred(x, widths), gen, delta, rounds, swap), widths)


def motion_blur(x: Images, gen: Generator, radius: float, sigma: float) -> Images:
    """Motion blur in a random direction within 45 degrees of the horizontal."""
    angle = uniform(-math.pi / 4, math.pi / 4, (len(x),), gen)
    return motion_blurred(x, radius, sigma, angle)


def fog(x: Images, gen: Generator, thickness: float, decay: float, size: int) -> Images:
    """``thickness`` times plasma noise added to the image; the sum is then scaled by
    largest / (largest + thickness), with the image's largest value."""
    largest = x.amax((1, 2, 3), keepdim=True)
    height, width = x.shape[2:]
    side = max(height, width)
    cloud = plasma(len(x), side, max(side, size), decay, gen)[..., :height, :width]
    return (x + thickness * cloud) * largest / (largest + thickness)


def brightness(x: Images, gen: Generator, gain: float) -> Images:
    """The value (of HSV) raised by ``gain``; hue and saturation stay, and black becomes grey."""
    value = x.amax(1, keepdim=True)
    raised = (value + gain).clamp(max=1)
    return torch.where(value > 0, x * raised / value, raised)
