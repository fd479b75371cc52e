"""The 15 corruptions of MNIST-C (Mu & Gilmer 2019), written here: OURS, NOT THE PUBLISHED SET.

The constants are those of the published set, one severity each; the images differ from the
published ones in every random draw and in rounding. Lengths are in pixels and do not scale with the
size of the image.
"""

import numpy as np
import torch
from jaxtyping import Bool, Float
from scipy import ndimage
from torch import Generator, Tensor

from nslab.datasets.corruption.primitives import (
    Corruption,
    about_centre,
    affine,
    blurred,
    brightness,
    fog,
    glass_blur,
    impulse_noise,
    motion_blur,
    shot_noise,
    signs,
)
from nslab.types import Images


def shear(x: Images, gen: Generator, angle: float) -> Images:
    """Sheared along the rows by ``angle`` (radians) either way, about the centre.

    The sampled column is c - sin(angle) r and the sampled row cos(angle) r.
    """
    angles = angle * signs(len(x), gen)
    one, zero = torch.ones_like(angles), torch.zeros_like(angles)
    matrix = torch.stack((one, -angles.sin(), zero, angles.cos()), 1)
    return about_centre(x, matrix.unflatten(1, (2, 2)))


def scale(x: Images, gen: Generator, factor: float) -> Images:
    """Shrunk by ``factor`` about the centre, on black."""
    return about_centre(x, (torch.eye(2) / factor).expand(len(x), 2, 2))


def rotate(x: Images, gen: Generator, angle: float) -> Images:
    """Rotated by ``angle`` (radians) either way about the centre."""
    angles = angle * signs(len(x), gen)
    matrix = torch.stack((angles.cos(), -angles.sin(), angles.sin(), angles.cos()), 1)
    return about_centre(x, matrix.unflatten(1, (2, 2)))


def translate(x: Images, gen: Generator, pixels: float) -> Images:
    """Moved by that many pixels along both axes, either way."""
    shift = pixels * torch.stack((signs(len(x), gen), signs(len(x), gen)), 1)
    return affine(x, torch.eye(2).expand(len(x), 2, 2), shift)


def stripe(x: Images, gen: Generator) -> Images:
    """The left and right quarters of the image, inverted."""
    quarter, width = x.shape[3] // 4, x.shape[3]
    column = torch.arange(width)
    return torch.where((column < quarter) | (column >= width - quarter), 1 - x, x)


def spatter(x: Images, gen: Generator, size: float, softness: float, grey: float) -> Images:
    """Dark grey mud on about half of the image: wherever blurred normal noise is above its mean, 0.
    The mask of the mud is blurred in turn, and set to 0 where it is below 0.8."""
    noise = blurred(torch.randn(len(x), 1, *x.shape[2:], generator=gen), size)
    mud = blurred((noise > 0).float(), softness)
    mud = torch.where(mud < 0.8, 0.0, mud)
    return x * (1 - mud) + grey * mud


def line(rows: Float[Tensor, "n w"], height: int, reach: float) -> Images:
    """A white line per image, at row ``rows[:, j]`` in column j; at a vertical distance d its
    brightness is 1 + log(1 - d / reach), at least 0."""
    away = (torch.arange(height)[:, None] - rows[:, None, :]).abs().clamp(max=0.999 * reach)
    return (1 + torch.log(1 - away / reach)).clamp(min=0)[:, None]


