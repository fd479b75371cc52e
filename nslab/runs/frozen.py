"""Our own results in version control: one CSV a set, a row a run, with its provenance."""

import csv
import functools
import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import pandas as pd

from nslab.system.filenames import checked_filename
from nslab.system.files import write_text
from nslab.system.paths import frozen_dir, shipped_results_dir
from nslab.system.provenance import environment
from nslab.system.validation import unknown

RESTORE = "restore both from version control, such as by git checkout, or remove both"


@runtime_checkable
class Finished(Protocol):
    """What is frozen of a run."""

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


def freeze(
    name: str, results: Sequence[Finished], folder: Path | None = None, *, history: bool = True
) -> list[Path]:
    """Write ``<name>.csv`` (a row a run) and ``<name>.history.csv`` (a row an epoch, or none
    without ``history``, for many runs of which the final numbers are what counts).

    Runs already in the files are kept unless ``results`` has them anew. Values are JSON, so numbers
    come back to the bit.

    >>> import tempfile
    >>> from nslab import TrainConfig, run
    >>> result = run(TrainConfig("digits", "mlp", epochs=1, train_size=200), show=False)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     files = freeze("mine", [result], Path(folder))
    ...     print([file.name for file in files], list(runs(Path(folder))) == [result.id])
    ['mine.csv', 'mine.history.csv'] True
    """
    folder, name = folder or frozen_dir(), checked_filename(name, "results")
    rows = {row["id"]: row for row in _read(folder / f"{name}.csv")}
    epochs: dict[str, list[dict[str, str]]] = {run: [] for run in rows}
    for row in _read(folder / f"{name}.history.csv"):
        if row["id"] in rows:
            epochs[row["id"]].append(row)
    for result in results:
        rows[result.id] = {"id": result.id}
        for part in ("metrics", "env", "config"):
            for key, value in getattr(result, part).items():
                rows[result.id][f"{part}.{key}"] = json.dumps(value)
        epochs[result.id] = [
            {"id": result.id} | {key: json.dumps(v) for key, v in epoch.items()}
            for epoch in (result.history if history else ())
        ]
    files = [folder / f"{name}.csv", folder / f"{name}.history.csv"]
    for run, row in rows.items():
        row["rows"] = str(len(epochs[run]))
    # a run counts as soon as the first file has it, so that comes last
    if every := [epoch for run in epochs.values() for epoch in run]:
        _write(files[1], every)
    else:
        files.pop().unlink(missing_ok=True)
    _write(files[0], list(rows.values()))
    _load.cache_clear()
    return files


def freeze_table(name: str, table: pd.DataFrame, folder: Path | None = None) -> Path:
    """Write ``<name>.table.csv``: numbers derived from runs whose weights stay out of version
    control. Its column ``run`` says which; commit, device and versions are added."""
    if "run" not in table:
        raise ValueError("a frozen table needs a column 'run' that says where each line comes from")
    env = environment()
    kept = {key: env[key] for key in ("commit", "dirty", "source", "device")}
    kept["torch"] = env["versions"]["torch"]
    file = (folder or frozen_dir()) / f"{checked_filename(name, 'table')}.table.csv"
    write_text(file, table.assign(**kept).to_csv(index=False, lineterminator="\n"))
    return file


def table(name: str, folder: Path | None = None) -> pd.DataFrame:
    """What `freeze_table` wrote; ``FileNotFoundError`` listing what there is."""
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
    """Where to look: what comes with nslab, then what was frozen here, which has the last word."""
    return [folder] if folder else list(dict.fromkeys((shipped_results_dir(), frozen_dir())))


@functools.cache
def _load(folder: Path) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    for file in sorted(folder.glob("*.csv")):
        if file.name.endswith((".history.csv", ".table.csv")):
            continue
        here: dict[str, dict[str, Any]] = {}
        history = file.with_suffix(".history.csv")
        try:
            for row in _read(file):
                parts: dict[str, dict[str, Any]] = {"metrics": {}, "env": {}, "config": {}}
                for column, text in row.items():
                    part, _, key = column.partition(".")
                    if key and text:
                        parts[part][key] = json.loads(text)
                count = json.loads(row.get("rows") or "null")
                here[row["id"]] = {**parts, "history": [], "rows": count}
            for row in _read(history):
                run = row.pop("id")
                if run in here:  # a freeze that was killed had got no further
                    here[run]["history"].append({k: json.loads(v) for k, v in row.items() if v})
        except (LookupError, json.JSONDecodeError) as error:
            raise ValueError(f"{file} or {history.name} is broken ({error}): {RESTORE}") from None
        for run, whole in here.items():
            stated = whole.pop("rows")
            expected = whole["metrics"].get("epochs") if stated is None else stated
            if expected not in (None, len(whole["history"])):
                raise ValueError(
                    f"{history} has {len(whole['history'])} of {expected} rows of run {run}: "
                    f"{RESTORE}"
                )
        found |= here
    return found


def _read(file: Path) -> list[dict[str, str]]:
    if not file.exists():
        return []
    try:
        text = file.read_text(encoding="utf-8")
        rows = list(csv.DictReader(io.StringIO(text, newline=""), strict=True))
    except (csv.Error, UnicodeDecodeError) as error:
        raise ValueError(f"{file} is broken ({error}): {RESTORE}") from None
    if not text.endswith("\n") or any(None in row or None in row.values() for row in rows):
        raise ValueError(f"{file} is broken (a row is cut short): {RESTORE}")
    return rows


def _write(file: Path, rows: list[dict[str, str]]) -> None:
    columns = list(dict.fromkeys(key for row in rows for key in row))
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_text(file, text.getvalue())
