"""Initial weights, and the smallest image that a network can take."""

from torch import nn

from nslab.types import ImageShape


def he_init(net: nn.Module) -> None:
    """Convolutions from N(0, 2 / (k k out)), their biases zero (He et al. 2015, fan out)."""
    for module in net.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
            if module.bias is not None:
                nn.init.zeros_(module.bias)


def check_side(name: str, shape: ImageShape, smallest: int) -> None:
    """``ValueError`` for images with a side under ``smallest`` pixels."""
    if min(shape[1:]) < smallest:
        raise ValueError(
            f"{name} needs images of at least {smallest} x {smallest} pixels, "
            f"not {shape[1]} x {shape[2]}"
        )
