"""Finished runs: how they are found and checked, and which runs are still to be computed."""

import dataclasses
import gc
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from nslab.configs.protocol import RunConfig
from nslab.configs.serialization import Identities, encode
from nslab.runs import frozen
from nslab.runs.folder import folder_of
from nslab.runs.made_of import accepted, changed
from nslab.runs.result_file import (
    SUPERSEDED,
    Result,
    damaged,
    quarantine,
    read_result,
    write_result,
)
from nslab.system.paths import runs_dir


def find(config: RunConfig, *, weights: bool = False) -> Result | None:
    """The finished run: from its folder, else from the frozen results in git, else None.

    With ``weights``, only a run whose weights are here as they were written; this rules out frozen
    results, which have only numbers, but not runs that leave no weights, such as ensembles. A
    result made of other code of the user's, or of other data, is passed over with a message, see
    `nslab.runs.made_of`.
    """
    folder, weights = folder_of(config), weights and config.leaves_weights
    stored = read_result(folder, config)
    if stored and (what := changed(config, stored.env)):
        same = None if weights else superseded(config, folder)
        stored = same or (stored if accepted(config.id, what, frozen=False) else None)
    if stored and not (weights and damaged(stored)):
        # data and files may lie elsewhere by now, which this config knows
        return dataclasses.replace(stored, config=encode(config))
    if weights or not (found := find_frozen(config)):
        return None
    what = changed(config, found.env)
    return None if what and not accepted(config.id, what, frozen=True) else found


def superseded(config: RunConfig, folder: Path) -> Result | None:
    """A result from before code or data changed, if they have been changed back since."""
    for file in folder.glob(SUPERSEDED.format("*")):
        old = read_result(folder, config, name=file.name)
        if old and not changed(config, old.env):  # the weights here are those of a later result
            return dataclasses.replace(old, files={}, folder=None)
    return None


def find_frozen(config: RunConfig) -> Result | None:
    """The run among the frozen results in git."""
    row = frozen.frozen_row(config.id)
    return Result(config.id, encode(config), **row, origin="frozen") if row else None


def finished(configs: Sequence[RunConfig], *, frozen_only: bool = False) -> list[Result]:
    """Results of those runs that are finished, here or frozen; nothing is computed.

    With ``frozen_only``, only results in version control, whatever has been computed here since;
    this is for text that relies on their numbers.

    >>> from nslab import TrainConfig
    >>> finished([TrainConfig("digits", "mlp", epochs=1, seed=123)])
    []
    """
    look = find_frozen if frozen_only else find
    return [result for config in configs if (result := look(config))]


def every_run() -> list[Result]:
    """The finished runs in the run folders, and the frozen ones that are not there."""
    found = {result.id: result for result in stored_runs()}
    for name, row in frozen.runs().items():
        found.setdefault(name, Result(name, **row, origin="frozen"))
    return list(found.values())


def stored_runs() -> list[Result]:
    """The finished runs in the run folders; what is broken is a warning."""
    folder, identities = runs_dir(), Identities()
    names = sorted(entry.name for entry in os.scandir(folder)) if folder.is_dir() else []
    with many_objects():
        found = [read_result(folder / name, identities=identities) for name in names]
    return [result for result in found if result]


@contextmanager
def many_objects() -> Iterator[None]:
    """Pause the garbage collector, which would search thousands of new objects for reference cycles
    again and again; results have none."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def stages(todo: Mapping[str, RunConfig]) -> list[list[RunConfig]]:
    """The runs ``todo``, and those they require that are not finished, as steps: each run comes in
    a later step than all that it requires."""
    steps: list[list[RunConfig]] = []
    level: dict[str, int] = {}  # -1: finished

    def visit(config: RunConfig) -> int:
        if config.id not in level:
            if config.id not in todo and find(config, weights=True):
                level[config.id] = -1
            else:
                level[config.id] = 1 + max(map(visit, config.requires()), default=-1)
                steps.extend([] for _ in range(level[config.id] + 1 - len(steps)))
                steps[level[config.id]].append(config)
        return level[config.id]

    for config in todo.values():
        visit(config)
    return steps


__all__ = [
    "Result",
    "every_run",
    "find",
    "find_frozen",
    "finished",
    "quarantine",
    "read_result",
    "stages",
    "stored_runs",
    "write_result",
]
