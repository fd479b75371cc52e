"""Starts of a training: which weights a network begins with, and which part of it is new.

``TrainConfig.start`` names pretrained weights (``torchvision:TAG``, ``timm:TAG``, or
``transformers:pretrained`` for those beside the network's configuration), a file (``file:PATH``:
safetensors, or a state dict that torch reads without running code), public weights of CIFAR
networks (``public``), or a finished run (its id, or ``id@epoch``).
"""

from pathlib import Path

from torch import nn

from nslab.configs.checkpoint_files import digest
from nslab.configs.starts import FILE
from nslab.configs.train import TrainConfig
from nslab.networks.bottleneck import Bottlenecked, backbone_of
from nslab.networks.external import COUNTER, named_alike
from nslab.networks.pretrained import is_pretrained, renamed_state, weights_file
from nslab.networks.pretrained_cifar import public_weights
from nslab.networks.text_encoders import pretrained_state
from nslab.neuroevolution.checkpoints import from_checkpoints
from nslab.system.content_names import parse_content_name
from nslab.system.encoder_files import is_encoder
from nslab.system.paths import runs_dir
from nslab.training.checkpoint import run_weights
from nslab.types import StateDict


def start_weights(model: nn.Module, config: TrainConfig) -> nn.Module:
    """``model`` with the weights that ``config.start`` or ``config.ancestor`` name, if any; a head
    for another number of classes keeps its fresh weights.

    Raises ``FileNotFoundError`` for weights that are missing and cannot be downloaded,
    ``ValueError`` for those of another network and for a file that does not match its digest.
    """
    if not config.origin:
        return model
    where: str | Path
    if is_encoder(config.network) and is_pretrained(config.start):
        state, where = pretrained_state(model, config.network, config.start)
    else:
        state, where = start_state(config)
    into = model
    if isinstance(model, Bottlenecked) and "bottleneck.0.weight" not in state:
        into, state = model.features, model.feature_state(state)  # they are of the plain network
    into.load_state_dict(fitting_state(into, state, where))
    return model


def start_state(config: TrainConfig) -> tuple[StateDict, str]:
    """The state that a training starts from, and where it comes from, for messages."""
    start, network = config.origin, backbone_of(config.network)
    if start == "public":
        return public_weights(network), f"the public weights of {network}"
    if is_pretrained(start):
        file = weights_file(start, network)
        return renamed_state(from_checkpoints([file])[0]), str(file)
    if start.startswith(FILE):
        _, where, known = parse_content_name(start) or ("", "", "")
        if not digest(where).startswith(known):
            raise ValueError(
                f"{where} has changed since the run was planned: put the old file back, or plan "
                "the run anew with the file as it is"
            )
        return from_checkpoints([where])[0], where
    run, _, epoch = start.partition("@")
    folder = runs_dir() / run
    return run_weights(folder, int(epoch) if epoch else None), f"the weights of run {run}"


def fitting_state(model: nn.Module, state: StateDict, where: str | Path) -> StateDict:
    """The state for ``model``. A head for another number of classes is replaced by the model's own,
    and so are counters that old files lack.

    Tensors count as the head if they differ in their first dimension alone, the number of classes,
    and all between the same two numbers. Raises ``ValueError`` for any other difference.

    >>> trained, other = nn.Linear(4, 10).state_dict(), nn.Linear(4, 3)
    >>> fitting_state(other, trained, "trained.pt")["weight"].shape
    torch.Size([3, 4])
    """
    own = model.state_dict()
    state = named_alike(state, own)
    counters = {k: t for k, t in own.items() if k.endswith(COUNTER) and k not in state}
    state = {k: t for k, t in state.items() if k in own or not k.endswith(COUNTER)} | counters
    missing = [k for k in own if k not in state]
    odd = missing or [k for k in state if k not in own]
    if odd:
        what = "lack" if missing else "have"
        more = f" (and {len(odd) - 1} more)" if len(odd) > 1 else ""
        kind = type(model).__name__
        raise ValueError(f"{where}: weights of another network than {kind}: they {what} "
                         f"{odd[0]}{more}")  # fmt: skip
    other = {k: (t.shape, state[k].shape) for k, t in own.items() if t.shape != state[k].shape}
    classes = {(mine[:1], theirs[:1]) for mine, theirs in other.values()}
    for name, (mine, theirs) in other.items():
        if mine[1:] != theirs[1:] or not mine or len(classes) > 1:
            raise ValueError(
                f"{where}: {name} has shape {tuple(theirs)}, here {tuple(mine)}: weights of "
                "another network, or for images of another size"
            )
    return {k: own[k] if k in other else state[k].to(own[k].dtype) for k in own}
