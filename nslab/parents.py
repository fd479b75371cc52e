"""Initial populations for the evolution of networks: training runs, files, noise.

Source: the DE paper, sections 3, 3.3 and 4.2, and its Table S9. A parent that is a run goes through
the store, so nothing trained is trained again.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from nslab.evolve.ensembles import gaussian
from nslab.experiments.config import Parent
from nslab.experiments.parents import init_hp, init_rs, last_epochs
from nslab.files import read_tensors
from nslab.store import weights_of

State = dict[str, Tensor]


def from_checkpoints(files: Sequence[Path | str]) -> list[State]:
    """States from a user's files: safetensors, or what ``torch.save`` wrote, read without running
    any code in it.

    A file may hold the state itself or have it under ``state_dict``, ``model`` or ``model_state``;
    a prefix ``module.`` (DataParallel) is dropped. Raises ``ValueError`` naming the file.
    """
    return [_state(Path(file)) for file in files]


def _state(file: Path) -> State:
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


__all__ = [
    "Parent",
    "from_checkpoints",
    "gaussian",
    "init_hp",
    "init_rs",
    "last_epochs",
    "weights_of",
]
