"""Look over a store, and find what nothing needs: for ``nslab doctor`` and ``nslab gc``.

Nothing is changed but by `remove`, and there under the lock of each run.
"""

import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import Any, Literal

from nslab.configs.serialization import decode
from nslab.datasets import DATASETS, CorruptDataset, array_file
from nslab.datasets.arrays import read_arrays
from nslab.datasets.own_arrays import read
from nslab.runs import frozen
from nslab.runs.evolve_run import BEST
from nslab.runs.folder import LOCK, RESULT, interim
from nslab.runs.made_of import changed
from nslab.runs.result_file import SUPERSEDED, Result, damaged, read_result
from nslab.system.content_names import parts_of
from nslab.system.files import STRAY
from nslab.system.locks import Busy, held, locked
from nslab.system.paths import (
    arrays_dir,
    cache_dir,
    frozen_dir,
    runs_dir,
    shipped_results_dir,
)
from nslab.system.seals import BROKEN, load_tensors, torch_problem

DAY = 86_400  # seconds
Need = Literal["nothing", "superseded", "weights", ""]


@dataclass(frozen=True)
class Finding:
    """Something about a store that a person should know.

    Attributes:
        path: what it is about.
        what: what is the matter, and what to do about it.
        wrong: whether something is wrong; else it is only worth knowing.
        need: who would miss the path: ``nothing`` and nobody; ``superseded``: those who go back to
            code or data of before; ``weights``: runs that start from them, which would compute them
            again. Empty: it is needed.
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
    """All there is to say of runs, data and frozen results; ``every`` shows progress over runs."""
    folder = runs_dir()
    runs = sorted(path for path in folder.iterdir() if path.is_dir()) if folder.is_dir() else []
    found: list[Finding] = []
    used: set[str] = set()
    for run in every(runs):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the findings say it
            result = read_result(run)
            found += _of_run(run, result)
        used |= _arrays_of(run, result)
    return [*found, *_of_arrays(used), *_of_data(), *_of_frozen()]


def remove(findings: Sequence[Finding]) -> list[Finding]:
    """Remove what findings are about, but what a process works on now; returns what is gone."""
    gone = []
    for finding in findings:
        path = finding.path
        if path.parent in (arrays_dir(), cache_dir()):
            lock = path.with_name(f".{path.stem}.lock")
        else:
            lock = (path if path.is_dir() else path.parent) / LOCK
        try:
            with locked(lock, f"{path} is in use", refusal="left alone"):
                # a lock that others may be waiting for stays
                files = [f for f in path.iterdir() if f.name != LOCK] if path.is_dir() else [path]
                for file in files:
                    file.unlink(missing_ok=True)
                    if file.parent == arrays_dir():
                        file.with_suffix(".json").unlink(missing_ok=True)
        except Busy:
            continue
        gone.append(finding)
    return gone


def _of_run(run: Path, result: Result | None) -> Iterator[Finding]:
    if held(run / LOCK):
        yield Finding(run, "a process computes it now")
        return
    for file in run.iterdir():
        if file.name.endswith(STRAY):
            yield Finding(file, "half a file of a killed process", need="nothing")
        elif BROKEN in file.name or file.name == "result.broken":
            yield Finding(file, "was set aside as broken", need="nothing")
        elif fnmatch(file.name, SUPERSEDED.format("*")):
            yield Finding(file, "is of code or data that changed since", need="superseded")
    if result is None:
        yield from _unfinished(run)
        return
    for file in interim(run):
        yield Finding(file, "is of a run that has finished", need="nothing")
    for name in damaged(result) if result.files else ():
        there = (run / name).exists()
        says = "is damaged" if there else "is not here"
        yield Finding(run / name, f"{says}: runs that need it have it computed again", wrong=there)
    for name in result.files:
        if (run / name).exists():
            yield Finding(run / name, "numbers stay without it", need="weights")
    try:
        config = decode(result.config)
    except (ValueError, TypeError) as error:
        yield Finding(run, f"is of something unknown here ({error})")
        return
    if what := changed(config, result.env):
        yield Finding(run, f"{', '.join(what)} changed since: the next run is computed anew")


def _unfinished(run: Path) -> Iterator[Finding]:
    """What a run without a result has."""
    if (run / RESULT).exists():
        what = "is broken: the run counts as unfinished, and is computed again when asked for"
        yield Finding(run / RESULT, what, wrong=True)
        return
    kept, files = interim(run), {file.name for file in run.iterdir()} - {LOCK}
    for file in kept:
        if problem := _problem(file):
            what = f"is damaged ({problem}): the run will begin afresh"
            yield Finding(file, what, wrong=True)
    if kept:
        yield Finding(run, "is unfinished: the command that began it goes on from where it was")
    elif files and time.time() - run.stat().st_mtime < DAY:
        yield Finding(run, "waits to be computed, or failed in its first epoch: see its log.txt")
    elif files:
        yield Finding(run, "was begun days ago, and has nothing to go on from", need="nothing")


def _problem(file: Path) -> str:
    """Why what a run goes on from cannot be trusted, if so."""
    if not fnmatch(file.name, BEST.format("*")):
        return torch_problem(file)
    try:
        load_tensors(file, file.parent.name)
    except ValueError as error:
        return str(error)
    return ""


def _arrays_of(run: Path, result: Result | None) -> set[str]:
    """Digests of people's own arrays that a run names, finished or not."""
    try:
        text = (run / "config.json").read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        text = ""
    text += str(result.config) if result else ""
    words = text.replace("'", '"').split('"')
    return {parts[2] for word in words if (parts := parts_of(word)) and parts[0] == "arrays"}


def _of_arrays(used: set[str]) -> Iterator[Finding]:
    for file in sorted(arrays_dir().glob("*.npz")):
        try:
            read(file.stem)
        except ValueError as error:
            yield Finding(file, str(error), wrong=True)
        if file.stem not in used:
            yield Finding(file, "no run here is on these arrays", need="nothing")


def _of_data() -> Iterator[Finding]:
    """Array files of data sets that are known."""
    for name, dataset in DATASETS.items():
        file = array_file(name)
        if file.exists():
            try:
                read_arrays(file, dataset.layout)
            except CorruptDataset as error:
                yield Finding(file, str(error), wrong=True)
    for folder in dict.fromkeys((cache_dir(), arrays_dir())):
        for stray in folder.glob(f".*{STRAY}"):
            yield Finding(stray, "half a file of a killed process", need="nothing")


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
