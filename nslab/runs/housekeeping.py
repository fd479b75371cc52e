"""Examine a store for faults and for what nothing needs: ``nslab doctor`` and ``nslab gc``.

Only `remove` changes anything, and holds the lock of each run while it does.
"""

import re
import shutil
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import Any, Literal

from nslab.configs.serialization import decode
from nslab.datasets import DATASETS, CorruptDataset, array_file, array_sets
from nslab.datasets.arrays import read_arrays
from nslab.datasets.own_arrays import read
from nslab.runs import frozen
from nslab.runs.evolve_run import BEST
from nslab.runs.folder import LOCK, OUTDATED, PROGRESS, RESULT, STRETCHES, interim
from nslab.runs.made_of import changed
from nslab.runs.result_file import SUPERSEDED, Result, damaged, read_result
from nslab.system.content_names import parse_content_name
from nslab.system.files import STRAY
from nslab.system.locks import Busy, is_locked, locked
from nslab.system.paths import (
    arrays_dir,
    cache_dir,
    frozen_dir,
    runs_dir,
    shipped_results_dir,
)
from nslab.system.seals import BROKEN, JSON, load_tensors, torch_problem, unsealed_json

MONTH = 30 * 86_400  # seconds; jobs may wait in a queue for weeks
RUN = re.compile("[0-9a-f]{12}")
# files that a run may have before its first checkpoint
OF_A_BEGINNING = ("config.json", "env.json", STRETCHES, PROGRESS, "log.txt")
Need = Literal["nothing", "superseded", "weights", ""]


@dataclass(frozen=True)
class Finding:
    """Something about a store that a person should know.

    Attributes:
        path: what it is about.
        what: what is the matter, and what to do about it.
        wrong: whether something is wrong; else it is only worth knowing.
        need: what still needs the path. ``nothing``; ``superseded``: only someone who goes back to
            earlier code or data; ``weights``: runs that start from them, which would compute them
            again. Empty: the path is needed and is never removed.
    """

    path: Path
    what: str
    wrong: bool = False
    need: Need = ""

    @property
    def size(self) -> int:
        """Bytes."""
        files = self.path.rglob("*") if self.path.is_dir() else [self.path]
        return sum(file.stat().st_size for file in files if file.is_file())


def examine(every: Callable[[Any], Any] = iter) -> list[Finding]:
    """All findings about runs, data and frozen results. ``every`` wraps the list of run folders, to
    show progress."""
    folder = runs_dir()
    runs = sorted(path for path in folder.iterdir() if is_run(path)) if folder.is_dir() else []
    found: list[Finding] = []
    used, starts = set[str](), set[str]()
    for run in every(runs):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the findings say it
            result = read_result(run)
            found += _of_run(run, result)
        named = _named_by(run, result)
        used |= {
            parts[2] for t in named if (parts := parse_content_name(t)) and parts[0] == "arrays"
        }
        if result is None:  # unfinished, it needs the weights of runs that it starts from
            starts |= {text.partition("@")[0] for text in named}
    found = [f for f in found if f.need != "weights" or f.path.parent.name not in starts]
    return [*found, *_of_arrays(used), *_of_data(), *_of_frozen()]


def is_run(path: Path) -> bool:
    """Whether a path is a run's folder: not a link, and named like a run."""
    return bool(RUN.fullmatch(path.name)) and path.is_dir() and not path.is_symlink()


def remove(findings: Sequence[Finding]) -> list[Finding]:
    """Remove the paths of findings, except those that a process is using; returns what is gone."""
    gone = []
    for finding in findings:
        path = finding.path
        in_runs = is_run(path) or is_run(path.parent)
        lock = (path if path.is_dir() else path.parent) / LOCK
        if not in_runs:  # `.name.npz.abc.part` is a part of `name.npz`, whose lock is `.name.lock`
            end = "." if path.is_dir() else ".npz"  # a part of a folder of images
            lock = path.with_name(f".{path.name.removeprefix('.').partition(end)[0]}.lock")
        # of a run without a checkpoint, remove only what nslab wrote; keep the lock, for which
        # another process may be waiting
        files = [path / name for name in OF_A_BEGINNING] if path.is_dir() else [path]
        if not in_runs and not path.name.endswith(STRAY):
            files.append(path.with_suffix(".json"))
        try:
            with locked(lock, f"{path} is in use", refusal="left alone"):
                if not in_runs and path.is_dir():
                    shutil.rmtree(path)
                else:
                    for file in files:
                        file.unlink(missing_ok=True)
        except (Busy, OSError):
            continue
        gone.append(finding)
    return gone


