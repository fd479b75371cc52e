"""The larger networks: sizes as published, torchvision's layers as a second opinion, errors."""

import math
import os
import subprocess
import sys
from collections.abc import Callable

import pytest
import torch
from network_helpers import images, size, state
from torch import Tensor, nn
from torchvision.models import densenet, get_model, resnet, vgg

from nslab.networks import NETWORKS, build_network
from nslab.networks.batchnorm_folding import FoldedCopy
from nslab.networks.densenet_cifar import DenseNetCifar
from nslab.networks.resnext_cifar import ResNeXtCifar
from nslab.networks.torchvision_models import SMALLEST_IMAGE
from nslab.types import ImageShape

COUNTS = [
    ("alexnet_cifar", 32, 10, 2_472_266),
    ("alexnet_cifar", 32, 100, 2_495_396),
    ("vgg19_bn_cifar", 32, 10, 20_040_522),
    ("vgg19_bn_cifar", 32, 100, 20_086_692),
    ("resnext29", 32, 10, 34_426_698),
    ("resnext29", 32, 100, 34_518_948),
    ("densenet_bc_100_12", 32, 10, 769_162),
    ("densenet_bc_190_40", 32, 10, 25_624_430),
    ("resnet18", 224, 1000, 11_689_512),
    ("resnet34", 224, 1000, 21_797_672),
    ("resnet50", 224, 1000, 25_557_032),
    ("resnet101", 224, 1000, 44_549_160),
    ("vgg16", 224, 1000, 138_357_544),
    ("alexnet", 224, 1000, 61_100_840),
    ("densenet121", 224, 1000, 7_978_856),
    ("vit_b_16", 224, 1000, 86_567_656),
    ("swin_t", 224, 1000, 28_288_354),
    ("vmamba_t", 224, 1000, 30_249_064),
]


def on_meta(name: str, shape: ImageShape, classes: int = 7) -> nn.Module:
    """The network without values."""
    with torch.device("meta"):
        return NETWORKS[name](shape, classes)


def lived_in(model: nn.Module, x: Tensor) -> nn.Module:
    """In double and evaluation mode, with running statistics and BatchNorms unlike the start."""
    model, draws = model.double(), torch.Generator().manual_seed(3)
    with torch.no_grad(), torch.random.fork_rng(devices=[]):
        for module in model.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.momentum = None  # averages of the batches alone
                for parameter in module.parameters():
                    parameter.copy_(0.5 + torch.rand(len(parameter), generator=draws))
        model(x.double())
        model(2 * x.double() + 1)
    return model.eval()


@pytest.mark.parametrize(("name", "side", "classes", "expected"), COUNTS)
def test_parameters(name: str, side: int, classes: int, expected: int) -> None:
    """As published, and the logits of an image of that size have the right shape."""
    model = on_meta(name, (3, side, side), classes)
    assert size(model) == expected
    assert model(torch.empty(2, 3, side, side, device="meta")).shape == (2, classes)


def resnext_reference() -> nn.Module:
    """ResNeXt-29 from torchvision's bottlenecks."""
    layers: list[nn.Module] = [nn.Conv2d(3, 64, 3, padding=1, bias=False), nn.BatchNorm2d(64)]
    layers.append(nn.ReLU())
    channels = 64
    for planes, stride in ((64, 1), (128, 2), (256, 2)):
        widen = nn.Sequential(
            nn.Conv2d(channels, 4 * planes, 1, stride, bias=False), nn.BatchNorm2d(4 * planes)
        )
        groups = {"groups": 8, "base_width": 64}
        layers.append(resnet.Bottleneck(channels, planes, stride, widen, **groups))
        channels = 4 * planes
        layers += [resnet.Bottleneck(channels, planes, **groups) for _ in range(2)]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, 7))