def dotted_line(x: Images, gen: Generator, reach: float) -> Images:
    """A dashed line, two columns on and two off, from a random row of the left border to one of
    the right."""
    n, _, h, w = x.shape
    start, end = torch.randint(0, h - 1, (2, n, 1), generator=gen)
    column = torch.arange(w)
    drawn = line(start + (end - start) * column / (w - 1), h, reach)
    return x + drawn * ((column // 2 % 2 == 1) & (column < w - 1))


def zigzag(x: Images, gen: Generator, reach: float, step: float) -> Images:
    """A zigzag line from the third column to the third from last, around a straight line between
    random rows at most 5 apart: a corner every ``2 step`` pixels, ``step`` off the straight line;
    both ends are on it."""
    n, _, h, w = x.shape
    first, last = 2, w - 3
    start = torch.randint(0, h - 1, (n,), generator=gen)
    slope = torch.randint(-5, 5, (n,), generator=gen) / (last - first)
    corners = torch.arange(step, last - first, 2 * step)
    off = step * (1 - 2 * (torch.arange(len(corners)) % 2))
    length = (last - first) * torch.sqrt(1 + slope**2)
    zero = torch.zeros(n, 1)
    along = torch.cat((zero, corners.expand(n, -1), length[:, None]), 1)
    aside = torch.cat((zero, off.expand(n, -1), zero), 1)
    angle = torch.atan(slope)[:, None]
    columns = first + angle.cos() * along - angle.sin() * aside
    rows = start[:, None] + angle.sin() * along + angle.cos() * aside
    place = torch.arange(w)
    for i in range(columns.shape[1] - 1):
        c0, c1, r0, r1 = columns[:, i : i + 2].split(1, 1) + rows[:, i : i + 2].split(1, 1)
        drawn = line(r0 + (r1 - r0) / (c1 - c0) * (place - c0), h, reach)
        inside = (place >= c0.floor()) & (place < c1.ceil())
        x = torch.where(inside[:, None, None], x + drawn, x).clamp(max=1)
    return x


def canny_edges(x: Images, gen: Generator, sigma: float, low: float, high: float) -> Images:
    """White edges on black (Canny 1986): pixels where the gradient of the blurred image is largest
    along its own direction, above ``low`` and connected to one above ``high``."""
    smooth = blurred(x, sigma, "constant") / blurred(torch.ones_like(x[:1]), sigma, "constant")
    across, down = (sobel(smooth, along, other) for along, other in ((3, 2), (2, 3)))
    strength = torch.hypot(across, down)
    ridge = ridges(strength, across, down)
    weak = (ridge & (strength >= low)).flatten(0, 1).numpy()
    strong = (ridge & (strength >= high)).flatten(0, 1).numpy()
    touching = np.zeros((3, 3, 3))
    touching[1] = 1  # neighbours of the same image
    numbers, count = ndimage.label(weak, touching)
    kept = np.zeros(count + 1, dtype=bool)
    kept[numbers[strong]] = True
    return torch.from_numpy(kept[numbers]).view(x.shape).float()


def sobel(x: Images, along: int, other: int) -> Images:
    """Differences along one axis, smoothed along the other; weights [-1, 0, 1] and [1, 2, 1]."""
    change = ndimage.correlate1d(x.numpy(), [-1, 0, 1], along)
    return torch.from_numpy(ndimage.correlate1d(change, [1, 2, 1], other))


def ridges(strength: Images, across: Images, down: Images) -> Bool[Tensor, "n c h w"]:
    """Non-maximum suppression: where ``strength`` is no smaller than its two neighbours along the
    gradient, each interpolated between two pixels. Pixels of the border are left out."""
    flat = across.abs() >= down.abs()
    lesser = torch.minimum(across.abs(), down.abs())
    share = lesser / torch.maximum(across.abs(), down.abs()).clamp(min=1e-12)
    rising = across * down >= 0  # towards the lower right or the upper left

    def at(row: int, column: int) -> Tensor:
        return strength.roll((-row, -column), (2, 3))

    peak = strength > 0
    for side in (1, -1):
        straight = torch.where(flat, at(0, side), at(side, 0))
        oblique = torch.where(
            rising, at(side, side), torch.where(flat, at(-side, side), at(side, -side))
        )
        peak &= strength >= straight * (1 - share) + oblique * share
    peak[..., [0, -1], :] = False
    peak[..., [0, -1]] = False
    return peak


MNIST_C: dict[str, Corruption] = {
    "shot_noise": Corruption(shot_noise, ((3.0,),)),
    "impulse_noise": Corruption(impulse_noise, ((0.17,),)),
    "glass_blur": Corruption(glass_blur, ((0.7, 1, 2, True),)),
    "motion_blur": Corruption(motion_blur, ((10.0, 3.0),)),
    "shear": Corruption(shear, ((0.4,),)),
    "scale": Corruption(scale, ((0.7,),)),
    "rotate": Corruption(rotate, ((0.4,),)),
    "brightness": Corruption(brightness, ((0.5,),)),
    "translate": Corruption(translate, ((3.0,),)),
    "stripe": Corruption(stripe, ((),)),
    "fog": Corruption(fog, ((3.0, 1.4, 256),)),
    "spatter": Corruption(spatter, ((1.0, 1.5, 63 / 255),)),
    "dotted_line": Corruption(dotted_line, ((2.3,),)),
    "zigzag": Corruption(zigzag, ((2.3, 2.0),)),
    "canny_edges": Corruption(canny_edges, ((1.0, 0.1, 0.2),)),
}
