"""Queue: runs of experiments one after the other, in the order of a file; resumed where it stopped.

A queue file is a list in YAML. Each entry names an ``experiment``, its ``preset`` and
``parameters``, and under ``freeze`` the set of frozen results that each run is added to when it
ends. The file is read again after every run, so entries can be added, moved or removed meanwhile.
While it cannot be read, for example in the middle of an edit, the last version counts.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from nslab.configs import RunConfig
from nslab.configs.labels import label
from nslab.execution.local import OUT_OF_TIME, Engine, run_local
from nslab.experiments import experiment
from nslab.runs import frozen
from nslab.runs.results import find, find_frozen
from nslab.runs.store import RunsFailed, run_all
from nslab.system.paths import frozen_dir
from nslab.system.presets import Preset
from nslab.system.yaml_files import read_entries, within_entry

DEFAULT_QUEUE = Path(__file__).with_name("queue.yaml")


class QueueEntry(BaseModel):
    """One entry of a queue file."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    experiment: str
    preset: Preset = "paper"
    parameters: dict[str, Any] = Field(default_factory=dict)
    freeze: str = ""


@dataclass(frozen=True)
class QueuedRun:
    """A run, and the set of frozen results it is added to; blank: none."""

    config: RunConfig
    freeze: str = ""

    @property
    def done(self) -> bool:
        """Whether it is finished, and also frozen if it is to be."""
        return bool(find_frozen(self.config) if self.freeze else find(self.config))


@dataclass
class QueueEnd:
    """How a queue ended: ids of the runs done now, why others failed, by their ids, and whether
    time ran out (``later``) before the queue was finished."""

    done: list[str] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)
    later: bool = False


def read_queue(file: Path) -> list[QueuedRun]:
    """The runs of a queue file in their order, each once.

    Raises ``ValueError`` naming the file, the entry (from 1) and what is wrong in it.
    """
    found: dict[str, QueuedRun] = {}
    for number, given in enumerate(read_entries(file, "queue"), 1):
        with within_entry(file, number, QueueEntry.model_fields):
            entry = QueueEntry.model_validate(given)
            if entry.freeze:
                frozen.check_name(entry.freeze)
            for config in experiment(entry.experiment).plan(entry.preset, **entry.parameters):
                found.setdefault(config.id, QueuedRun(config, entry.freeze))
    return list(found.values())


def run_queue(
    file: Path,
    *,
    jobs: int = 1,
    devices: Sequence[str] = (),
    engine: Engine = run_local,
    processes_per_run: int = 1,
    log: Sequence[str] = (),
    echo: Callable[[str], object] = print,
) -> QueueEnd:
    """Compute the runs of a queue that are not done, in order, ``jobs`` at once.

    Killed and started again, it continues where it was, also inside a run. A run that fails, or
    whose data are not here, is reported and skipped. Finished runs are frozen at once; one that
    cannot be frozen counts as failed, and the next call freezes it. For the other arguments see
    `run_all`; ``echo`` prints a line.

    Raises ``ValueError`` for a file that cannot be read at the beginning, or at the end.
    """
    end = QueueEnd()
    for batch in _batches(file, jobs, end, echo):
        for queued in batch:
            echo(f"next: {label(queued.config)}")
        try:
            run_all(
                [queued.config for queued in batch],
                jobs=jobs,
                devices=devices,
                engine=engine,
                processes_per_run=processes_per_run,
                log=log,
            )
        except RunsFailed as error:
            end.failed |= error.failed
        end.later = OUT_OF_TIME in end.failed.values()
        for queued in batch:
            name = queued.config.id
            if end.failed.get(name) == OUT_OF_TIME:
                del end.failed[name]
                continue
            if why := _frozen(queued):
                end.failed.setdefault(name, why)
                echo(f"FAILED: {name}: {end.failed[name]}")
            else:
                end.failed.pop(name, None)
                end.done.append(name)
                if queued.freeze:
                    echo(f"frozen in {frozen_dir() / queued.freeze}.csv")
        if end.later:
            break
    return end


def _frozen(queued: QueuedRun) -> str:
    """Freeze a finished run, if it is to be; returns why it failed, or blank."""
    if not (result := find(queued.config)):
        return "a run that it needs failed"
    try:
        if queued.freeze:
            frozen.freeze(queued.freeze, [result])
    except (OSError, ValueError) as error:
        return f"it is finished, but cannot be frozen in {queued.freeze}: {error}"
    return ""


def _batches(
    file: Path, jobs: int, end: QueueEnd, echo: Callable[[str], object]
) -> Iterator[list[QueuedRun]]:
    """The next runs, ``jobs`` at a time, by the file as it is then, or as it could last be read."""
    queue, broken = read_queue(file), None
    while True:
        tried = {*end.done, *end.failed}
        if not (todo := [q for q in queue if q.config.id not in tried and not q.done]):
            if broken:
                raise broken
            return
        yield todo[:jobs]
        try:
            queue, broken = read_queue(file), None
        except ValueError as error:
            broken = error
            echo(f"{error}\nThe queue continues with the last version that could be read.")
