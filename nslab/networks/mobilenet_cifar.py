"""MobileNetV2 for images of 32 x 32 pixels (Sandler et al. 2018)."""

from typing import cast

from torch import nn

from nslab.networks.initialization import check_side
from nslab.types import ImageShape

# Expansion, channels, blocks, stride of each stage; the second has stride 2 for ImageNet.
STAGES = [
    [1, 16, 1, 1],
    [6, 24, 2, 1],
    [6, 32, 3, 2],
    [6, 64, 4, 2],
    [6, 96, 3, 1],
    [6, 160, 3, 2],
    [6, 320, 1, 1],
]


def mobilenet_v2_cifar(shape: ImageShape, num_classes: int) -> nn.Module:
    """torchvision's MobileNetV2 without the strides of its stem and second stage, so that images of
    32 x 32 pixels end as 4 x 4; 2,236,682 parameters with 10 classes.

    NOTE: the DE paper names neither the version nor the strides of its MobileNet. Raises
    ``ValueError`` for images under 8 pixels.
    """
    check_side("mobilenet_v2_cifar", shape, 8)
    from torchvision.models import MobileNetV2  # slow to import

    model = MobileNetV2(num_classes=num_classes, inverted_residual_setting=STAGES)
    stem = nn.Conv2d(shape[0], 32, 3, padding=1, bias=False)
    nn.init.kaiming_normal_(stem.weight, mode="fan_out")  # as torchvision's
    cast(nn.Sequential, model.features[0])[0] = stem
    return model
