"""CIFAR DenseNet-BC: bottlenecks and compression (Huang et al. 2017, section 3)."""

import torch
import torch.nn.functional as F
from torch import nn

from nslab.networks.initialization import check_side, he_init
from nslab.types import Images, ImageShape, Logits


class Dense(nn.Module):
    """Appends ``growth`` channels, computed through a 1x1 and a 3x3 convolution."""

    def __init__(self, inputs: int, growth: int) -> None:
        super().__init__()
        self.bn1 = nn.BatchNorm2d(inputs)
        self.conv1 = nn.Conv2d(inputs, 4 * growth, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(4 * growth)
        self.conv2 = nn.Conv2d(4 * growth, growth, 3, padding=1, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.conv1(F.relu(self.bn1(x), inplace=True))
        y = self.conv2(F.relu(self.bn2(y), inplace=True))
        return torch.cat((x, y), 1)


class Transition(nn.Module):
    """Halves the channels and both sides."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.bn = nn.BatchNorm2d(inputs)
        self.conv = nn.Conv2d(inputs, outputs, 1, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return F.avg_pool2d(self.conv(F.relu(self.bn(x), inplace=True)), 2)


class DenseNetCifar(nn.Module):
    """Stem with 2 ``growth`` channels, three dense blocks, average pool, linear.

    ``depth`` is 6n + 4, n layers per block. Depth 100 and growth 12 have 769,162 parameters with
    10 classes, 190 and 40 have 25,624,430. Convolutions start from N(0, 2 / (k k out)). Raises
    ``ValueError`` for images under 4 pixels.
    """

    def __init__(self, shape: ImageShape, num_classes: int, *, depth: int, growth: int) -> None:
        super().__init__()
        if depth < 10 or (depth - 4) % 6:
            raise ValueError(f"depth {depth} is not 6n + 4: take 10, 16, 22, 40, 100, 190, ...")
        check_side("DenseNet-BC", shape, 4)
        channels = 2 * growth
        layers: list[nn.Module] = [nn.Conv2d(shape[0], channels, 3, padding=1, bias=False)]
        for block in range(3):
            if block:
                layers.append(Transition(channels, channels // 2))
                channels //= 2
            for _ in range((depth - 4) // 6):
                layers.append(Dense(channels, growth))
                channels += growth
        self.features = nn.Sequential(*layers)
        self.bn = nn.BatchNorm2d(channels)
        self.head = nn.Linear(channels, num_classes)
        he_init(self)

    def forward(self, x: Images) -> Logits:
        return self.head(F.relu(self.bn(self.features(x)), inplace=True).mean((2, 3)))
