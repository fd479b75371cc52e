"""Image files to pixels: which part of a file, at what size, and how it is decoded.

``exact`` is, to the bit, what torchvision's transforms make of images that PIL has opened.
``reduced`` lets the JPEG decoder halve an image's sides once to three times while it decodes,
where the part that is wanted stays at least as large as the result, and then resizes by torch. It
is faster (see ``benchmarks/README.md``) and not equal: of 200 photographs enlarged to 1,120 pixels
a side, pixels of the middle differ by 0.8 of 255 on average, those of random parts by 2.2; an
ImageNet network (EfficientNet-Lite0) names the same class for 97 and 95 % of them, and its top-1
accuracy on the middles is 85 % instead of 88. So nothing is reduced unless that is asked for.
Decoding on a GPU is left out: torchvision gives its decoders up, and pixels would be others again,
by hardware and driver.

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

AREA, RATIO = (0.08, 1.0), (3 / 4, 4 / 3)  # of a random part
RESIZED = 256 / 224  # the shorter side of an image whose middle is taken, over the middle's
DIVISORS = (8, 4, 2)  # by which JPEG decoders reduce an image's sides
WIDE = 2**16 - 1  # the white of 16 bits
WORKERS = "NSLAB_WORKERS"  # threads that decode images, in the environment


class Part(NamedTuple):
    """A rectangle of an image, in its pixels."""

    top: int
    left: int
    height: int
    width: int


@cache
def pool() -> ThreadPoolExecutor:
    """The threads that decode: as many as ``NSLAB_WORKERS`` says, else one a core, 16 at most."""
    given = os.environ.get(WORKERS, "")
    if given and not (given.isdecimal() and int(given)):
        raise ValueError(f"{WORKERS} is {given!r}: the number of threads that decode images, say 4")
    return ThreadPoolExecutor(int(given or min(16, os.cpu_count() or 1)))


class Pending:
    """Images that threads decode, side by side in one buffer, pinned for a copy to a GPU."""

    def __init__(
        self, jobs: Sequence[Callable[[], Pixels]], size: int, *, pinned: bool = False
    ) -> None:
        shape = (len(jobs), size, size, 3)
        self.buffer = torch.empty(shape, dtype=torch.uint8, pin_memory=pinned)
        self.rows = self.buffer.numpy()
        self.parts = [pool().submit(self._fill, i, job) for i, job in enumerate(jobs)]

    def pixels(self, part: slice = slice(None)) -> UInt8[Tensor, "b h w c"]:
        """Some of the images, once they are decoded; ``ValueError`` names a file that cannot be."""
        for one in self.parts[part]:
            one.result()
        return self.buffer[part]

    def cancel(self) -> None:
        """Begin no further image."""
        for one in self.parts:
            one.cancel()

    def _fill(self, i: int, job: Callable[[], Pixels]) -> None:
        self.rows[i] = job()


def check_decoding(decoding: str) -> None:
    """``ValueError`` for a way to decode that there is not."""
    if decoding not in get_args(Decoding):
        raise ValueError(f"decoding is {decoding!r}, not one of {', '.join(get_args(Decoding))}")


def random_square(
    file: str, size: int, gen: torch.Generator, flip: bool = False, decoding: Decoding = "exact"
) -> Pixels:
    """A random part of an image, see `random_part`, resized; with ``flip`` mirrored half of the
    time. What is drawn does not depend on how it is decoded."""
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
    """The middle of an image whose shorter side is resized to 256/224 of the size; with
    ``prepared`` an image that has that size already stays as it is."""
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
    """Height and width of an image whose shorter side is resized, as torchvision rounds them."""
    if height <= width:
        return shorter, int(shorter * width / height)
    return int(shorter * height / width), shorter


def reduced(image: Any, part: Part, height: int, width: int) -> Pixels:
    """A part of an image of PIL that is not decoded yet, resized: decoded at a half, a quarter or
    an eighth of its sides if it is a JPEG and the part stays as large as the result; then cut out
    to the nearest pixel."""
    whole, most = image.size, min(part.height / height, part.width / width)
    divisor = next((k for k in DIVISORS if k <= most), 1)
    image.draft("RGB", (whole[0] // divisor, whole[1] // divisor))
    divisor = divisor if image.size != whole else 1
    least = (height, width) if divisor > 1 else (1, 1)
    h, w = max(least[0], round(part.height / divisor)), max(least[1], round(part.width / divisor))
    top = min(round(part.top / divisor), image.height - h)
    left = min(round(part.left / divisor), image.width - w)
    # A copy, because what PIL gives cannot be written to; torch would warn of that.
    pixels = np.array(in_colours(image).crop((left, top, left + w, top + h)))
    return resized(pixels, height, width)


def resized(pixels: Pixels, height: int, width: int) -> UInt8[np.ndarray, "height width c"]:
    """By torch's bilinear filter with antialiasing: at most 1 of 255 from PIL's, and several times
    as fast where pixels lie channels-last, as they do here."""
    x = torch.from_numpy(pixels)[None].permute(0, 3, 1, 2)
    x = F.interpolate(x, (height, width), mode="bilinear", antialias=True)
    return x[0].permute(1, 2, 0).numpy()


@contextmanager
def reading(file: str) -> Iterator[Any]:
    """An image of PIL whose header has been read; ``ValueError`` names the file if it, or what is
    done with it, fails."""
    from PIL import Image

    try:
        with Image.open(file) as image:
            yield image
    except Exception as error:  # decoders raise whatever they like
        raise ValueError(f"{file} cannot be read as an image: {error}") from None


def opened(file: str) -> Any:
    """A whole image in colours, of PIL; ``ValueError`` naming the file if it cannot be read, or has
    numbers of no known range."""
    with reading(file) as image:
        return in_colours(image)


def in_colours(image: Any) -> Any:
    """An image of PIL, decoded, in red, green and blue; one of 16 bits is scaled to 8."""
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
    """Top, left, height and width of 8 to 100 % of an image's area, with sides 3:4 to 4:3 uniform
    in the logarithm; after ten draws that do not fit, the largest such part in the middle."""
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
