"""Multilayer perceptron on flattened images."""

import math
from itertools import pairwise

from torch import nn

from nslab.types import ImageShape


def mlp(shape: ImageShape, num_classes: int, *, hidden: tuple[int, ...] = (64,)) -> nn.Sequential:
    """Linear layers with ReLU between them; ``hidden`` are the widths of the hidden layers."""
    widths = (math.prod(shape), *hidden)
    layers: list[nn.Module] = [nn.Flatten()]
    for inputs, outputs in pairwise(widths):
        layers += [nn.Linear(inputs, outputs), nn.ReLU()]
    return nn.Sequential(*layers, nn.Linear(widths[-1], num_classes))
