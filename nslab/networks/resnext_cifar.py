"""CIFAR residual networks with grouped bottlenecks: ResNeXt (Xie et al. 2017)."""

import itertools

import torch
import torch.nn.functional as F
from torch import nn

from nslab.networks.initialization import he_init
from nslab.types import Images, ImageShape, Logits


class Bottleneck(nn.Module):
    """1x1, grouped 3x3 and 1x1 convolution with BatchNorm, and a shortcut (figure 3c)."""

    def __init__(self, inputs: int, outputs: int, width: int, groups: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, width, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride, padding=1, groups=groups, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, outputs, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(outputs)
        self.shortcut: nn.Module = nn.Identity()
        if inputs != outputs:
            self.shortcut = nn.Sequential(
                nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs)
            )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = F.relu(self.bn1(self.conv1(x)), inplace=True)
        y = F.relu(self.bn2(self.conv2(y)), inplace=True)
        return F.relu(self.bn3(self.conv3(y)) + self.shortcut(x), inplace=True)


class ResNeXtCifar(nn.Module):
    """Stem, three stages with 256, 512 and 1024 channels, average pool, linear.

    ``depth`` is 9n + 2, n bottlenecks per stage. The first stage has ``groups`` groups of ``width``
    channels, the later ones groups twice and four times as wide. Depth 29 with 8 groups of 64 is
    ResNeXt-29, 8x64d: 34,426,698 parameters with 10 classes. Convolutions start from
    N(0, 2 / (k k out)), the linear layer from N(0, 2 / in).
    """

    def __init__(
        self,
        shape: ImageShape,
        num_classes: int,
        *,
        depth: int = 29,
        groups: int = 8,
        width: int = 64,
    ) -> None:
        super().__init__()
        if depth < 11 or (depth - 2) % 9:
            raise ValueError(f"depth {depth} is not 9n + 2: take 11, 20, 29, 38, ...")
        widths = (64, 256, 512, 1024)
        self.conv1 = nn.Conv2d(shape[0], widths[0], 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(widths[0])
        stages = []
        for stage, (inputs, outputs) in enumerate(itertools.pairwise(widths)):
            inner = groups * width * 2**stage
            blocks = [Bottleneck(inputs, outputs, inner, groups, stride=2 if stage else 1)]
            for _ in range((depth - 2) // 9 - 1):
                blocks.append(Bottleneck(outputs, outputs, inner, groups, stride=1))
            stages.append(nn.Sequential(*blocks))
        self.stages = nn.Sequential(*stages)
        self.head = nn.Linear(widths[-1], num_classes)
        he_init(self)
        nn.init.kaiming_normal_(self.head.weight)
        nn.init.zeros_(self.head.bias)

    def forward(self, x: Images) -> Logits:
        y = self.stages(F.relu(self.bn1(self.conv1(x)), inplace=True))
        return self.head(y.mean((2, 3)))
