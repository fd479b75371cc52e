"""Pretrained weights by name: torchvision's and timm's, and where their files lie.

``torchvision:IMAGENET1K_V1`` is a file of weights for a network of torchvision, ``timm:a1_in1k``
one for a network of timm, and ``transformers:pretrained`` the weights that lie beside the
configuration of a network of transformers. A resolved name ends with the first digits of the file's
SHA-256, which torchvision has in its files' names: ``torchvision:IMAGENET1K_V1#f37072fd``.
"""

import functools
import hashlib
import importlib
import os
import re
import shutil
from pathlib import Path
from typing import Any

import torch

from nslab.networks.external import AUX, WITH_AUX, check_external
from nslab.networks.torchvision_models import SMALLEST_IMAGE
from nslab.system.content_names import content_name, parse_content_name
from nslab.system.encoder_files import KIND, START, resolved_weights_of
from nslab.system.files import explaining, replacing
from nslab.system.paths import cache_dir, home_cache_dir
from nslab.system.validation import unknown
from nslab.types import StateDict

SOURCES = ("torchvision", "timm", KIND)
EXAMPLE = "torchvision:IMAGENET1K_V1"
SHORT_DIGEST = re.compile(r"-([0-9a-f]{8})\.pth$")  # at the end of torchvision's names of files


def is_pretrained(start: str) -> bool:
    """Whether a start names weights of torchvision, timm or transformers."""
    return start.partition(":")[0] in SOURCES and ":" in start


def resolved_weights(start: str, network: str) -> str:
    """``torchvision:TAG``, ``timm:TAG`` or ``transformers:pretrained`` with the digest of the file,
    for a network.

    timm's files have no digest in their names, so the file must be here, or is fetched. Raises
    ``ValueError`` for another network's weights and for unknown ones, ``FileNotFoundError`` for a
    file of timm's that is not available.

    >>> resolved_weights("torchvision:IMAGENET1K_V1", "resnet18")
    'torchvision:IMAGENET1K_V1#f37072fd'
    """
    if "#" in start:
        return start
    source, _, tag = start.partition(":")
    if source == KIND:
        if start != START:
            raise ValueError(f"start is {start!r}: weights of transformers are {START}")
        return resolved_weights_of(network)
    if not tag:
        raise ValueError(f"start is {start!r}: it lacks the name of the weights, as in {EXAMPLE}")
    if source == "torchvision":
        name, url = _torchvision(network, tag)
        found = SHORT_DIGEST.search(url)
        return f"torchvision:{name}" + (f"#{found[1]}" if found else "")
    if not network.startswith("timm/"):
        raise ValueError(f"timm has no weights for {network}: take a network timm/<name>")
    file = weights_file(start, network)
    return content_name("timm", tag, _digest(file))


def weights_file(start: str, network: str) -> Path:
    """The file of weights, downloaded if it is not here.

    It is looked for in ``NSLAB_DATA``, ``data/cache`` and where torch.hub keeps files. Raises
    ``FileNotFoundError`` with the file's name, digest and the folder to put it in if it cannot be
    downloaded, and ``ValueError`` if it does not have the expected digest.
    """
    source, _, tag = start.partition("#")[0].partition(":")
    if source == "torchvision":
        _, url = _torchvision(network, tag)
        name = url.rpartition("/")[2]
        places = [_folder(root) / "torchvision" / name for root in (cache_dir(), home_cache_dir())]
        places.append(Path(torch.hub.get_dir()) / "checkpoints" / name)
    else:
        short = network.removeprefix("timm/").partition(".")[0]
        name, url = f"{short}.{tag}.safetensors", f"timm/{short}.{tag}"
        places = [_folder(root) / "timm" / name for root in (cache_dir(), home_cache_dir())]
    file = next((place for place in places if place.exists()), None)
    if file is None:
        writable = os.access(cache_dir(), os.W_OK) or not cache_dir().exists()
        file = places[0] if writable else places[1]
        with explaining(file.parent):
            file.parent.mkdir(parents=True, exist_ok=True)
        _fetch(source, url, file, start)
    expected = _expected(start, file)
    if not _digest(file).startswith(expected):
        raise ValueError(
            f"{file} is not trusted: its SHA-256 begins with {_digest(file)[:8]}, not {expected}. "
            "Delete it, or put the right file there."
        )
    return file


def renamed_state(state: StateDict) -> StateDict:
    """A state with today's names: torchvision's DenseNets were saved when ``norm1`` was called
    ``norm.1``."""
    old = re.compile(r"(.*denselayer\d+\.(?:norm|relu|conv))\.([12]\..*)")
    return {
        (f"{found[1]}{found[2]}" if (found := old.fullmatch(name)) else name): tensor
        for name, tensor in state.items()
    }


def _folder(root: Path) -> Path:
    return root / "weights"


def _expected(start: str, file: Path) -> str:
    """The digits that the file's digest must begin with; empty if none are known."""
    if parts := parse_content_name(start):
        return parts[2]
    found = SHORT_DIGEST.search(file.name)
    return start.partition("#")[2] or (found[1] if found else "")


def _torchvision(network: str, tag: str) -> tuple[str, str]:
    """The name of weights, and the URL of their file."""
    name = network.removeprefix("torchvision/")
    if network not in SMALLEST_IMAGE:
        if not network.startswith("torchvision/"):
            raise ValueError(
                f"torchvision has no weights for {network}: take torchvision/<name>, or one of "
                f"{', '.join(SMALLEST_IMAGE)}"
            )
        check_external(network)
    if name.removesuffix(AUX) in WITH_AUX:
        raise ValueError(
            f"torchvision's weights for {name} expect images normalised in another way than all "
            "others: take another network"
        )
    from torchvision import models  # slow to import

    weights: Any = models.get_model_weights(name)
    if tag not in weights.__members__:
        raise unknown(f"weights of {network}", tag, weights.__members__)
    return str(weights[tag].name), str(weights[tag].url)


def _fetch(source: str, url: str, file: Path, start: str) -> None:
    try:
        if source == "torchvision":
            torch.hub.download_url_to_file(url, str(file), progress=False)
        else:
            hub = importlib.import_module("huggingface_hub")
            fetched = hub.hf_hub_download(url, "model.safetensors")
            with replacing(file) as temporary:  # an incomplete copy would pass for other weights
                shutil.copyfile(fetched, temporary)
    except Exception as error:  # each library has its own errors for a missing connection
        file.unlink(missing_ok=True)
        expected = _expected(start, file)
        digest = f" (its SHA-256 begins with {expected})" if expected else ""
        whose = url if source == "torchvision" else f"model.safetensors of {url}"
        reason = str(error).partition("\n")[0]
        raise FileNotFoundError(
            f"the weights {start} are not here and could not be downloaded ({reason}): put {whose} "
            f"as {file.name}{digest} into {file.parent}"
        ) from None


@functools.lru_cache(maxsize=64)
def _known_digest(file: Path, size: int, mtime: int) -> str:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def _digest(file: Path) -> str:
    about = file.stat()
    return _known_digest(file, about.st_size, about.st_mtime_ns)
