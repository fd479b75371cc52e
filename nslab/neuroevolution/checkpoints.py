"""Initial populations from a user's checkpoint files, as people's training scripts write them."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor
from torch.serialization import get_unsafe_globals_in_checkpoint

from nslab.system.files import read_tensors
from nslab.types import StateDict

# Keys under which training scripts store weights: trained ones come before their averages.
KEYS = (
    *("state_dict", "model_state_dict", "model_state", "model", "net", "network", "weights"),
    *("params", "module", "ema_state_dict", "state_dict_ema", "model_ema", "ema"),
)
WRAPPERS = ("module.", "_orig_mod.")  # prefixes of DataParallel, averaged models, torch.compile
HOLDER = "model."  # prefix of a module that holds the network as its attribute
COUNTER = "n_averaged"  # of torch's AveragedModel


def from_checkpoints(files: Sequence[Path | str]) -> list[StateDict]:
    """States from a user's files: safetensors, or what ``torch.save`` wrote, read without running
    any code in it.

    A file may hold the state itself, or under one of ``KEYS``. Prefixes of wrappers and holders are
    dropped, in any order, and so is the counter of an averaged model. Raises ``ValueError`` that
    names the file, the problem and what to do, also for weights that are NaN or infinite.
    """
    return [_state(Path(file)) for file in files]


def _state(file: Path) -> StateDict:
    if not file.exists():
        raise ValueError(f"{file} does not exist")
    found: Any
    try:
        found = load_file(file) if file.suffix == ".safetensors" else read_tensors(file)
    except (SafetensorError, ValueError) as error:
        raise ValueError(_unreadable(file, error)) from None
    while isinstance(found, Mapping) and not _is_state(found):
        inner = next((key for key in KEYS if isinstance(found.get(key), Mapping)), None)
        if inner is None:
            break
        found = found[inner]
    if not isinstance(found, Mapping) or not _is_state(found):
        keys = [*map(str, found)][:6] if isinstance(found, Mapping) else []
        what = f" (its keys: {', '.join(keys)})" if keys else ""
        raise ValueError(
            f"{file} holds no state dict{what}: names and tensors are expected, alone or under one "
            f"of {', '.join(KEYS)}"
        )
    state = without_prefixes({str(k): t for k, t in found.items() if k != COUNTER})
    wrong = [k for k, t in state.items() if t.is_floating_point() and not t.isfinite().all()]
    if wrong:
        more = f" (and {len(wrong) - 1} more)" if len(wrong) > 1 else ""
        raise ValueError(
            f"{file}: {wrong[0]}{more} is NaN or infinite: leave the file out, its training failed"
        )
    return state


def without_prefixes(state: Mapping[str, Tensor]) -> StateDict:
    """A state without the prefixes of wrappers, and without ``HOLDER`` if all names begin with it,
    unless two names would become the same."""
    names = list(state)
    while True:
        shorter = names
        for prefix in WRAPPERS:
            shorter = [name.removeprefix(prefix) for name in shorter]
        if all(name.startswith(HOLDER) for name in shorter):
            shorter = [name.removeprefix(HOLDER) for name in shorter]
        if shorter == names or len(set(shorter)) < len(names):
            return dict(zip(names, state.values(), strict=True))
        names = shorter


def _is_state(found: Mapping[Any, Any]) -> bool:
    return bool(found) and all(isinstance(value, Tensor) for value in found.values())


def _unreadable(file: Path, error: Exception) -> str:
    """Why a file cannot be read; for a pickle that holds more than weights, what else it holds."""
    try:
        culprits = get_unsafe_globals_in_checkpoint(file) if file.suffix != ".safetensors" else []
    except Exception:  # not a file of torch.save at all
        culprits = []
    if not culprits:
        return (
            f"{file} cannot be read as weights ({error}): give a safetensors file, or a state dict "
            "that torch.load reads with weights_only=True"
        )
    return (
        f"{file} cannot be read as weights: it also holds {', '.join(sorted(culprits)[:3])}, and "
        "reading such objects may run code in the file. If you trust it, save the weights alone: "
        f"found = torch.load({str(file)!r}, weights_only=False), then "
        "torch.save(found['model'], 'weights.pt'), or whatever name the weights have in it"
    )
