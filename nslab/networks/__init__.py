"""Networks by name: ``NETWORKS[name](shape, num_classes)`` gives a module from images to logits,
or from rows of token ids; ``shape`` is then the length of a row and the number of token ids.

`build_network` also knows ``torchvision/<name>``, ``timm/<name>`` and
``transformers/<name or folder>``, and ``bottleneck/<network>``: any of these networks with a
bottleneck and a weight-normalised head.

>>> NETWORKS["lenet1"]((1, 28, 28), 10)(torch.zeros(2, 1, 28, 28)).shape
torch.Size([2, 10])
"""

from collections.abc import Callable
from functools import partial
from typing import Any, cast

import torch
from torch import nn

from nslab.networks.alexnet_vgg_cifar import alexnet_cifar, vgg19_bn_cifar
from nslab.networks.bottleneck import PREFIX, Bottlenecked, backbone_of
from nslab.networks.densenet_cifar import DenseNetCifar
from nslab.networks.external import build_external, check_external
from nslab.networks.lenet import lenet1, lenet5
from nslab.networks.mobilenet_cifar import mobilenet_v2_cifar
from nslab.networks.perceptron import mlp
from nslab.networks.pretrained_cifar import FILES, public_resnet
from nslab.networks.resnet_cifar import ResNetCifar
from nslab.networks.resnext_cifar import ResNeXtCifar
from nslab.networks.row_lstm import RowLSTM
from nslab.networks.text_encoders import text_encoder
from nslab.networks.textcnn import TextCNN
from nslab.networks.torchvision_models import SMALLEST_IMAGE, imagenet
from nslab.networks.vmamba import VMamba
from nslab.rng import stream_seed
from nslab.system.content_names import parse_content_name
from nslab.system.encoder_files import is_encoder, resolved_encoder
from nslab.system.registry import Registry, callable_with
from nslab.system.validation import unknown
from nslab.types import ImageShape, InputShape

Network = Callable[[Any, int], nn.Module]  # (shape, num_classes); shape is an InputShape


def _network_problem(key: str, value: object) -> str:
    if "/" in key:
        return (
            "names with a / are kept for torchvision, timm, transformers and bottlenecks: choose "
            "one without"
        )
    return callable_with((3, 32, 32), 10, says="(shape, num_classes)")(key, value)


NETWORKS: Registry[Network] = Registry("network", check=_network_problem)
NETWORKS |= {
    "mlp": mlp,
    "lenet1": lenet1,
    "lenet5": lenet5,
    "rnn": RowLSTM,
    **{
        f"resnet{depth}{suffix}": partial(ResNetCifar, depth=depth, option=option)
        for depth in (8, 14, 20, 32, 44, 56, 110)
        for suffix, option in (("", "A"), ("b", "B"))
    },
    "alexnet_cifar": alexnet_cifar,
    "vgg19_bn_cifar": vgg19_bn_cifar,
    "resnext29": ResNeXtCifar,
    "mobilenet_v2_cifar": mobilenet_v2_cifar,
    "densenet_bc_100_12": partial(DenseNetCifar, depth=100, growth=12),
    "densenet_bc_190_40": partial(DenseNetCifar, depth=190, growth=40),
    **{name: partial(imagenet, name=name) for name in SMALLEST_IMAGE},
    "vmamba_t": VMamba,
    "textcnn": TextCNN,
    "textcnn_64": partial(TextCNN, width=64),
    **{f"resnet{depth}_public": partial(public_resnet, depth=depth) for depth in FILES},
}


def check_network(name: str) -> None:
    """``ValueError`` unless there is a network of that name, see `build_network`."""
    if name.startswith(PREFIX) and takes_texts(name):
        raise ValueError(f"{name}: a bottleneck is for networks of images")
    name = backbone_of(name)
    if name in NETWORKS or is_encoder(name):
        return
    if parts := parse_content_name(name):
        raise ValueError(
            f"the network {parts[1]} was defined in a notebook or script. It is not known here, or "
            "its code has been edited since: run the code that defines it again"
        )
    if "/" not in name:
        more = ", torchvision/<name>, timm/<name> and transformers/<name or folder>"
        raise unknown("network", name, NETWORKS, more)
    check_external(name)


def takes_texts(name: str) -> bool:
    """Whether a network reads rows of token ids rather than images: encoders of transformers do,
    and classes or functions with an attribute ``for_texts = True``.

    >>> takes_texts("textcnn"), takes_texts("resnet20")
    (True, False)
    """
    name = backbone_of(name)
    network = NETWORKS.get(name)
    network = network.func if isinstance(network, partial) else network
    return bool(getattr(network, "for_texts", is_encoder(name)))


def build_network(name: str, shape: InputShape, num_classes: int, seed: int) -> nn.Module:
    """A network with initial weights that depend on ``seed`` alone.

    ``name`` is a key of ``NETWORKS``, ``torchvision/<name>``, ``timm/<name>``,
    ``transformers/<name or folder>``, or ``bottleneck/`` followed by any of these (see
    `nslab.networks.bottleneck`); ``ValueError`` for any other. torch's global generator is left as
    it was.

    >>> build_network("resnet8", (1, 32, 32), 10, seed=0)(torch.zeros(2, 1, 32, 32)).shape
    torch.Size([2, 10])
    """
    check_network(name)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(stream_seed(seed, "weights"))
        inner = backbone_of(name)
        if inner in NETWORKS:
            network = NETWORKS[inner](shape, num_classes)
        elif is_encoder(inner):
            network = text_encoder(resolved_encoder(inner), shape, num_classes)
        else:
            network = build_external(inner, cast(ImageShape, shape), num_classes)
        return Bottlenecked(network, num_classes) if name.startswith(PREFIX) else network
