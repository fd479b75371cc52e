"""Networks by name for other people's checkpoints, and whether the checkpoints are theirs."""

import difflib
import importlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from nslab.networks import NETWORKS, build_network
from nslab.networks.heads import last_linear
from nslab.types import ImageShape, StateDict

COUNTER = "num_batches_tracked"  # of BatchNorm; files from before torch 0.4.1 lack it


def build_external(
    name: str, shape: ImageShape, num_classes: int, keys: Sequence[str] = ()
) -> nn.Module:
    """``torchvision/<name>``, ``timm/<name>`` or a key of ``NETWORKS``, with some weights.

    ``keys`` of a state dict tell whether GoogLeNet and Inception have their auxiliary heads. Raises
    ``ValueError`` for an unknown name, and where timm is not installed.
    """
    source, _, short = name.rpartition("/")
    if not source and short in NETWORKS:
        return build_network(short, shape, num_classes, seed=0)
    if source not in ("torchvision", "timm"):
        raise ValueError(
            f"unknown model {name!r}: give torchvision/<name>, timm/<name> or one of "
            f"{', '.join(NETWORKS)}; any other nn.Module evolves by nslab.neuroevolution.evolve"
        )
    with torch.random.fork_rng(devices=[]):
        return (_torchvision if source == "torchvision" else _timm)(short, shape, num_classes, keys)


def _torchvision(name: str, shape: ImageShape, num_classes: int, keys: Sequence[str]) -> nn.Module:
    from torchvision import models  # slow to import

    known = models.list_models(module=models)
    if name not in known:
        raise unknown(name, "torchvision", known)
    options: dict[str, Any] = {}
    if name.startswith("vit_"):
        options["image_size"] = shape[1]
    if name in ("googlenet", "inception_v3"):
        has = any(key.startswith(("aux", "AuxLogits")) for key in keys)
        options |= {"aux_logits": has, "init_weights": False}
    model: nn.Module = models.get_model(name, weights=None, num_classes=num_classes, **options)
    return model


def _timm(name: str, shape: ImageShape, num_classes: int, keys: Sequence[str]) -> nn.Module:
    try:
        timm = importlib.import_module("timm")
    except ImportError:
        raise ValueError(f"timm/{name} needs timm, which is not here: pip install timm") from None
    if not timm.is_model(name):
        raise unknown(name, "timm", timm.list_models())
    model: nn.Module = timm.create_model(
        name, pretrained=False, num_classes=num_classes, in_chans=shape[0]
    )
    return model


def unknown(name: str, source: str, known: Sequence[str]) -> ValueError:
    """The error for a name that a source does not know, with names like it."""
    near = difflib.get_close_matches(name, known, 3, 0.5) or list(known)[:3]
    return ValueError(f"{source} has no classifier {name!r}; it has {', '.join(near)}, ...")


def fitted(
    model: nn.Module, states: Sequence[StateDict], files: Sequence[str], num_classes: int
) -> list[StateDict]:
    """The states in the types of ``model``; counters of BatchNorm that they lack are 0.

    Raises ``ValueError`` naming the file for a head of another number of classes, and for tensors
    that are missing, too many or of another shape.
    """
    own, found = model.state_dict(), []
    try:
        head = f"{last_linear(model)}.weight"
    except ValueError:  # no linear layer: shapes tell as well
        head = ""
    for file, state in zip(files, states, strict=True):
        classes = state[head].shape[:1] if head in state else ()
        if classes and classes[0] != num_classes == len(own[head]):
            raise ValueError(
                f"{file}: its head {head.removesuffix('.weight')} is for {classes[0]} classes, the "
                f"data have {num_classes}"
            )
        counters = {k: t.new_zeros(()) for k, t in own.items() if k.endswith(COUNTER)}
        whole = counters | state
        wrong = [f"{k} is missing" for k in own if k not in whole]
        wrong += [f"{k} is not of this model" for k in whole if k not in own]
        wrong += [
            f"{k} has shape {tuple(whole[k].shape)}, here {tuple(t.shape)}"
            for k, t in own.items()
            if k in whole and whole[k].shape != t.shape
        ]
        if wrong:
            more = f" (and {len(wrong) - 1} more)" if len(wrong) > 1 else ""
            raise ValueError(f"{file} is no checkpoint of this model: {wrong[0]}{more}")
        found.append({k: whole[k].to(t.dtype) for k, t in own.items()})
    return found


@torch.no_grad()
def tried(model: nn.Module, shape: ImageShape, num_classes: int, device: torch.device) -> None:
    """Let the model see two black images; ``ValueError`` unless it gives logits for each class."""
    try:
        logits = model.eval()(torch.zeros(2, *shape, device=device))
    except (RuntimeError, ValueError, AssertionError, TypeError) as error:
        size = " x ".join(map(str, shape))
        raise ValueError(f"the model cannot take images of {size}: {error}") from None
    if not isinstance(logits, Tensor) or logits.shape != (2, num_classes):
        raise ValueError("the model gives no logits: a classifier of images is needed")


def loading(name: str, shape: ImageShape, num_classes: int, file: Path) -> tuple[str, str]:
    """Two lines of Python that make the network of a file."""
    source, _, short = name.rpartition("/")
    made = f"nslab.networks.build_network({short!r}, {shape}, {num_classes}, seed=0)"
    if source == "timm":
        made = f"timm.create_model({short!r}, num_classes={num_classes}, in_chans={shape[0]})"
    elif source == "torchvision":
        size = f", image_size={shape[1]}" if short.startswith("vit_") else ""
        made = f"torchvision.models.get_model({short!r}, num_classes={num_classes}{size})"
    return (
        f"  model = {made}",
        f"  model.load_state_dict(safetensors.torch.load_file({str(file)!r}))",
    )
