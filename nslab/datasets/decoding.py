"""Image files to pixels: which part of a file, at what size, and how it is decoded.

``exact`` gives, to the bit, the pixels of torchvision's transforms on images opened by PIL.
``reduced`` lets the JPEG decoder halve an image's sides up to three times as it decodes, as long
as the part that is wanted stays at least as large as the result; torch then resizes it. It is
faster (see ``benchmarks/README.md``) but not equal. On 200 photographs enlarged to 1,120 pixels a
side, pixels of the centre crop differ by 0.8 of 255 on average, those of random crops by 2.2; an
ImageNet network (EfficientNet-Lite0) predicts the same class for 97 and 95 % of them, and its
top-1 accuracy on centre crops falls from 88 to 85 %. So ``exact`` is the default. Decoding on a
GPU is not offered: torchvision is abandoning its GPU decoders, and pixels would depend on hardware
and driver.

Orientation tags of cameras are ignored, as torchvision's ``ImageFolder`` ignores them.
"""

import math
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache
from typing import Any, Literal, NamedTuple, get_args

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import UInt8
from torch import Tensor

Decoding = Literal["exact", "reduced"]
Pixels = UInt8[np.ndarray, "h w c"]

AREA, RATIO = (0.08, 1.0), (3 / 4, 4 / 3)  # of a random crop: share of the image, width / height
RESIZED = 256 / 224  # shorter side of the resized image, divided by the side of its centre crop
DIVISORS = (8, 4, 2)  # by which JPEG decoders can reduce an image's sides
WIDE = 2**16 - 1  # white in 16-bit images
WORKERS = "NSLAB_WORKERS"  # environment variable: number of threads that decode images


class Part(NamedTuple):
    """A rectangle of an image, in its pixels."""

    top: int
    left: int
    height: int
    width: int


@cache
def pool() -> ThreadPoolExecutor:
    """The threads that decode: ``NSLAB_WORKERS`` of them, by default one per core, at most 16.

    Raises ``ValueError`` if ``NSLAB_WORKERS`` is not a positive number.
    """
    given = os.environ.get(WORKERS, "")
    if given and not (given.isdecimal() and int(given)):
        raise ValueError(
            f"{WORKERS} is {given!r}: set it to the number of threads that decode images, such as 4"
        )
    return ThreadPoolExecutor(int(given or min(16, os.cpu_count() or 1)))


class Pending:
    """Images that threads are decoding into one buffer, which may be pinned for a copy to a GPU.

    Args:
        jobs: each returns the pixels (size, size, 3) of one image.
        size: side of the images in pixels.
        pinned: whether the buffer is in page-locked memory.
    """

    def __init__(
        self, jobs: Sequence[Callable[[], Pixels]], size: int, *, pinned: bool = False
    ) -> None:
        shape = (len(jobs), size, size, 3)
        self.buffer = torch.empty(shape, dtype=torch.uint8, pin_memory=pinned)
        self.rows = self.buffer.numpy()
        self.parts = [pool().submit(self._fill, i, job) for i, job in enumerate(jobs)]

    def pixels(self, part: slice = slice(None)) -> UInt8[Tensor, "b h w c"]:
        """Some of the images, after waiting until they are decoded; ``ValueError`` names a file
        that cannot be decoded."""
        for one in self.parts[part]:
            one.result()
        return self.buffer[part]

    def cancel(self) -> None:
        """Start decoding no further image."""
        for one in self.parts:
            one.cancel()

    def _fill(self, i: int, job: Callable[[], Pixels]) -> None:
        self.rows[i] = job()


def check_decoding(decoding: str) -> None:
    """Raise ``ValueError`` if ``decoding`` is neither ``"exact"`` nor ``"reduced"``."""
    if decoding not in get_args(Decoding):
        raise ValueError(f"decoding is {decoding!r}, not one of {', '.join(get_args(Decoding))}")


def random_square(
    file: str, size: int, gen: torch.Generator, flip: bool = False, decoding: Decoding = "exact"
) -> Pixels:
    """A random crop of an image file, see `random_part`, resized to ``size`` x ``size``; with
    ``flip`` mirrored with probability 1/2. The draws do not depend on ``decoding``."""
    with reading(file) as image:
        part = random_part(image.height, image.width, gen)
        if decoding == "reduced":
            pixels = reduced(image, part, size, size)
        else:
            top, left, height, width = part
            cut = in_colours(image).crop((left, top, left + width, top + height))
            pixels = np.asarray(cut.resize((size, size), _bilinear()))
    return pixels[:, ::-1] if flip and float(torch.rand((), generator=gen)) < 0.5 else pixels


