"""Computation of each kind of run: ``COMPUTE[kind](config, context)``, the only dispatch.

The runs that a config requires are finished before its own is computed. A kind of run of your own
adds an entry.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor

from nslab.adapt import adapt
from nslab.configs import (
    AdaptConfig,
    EvaluateConfig,
    EvolveConfig,
    LossSearchConfig,
    Parent,
    TrainConfig,
)
from nslab.lossnet import Pretrained
from nslab.runs.evaluate_run import run_evaluation
from nslab.runs.evolve_run import run_evolution
from nslab.runs.folder import folder_of
from nslab.runs.made_of import COMPUTES
from nslab.runs.results import find
from nslab.system.distributed import process_group
from nslab.system.registry import Registry, callable_with
from nslab.training.checkpoint import read_weights, run_weights, weights_file
from nslab.training.loop import Trained, fit
from nslab.types import Row


@dataclass(frozen=True)
class RunContext:
    """What a run gets beside its config.

    Attributes:
        folder: where it keeps its checkpoints and weights.
        show: whether to show progress on the screen.
        log: called with each row of its history as soon as there is one.
    """

    folder: Path
    show: bool = True
    log: Callable[[Row], object] = field(default=lambda row: None)


@runtime_checkable
class Outcome(Protocol):
    """What is kept of a finished run: final numbers, and a row per epoch or generation."""

    @property
    def metrics(self) -> Row: ...
    @property
    def history(self) -> list[Row]: ...


def compute_training(config: TrainConfig, context: RunContext) -> Trained:
    """Train a network."""
    return fit(config, context.folder, show=context.show, on_epoch=context.log)


def compute_evolution(config: EvolveConfig, context: RunContext) -> Trained:
    """Evolve or combine trained networks."""
    states = read_states(config.parents())
    try:
        return run_evolution(
            config, states, context.folder, show=context.show, on_generation=context.log
        )
    except torch.OutOfMemoryError as error:
        raise ValueError(
            f"the device ran out of memory: set microbatch, or a smaller one ({error})"
        ) from None


def compute_adaptation(config: AdaptConfig, context: RunContext) -> Trained:
    """Adapt a finished network to another domain."""
    state = run_weights(folder_of(config.source))
    return adapt(config, state, context.folder, show=context.show, on_epoch=context.log)


def compute_evaluation(config: EvaluateConfig, context: RunContext) -> Trained:
    """Test a finished network on other data."""
    return run_evaluation(config)


def compute_loss_search(config: LossSearchConfig, context: RunContext) -> Pretrained:
    """Evolve a loss network."""
    folder = context.folder if process_group().is_main_process else None
    return config.evolve(folder, show=context.show)


COMPUTE: Registry[Callable[[Any, RunContext], Outcome]] = Registry(
    COMPUTES, check=callable_with(None, None, says="(config, context)")
)
COMPUTE |= {
    TrainConfig.kind: compute_training,
    EvolveConfig.kind: compute_evolution,
    AdaptConfig.kind: compute_adaptation,
    EvaluateConfig.kind: compute_evaluation,
    LossSearchConfig.kind: compute_loss_search,
}


def read_states(parents: Sequence[Parent]) -> list[dict[str, Tensor]]:
    """The weights of finished runs, on the CPU.

    Raises ``FileNotFoundError`` for an epoch that its run did not keep.
    """
    finished = {parent.config.id: find(parent.config, weights=True) for parent in parents}
    states = []
    for parent in parents:
        config, epoch, result = parent.config, parent.epoch, finished[parent.config.id]
        epochs = result.metrics["epochs"] if result else 0
        file = weights_file(folder_of(config), epoch if epoch is None else epoch % (epochs + 1))
        if not file.exists():
            raise FileNotFoundError(
                f"{file} is missing: run {config.id} kept its last {config.keep_last} of {epochs} "
                "epochs. If the file was removed, nslab.run(config, force=True) makes it again"
            )
        states.append(read_weights(file, config.id))
    return states
