"""AlexNet and VGG-19 adapted to CIFAR's small images: one linear layer on the last features.

As in the CIFAR baselines of bearpaw/pytorch-classification. For images above 32 x 32 pixels the
last features are averaged over their positions, so that the linear layer has the same size.
"""

from torch import nn

from nslab.networks.initialization import check_side, he_init
from nslab.types import Images, ImageShape, Logits

VGG_E = ((64,) * 2, (128,) * 2, (256,) * 4, (512,) * 4, (512,) * 4)  # a max pool after each


class Plain(nn.Module):
    """A chain of convolutions and pools, average pool, linear."""

    def __init__(self, features: nn.Sequential, channels: int, num_classes: int) -> None:
        super().__init__()
        self.features = features
        self.head = nn.Linear(channels, num_classes)

    def forward(self, x: Images) -> Logits:
        return self.head(self.features(x).mean((2, 3)))


def alexnet_cifar(shape: ImageShape, num_classes: int) -> Plain:
    """AlexNet (Krizhevsky et al. 2012) for CIFAR: 2,472,266 parameters with 10 classes.

    Five convolutions, neither BatchNorm nor dropout, torch's default initial weights. Raises
    ``ValueError`` for images under 29 pixels.
    """
    check_side("alexnet_cifar", shape, 29)
    layers: list[nn.Module] = [nn.Conv2d(shape[0], 64, 11, 4, padding=5), nn.ReLU()]
    layers += [nn.MaxPool2d(2), nn.Conv2d(64, 192, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2)]
    for inputs, outputs in ((192, 384), (384, 256), (256, 256)):
        layers += [nn.Conv2d(inputs, outputs, 3, padding=1), nn.ReLU()]
    return Plain(nn.Sequential(*layers, nn.MaxPool2d(2)), 256, num_classes)


def vgg19_bn_cifar(shape: ImageShape, num_classes: int) -> Plain:
    """VGG-19 (Simonyan & Zisserman 2015, configuration E) with BatchNorm, for CIFAR.

    20,040,522 parameters with 10 classes. The linear layer starts from N(0, 0.01^2). Raises
    ``ValueError`` for images under 32 pixels.
    """
    check_side("vgg19_bn_cifar", shape, 32)
    layers: list[nn.Module] = []
    channels = shape[0]
    for stage in VGG_E:
        for outputs in stage:
            layers += [nn.Conv2d(channels, outputs, 3, padding=1), nn.BatchNorm2d(outputs)]
            layers.append(nn.ReLU(inplace=True))
            channels = outputs
        layers.append(nn.MaxPool2d(2))
    net = Plain(nn.Sequential(*layers), channels, num_classes)
    he_init(net)
    nn.init.normal_(net.head.weight, std=0.01)
    nn.init.zeros_(net.head.bias)
    return net
