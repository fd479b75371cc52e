"""The 15 corruptions of CIFAR-10-C (Hendrycks & Dietterich 2019), written here: OURS, NOT THE
PUBLISHED SET.

The constants are those of the published set, five severities each; the images differ from the
published ones in every random draw, and in what the NOTEs say.
"""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Generator, Tensor

from nslab.datasets.corruption.jpeg import jpeg
from nslab.datasets.corruption.primitives import (
    Corruption,
    affine,
    blurred,
    boxed,
    brightness,
    fog,
    glass_blur,
    impulse_noise,
    motion_blur,
    motion_blurred,
    plasma,
    resampled,
    shot_noise,
    uniform,
    warped,
    zooming,
)
from nslab.types import Images


def gaussian_noise(x: Images, gen: Generator, sd: float) -> Images:
    """Normal noise, independent for each value."""
    return x + sd * torch.randn(x.shape, generator=gen)


def defocus_blur(x: Images, gen: Generator, radius: float, softness: float) -> Images:
    """Mean over a disk, its edge softened by a 3 x 3 Gaussian of sd ``softness``."""
    reach = int(radius) + 1  # the published code has more zeros around it
    away = torch.arange(-reach, reach + 1).float() ** 2
    disk = (away[:, None] + away <= radius**2).float()
    soft = torch.exp(-0.5 * (torch.tensor([-1.0, 0.0, 1.0]) / softness) ** 2)
    soft = (soft[:, None] * soft) / soft.sum() ** 2
    kernel = F.conv2d((disk / disk.sum())[None, None], soft[None, None], padding=1)
    padded = F.pad(x, (reach,) * 4, mode="reflect")
    return F.conv2d(padded.flatten(0, 1)[:, None], kernel).view_as(x)


def zoom_blur(x: Images, gen: Generator, steps: int) -> Images:
    """Mean of the image, twice, and its middle enlarged by 1 %, 2 %, ... ``steps`` %."""
    total = 2 * x
    for step in range(1, steps + 1):
        rows, columns = (zooming(side, 1 + 0.01 * step) for side in x.shape[2:])
        total = total + resampled(x, rows, columns)
    return total / (steps + 2)


def snow(
    x: Images,
    gen: Generator,
    mean: float,
    sd: float,
    size: float,
    threshold: float,
    radius: float,
    sigma: float,
    clear: float,
) -> Images:
    """Snow flakes over an image that is partly whitened.

    Flakes are normal noise (``mean``, ``sd``), enlarged by ``size``, set to 0 below ``threshold``
    and motion-blurred (``radius``, ``sigma``). They are added twice, once rotated by 180 degrees,
    to ``clear`` times the image plus ``1 - clear`` times a whitened copy.
    """
    n, _, h, w = x.shape
    flakes = mean + sd * torch.randn(n, 1, h, w, generator=gen)
    flakes = resampled(flakes, zooming(h, size), zooming(w, size))
    flakes = torch.where(flakes < threshold, 0.0, flakes).clamp(0, 1)
    angle = uniform(-0.75 * torch.pi, -0.25 * torch.pi, (n,), gen)
    flakes = motion_blurred(flakes, radius, sigma, angle)
    whitened = torch.maximum(x, 1.5 * luminance(x) + 0.5)
    return clear * x + (1 - clear) * whitened + flakes + flakes.flip(2, 3)


def luminance(x: Float[Tensor, "n c h w"]) -> Float[Tensor, "n 1 h w"]:
    """The image in grey: BT.601 luma of three channels, the mean of any other number."""
    if x.shape[1] != 3:
        return x.mean(1, keepdim=True)
    return (x * torch.tensor([0.299, 0.587, 0.114]).view(3, 1, 1)).sum(1, keepdim=True)


def frost(x: Images, gen: Generator, image: float, ice: float) -> Images:
    """A sum of the image and ice, weighted by ``image`` and ``ice``.

    NOTE: the published set lays photographs of frost over the images; this ice is synthetic: bright
    bluish ridges of plasma noise.
    """
    n, _, h, w = x.shape
    clouds = plasma(2 * n, max(h, w), max(h, w), 1.5, gen)[..., :h, :w]
    ridge = 1 - (2 * clouds - 1).abs()
    texture = 0.15 + 0.85 * torch.maximum(ridge[:n], ridge[n:]) ** 6
    tint = torch.tensor([0.80, 0.90, 1.0]).view(3, 1, 1) if x.shape[1] == 3 else 0.9
    return image * x + ice * texture * tint


def contrast(x: Images, gen: Generator, factor: float) -> Images:
    """Distance to the mean of each image and channel, multiplied by ``factor``."""
    mean = x.mean((2, 3), keepdim=True)
    return mean + factor * (x - mean)


