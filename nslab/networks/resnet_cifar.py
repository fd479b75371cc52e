"""CIFAR residual networks of depth 6n + 2 (He et al. 2016, section 4.2)."""

import functools
import itertools

import torch
import torch.nn.functional as F
from torch import nn

from nslab.networks.initialization import he_init
from nslab.types import Images, ImageShape, Logits


def shortcut_a(x: Images, channels: int) -> Images:
    """Option A: every second pixel, new channels filled with zeros; no parameters."""
    extra = channels - x.shape[1]
    return F.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, extra // 2, extra - extra // 2))


class Block(nn.Module):
    """Two 3x3 convolutions and a shortcut."""

    def __init__(self, inputs: int, outputs: int, option: str) -> None:
        super().__init__()
        stride = 1 if inputs == outputs else 2
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.shortcut: nn.Module | functools.partial
        if stride == 1:
            self.shortcut = nn.Identity()
        elif option == "A":
            self.shortcut = functools.partial(shortcut_a, channels=outputs)
        else:
            self.shortcut = nn.Sequential(
                nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs)
            )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = F.relu(self.bn1(self.conv1(x)), inplace=True)
        return F.relu(self.bn2(self.conv2(y)) + self.shortcut(x), inplace=True)


class ResNetCifar(nn.Module):
    """Stem, three stages of n blocks with 16, 32 and 64 channels, average pool, linear.

    Shortcuts where the size changes are option "A" (padding, the 2016 paper's CIFAR setting) or
    "B" (1x1 convolution with BatchNorm). Convolutions start from N(0, 2 / (k k out)).
    """

    def __init__(
        self, shape: ImageShape, num_classes: int, *, depth: int, option: str = "A"
    ) -> None:
        super().__init__()
        if depth < 8 or (depth - 2) % 6:
            raise ValueError(f"depth {depth} is not 6n + 2: take 8, 14, 20, 32, 44, 56, 110, ...")
        if option not in ("A", "B"):
            raise ValueError(f"shortcut option {option!r} is neither 'A' nor 'B'")
        widths = (16, 16, 32, 64)
        self.conv1 = nn.Conv2d(shape[0], widths[0], 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(widths[0])
        stages = []
        for inputs, outputs in itertools.pairwise(widths):
            blocks = [Block(inputs, outputs, option)]
            blocks += [Block(outputs, outputs, option) for _ in range((depth - 2) // 6 - 1)]
            stages.append(nn.Sequential(*blocks))
        self.stages = nn.Sequential(*stages)
        self.head = nn.Linear(widths[-1], num_classes)
        he_init(self)

    def forward(self, x: Images) -> Logits:
        y = self.stages(F.relu(self.bn1(self.conv1(x)), inplace=True))
        return self.head(y.mean((2, 3)))