def densenet_reference() -> nn.Module:
    """DenseNet-BC-100-12 from torchvision's, with CIFAR's stem."""
    net = densenet.DenseNet(12, (16, 16, 16), 24, bn_size=4, num_classes=7)
    net.features.conv0 = nn.Conv2d(3, 24, 3, padding=1, bias=False)
    net.features.norm0 = net.features.relu0 = net.features.pool0 = nn.Identity()
    return net


def vgg_reference() -> nn.Module:
    """VGG-19 with BatchNorm: torchvision's convolutions."""
    features = vgg.make_layers(vgg.cfgs["E"], batch_norm=True)
    return nn.Sequential(features, nn.Flatten(), nn.Linear(512, 7))


def alexnet_reference() -> nn.Module:
    """The CIFAR AlexNet, layer by layer."""
    return nn.Sequential(
        *(nn.Conv2d(3, 64, kernel_size=11, stride=4, padding=5), nn.ReLU(), nn.MaxPool2d(2, 2)),
        *(nn.Conv2d(64, 192, kernel_size=5, padding=2), nn.ReLU(), nn.MaxPool2d(2, 2)),
        *(nn.Conv2d(192, 384, kernel_size=3, padding=1), nn.ReLU()),
        *(nn.Conv2d(384, 256, kernel_size=3, padding=1), nn.ReLU()),
        *(nn.Conv2d(256, 256, kernel_size=3, padding=1), nn.ReLU(), nn.MaxPool2d(2, 2)),
        *(nn.Flatten(), nn.Linear(256, 7)),
    )


@pytest.mark.parametrize(
    ("name", "side", "reference"),
    [
        ("alexnet_cifar", 32, alexnet_reference),
        ("vgg19_bn_cifar", 32, vgg_reference),
        ("resnext29", 8, resnext_reference),
        ("densenet_bc_100_12", 12, densenet_reference),
    ],
)
def test_against_a_reference(name: str, side: int, reference: Callable[[], nn.Module]) -> None:
    """Another network of the same layers, given the weights one after the other, agrees."""
    x = images(3, 3, side, side)
    model = lived_in(build_network(name, (3, side, side), 7, 0), x)
    with torch.device("meta"):
        other = reference().double()
    other.to_empty(device="cpu")
    with torch.no_grad():
        ours, theirs = state(model).values(), other.state_dict().values()
        for mine, its in zip(ours, theirs, strict=True):
            assert mine.shape == its.shape
            its.copy_(mine)
        found, expected = model(x.double()), other.eval()(x.double())
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-9)
    assert expected.std() > 1e-3


FOLDS = {
    "vgg19_bn_cifar": (32, 16),
    "resnext29": (8, 1 + 9 * 3 + 3),
    "densenet_bc_100_12": (8, 48),  # only what follows a 1x1 convolution at once
    "resnet18": (33, 20),
    "densenet121": (32, 59),
}


@pytest.mark.parametrize("name", FOLDS)
def test_folded_copy(name: str) -> None:
    """It gives the network's logits in evaluation mode."""
    side, folds = FOLDS[name]
    model = lived_in(build_network(name, (3, side, side), 7, 0), images(3, 3, side, side))
    folded = FoldedCopy(model)
    folded.refresh()
    assert len(folded.folds) == folds
    x = images(2, 3, side, side, seed=1).double()
    with torch.no_grad():
        expected = model(x)
        torch.testing.assert_close(folded(x), expected, rtol=1e-8, atol=1e-8)
    assert expected.std() > 1e-6


@pytest.mark.parametrize("name", ["vit_b_16", "swin_t"])
def test_copy_of_a_transformer(name: str) -> None:
    """Traced as well, though there is nothing to fold."""
    model = build_network(name, (3, 32, 32), 7, 0).eval()
    head = model.heads.head if name == "vit_b_16" else model.head  # ViT's starts at zero
    nn.init.normal_(head.weight, generator=torch.Generator().manual_seed(1))
    folded = FoldedCopy(model.train())
    folded.refresh()
    x = images(2, 3, 32, 32)
    with torch.no_grad():
        torch.testing.assert_close(folded(x), model.eval()(x), rtol=1e-4, atol=1e-4)