def elastic_transform(
    x: Images, gen: Generator, strength: float, smoothness: float, jitter: float
) -> Images:
    """An affine map that moves three points by up to ``jitter`` along each axis, then a random
    displacement of each pixel: uniform noise, smoothed, times ``strength`` (all in widths)."""
    n, _, h, w = x.shape
    side = min(h, w)
    centre, third = torch.tensor([w // 2, h // 2]), side // 3
    source = centre + third * torch.tensor([[1.0, 1.0], [1.0, -1.0], [-1.0, -1.0]])
    target = source + uniform(-jitter * side, jitter * side, (n, 3, 2), gen)
    ones = torch.ones(n, 3, 1)
    inverse = torch.linalg.solve(torch.cat((target, ones), 2), source.expand(n, 3, 2))
    x = affine(x, inverse[:, :2].mT, inverse[:, 2], "reflection")
    noise = uniform(-1, 1, (n, 2, h, w), gen)
    move = strength * side * blurred(noise, smoothness * side, "reflect", truncate=3)
    rows, columns = torch.meshgrid(torch.arange(h), torch.arange(w), indexing="ij")
    return warped(x, rows + move[:, 0], columns + move[:, 1], "reflection")


def pixelate(x: Images, gen: Generator, share: float) -> Images:
    """Each side reduced to ``share`` of its pixels and enlarged again, by box filters."""

    def down_and_up(side: int) -> Float[Tensor, "s s"]:
        fewer = int(side * share)
        return boxed(fewer, side) @ boxed(side, fewer)

    return resampled(x, down_and_up(x.shape[2]), down_and_up(x.shape[3]))


def jpeg_compression(x: Images, gen: Generator, quality: int) -> Images:
    """JPEG compression at ``quality`` (1 to 100)."""
    return jpeg(x, quality)


def five(*values: float) -> tuple[tuple[float, ...], ...]:
    """Five severities of one constant."""
    return tuple((value,) for value in values)


CIFAR10_C: dict[str, Corruption] = {
    "gaussian_noise": Corruption(gaussian_noise, five(0.04, 0.06, 0.08, 0.09, 0.10)),
    "shot_noise": Corruption(shot_noise, five(500.0, 250.0, 100.0, 75.0, 50.0)),
    "impulse_noise": Corruption(impulse_noise, five(0.01, 0.02, 0.03, 0.05, 0.07)),
    "defocus_blur": Corruption(
        defocus_blur, ((0.3, 0.4), (0.4, 0.5), (0.5, 0.6), (1.0, 0.2), (1.5, 0.1))
    ),
    "glass_blur": Corruption(
        glass_blur,
        (
            (0.05, 1, 1, False),
            (0.25, 1, 1, False),
            (0.4, 1, 1, False),
            (0.25, 1, 2, False),
            (0.4, 1, 2, False),
        ),
    ),
    "motion_blur": Corruption(
        motion_blur, ((6.0, 1.0), (6.0, 1.5), (6.0, 2.0), (8.0, 2.0), (9.0, 2.5))
    ),
    "zoom_blur": Corruption(zoom_blur, ((6,), (11,), (15,), (20,), (25,))),
    "snow": Corruption(
        snow,
        (
            (0.1, 0.2, 1.0, 0.6, 8.0, 3.0, 0.95),
            (0.1, 0.2, 1.0, 0.5, 10.0, 4.0, 0.9),
            (0.15, 0.3, 1.75, 0.55, 10.0, 4.0, 0.9),
            (0.25, 0.3, 2.25, 0.6, 12.0, 6.0, 0.85),
            (0.3, 0.3, 1.25, 0.65, 14.0, 12.0, 0.8),
        ),
    ),
    "frost": Corruption(frost, ((1.0, 0.2), (1.0, 0.3), (0.9, 0.4), (0.85, 0.4), (0.75, 0.45))),
    "fog": Corruption(
        fog,
        ((0.2, 3.0, 32), (0.5, 3.0, 32), (0.75, 2.5, 32), (1.0, 2.0, 32), (1.5, 1.75, 32)),
    ),
    "brightness": Corruption(brightness, five(0.05, 0.1, 0.15, 0.2, 0.3)),
    "contrast": Corruption(contrast, five(0.75, 0.5, 0.4, 0.3, 0.15)),
    "elastic_transform": Corruption(
        elastic_transform,
        (
            (0.0, 0.0, 0.08),
            (0.05, 0.2, 0.07),
            (0.08, 0.06, 0.06),
            (0.1, 0.04, 0.05),
            (0.1, 0.03, 0.03),
        ),
    ),
    "pixelate": Corruption(pixelate, five(0.95, 0.9, 0.85, 0.75, 0.65)),
    "jpeg_compression": Corruption(jpeg_compression, five(80, 65, 58, 50, 40)),
}