def _of_run(run: Path, result: Result | None) -> Iterator[Finding]:
    if is_locked(run / LOCK):
        yield Finding(run, "a process computes it now")
        return
    for file in sorted(run.iterdir()):
        if file.is_dir():
            continue
        if file.name.endswith(STRAY):
            yield Finding(file, "was left half written by a killed process", need="nothing")
        elif BROKEN in file.name or file.name == "result.broken":
            yield Finding(file, "was set aside as broken", need="nothing")
        elif OUTDATED in file.name:
            yield Finding(file, "is from code or data that has changed since", need="superseded")
        elif fnmatch(file.name, SUPERSEDED.format("*")):
            broken = read_result(run, name=file.name) is None
            says = "is broken" if broken else "is from code or data that has changed since"
            yield Finding(file, says, need="nothing" if broken else "superseded")
        elif file.name == STRETCHES and result is None:
            try:
                unsealed_json(file.read_bytes())
            except (OSError, ValueError) as error:
                yield Finding(
                    file, f"is damaged ({error}): the run will start from the beginning", wrong=True
                )
    if result is None:
        yield from _unfinished(run)
        return
    for file in interim(run):
        yield Finding(file, "is a checkpoint of a run that has finished", need="nothing")
    for name in damaged(result) if result.files else ():
        there = (run / name).exists()
        says = "is damaged" if there else "is not here"
        yield Finding(run / name, f"{says}: runs that need it compute it again", wrong=there)
    for name in result.files:
        if (run / name).exists():
            yield Finding(run / name, "holds weights; the run's numbers remain", need="weights")
    try:
        config = decode(result.config)
    except (ValueError, TypeError) as error:
        yield Finding(run, f"names something that is unknown here ({error})")
        return
    if what := changed(config, result.env):
        yield Finding(run, f"{', '.join(what)} changed since: it is computed again when requested")


def _unfinished(run: Path) -> Iterator[Finding]:
    """Findings about a run without a result that can be read."""
    if (run / RESULT).exists():
        what = "is broken: the run counts as unfinished, and is computed again when requested"
        yield Finding(run / RESULT, what, wrong=True)
        return
    kept, files = interim(run), {file.name for file in run.iterdir()} - {LOCK}
    ours = files & set(OF_A_BEGINNING)
    for file in kept:
        if problem := _problem(file):
            what = f"is damaged ({problem}): the run will start from the beginning"
            yield Finding(file, what, wrong=True)
    if kept:
        yield Finding(run, "is unfinished: the command that began it continues from where it was")
    elif ours and (files != ours or time.time() - run.stat().st_mtime < MONTH):
        yield Finding(run, "waits to be computed, or failed in its first epoch: see its log.txt")
    elif ours:
        yield Finding(
            run, "was begun a month ago, and has nothing to continue from", need="nothing"
        )


def _problem(file: Path) -> str:
    """What is wrong with a file that a run would continue from; empty if nothing."""
    if not fnmatch(file.name, BEST.format("*")):
        return torch_problem(file)
    try:
        load_tensors(file, file.parent.name)
    except ValueError as error:
        return str(error)
    return ""


def _named_by(run: Path, result: Result | None) -> set[str]:
    """All texts in the config of a run, finished or not: among them the runs and data it names."""
    try:
        begun = JSON.validate_json((run / "config.json").read_bytes())
    except (OSError, ValueError):
        begun = None
    return {*_texts([begun, result.config if result else None])}


def _texts(value: Any) -> Iterator[str]:
    """All texts in JSON values."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for item in value.values() if isinstance(value, dict) else value:
            yield from _texts(item)


def _of_arrays(used: set[str]) -> Iterator[Finding]:
    for file in sorted(arrays_dir().glob("*.npz")):
        try:
            read(file.stem)
        except ValueError as error:
            yield Finding(file, str(error), wrong=True)
        if file.stem not in used and time.time() - file.stat().st_mtime > MONTH:
            yield Finding(file, "no run here uses these arrays", need="nothing")


def _of_data() -> Iterator[Finding]:
    """Array files of data sets that are known."""
    for name in array_sets():
        file, dataset = array_file(name), DATASETS[name]
        if file.exists():
            try:
                read_arrays(file, dataset.layout)
            except CorruptDataset as error:
                yield Finding(file, str(error), wrong=True)
    for folder in dict.fromkeys((cache_dir(), arrays_dir())):
        for stray in folder.glob(f".*{STRAY}"):
            yield Finding(stray, "was left half written by a killed process", need="nothing")


def _of_frozen() -> Iterator[Finding]:
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        for place in dict.fromkeys((shipped_results_dir(), frozen_dir())):
            try:
                frozen.runs(place)
            except ValueError as error:
                yield Finding(place, str(error), wrong=True)
    for warning in said:
        yield Finding(frozen_dir(), str(warning.message), wrong=True)
