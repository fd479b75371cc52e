"""LeNet-1 and LeNet-5 (LeCun et al. 1998) as used today: ReLU, max pooling, plain softmax."""

import math

from torch import nn

from nslab.types import ImageShape


def pooled(side: int) -> int:
    """Side length after two rounds of 5x5 convolution without padding and 2x2 pooling."""
    return ((side - 4) // 2 - 4) // 2


def lenet1(shape: ImageShape, num_classes: int) -> nn.Sequential:
    """LeNet-1: 3,246 parameters for 28 x 28 grey images and 10 classes."""
    return nn.Sequential(*features(shape, 4, 12), nn.Flatten(), linear(shape, 12, num_classes))


def lenet5(shape: ImageShape, num_classes: int) -> nn.Sequential:
    """LeNet-5: 61,706 parameters for grey images up to 32 x 32, 62,006 for colour, 10 classes.

    Smaller images, such as the 28 x 28 of MNIST, are padded to 32 x 32. NOTE: the first
    convolution pads with zeros, which after normalisation are the mean grey, not the background.
    """
    down, across = (padding(side) for side in shape[1:])
    padded = shape[0], shape[1] + 2 * down, shape[2] + 2 * across
    return nn.Sequential(
        *features(shape, 6, 16, (down, across)),
        nn.Flatten(),
        linear(padded, 16, 120),
        nn.ReLU(),
        nn.Linear(120, 84),
        nn.ReLU(),
        nn.Linear(84, num_classes),
    )


def padding(side: int) -> int:
    """Pixels that LeNet-5 adds at either end of a side of fewer than 32."""
    return max(0, math.ceil((32 - side) / 2))


def features(
    shape: ImageShape, first: int, second: int, pad: tuple[int, int] = (0, 0)
) -> list[nn.Module]:
    """Two rounds of convolution, ReLU and pooling, the images padded by ``pad``."""
    return [
        nn.Conv2d(shape[0], first, 5, padding=pad),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(first, second, 5),
        nn.ReLU(),
        nn.MaxPool2d(2),
    ]


def linear(shape: ImageShape, channels: int, outputs: int) -> nn.Linear:
    """The layer that reads the flattened features; ``ValueError`` for images under 16 pixels."""
    height, width = pooled(shape[1]), pooled(shape[2])
    if height < 1 or width < 1:
        raise ValueError(f"LeNet needs images of at least 16 x 16 pixels, not {shape[1:]}")
    return nn.Linear(channels * height * width, outputs)
