"""Initial populations for the evolution of networks: training runs, files, noise.

Source: the DE paper, sections 3, 3.3 and 4.2, and its Table S9. A parent that is a run goes through
the store, so nothing trained is trained again.
"""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from nslab.checkpoint import weights_file
from nslab.experiments import TrainConfig
from nslab.files import read_tensors
from nslab.objectives import LabelSmoothing, Mixup
from nslab.store import folder_of, run, run_all

State = dict[str, Tensor]


@dataclass(frozen=True)
class Parent:
    """A run's weights: final, or those it kept after an epoch (from 1)."""

    config: TrainConfig
    epoch: int | None = None


def last_epochs(config: TrainConfig, size: int) -> list[Parent]:
    """The last ``size`` epochs of one run, oldest first.

    With ``config.start`` this is continued training, as for the paper's pretrained networks. NOTE:
    the paper trains on for "ps partial epochs"; here parents lie a whole epoch apart.
    """
    kept = dataclasses.replace(config, keep_last=size)
    return [Parent(kept, epoch) for epoch in range(config.epochs - size + 1, config.epochs + 1)]


def init_rs(config: TrainConfig, size: int) -> list[Parent]:
    """Init-RS: runs that differ by their seeds, from ``config.seed`` on."""
    seeds = range(config.seed, config.seed + size)
    return [Parent(dataclasses.replace(config, seed=seed)) for seed in seeds]


def init_hp(config: TrainConfig, size: int) -> list[Parent]:
    """Init-HP: runs that differ by learning rate, weight decay, mixup and label smoothing.

    NOTE: the paper names these four and gives no values. Here member i has learning rate times
    1, 1/2, 2 and weight decay times 1, 2, 1/2 in turn (nine pairs before one comes again), and
    plain cross-entropy, mixup 0.2, label smoothing 0.1, or both, in turn.
    """
    objectives = (
        config.objective,
        Mixup(0.2),
        LabelSmoothing(0.1),
        Mixup(0.2, LabelSmoothing(0.1)),
    )
    return [
        Parent(
            dataclasses.replace(
                config,
                lr=config.lr * (1, 0.5, 2)[i % 3],
                weight_decay=config.weight_decay * (1, 2, 0.5)[i // 3 % 3],
                objective=objectives[i % 4],
                seed=config.seed + i,
            )
        )
        for i in range(size)
    ]


def weights_of(parents: Sequence[Parent], *, jobs: int = 1, show: bool = True) -> list[State]:
    """The parents' states, on the CPU; runs that are not there are computed first."""
    configs = {parent.config.id: parent.config for parent in parents}
    if jobs > 1:
        missing = [c for c in configs.values() if not weights_file(folder_of(c)).exists()]
        run_all(missing, jobs=jobs, force=True, show=show)
    for config in configs.values():
        run(config, weights=True, show=show)
    return [load_file(weights_file(folder_of(p.config), p.epoch)) for p in parents]


def gaussian(base: State, states: Sequence[State], size: int, gen: torch.Generator) -> list[State]:
    """Noise about one network: ``base`` + sd * N(0, 1), sd of each parameter over ``states``.

    The paper's Table S9: the spread of a trained population without what it has learned. Running
    statistics and counters are ``base``'s. NOTE: the paper does not speak of them.
    """
    if len(states) < 2:
        raise ValueError("one state has no spread: give at least two")
    made: list[State] = [{} for _ in range(size)]
    for name, centre in base.items():
        learned = centre.is_floating_point() and not name.endswith(("running_mean", "running_var"))
        sd = torch.stack([state[name] for state in states]).std(0) if learned else None
        for new in made:
            noise = 0 if sd is None else sd * torch.randn(sd.shape, generator=gen, dtype=sd.dtype)
            new[name] = centre + noise
    return made


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
