"""The file with a finished run's result: how it is written, read and checked."""

import dataclasses
import functools
import math
import shutil
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from nslab.configs.protocol import RunConfig
from nslab.configs.serialization import RUN_KINDS, Identities
from nslab.datasets import DATASETS
from nslab.runs.evolve_run import BEST
from nslab.runs.folder import RESULT
from nslab.runs.made_of import MADE_OF
from nslab.system.files import no_file, sha256, write_text
from nslab.system.provenance import source_digest
from nslab.system.seals import load_tensors, sealed_json, set_aside, unsealed_json
from nslab.training.checkpoint import WEIGHTS
from nslab.training.metrics import above_chance
from nslab.types import Row


@dataclass(frozen=True)
class Result:
    """A finished run: config (as JSON), final numbers, one row per epoch, and where it was made.

    ``origin`` is ``"frozen"``, ``"stored"`` or ``"computed"``; ``folder`` holds its weights, and
    ``files`` the SHA-256 of each.

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
    files: dict[str, str] = field(default_factory=dict, hash=False, repr=False)
    origin: str = "stored"
    folder: Path | None = None

    @property
    def other_source(self) -> bool:
        """Whether it was computed by other source code than the one running now."""
        return self.env.get("source") != source_digest()

    @property
    def learnt(self) -> bool:
        """Whether its test accuracy is above chance, see `above_chance`; True for a run that has no
        test accuracy, or whose data set is unknown here."""
        if "test_accuracy" not in self.metrics:
            return True
        name = str(self.config.get("base", self.config).get("dataset"))
        if own := self.env.get("data"):  # recorded for a folder, which may be gone by now
            size = own["classes"], own["test"]
        elif name in DATASETS:
            layout = DATASETS[name].layout
            size = layout.num_classes, layout.test
        else:
            return True
        return above_chance(self.metrics["test_accuracy"], *size)


SUPERSEDED = "result.old-{}.json"
UNDEFINED = "undefined"  # the key of results in which null stands for NaN


def read_result(
    folder: Path,
    config: RunConfig | None = None,
    identities: Identities | None = None,
    name: str = RESULT,
) -> Result | None:
    """The result in a run's folder, or None.

    Args:
        folder: the run's.
        config: the run's, if known; then a result without a seal must have this config's id.
        identities: computes ids of stored configs; pass one object to many calls.
        name: of the file in the folder.

    A file that is broken, incomplete or another run's is left where it is, with a warning: the run
    counts as unfinished, and `quarantine` renames the file when it is computed again.
    """
    file = folder / name
    try:
        data = file.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        if not no_file(error):
            raise
        problem = str(error)
    else:
        try:
            return _result(data, folder, config, identities or Identities())
        except (ValueError, TypeError) as error:
            problem = str(error)
    warnings.warn(f"{file} is broken ({problem}): the run counts as unfinished", stacklevel=2)
    return None


def _result(data: bytes, folder: Path, config: RunConfig | None, identities: Identities) -> Result:
    found, sealed = unsealed_json(data)
    undefined = found.pop(UNDEFINED, False)
    result = Result(**found, folder=folder)
    parts = ((result.config, dict), (result.metrics, dict), (result.history, list))
    more = ((result.env, dict), (result.files, dict), *((row, dict) for row in result.history))
    if not all(isinstance(part, kind) for part, kind in (*parts, *more)):
        raise TypeError("its parts have the wrong types")
    if result.id != folder.name:
        raise ValueError(f"it is run {result.id}'s")
    if "@" not in result.config:
        raise ValueError("it has no config")
    if not all(isinstance(d, str) and name == Path(name).name for name, d in result.files.items()):
        raise ValueError("its list of files is malformed")
    if not sealed:  # written by an older version, or by hand
        try:
            made = identities.of(result.config)
        except (ValueError, TypeError):
            if config is not None:
                raise
            made = result.id  # its class is unknown here, so no config can ask for it
        if made != result.id:
            raise ValueError(f"its config is that of run {made}")
    wrong = [k for k, v in result.metrics.items() if isinstance(v, float) and not math.isfinite(v)]
    if wrong:
        raise ValueError(f"{wrong[0]} is {result.metrics[wrong[0]]}")
    if undefined:
        metrics, history = (_undefined(part) for part in (result.metrics, result.history))
        result = dataclasses.replace(result, metrics=metrics, history=history)
    if lacking := lacking_metrics(result.config["@"], result.metrics):
        raise ValueError(f"it has no number for {lacking}")
    return result


def lacking_metrics(kind: str, metrics: Mapping[str, Any]) -> str:
    """The names of the metrics that every finished run of a kind has and these lack, or have no
    finite number for; separated by commas."""
    names = getattr(RUN_KINDS.get(kind), "measured", ())
    values = {name: metrics.get(name) for name in names}
    return ", ".join(
        name
        for name, value in values.items()
        if not isinstance(value, int | float) or not math.isfinite(value)
    )


def _defined(value: Any) -> Any:
    """Values for a JSON file, with None for NaN and infinities, which JSON lacks."""
    if isinstance(value, Mapping):
        return {key: _defined(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_defined(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _undefined(value: Any) -> Any:
    """Values from a JSON file, with NaN for null."""
    if isinstance(value, dict):
        return {key: _undefined(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_undefined(item) for item in value]
    return math.nan if value is None else value


def write_result(folder: Path, whole: Mapping[str, Any]) -> None:
    """Write a finished run's result in one step. An earlier result that was made of other code or
    data is kept under another name."""
    before = folder / RESULT
    try:
        old = unsealed_json(before.read_bytes())[0]["env"].get(MADE_OF)
    except (OSError, ValueError, LookupError, AttributeError, TypeError):
        old = None  # there is none, or a broken one, which `quarantine` has renamed
    if old and old != whole["env"].get(MADE_OF):
        number = 1
        while (folder / SUPERSEDED.format(number)).exists():
            number += 1
        shutil.copy2(before, folder / SUPERSEDED.format(number))
    numbers = {part: whole[part] for part in ("metrics", "history")}
    defined = _defined(numbers)
    flag = {UNDEFINED: True} if defined != numbers else {}
    write_text(before, sealed_json({**flag, **whole, **defined}))


def kept_files(folder: Path) -> dict[str, str]:
    """The SHA-256 of each file of weights that a finished run keeps, and of the JSON file that lies
    beside some of them, by the names of the files."""
    files = [f for f in folder.glob("*.safetensors") if not fnmatch(f.name, BEST.format("*"))]
    beside = [file.with_suffix(".json") for file in files if file.with_suffix(".json").exists()]
    return {file.name: sha256(file) for file in sorted([*files, *beside])}


def quarantine(folder: Path) -> None:
    """Rename broken files. The caller holds the run's lock; without it, a result that another
    process has just written could be taken for the broken one."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        result = read_result(folder)
        if (folder / RESULT).exists() and result is None:
            (folder / RESULT).replace(folder / "result.broken")
        for name in damaged(result) if result else ():
            if (folder / name).exists():
                set_aside(folder / name, "is broken")


def damaged(result: Result) -> list[str]:
    """The names of a run's kept files that are missing, or not as they were written."""
    assert result.folder is not None
    files = result.files or {WEIGHTS: ""}  # older results have no digests
    return [name for name, digest in files.items() if not _intact(result.folder / name, digest)]


def _intact(file: Path, digest: str) -> bool:
    try:
        about = file.stat()
        problem = _problem(file, digest, about.st_mtime_ns, about.st_size, about.st_ino)
    except FileNotFoundError:
        return False
    except OSError as error:
        if not no_file(error):
            raise
        problem = str(error)
    if problem:
        warnings.warn(f"{problem}: the run is computed again to restore it", stacklevel=2)
    return not problem


@functools.lru_cache(maxsize=4096)
def _problem(file: Path, digest: str, mtime: int, size: int, inode: int) -> str:
    """What is wrong with a file, or nothing; cached as long as its time, size and inode stay."""
    if digest and sha256(file) != digest:
        return f"{file} is not the file that this run wrote"
    try:
        if file.suffix == ".safetensors" and not digest:
            load_tensors(file)
    except ValueError as error:
        return str(error)
    return ""
