"""Frozen results, kept in version control: a CSV per set, a row per run, with its provenance."""

import csv
import functools
import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from glob import escape
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import pandas as pd

from nslab.runs.frozen_files import (
    DIGEST,
    Cells,
    csv_text,
    digest_of,
    history_file,
    parsed,
    read_set,
    runs_of,
    set_from_rows,
)
from nslab.system.content_names import last_part, without_folders
from nslab.system.filenames import checked_filename
from nslab.system.files import remove_strays, write_text
from nslab.system.locks import locked
from nslab.system.paths import frozen_dir, shipped_results_dir
from nslab.system.provenance import environment
from nslab.system.validation import unknown

FREEZING = "another process is freezing results"


@runtime_checkable
class Finished(Protocol):
    """What `freeze` needs of a run."""

    @property
    def id(self) -> str: ...
    @property
    def config(self) -> dict[str, Any]: ...
    @property
    def metrics(self) -> dict[str, Any]: ...
    @property
    def history(self) -> list[dict[str, Any]]: ...
    @property
    def env(self) -> dict[str, Any]: ...


@dataclass(frozen=True)
class Written:
    """A run as it is frozen: without the folders of this machine."""

    id: str
    config: dict[str, Any]
    metrics: dict[str, Any]
    history: list[dict[str, Any]]
    env: dict[str, Any]

    @classmethod
    def of(cls, result: Finished) -> "Written":
        """A result without the folders that it names."""
        config, env = without_places(result.config), without_places(result.env)
        return cls(result.id, config, result.metrics, result.history, env)


def without_places(value: Any) -> Any:
    """Parts of a config or an environment without the folders they name.

    >>> without_places({"start": "file:/data/a.pt#0123456789ab", "data": {"where": "/data/pets"}})
    {'start': 'file:a.pt#0123456789ab', 'data': {'where': 'pets'}}
    """
    if isinstance(value, dict):
        places = {k: last_part(v) for k, v in value.items() if k == "where" and isinstance(v, str)}
        return {k: places[k] if k in places else without_places(v) for k, v in value.items()}
    if isinstance(value, list):
        return [without_places(item) for item in value]
    return without_folders(value) if isinstance(value, str) else value


def freeze(
    name: str, results: Sequence[Finished], folder: Path | None = None, *, history: bool = True
) -> list[Path]:
    """Write ``<name>.csv`` (one row per run) and ``<name>.history.csv`` (one row per epoch; left
    out without ``history``, for many runs of which only the final numbers count) into ``folder``,
    by default that of your frozen results. Returns the files.

    For data and weights on this machine only the last part of the path is written; the digest
    identifies them. Runs already in the files are kept unless ``results`` contains them too. Values
    are JSON, so numbers are read back exactly. This is checked before anything is written:
    ``ValueError`` for a value or a name that could not be read back. Only one process writes at a
    time; if it is killed, each run has either its old rows or its new ones.

    >>> import tempfile
    >>> from nslab import TrainConfig, run
    >>> result = run(TrainConfig("digits", "mlp", epochs=1, train_size=200), show=False)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     files = freeze("mine", [result], Path(folder))
    ...     print([file.name for file in files], list(runs(Path(folder))) == [result.id])
    ['mine.csv', 'mine.history.csv'] True
    """
    folder = folder or frozen_dir()
    file = folder / check_name(name, folder)
    beside = history_file(file)
    with locked(folder / ".lock", FREEZING):
        whole = read_set(file)
        results = [Written.of(result) for result in results]
        for result in results:
            row, epochs = cells(result, history=history)
            whole.rows[result.id] = row
            whole.epochs.setdefault(result.id, {})[row[DIGEST]] = epochs
        # until the first file is replaced, its runs need the histories that they had
        both = [epoch for run in whole.rows for epoch in whole.histories(run)]
        own = [
            epoch
            for run in whole.rows
            for epoch in (whole.histories if whole.problem(run) else whole.history)(run)
        ]
        table, text = csv_text(whole.rows.values()), csv_text(both)
        check_readable(results, table, text, history=history)
        for stray in (file, beside):
            remove_strays(folder, escape(stray.name))
        if both:
            write_text(beside, text)
        write_text(file, table)
        if not own:
            beside.unlink(missing_ok=True)
        elif own != both:
            write_text(beside, csv_text(own))
    _load.cache_clear()
    return [file, beside] if own else [file]


def check_name(name: str, folder: Path | None = None, suffix: str = ".csv") -> str:
    """The file name of a set in a folder.

    Raises ``ValueError`` for a name under which the set could not be found again: one that is no
    plain file name, that ends like the files beside a set, or that differs from an existing one
    only in upper and lower case, because some disks take the two for the same file.
    """
    checked_filename(name, "results" if suffix == ".csv" else "table")
    if name.casefold().endswith((".history", ".table")):
        end = name.rpartition(".")[2]
        raise ValueError(f"{name!r} would be taken for a set's {end}: give another name")
    file = name + suffix
    for other in (folder or frozen_dir()).glob("*.csv"):
        if other.name != file and other.name.casefold() == file.casefold():
            raise ValueError(f"{other} exists already: use its exact name, or another one")
    return file