def test_initial_weights() -> None:
    """Convolutions from N(0, 2 / (k k out)) without bias, the last layers as their sources say."""
    linear = {"vgg19_bn_cifar": 0.01, "resnext29": math.sqrt(2 / 1024)}
    for name in (*linear, "densenet_bc_100_12"):
        model = build_network(name, (3, 32, 32), 100, 0)
        for module in model.modules():
            if isinstance(module, nn.Conv2d):
                sd = math.sqrt(2 / (module.kernel_size[0] ** 2 * module.out_channels))
                error = abs(module.weight.std().item() / sd - 1)
                assert error < 5 / math.sqrt(2 * module.weight.numel())
                assert module.bias is None or module.bias.eq(0).all()
        if name in linear:
            assert abs(model.head.weight.std().item() / linear[name] - 1) < 0.02
            assert model.head.bias.eq(0).all()


@pytest.mark.parametrize(
    ("name", "least"),
    [
        ("alexnet_cifar", 29),
        ("vgg19_bn_cifar", 32),
        ("densenet_bc_100_12", 4),
        *SMALLEST_IMAGE.items(),
    ],
)
def test_smallest_images(name: str, least: int) -> None:
    """They do; one pixel less is refused, and would not have worked."""
    with torch.device("meta"):
        assert on_meta(name, (3, least, least))(torch.empty(2, 3, least, least)).shape == (2, 7)
    for shape in ((3, least - 1, least + 16), (3, least + 16, least - 1)):
        with pytest.raises(ValueError, match=f"at least {least} x {least} pixels, not {shape[1]}"):
            NETWORKS[name](shape, 7)
    if name in SMALLEST_IMAGE and least > 1:
        model = on_meta(name, (3, least, least)).eval()
        with pytest.raises((RuntimeError, AssertionError)):
            model(torch.empty(2, 3, least - 1, least - 1, device="meta"))


@pytest.mark.parametrize("shape", [(3, 32, 48), (3, 40, 40), (3, 224, 223)])
def test_images_vit_cannot_cut(shape: ImageShape) -> None:
    """Not square, or no multiple of its patches."""
    with pytest.raises(ValueError, match=f"multiple of 16, not {shape[1]} x {shape[2]}"):
        NETWORKS["vit_b_16"](shape, 7)


@pytest.mark.parametrize("name", ["resnet18", "vit_b_16", "swin_t"])
def test_torchvision_builds_them(name: str) -> None:
    """The layers and names of torchvision's own, so that its states can be loaded."""
    model = on_meta(name, (3, 224, 224), 1000)
    with torch.device("meta"):
        theirs = get_model(name, weights=None).state_dict()
    assert {k: v.shape for k, v in model.state_dict().items()} == {
        k: v.shape for k, v in theirs.items()
    }


@pytest.mark.parametrize(
    ("make", "depth"),
    [(lambda d: DenseNetCifar((3, 32, 32), 10, depth=d, growth=12), d) for d in (4, 9, 101)]
    + [(lambda d: ResNeXtCifar((3, 32, 32), 10, depth=d), d) for d in (2, 12, 50)],
)
def test_wrong_depth(make: Callable[[int], nn.Module], depth: int) -> None:
    """Refused, saying which there are."""
    with pytest.raises(ValueError, match=rf"depth {depth} is not [69]n \+ [24]: take"):
        make(depth)


def test_torchvision_is_imported_when_needed() -> None:
    """Not by those who only list the networks."""
    code = "import sys, nslab.networks; print('torchvision' in sys.modules)"
    alone = {name: value for name, value in os.environ.items() if not name.startswith("NSLAB_")}
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, env=alone, capture_output=True, text=True, check=False)
    assert done.stdout == "False\n", done.stderr
