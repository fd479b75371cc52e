"""Public trained networks: CIFAR-10 ResNets by Yerlan Idelbayev (akamaster/pytorch_resnet_cifar10).

They have padded shortcuts (option A) and were trained on all 50,000 training images; their licence
is BSD 2-clause. They expect images normalised with ImageNet's mean and sd, so the networks here
first convert from CIFAR's.
"""

import hashlib
import re
from pathlib import Path
from urllib.error import URLError

import torch
from torch import Tensor, nn

from nslab.networks.resnet_cifar import ResNetCifar
from nslab.system.files import explaining
from nslab.system.paths import cache_dir
from nslab.system.validation import unknown
from nslab.types import Images, ImageShape, Logits

SOURCE = "https://github.com/akamaster/pytorch_resnet_cifar10/raw/master/pretrained_models/"
FILES = {  # by depth; a name ends with the first digits of the file's SHA-256
    20: "resnet20-12fca82f.th",
    32: "resnet32-d509ac18.th",
    44: "resnet44-014dd654.th",
    56: "resnet56-4bfd9763.th",
}
CIFAR = ((0.4914, 0.4822, 0.4465), (0.2023, 0.1994, 0.2010))
IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


class Renormalised(nn.Module):
    """Wraps a network that expects ImageNet's mean and sd, for images normalised with CIFAR's."""

    scale: Tensor
    shift: Tensor

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        (mean, sd), (wanted_mean, wanted_sd) = (
            map(torch.tensor, pair) for pair in (CIFAR, IMAGENET)
        )
        self.register_buffer("scale", (sd / wanted_sd).view(1, 3, 1, 1), persistent=False)
        shift = (mean - wanted_mean) / wanted_sd
        self.register_buffer("shift", shift.view(1, 3, 1, 1), persistent=False)
        self.net = net

    def forward(self, x: Images) -> Logits:
        return self.net(x * self.scale + self.shift)


def public_resnet(shape: ImageShape, num_classes: int, *, depth: int) -> Renormalised:
    """The CIFAR ResNet that `public_weights` fit if it has 10 classes; ``ValueError`` for images
    that are not in colour."""
    if shape[0] != 3:
        raise ValueError(f"resnet{depth}_public needs images with 3 channels, not {shape[0]}")
    return Renormalised(ResNetCifar(shape, num_classes, depth=depth))


def public_weights(network: str, folder: Path | None = None) -> dict[str, Tensor]:
    """The state of ``resnet20_public`` and its like, downloaded once into ``NSLAB_DATA``.

    ``folder`` replaces ``NSLAB_DATA``. Raises ``ValueError`` for another network and for a file
    with a wrong checksum, ``FileNotFoundError`` if the file is missing and cannot be downloaded.
    """
    found = re.fullmatch(r"resnet(\d+)_public", network)
    if not found or int(found[1]) not in FILES:
        raise unknown("network with public weights", network, map("resnet{}_public".format, FILES))
    name = FILES[int(found[1])]
    file = (folder or cache_dir()) / "weights" / "resnet_cifar10" / name
    if not file.exists():
        try:
            with explaining(file.parent):
                file.parent.mkdir(parents=True, exist_ok=True)
            torch.hub.download_url_to_file(SOURCE + name, str(file), progress=False)
        except URLError as error:
            raise FileNotFoundError(
                f"{file} is missing and could not be downloaded ({error}). Fetch {SOURCE + name} "
                "on a machine with internet access and put it there."
            ) from error
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    if not digest.startswith(name.rpartition("-")[2].removesuffix(".th")):
        raise ValueError(
            f"{file} is not trusted: its checksum is {digest[:8]}. Delete it, and the next call "
            "downloads it again."
        )
    state = torch.load(file, map_location="cpu", weights_only=True)["state_dict"]
    return {"net." + _renamed(key.removeprefix("module.")): v for key, v in state.items()}


def _renamed(key: str) -> str:
    """Our name for a tensor of theirs: stages count from 0, and the linear layer is the head."""
    stage = re.match(r"layer([123])\.", key)
    if stage:
        return f"stages.{int(stage[1]) - 1}.{key[stage.end() :]}"
    return key.replace("linear.", "head.")
