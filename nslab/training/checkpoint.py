"""Checkpoints: where an interrupted training continues, and the weights of a finished one."""

import io
import warnings
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor, nn

from nslab.configs.train import TrainConfig
from nslab.networks.modes import bare
from nslab.networks.pretrained_cifar import public_weights
from nslab.objectives.weighted import memory_of, recall
from nslab.system.files import read_tensors, replacing
from nslab.system.paths import runs_dir
from nslab.types import Objective

CHECKPOINT, WEIGHTS = "checkpoint.pt", "weights.safetensors"


@dataclass
class Checkpoint:
    """State after a number of whole epochs."""

    run: str
    epochs: int
    model: dict[str, Any]
    optimizer: dict[str, Any]
    scaler: dict[str, Any] | None = None
    objective: dict[str, Any] = field(default_factory=dict)
    best: dict[str, Any] = field(default_factory=dict)  # the network chosen so far, if any
    history: list[dict[str, Any]] = field(default_factory=list)

    def save(self, folder: Path) -> Path:
        """Write to ``folder``, replacing the one before in one step."""
        with replacing(folder / CHECKPOINT) as temporary:
            # torch's own writer hides a full disk behind an obscure error
            buffer = io.BytesIO()
            torch.save(vars(self), buffer)
            temporary.write_bytes(buffer.getbuffer())
        return folder / CHECKPOINT


def read_checkpoint(folder: Path | None, run: str, device: torch.device) -> Checkpoint | None:
    """The checkpoint of run ``run`` in ``folder``, or None.

    An unreadable one, or another run's, is set aside with a warning: training starts afresh.
    """
    file = folder / CHECKPOINT if folder else None
    if file is None or not file.exists():
        return None
    try:
        found = Checkpoint(**read_tensors(file, device))
    except (TypeError, ValueError) as error:
        reason = f"it cannot be read ({error})"
    else:
        if found.run == run:
            return found
        reason = f"it belongs to run {found.run}"
    warnings.warn(f"{file} is ignored, training starts afresh: {reason}", stacklevel=2)
    return None


def resume(
    config: TrainConfig,
    folder: Path | None,
    model: nn.Module,
    objective: Objective,
    optimizer: torch.optim.Optimizer,
    accelerator: Accelerator,
) -> Checkpoint | None:
    """Load the state that `save_checkpoint` left in ``folder``, if any, and return it."""
    found = read_checkpoint(folder, config.id, accelerator.device)
    if found is None:
        return None
    bare(model).load_state_dict(found.model)
    optimizer.load_state_dict(found.optimizer)
    recall(objective, found.objective)
    if accelerator.scaler is not None and found.scaler is not None:
        accelerator.scaler.load_state_dict(found.scaler)
    return found


def save_checkpoint(
    config: TrainConfig,
    folder: Path,
    model: nn.Module,
    objective: Objective,
    optimizer: torch.optim.Optimizer,
    accelerator: Accelerator,
    history: list[dict[str, Any]],
    best: dict[str, Any],
) -> None:
    """Keep the state after an epoch."""
    scaler = accelerator.scaler.state_dict() if accelerator.scaler is not None else None
    state = Checkpoint(
        config.id,
        len(history),
        bare(model).state_dict(),
        optimizer.state_dict(),
        scaler,
        memory_of(objective),
        best,
        history,
    )
    state.save(folder)


def save_weights(
    model: nn.Module, folder: Path, epoch: int | None = None, name: str | None = None
) -> None:
    """Write the parameters and buffers of a network, final or after an epoch (from 1), or under a
    name of its own."""
    tensors = {name: t.detach().cpu().contiguous() for name, t in model.state_dict().items()}
    with replacing(folder / name if name else weights_file(folder, epoch)) as temporary:
        temporary.write_bytes(save(tensors))


def weights_file(folder: Path, epoch: int | None = None) -> Path:
    """Where the weights of a run lie."""
    return folder / (WEIGHTS if epoch is None else f"epoch-{epoch}.safetensors")


def read_weights(file: Path) -> dict[str, Tensor]:
    """What `save_weights` wrote, on the CPU; ``ValueError`` for a file that is broken."""
    try:
        return load_file(file)
    except SafetensorError as error:
        raise ValueError(
            f"{file} is broken ({error}): remove it, then nslab.run(config, force=True, "
            "weights=True) makes it again"
        ) from None


def start_weights(model: nn.Module, config: TrainConfig) -> nn.Module:
    """``model`` with the weights that ``config.start`` or ``config.ancestor`` name, if any."""
    if not config.origin:
        return model
    if config.origin == "public":
        model.load_state_dict(public_weights(config.network))
        return model
    run, _, epoch = config.origin.partition("@")
    return load_weights(model, runs_dir() / run, int(epoch) if epoch else None)


def load_weights(model: nn.Module, folder: Path, epoch: int | None = None) -> nn.Module:
    """Read what `save_weights` wrote into ``model``.

    Raises ``FileNotFoundError`` if there is nothing, ``ValueError`` for a broken file or another
    network's.
    """
    file = weights_file(folder, epoch)
    if not file.exists():
        raise FileNotFoundError(
            f"{file} is missing: this run's weights are not here (frozen results keep numbers "
            "only, and of epochs only the last keep_last); nslab.run(config, weights=True) "
            "computes it again to have them"
        )
    state = read_weights(file)
    try:
        model.load_state_dict(state)
    except RuntimeError as error:
        raise ValueError(f"{file} holds the weights of another network: {error}") from None
    return model
