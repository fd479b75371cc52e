"""The two files of a frozen set: ``<name>.csv`` with a row per run, and ``<name>.history.csv`` with
a row per epoch or generation.

Values are JSON. Each run has one ``digest`` of its row and its history together, which stands in
all of these rows. It reveals rows that were not written together, or that were changed since. Rows
written by earlier versions have no digest; they only say how many rows the history has.
"""

import csv
import hashlib
import io
import json
import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nslab.system.files import stamp

RESTORE = "restore both from version control, such as by git checkout, or remove both"
DIGEST, DIGITS = "digest", 16
LINKS = ("id", DIGEST)  # columns that say which run a row of a history belongs to
Cells = dict[str, str]  # texts by column; empty where a run has no such value


@dataclass(frozen=True)
class FrozenSet:
    """Rows of runs by their ids, and rows of histories by the run's id and the digest. Histories
    that belong to no row (another run, or another version of it) are ignored."""

    rows: dict[str, Cells]
    epochs: dict[str, dict[str, list[Cells]]]

    def history(self, run: str) -> list[Cells]:
        """The rows of a run's history."""
        return self.epochs.get(run, {}).get(self.rows[run].get(DIGEST, ""), [])

    def histories(self, run: str) -> list[Cells]:
        """The same, with the histories of other versions of the run."""
        return [row for rows in self.epochs.get(run, {}).values() for row in rows]

    def problem(self, run: str) -> str:
        """Why a run must not be used; empty if it may."""
        row, history = self.rows[run], self.history(run)
        if digest := row.get(DIGEST):
            return "" if digest == digest_of(row, history) else "its rows do not fit their digest"
        stated = json.loads(row.get("rows") or row.get("metrics.epochs") or "null")
        if stated in (None, len(history)):
            return ""
        return f"its history has {len(history)} of {stated} rows"

    def run(self, run: str) -> dict[str, Any]:
        """Config, metrics, env and history of a run."""
        parts: dict[str, Any] = {"metrics": {}, "env": {}, "config": {}}
        for column, text in self.rows[run].items():
            part, dot, key = column.partition(".")
            if dot and text:
                parts[part][key] = json.loads(text)
        parts["history"] = [
            {key: json.loads(text) for key, text in row.items() if text and key not in LINKS}
            for row in self.history(run)
        ]
        return parts


def digest_of(row: Cells, history: Iterable[Cells]) -> str:
    """Digest of a run's row and its history, without their own digest columns and empty cells."""
    every = [
        sorted((column, text) for column, text in cells.items() if text and column != DIGEST)
        for cells in (row, *history)
    ]
    return hashlib.sha256(json.dumps(every).encode()).hexdigest()[:DIGITS]


def history_file(file: Path) -> Path:
    """The file with the histories of a set's runs."""
    return file.with_suffix(".history.csv")


def read_set(file: Path) -> FrozenSet:
    """The two files of a set, read as they were at one moment, even if another process writes them.

    Raises ``ValueError`` with advice for files that are cut short or no CSV.
    """
    while True:
        before = stamp(file)
        rows, history = read_rows(file), read_rows(history_file(file))
        if stamp(file) == before:
            break
    try:
        return set_from_rows(rows, history)
    except KeyError as error:
        raise ValueError(f"{file} is broken (there is no column {error}): {RESTORE}") from None


def set_from_rows(rows: Iterable[Cells], history: Iterable[Cells]) -> FrozenSet:
    """A set from the rows of its two files."""
    epochs: dict[str, dict[str, list[Cells]]] = {}
    for row in history:
        epochs.setdefault(row["id"], {}).setdefault(row.get(DIGEST, ""), []).append(row)
    return FrozenSet({row["id"]: row for row in rows}, epochs)


def runs_of(file: Path) -> dict[str, dict[str, Any]]:
    """The runs of a set by their ids. A run whose rows do not fit together is left out, with a
    warning."""
    found: dict[str, dict[str, Any]] = {}
    try:
        whole = read_set(file)
        for run in whole.rows:
            if problem := whole.problem(run):
                advice = f"freeze it again, or {RESTORE}"
                warnings.warn(f"run {run} in {file} is not used, {problem}: {advice}", stacklevel=4)
            else:
                found[run] = whole.run(run)
    except (LookupError, json.JSONDecodeError) as error:
        beside = history_file(file).name
        raise ValueError(f"{file} or {beside} is broken ({error}): {RESTORE}") from None
    return found


def read_rows(file: Path) -> list[Cells]:
    """The rows of a file; none if it is not there."""
    try:
        return parsed(file.read_bytes().decode("utf-8"))
    except FileNotFoundError:
        return []
    except ValueError as error:
        raise ValueError(f"{file} is broken ({error}): {RESTORE}") from None


def parsed(text: str) -> list[Cells]:
    """The rows of a CSV; ``ValueError`` for a text that is no CSV, or is cut short."""
    try:
        rows = list(csv.DictReader(io.StringIO(text, newline=""), strict=True))
    except csv.Error as error:
        raise ValueError(str(error)) from None
    if not text.endswith("\n") or any(None in row or None in row.values() for row in rows):
        raise ValueError("a row is cut short")
    return rows


def csv_text(rows: Iterable[Cells]) -> str:
    """A CSV of rows, in their order."""
    rows = list(rows)
    columns = list(dict.fromkeys(key for row in rows for key in row))
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()
