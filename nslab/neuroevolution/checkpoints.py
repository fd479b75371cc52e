"""Initial populations from a user's checkpoint files."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from nslab.system.files import read_tensors
from nslab.types import StateDict


def from_checkpoints(files: Sequence[Path | str]) -> list[StateDict]:
    """States from a user's files: safetensors, or what ``torch.save`` wrote, read without running
    any code in it.

    A file may hold the state itself or have it under ``state_dict``, ``model`` or ``model_state``;
    a prefix ``module.`` (DataParallel) is dropped. Raises ``ValueError`` naming the file.
    """
    return [_state(Path(file)) for file in files]


def _state(file: Path) -> StateDict:
    if not file.exists():
        raise ValueError(f"{file} does not exist")
    found: Any
    try:
        found = load_file(file) if file.suffix == ".safetensors" else read_tensors(file)
    except (SafetensorError, ValueError) as error:
        raise ValueError(
            f"{file} cannot be read as weights ({error}): give safetensors, or a state dict that "
            "torch.load reads with weights_only=True"
        ) from None
    for key in ("state_dict", "model", "model_state"):
        if isinstance(found, dict) and isinstance(found.get(key), dict):
            found = found[key]
    if not isinstance(found, dict) or not all(isinstance(t, Tensor) for t in found.values()):
        raise ValueError(f"{file} holds no state dict: names and tensors are expected")
    return {name.removeprefix("module."): tensor for name, tensor in found.items()}
