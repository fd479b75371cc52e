"""Networks of torchvision and timm by name, and checks that a checkpoint fits a network."""

import importlib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from nslab.networks.heads import last_linear
from nslab.system.validation import near
from nslab.types import ImageShape, InputShape, StateDict

WITH_AUX, AUX = ("googlenet", "inception_v3"), "+aux"  # AUX ends their names with auxiliary heads
COUNTER = "num_batches_tracked"  # of BatchNorm; files from before torch 0.4.1 lack it


def build_external(name: str, shape: ImageShape, num_classes: int) -> nn.Module:
    """``torchvision/<name>`` or ``timm/<name>``, with weights drawn from torch's global stream.

    ``torchvision/googlenet+aux`` and ``torchvision/inception_v3+aux`` keep their auxiliary heads.
    Raises ``ValueError`` for an unknown name, and if timm is needed but not installed.
    """
    source, _, short = name.rpartition("/")
    check_external(name)
    return (_torchvision if source == "torchvision" else _timm)(short, shape, num_classes)


def check_external(name: str) -> None:
    """``ValueError`` unless torchvision or timm has a classifier of that name."""
    source, _, short = name.rpartition("/")
    if source == "torchvision":
        from torchvision import models  # slow to import

        known = models.list_models(module=models)
        plain = short.removesuffix(AUX) if short.removesuffix(AUX) in WITH_AUX else short
        if plain not in known:
            raise unknown(short, source, known)
    elif source == "timm":
        timm = _imported_timm(short)
        if not timm.is_model(short):
            raise unknown(short, source, timm.list_models())
    else:
        raise ValueError(
            f"{name!r} is neither torchvision/<name>, timm/<name> nor transformers/<name>"
        )


def _torchvision(name: str, shape: ImageShape, num_classes: int) -> nn.Module:
    from torchvision import models

    options: dict[str, Any] = {}
    if name.startswith("vit_"):
        options["image_size"] = shape[1]
    plain = name.removesuffix(AUX)
    if plain in WITH_AUX:
        options |= {"aux_logits": name != plain, "init_weights": False}
    model: nn.Module = models.get_model(plain, weights=None, num_classes=num_classes, **options)
    return model


def _imported_timm(name: str) -> Any:
    try:
        return importlib.import_module("timm")
    except ImportError:
        raise ValueError(f"timm/{name} needs timm, which is missing: pip install timm") from None


def _timm(name: str, shape: ImageShape, num_classes: int) -> nn.Module:
    model: nn.Module = _imported_timm(name).create_model(
        name, pretrained=False, num_classes=num_classes, in_chans=shape[0]
    )
    return model


def with_heads(name: str, keys: Iterable[str]) -> str:
    """``name``, with ``+aux`` appended if the names of its weights, ``keys``, include those of
    auxiliary heads."""
    has = any(key.startswith(("aux", "AuxLogits")) for key in keys)
    short = name.rpartition("/")[2]
    return f"{name}{AUX}" if has and name.startswith("torchvision/") and short in WITH_AUX else name


def unknown(name: str, source: str, known: Sequence[str]) -> ValueError:
    """The error for a name that a source does not know; it suggests similar ones."""
    likely = near(name, known) or list(known)[:3]
    return ValueError(f"{source} has no classifier {name!r}; it has {', '.join(likely)}, ...")


def fitted(
    model: nn.Module, states: Sequence[StateDict], files: Sequence[str], num_classes: int
) -> list[StateDict]:
    """The states of ``files`` with tensors of ``model``'s types; missing BatchNorm counters are 0.

    Raises ``ValueError`` naming the file for a head with another number of classes, and for
    tensors that are missing, superfluous or of another shape.
    """
    own, found = model.state_dict(), []
    try:
        head = f"{last_linear(model)}.weight"
    except ValueError:  # no linear layer; a wrong number of classes then shows as a wrong shape
        head = ""
    for file, state in zip(files, states, strict=True):
        classes = state[head].shape[:1] if head in state else ()
        if classes and classes[0] != num_classes == len(own[head]):
            raise ValueError(
                f"{file}: its head {head.removesuffix('.weight')} is for {classes[0]} classes, the "
                f"data have {num_classes}"
            )
        state = named_alike(state, own)
        counters = {k: t.new_zeros(()) for k, t in own.items() if k.endswith(COUNTER)}
        whole = counters | state
        wrong = [f"{k} is missing" for k in own if k not in whole]
        wrong += [f"{k} does not belong to it" for k in whole if k not in own]
        wrong += [
            f"{k} has shape {tuple(whole[k].shape)}, here {tuple(t.shape)}"
            for k, t in own.items()
            if k in whole and whole[k].shape != t.shape
        ]
        if wrong:
            more = f" (and {len(wrong) - 1} more)" if len(wrong) > 1 else ""
            raise ValueError(f"{file} is not a checkpoint of this model: {wrong[0]}{more}")
        found.append({k: whole[k].to(t.dtype) for k, t in own.items()})
    return found


def named_alike(state: StateDict, own: StateDict) -> StateDict:
    """The state with the names of ``own``, that of a network that wraps another: if all names of
    ``own`` share a prefix that none of the state's has, it is added to them."""
    head = next(iter(own)).partition(".")[0] + "."
    shared = all(name.startswith(head) for name in own)
    if shared and not any(name.startswith(head) for name in state):
        return {head + name: tensor for name, tensor in state.items()}
    return state


@torch.no_grad()
def try_model(model: nn.Module, shape: InputShape, num_classes: int, device: torch.device) -> None:
    """Run the model on two inputs of zeros; ``ValueError`` unless it returns a logit per class."""
    try:
        logits = model.eval()(torch.zeros(2, *shape, device=device))
    except (RuntimeError, ValueError, AssertionError, TypeError) as error:
        size = " x ".join(map(str, shape))
        raise ValueError(f"the model cannot take images of {size}: {error}") from None
    if not isinstance(logits, Tensor) or logits.shape != (2, num_classes):
        raise ValueError(
            f"the model gives no logits of shape (images, {num_classes}): a classifier of images "
            "with as many classes as the data is needed"
        )


def loading_code(name: str, shape: InputShape, num_classes: int, file: Path) -> tuple[str, str]:
    """Two lines of Python that build a network and load its weights from ``file``."""
    source, _, short = name.rpartition("/")
    built = f"nslab.networks.build_network({name!r}, {shape}, {num_classes}, seed=0)"
    if source == "timm":
        built = f"timm.create_model({short!r}, num_classes={num_classes}, in_chans={shape[0]})"
    elif source == "torchvision":
        plain = short.removesuffix(AUX)
        more = f", image_size={shape[1]}" if plain.startswith("vit_") else ""
        if plain in WITH_AUX:  # torchvision's default is to have the heads
            more = f", aux_logits={plain != short}, init_weights=False"
        built = f"torchvision.models.get_model({plain!r}, num_classes={num_classes}{more})"
    return (
        f"  model = {built}",
        f"  model.load_state_dict(safetensors.torch.load_file({str(file)!r}))",
    )
