"""JPEG compression of whole batches: the lossy steps of baseline JPEG, without entropy coding."""

import math

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from nslab.types import Images

# The quantisation tables of the standard's Annex K, K.1 and K.2, at quality 50.
LUMINANCE = """
16 11 10 16 24 40 51 61 12 12 14 19 26 58 60 55 14 13 16 24 40 57 69 56 14 17 22 29 51 87 80 62
18 22 37 56 68 109 103 77 24 35 55 64 81 104 113 92 49 64 78 87 103 121 120 101
72 92 95 98 112 100 103 99
"""
CHROMINANCE = """
17 18 24 47 99 99 99 99 18 21 26 66 99 99 99 99 24 26 56 99 99 99 99 99 47 66 99 99 99 99 99 99
99 99 99 99 99 99 99 99 99 99 99 99 99 99 99 99 99 99 99 99 99 99 99 99 99 99 99 99 99 99 99 99
"""
# Rows Y, Cb, Cr of the colour transform (BT.601, full range).
COLOURS = torch.tensor(
    [[0.299, 0.587, 0.114], [-0.168736, -0.331264, 0.5], [0.5, -0.418688, -0.081312]]
)


def jpeg(x: Images, quality: int) -> Images:
    """Images in [0, 1] encoded at ``quality`` 1 to 100 and decoded: chroma at half resolution,
    8 x 8 cosine transform, quantisation scaled as the Independent JPEG Group does.

    Images of 3 channels are in colour; in others, each channel is coded as a grey image. Results
    differ from libjpeg's by half a grey level on average, since libjpeg computes with integers;
    by more in colour images whose height is no multiple of 16, which libjpeg pads differently.
    """
    height, width = x.shape[2:]
    levels = F.pad(x * 255, (0, -width % 16, 0, -height % 16), mode="replicate").round()
    if x.shape[1] != 3:
        return coded(levels - 128, table(LUMINANCE, quality))[..., :height, :width].add(128) / 255
    planes = torch.einsum("ij,njhw->nihw", COLOURS, levels)
    y = coded(planes[:, :1].round() - 128, table(LUMINANCE, quality))
    # libjpeg rounds the mean of four pixels up and down in alternate columns
    up = torch.tensor([0.25, 0.5]).repeat(levels.shape[3] // 4)
    small = (F.avg_pool2d(planes[:, 1:].round(), 2) + up).floor()
    small = coded(small, table(CHROMINANCE, quality))
    chroma = F.interpolate(small, scale_factor=2, mode="bilinear", align_corners=False)
    planes = torch.cat((y + 128, chroma.round()), 1)[..., :height, :width]
    return torch.einsum("ij,njhw->nihw", torch.linalg.inv(COLOURS), planes).round() / 255


def table(text: str, quality: int) -> Float[Tensor, "8 8"]:
    """Quantisation steps at ``quality``, scaled from a table's text at quality 50."""
    percent = 5000 // quality if quality < 50 else 200 - 2 * quality
    steps = (torch.tensor([int(step) for step in text.split()]) * percent + 50) // 100
    return steps.clamp(1, 255).view(8, 8).float()


def coded(plane: Images, steps: Float[Tensor, "8 8"]) -> Images:
    """A plane of grey levels in [-128, 127] whose 8 x 8 blocks have their cosine coefficients
    rounded to multiples of ``steps``; the result is clamped to the same range."""
    k = torch.arange(8.0)
    basis = 0.5 * torch.cos(math.pi / 8 * k[:, None] * (k + 0.5))
    basis[0] /= math.sqrt(2)
    blocks = plane.unflatten(3, (-1, 8)).unflatten(2, (-1, 8)).transpose(3, 4)
    kept = (basis @ blocks @ basis.T / steps).round() * steps
    made = (basis.T @ kept @ basis).round().clamp(-128, 127)
    return made.transpose(3, 4).flatten(4, 5).flatten(2, 3)
