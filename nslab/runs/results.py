"""Finished runs: how they are found, what is not taken for one, and what is to be done yet."""

import dataclasses
import json
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nslab.configs.protocol import RunConfig
from nslab.configs.serialization import encode
from nslab.datasets import DATASETS
from nslab.runs import frozen
from nslab.runs.folder import RESULT, folder_of
from nslab.system.paths import runs_dir
from nslab.system.provenance import source_digest
from nslab.training.checkpoint import WEIGHTS
from nslab.training.metrics import above_chance
from nslab.types import Row


@dataclass(frozen=True)
class Result:
    """A finished run: config (as JSON), final numbers, one row per epoch, and where it was made.

    ``origin`` is ``"frozen"``, ``"stored"`` or ``"computed"``; ``folder`` holds its weights.

    >>> from nslab import TrainConfig, run
    >>> result = run(TrainConfig("digits", "mlp", epochs=1, train_size=200), show=False)
    >>> len(result.history), result.config["network"]
    (1, 'mlp')
    """

    id: str
    config: dict[str, Any] = field(hash=False)
    metrics: Row = field(hash=False)
    history: list[Row] = field(hash=False)
    env: dict[str, Any] = field(hash=False)
    origin: str = "stored"
    folder: Path | None = None

    @property
    def other_source(self) -> bool:
        """Whether it was computed by other source code than the one running now."""
        return self.env.get("source") != source_digest()

    @property
    def learnt(self) -> bool:
        """Whether its test accuracy is above chance, see `above_chance`; True for a run without."""
        if "test_accuracy" not in self.metrics:
            return True
        name = self.config.get("base", self.config)["dataset"]
        if name in DATASETS:
            layout = DATASETS[name].layout
            size = layout.num_classes, layout.test
        elif own := self.env.get("data"):  # the folder may be gone
            size = own["classes"], own["test"]
        else:
            return True
        return above_chance(self.metrics["test_accuracy"], *size)


def find(config: RunConfig, *, weights: bool = False) -> Result | None:
    """The finished run: from its folder, else from the frozen results in git, else None.

    With ``weights``, only a run whose weights are here; frozen results keep numbers only, and an
    ensemble has none.
    """
    folder, weights = folder_of(config), weights and config.leaves_weights
    if (stored := read_result(folder)) and not (weights and not (folder / WEIGHTS).exists()):
        # where data and files lie may have changed since
        return dataclasses.replace(stored, config=encode(config))
    return None if weights else find_frozen(config)


def find_frozen(config: RunConfig) -> Result | None:
    """The run among the frozen results in git."""
    row = frozen.frozen_row(config.id)
    return Result(config.id, encode(config), **row, origin="frozen") if row else None


def finished(configs: Sequence[RunConfig], *, frozen_only: bool = False) -> list[Result]:
    """Those of the runs that are finished, here or frozen; nothing is computed.

    With ``frozen_only`` those in version control, whatever has been computed here since: for text
    that is held to their numbers.

    >>> from nslab import TrainConfig
    >>> finished([TrainConfig("digits", "mlp", epochs=1, seed=123)])
    []
    """
    look = find_frozen if frozen_only else find
    return [result for config in configs if (result := look(config))]


def every_run() -> list[Result]:
    """The finished runs in the run folders, and the frozen ones that are not there."""
    folder = runs_dir()
    stored = [read_result(run) for run in sorted(folder.iterdir())] if folder.is_dir() else []
    found = {result.id: result for result in stored if result}
    for name, row in frozen.runs().items():
        found.setdefault(name, Result(name, **row, origin="frozen"))
    return list(found.values())


def read_result(folder: Path) -> Result | None:
    """The result in a run's folder, or None.

    A file that is broken, or another run's, is left where it is with a warning: the run is
    computed again, and `quarantine` then keeps it.
    """
    file = folder / RESULT
    try:
        text = file.read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    except UnicodeDecodeError as error:
        problem = str(error)
    else:
        try:
            return _result(json.loads(text), folder)
        except (ValueError, TypeError) as error:
            problem = str(error)
    warnings.warn(f"{file} is broken ({problem}): the run counts as unfinished", stacklevel=2)
    return None


def _result(found: Any, folder: Path) -> Result:
    result = Result(**found, folder=folder)
    parts = ((result.config, dict), (result.metrics, dict), (result.history, list))
    if not all(isinstance(part, kind) for part, kind in (*parts, (result.env, dict))):
        raise TypeError("its parts are not what they should be")
    if result.id != folder.name:
        raise ValueError(f"it is run {result.id}'s")
    return result


def quarantine(folder: Path) -> None:
    """Keep a broken result, if there is one, under another name; for those who hold the run's lock,
    lest a result that was just written be taken for the broken one."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if (folder / RESULT).exists() and read_result(folder) is None:
            (folder / RESULT).replace(folder / "result.broken")


def stages(todo: Mapping[str, RunConfig]) -> list[list[RunConfig]]:
    """Runs to be computed and what they need that is not finished, each after what it needs."""
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
