"""Checkpoints: where an interrupted training continues, and the weights of a finished one."""

import copy
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor, nn

from nslab.configs.protocol import RunConfig
from nslab.networks.modes import unwrap_model
from nslab.objectives.weighted import restore_state, state_of
from nslab.system.seals import load_tensors, load_torch, save_tensors, save_torch, set_aside
from nslab.types import Objective

CHECKPOINT, WEIGHTS = "checkpoint.pt", "weights.safetensors"


@dataclass
class Checkpoint:
    """State after ``epochs`` whole epochs, and inside the next one if ``partial`` is not empty."""

    run: str
    epochs: int
    model: dict[str, Any]
    optimizer: dict[str, Any]
    scaler: dict[str, Any] | None = None
    objective: dict[str, Any] = field(default_factory=dict)
    best: dict[str, Any] = field(default_factory=dict)  # the network chosen so far, if any
    history: list[dict[str, Any]] = field(default_factory=list)
    partial: dict[str, Any] = field(default_factory=dict)  # of an unfinished epoch, see `Pauses`
    kept: dict[str, Any] = field(default_factory=dict)  # what else a kind of run needs to resume

    def save(self, folder: Path) -> Path:
        """Write to ``folder``, atomically replacing the previous checkpoint."""
        save_torch(vars(self), folder / CHECKPOINT)
        return folder / CHECKPOINT


def read_checkpoint(folder: Path | None, run: str, device: torch.device) -> Checkpoint | None:
    """The checkpoint of run ``run`` in ``folder``, or None.

    A damaged checkpoint, or another run's, is set aside with a warning: training starts again.
    """
    file = folder / CHECKPOINT if folder else None
    if file is None or not file.exists():
        return None
    try:
        found = Checkpoint(**load_torch(file, device))
    except FileNotFoundError:  # another process of this run has set it aside
        return None
    except (TypeError, ValueError) as error:
        reason = str(error)
    else:
        if found.run == run:
            return found
        reason = f"belongs to run {found.run}"
    set_aside(file, f"{reason}; training starts again")
    return None


def resume(
    config: RunConfig,
    folder: Path | None,
    model: nn.Module,
    objective: Objective,
    optimizer: torch.optim.Optimizer,
    accelerator: Accelerator,
) -> Checkpoint | None:
    """Load the state that `save_checkpoint` left in ``folder``, if any, and return it.

    A checkpoint that does not fit the network, optimizer or objective is set aside with a warning.
    """
    found = read_checkpoint(folder, config.id, accelerator.device)
    if found is None:
        return None
    untouched = [copy.deepcopy(part.state_dict()) for part in (unwrap_model(model), optimizer)]
    untouched.append(copy.deepcopy(state_of(objective)))
    try:
        unwrap_model(model).load_state_dict(found.model)
        optimizer.load_state_dict(found.optimizer)
        restore_state(objective, found.objective)
    except (RuntimeError, ValueError, LookupError, TypeError, AttributeError) as error:
        assert folder is not None
        if accelerator.is_main_process:
            reason = str(error).partition("\n")[0]
            set_aside(folder / CHECKPOINT, f"does not fit ({reason}); training starts again")
        unwrap_model(model).load_state_dict(untouched[0])
        optimizer.load_state_dict(untouched[1])
        restore_state(objective, untouched[2])
        return None
    if accelerator.scaler is not None and found.scaler is not None:
        accelerator.scaler.load_state_dict(found.scaler)
    return found


def save_checkpoint(
    config: RunConfig,
    folder: Path,
    model: nn.Module,
    objective: Objective,
    optimizer: torch.optim.Optimizer,
    accelerator: Accelerator,
    history: list[dict[str, Any]],
    best: dict[str, Any],
    partial: dict[str, Any] | None = None,
    kept: dict[str, Any] | None = None,
) -> None:
    """Save the state after an epoch, or inside one (``partial``)."""
    scaler = accelerator.scaler.state_dict() if accelerator.scaler is not None else None
    state = Checkpoint(
        config.id,
        len(history),
        unwrap_model(model).state_dict(),
        optimizer.state_dict(),
        scaler,
        state_of(objective),
        best,
        history,
        partial or {},
        kept or {},
    )
    state.save(folder)


def save_weights(
    model: nn.Module, folder: Path, epoch: int | None = None, name: str | None = None
) -> None:
    """Write a network's parameters and buffers into the folder of its run: as its final ones, as
    those after an epoch (from 1), or into the file ``name``. Tied weights are each written."""
    tensors, storages = dict[str, Tensor](), set[int]()
    for key, tensor in model.state_dict().items():
        tensors[key] = tensor.detach().cpu().contiguous()
        storage = tensors[key].untyped_storage().data_ptr()
        if storage in storages:  # safetensors refuses tensors that share memory
            tensors[key] = tensors[key].clone()
        storages.add(storage)
    save_tensors(tensors, folder / name if name else weights_file(folder, epoch), folder.name)


def weights_file(folder: Path, epoch: int | None = None) -> Path:
    """The file of a run's weights, final or after an epoch (from 1)."""
    return folder / (WEIGHTS if epoch is None else f"epoch-{epoch}.safetensors")


def read_weights(file: Path, run: str = "") -> dict[str, Tensor]:
    """What `save_weights` wrote, on the CPU; ``ValueError`` for a damaged file, or one of another
    run than ``run``."""
    try:
        return load_tensors(file, run)
    except ValueError as error:
        raise ValueError(
            f"{error}: remove it, then nslab.run(config, weights=True) makes it again"
        ) from None


def run_weights(folder: Path, epoch: int | None = None) -> dict[str, Tensor]:
    """The weights that the run of that folder has kept: the final ones, or those after an epoch
    (from 1).

    Raises ``FileNotFoundError`` if there are none, ``ValueError`` for a damaged file.
    """
    file = weights_file(folder, epoch)
    if not file.exists():
        raise FileNotFoundError(
            f"{file} is missing: this run's weights are not here (frozen results keep numbers "
            "only, and of single epochs only the last keep_last are kept); "
            "nslab.run(config, weights=True) computes the run again to have them"
        )
    return read_weights(file, folder.name)


def load_weights(model: nn.Module, folder: Path, epoch: int | None = None) -> nn.Module:
    """``model`` with the `run_weights` of a folder; ``ValueError`` for another network's."""
    state = run_weights(folder, epoch)
    try:
        model.load_state_dict(state)
    except RuntimeError as error:
        file = weights_file(folder, epoch)
        raise ValueError(f"{file} holds the weights of another network: {error}") from None
    return model