def middle_square(
    file: str, size: int, decoding: Decoding = "exact", prepared: bool = False
) -> Pixels:
    """The centre crop, ``size`` x ``size``, of an image whose shorter side is resized to 256/224 of
    that; with ``prepared``, an image that is ``size`` x ``size`` already is left as it is."""
    with reading(file) as image:
        if prepared and image.size == (size, size):
            return np.asarray(in_colours(image))
        height, width = resized_to(image.height, image.width, round(size * RESIZED))
        top, left = round((height - size) / 2), round((width - size) / 2)
        if decoding == "reduced":
            pixels = reduced(image, Part(0, 0, image.height, image.width), height, width)
            return pixels[top : top + size, left : left + size]
        cut = in_colours(image).resize((width, height), _bilinear())
        return np.asarray(cut.crop((left, top, left + size, top + size)))


def resized_to(height: int, width: int, shorter: int) -> tuple[int, int]:
    """Height and width of an image whose shorter side is resized to ``shorter``, rounded as
    torchvision does."""
    if height <= width:
        return shorter, int(shorter * width / height)
    return int(shorter * height / width), shorter


def reduced(image: Any, part: Part, height: int, width: int) -> Pixels:
    """A part of a PIL image that is not decoded yet, resized to ``height`` x ``width``.

    A JPEG is decoded at a half, a quarter or an eighth of its sides if the part then is still as
    large as the result. The part is cut out to the nearest pixel of the decoded image.
    """
    whole, most = image.size, min(part.height / height, part.width / width)
    divisor = next((k for k in DIVISORS if k <= most), 1)
    image.draft("RGB", (whole[0] // divisor, whole[1] // divisor))
    divisor = divisor if image.size != whole else 1
    least = (height, width) if divisor > 1 else (1, 1)
    h, w = max(least[0], round(part.height / divisor)), max(least[1], round(part.width / divisor))
    top = min(round(part.top / divisor), image.height - h)
    left = min(round(part.left / divisor), image.width - w)
    # A copy: PIL's pixels are read-only, about which torch would warn.
    pixels = np.array(in_colours(image).crop((left, top, left + w, top + h)))
    return resized(pixels, height, width)


def resized(pixels: Pixels, height: int, width: int) -> UInt8[np.ndarray, "height width c"]:
    """Pixels resized by torch's bilinear filter with antialiasing: at most 1 of 255 from PIL's, and
    several times as fast for channels-last pixels such as these."""
    x = torch.from_numpy(pixels)[None].permute(0, 3, 1, 2)
    x = F.interpolate(x, (height, width), mode="bilinear", antialias=True)
    return x[0].permute(1, 2, 0).numpy()


@contextmanager
def reading(file: str) -> Iterator[Any]:
    """A PIL image whose header has been read; ``ValueError`` names the file if reading it fails, or
    the work in the ``with`` block."""
    from PIL import Image

    try:
        with Image.open(file) as image:
            yield image
    except Exception as error:  # decoders raise whatever they like
        raise ValueError(f"{file} cannot be read as an image: {error}") from None


def opened(file: str) -> Any:
    """A whole image in RGB, of PIL; ``ValueError`` names the file if it cannot be read, or if the
    range of its values is unknown."""
    with reading(file) as image:
        return in_colours(image)


def in_colours(image: Any) -> Any:
    """A PIL image decoded and converted to RGB; 16-bit grey is scaled to 8 bits. ``ValueError`` if
    the range of its values is unknown."""
    from PIL import Image

    if image.mode == "RGB":
        image.load()
        return image
    if image.mode.startswith("I"):
        wide = np.asarray(image, dtype=np.int64)
        if wide.min() < 0 or wide.max() > WIDE:
            raise ValueError(f"its values range from {wide.min()} to {wide.max()}")
        image = Image.fromarray((wide * 255 // WIDE).astype(np.uint8))
    elif image.mode == "F":
        raise ValueError("its values are floats of unknown range")
    return image.convert("RGB")


def _bilinear() -> Any:
    from PIL import Image

    return Image.Resampling.BILINEAR


def random_part(height: int, width: int, gen: torch.Generator) -> Part:
    """A random crop: 8 to 100 % of the image's area, with width : height between 3:4 and 4:3,
    uniform in the logarithm. After ten draws that do not fit, the largest such crop of the middle.

    The distribution is that of torchvision's ``RandomResizedCrop``.
    """
    for _ in range(10):
        u = torch.rand(4, generator=gen, dtype=torch.float64).tolist()
        area = height * width * (AREA[0] + u[0] * (AREA[1] - AREA[0]))
        ratio = RATIO[0] * (RATIO[1] / RATIO[0]) ** u[1]
        w, h = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
        if 0 < w <= width and 0 < h <= height:
            return Part(int(u[2] * (height - h + 1)), int(u[3] * (width - w + 1)), h, w)
    w = min(width, round(height * RATIO[1]))
    h = min(height, round(width / RATIO[0]))
    return Part((height - h) // 2, (width - w) // 2, h, w)
