"""Networks for ImageNet as torchvision builds them, with fresh weights."""

from typing import cast

from torch import nn

from nslab.networks.initialization import check_side
from nslab.types import ImageShape

# The smallest side of an image, in pixels, that each network can take.
SMALLEST_IMAGE = {
    "resnet18": 1,
    "resnet34": 1,
    "resnet50": 1,
    "resnet101": 1,
    "vgg16": 32,
    "alexnet": 63,
    "densenet121": 29,
    "vit_b_16": 16,
    "swin_t": 4,
}


def imagenet(shape: ImageShape, num_classes: int, *, name: str) -> nn.Module:
    """torchvision's ``name``: ResNet, VGG, AlexNet, DenseNet, ViT-B/16 or Swin-T.

    Meant for images of 224 x 224 pixels. Smaller ones work, but the ResNets and DenseNet reduce
    32 x 32 to a single pixel, so that BatchNorm needs at least two images per training batch. ViT
    is built for the images' size, and its linear layer starts at zero. Raises ``ValueError`` for
    images that are not in colour or too small, and for ViT also unless they are square with a side
    that is a multiple of 16.
    """
    if shape[0] != 3:
        raise ValueError(f"{name} needs images with 3 channels, not {shape[0]}")
    check_side(name, shape, SMALLEST_IMAGE[name])
    size = {}
    if name == "vit_b_16":
        if shape[1] != shape[2] or shape[1] % 16:
            raise ValueError(
                f"{name} needs square images whose side is a multiple of 16, "
                f"not {shape[1]} x {shape[2]}"
            )
        size = {"image_size": shape[1]}
    from torchvision.models import get_model  # slow to import

    return cast(nn.Module, get_model(name, weights=None, num_classes=num_classes, **size))