def cells(result: Finished, *, history: bool) -> tuple[Cells, list[Cells]]:
    """A run's row and those of its history, as texts of a CSV; ``ValueError`` for a value that
    could not be read back."""

    def text(column: str, value: Any) -> str:
        try:
            found = json.dumps(value, allow_nan=column.startswith("history."))
        except (TypeError, ValueError) as error:
            problem = f"is not finite, or not JSON ({error})"
        else:
            if len(found) <= csv.field_size_limit():
                return found
            problem = f"has {len(found)} characters, of at most {csv.field_size_limit()} in a CSV"
        raise ValueError(
            f"run {result.id} cannot be frozen, its {column} {problem}: freeze the others, or this "
            "one without that value, by dataclasses.replace(result, ...)"
        )

    row: Cells = {"id": result.id}
    for part in ("metrics", "env", "config"):
        for key, value in getattr(result, part).items():
            row[f"{part}.{key}"] = text(f"{part}.{key}", value)
    epochs: list[Cells] = [
        {"id": result.id} | {key: text(f"history.{key}", value) for key, value in epoch.items()}
        for epoch in (result.history if history else ())
    ]
    row["rows"] = str(len(epochs))
    row[DIGEST] = digest_of(row, epochs)
    return row, [epoch | {DIGEST: row[DIGEST]} for epoch in epochs]


def check_readable(results: Sequence[Finished], table: str, text: str, *, history: bool) -> None:
    """``ValueError`` unless the results are read back exactly from the texts of a set's files."""
    try:
        back = set_from_rows(parsed(table), parsed(text))
    except (ValueError, LookupError) as error:
        raise ValueError(f"nothing was frozen, as it could not be read back: {error}") from None
    for result in results:
        found = back.run(result.id) if result.id in back.rows else {}
        for part in ("metrics", "env", "config", "history"):
            given = getattr(result, part) if history or part != "history" else []
            if json.dumps(given, sort_keys=True) != json.dumps(found.get(part), sort_keys=True):
                raise ValueError(
                    f"run {result.id} cannot be frozen: its {part} could not be read back exactly; "
                    "look in it for names that are empty, reserved (id, digest), no text, or of "
                    "several lines"
                )


def freeze_table(name: str, table: pd.DataFrame, folder: Path | None = None) -> Path:
    """Write ``<name>.table.csv``: numbers derived from runs whose weights stay out of version
    control. The column ``run`` says which run each row is from; columns for the commit, the source,
    the device and the version of PyTorch are added. Raises ``ValueError`` for a table without
    ``run``, or one that could not be read back."""
    if "run" not in table:
        raise ValueError("a frozen table needs a column 'run' that says where each row comes from")
    env = environment()
    kept = {key: env[key] for key in ("commit", "dirty", "source", "device")}
    kept["torch"] = env["versions"]["torch"]
    folder = folder or frozen_dir()
    file = folder / check_name(name, folder, ".table.csv")
    text = table.assign(**kept).to_csv(index=False, lineterminator="\n")
    back = pd.read_csv(io.StringIO(text))
    if list(back.columns) != [*table.columns, *kept] or len(back) != len(table):
        raise ValueError("a frozen table needs columns of different names, and no empty rows")
    with locked(folder / ".lock", FREEZING):
        remove_strays(folder, escape(file.name))
        write_text(file, text)
    return file


def table(name: str, folder: Path | None = None) -> pd.DataFrame:
    """The table that `freeze_table` wrote; ``FileNotFoundError`` if there is none of that name."""
    checked_filename(name, "table")
    every = {
        file.name.removesuffix(".table.csv"): file
        for place in _places(folder)
        for file in sorted(place.glob("*.table.csv"))
    }
    if name not in every:
        raise FileNotFoundError(str(unknown("frozen table", name, every)))
    return pd.read_csv(every[name])


def frozen_row(run: str, folder: Path | None = None) -> dict[str, Any] | None:
    """Metrics, history and env of a frozen run, or None."""
    sets = [_load(place) for place in reversed(_places(folder))]
    found = next((rows[run] for rows in sets if run in rows), None)
    return found and {part: found[part] for part in ("metrics", "env", "history")}


def runs(folder: Path | None = None) -> dict[str, dict[str, Any]]:
    """Config (as JSON), metrics, history and env of every frozen run, by its id."""
    return {run: row for place in _places(folder) for run, row in _load(place).items()}


def _places(folder: Path | None) -> list[Path]:
    """The folders to read: results that come with nslab, then those frozen here, which replace
    them where both have a run."""
    return [folder] if folder else list(dict.fromkeys((shipped_results_dir(), frozen_dir())))


@functools.cache
def _load(folder: Path) -> dict[str, dict[str, Any]]:
    files = sorted(folder.glob("*.csv"))
    sets = [file for file in files if not file.name.endswith((".history.csv", ".table.csv"))]
    return {run: whole for file in sets for run, whole in runs_of(file).items()}
