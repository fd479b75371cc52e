"""Every number of the papers beside ours, in one table."""

import csv
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from nslab.analysis.exports import FORMATS, export, plus_minus, readable_cells, written
from nslab.analysis.paper_tables import compare
from nslab.analysis.statistics import MARK, interval, mark
from nslab.configs import RunConfig
from nslab.experiments import EXPERIMENTS, PRESETS
from nslab.experiments.definition import preset_sizes, size_of
from nslab.papers.tables import keyed, paper_table
from nslab.runs.portability import known_config
from nslab.runs.results import Result, every_run
from nslab.system.paths import papers_dir

LEDGER_COLUMNS = ["paper", "table", "row", "unit", "value", "ours", "sd", "n", "preset", "device"]
LEDGER_COLUMNS += [
    "delta",
    "low",
    "high",
    "differs",
    "stand_in",
    "core_hours",
    "experiment",
    "note",
]
LEDGER_NOTE = (
    f"{MARK} The 95 % interval (Student's t over our seeds; the printed number is taken as exact) "
    "excludes 0; not corrected for the number of comparisons."
)


def build_ledger(papers: Sequence[str] = ("ns", "de")) -> pd.DataFrame:
    """A line per number that a paper prints: its ``value``, and ours for that row at the largest
    preset with finished runs.

    ``ours`` is the mean over ``n`` seeds with standard deviation ``sd``, at ``preset`` on
    ``device``. At the paper's own setting, ``delta`` is ours - paper, and ``low`` to ``high`` its
    95 % confidence interval over our seeds (Student's t; the paper's number is taken as exact). At
    any other setting these are blank, ``differs`` names the difference, and ``note`` says more.
    ``stand_in`` names what ours has in place of the paper's own: images made here, other data,
    another network. ``core_hours`` are those of our runs (device hours on a GPU). If we have only a
    part of what the paper averages, there is no number of ours. Nothing is run: finished runs, of
    any seed and numerics, and stored tables are looked up.
    """
    with (papers_dir() / "without_runs.csv").open(encoding="utf-8") as reasons_file:
        rows = list(csv.DictReader(reasons_file))
    reasons = {f"{row['paper']}/table{row['table']}": row["reason"] for row in rows}
    of_table = {
        f"{name.partition('/')[0]}/{exp.table}": name
        for name, exp in EXPERIMENTS.items()
        if exp.table
    }
    runs = runs_by_size(every_run())
    lines = []
    for paper in papers:
        for file in sorted((papers_dir() / paper).glob("table*.csv"), key=_order):
            name = f"{paper}/{file.stem}"
            lines += _lines(name, of_table.get(name), reasons.get(name), runs)
    return pd.DataFrame(lines, columns=LEDGER_COLUMNS)


def runs_by_size(runs: Sequence[Result]) -> dict[RunConfig, list[Result]]:
    """Runs by their config without seed and numerics. Runs whose config now has another id are left
    out: the code that made them computed something else."""
    found: dict[RunConfig, list[Result]] = {}
    for result in sorted(runs, key=lambda result: result.id):
        config = known_config(result.config)
        if config and config.id == result.id:
            found.setdefault(size_of(config), []).append(result)
    return found


def _order(file: Path) -> tuple[bool, int]:
    number = file.stem.removeprefix("table")
    return number.startswith("S"), int(number.removeprefix("S"))


def _lines(
    table: str, experiment: str | None, reason: str | None, runs: Mapping[RunConfig, list[Result]]
) -> list[dict[str, object]]:
    keys, printed = keyed(paper_table(table))
    rows: list[dict] = []
    devices: dict[str, set[str]] = {}
    why = reason or f"not run yet, no GPU time: nslab run {experiment} --preset paper"
    if experiment:
        for preset in PRESETS:
            every = preset_sizes(EXPERIMENTS[experiment], preset)
            results = [result for size in every for result in runs.get(size, ())]
            devices[preset] = {str(result.env.get("device", "")) for result in results}
            rows += _compared(experiment, results)
    best: dict[tuple, dict] = {}
    for row in sorted(rows, key=_worth):  # later rows, which are better, replace earlier ones
        best[tuple(row[k] for k in keys)] = row
    paper, _, stem = table.partition("/")
    lines = []
    for key, row in printed.items():
        about = ", ".join(f"{k} {v}" for k, v in zip(keys, key, strict=True) if v)
        line = {"paper": paper, "table": stem.removeprefix("table"), "row": about}
        line |= {"unit": _blank(row["unit"]), "value": row["value"], "experiment": experiment or ""}
        lines.append(line | _ours(best.get(key), devices, why))
    return lines


def _worth(row: Mapping[str, Any]) -> tuple:
    """Sort key, best last: whole means above partial ones, then larger presets, then more seeds."""
    return not row["part"], PRESETS.index(row["preset"]), row["n"]


def _compared(experiment: str, results: list[Result]) -> list[dict]:
    """The lines of `compare` that have a number of ours, with the paper's names in their keys."""
    if not results:
        return []
    table, names = compare(experiment, results), EXPERIMENTS[experiment].printed_as
    keys = list(table.columns[: list(table.columns).index("paper")])
    ours = table[table["n"] > 0].to_dict("records")
    return [
        row
        | {key: names.get(row[key], row[key]) for key in keys}
        | {"stand_in": _stand_in(row, names)}
        for row in ours
    ]


def _stand_in(row: Mapping[Any, Any], names: Mapping[str, str]) -> str:
    """What a row of ours has in place of the paper's own images, data and network."""
    said = {
        "images made here": "generated" in row["differs"],
        "other data": "other data" in row["differs"],
        "another network": str(row.get("network", "")) in names,
    }
    return ", ".join(what for what, there in said.items() if there)


def _ours(row: dict | None, devices: dict[str, set[str]], why: str) -> dict[str, object]:
    if row is None:
        return {"ours": math.nan, "sd": math.nan, "n": 0, "note": why}
    if row["part"]:
        note = f"no mean like the paper's: {row['part']} at preset {row['preset']}"
        return {"ours": math.nan, "sd": math.nan, "n": 0, "note": note}
    low, high = interval(row["delta"], row["sd"], row["n"])
    note, differs = row["note"], ""
    if math.isnan(row["delta"]):
        reduced = row["preset"] != "paper"
        differs = row["differs"] or ("reduced setting" if reduced else "another mean")
        said = [note, f"preset {row['preset']}: not the paper's setting" if reduced else ""]
        note = ", ".join(filter(None, said))
    device = ", ".join(sorted(devices.get(row["preset"], set())))
    kept = {k: row[k] for k in ("ours", "sd", "n", "preset", "delta", "stand_in", "core_hours")}
    return kept | {"device": device, "low": low, "high": high, "differs": differs, "note": note}


def _blank(value: object) -> str:
    return "" if isinstance(value, float) and math.isnan(value) else str(value)


def counts(table: pd.DataFrame) -> pd.DataFrame:
    """Per paper and table of `build_ledger`: how many numbers are printed, for how many there is
    one of ours, for how many at the paper's own setting, and the presets of ours."""
    grouped = table.groupby(["paper", "table"], sort=False)
    return pd.DataFrame(
        {
            "numbers": grouped.size(),
            "ours": grouped["n"].agg(lambda n: int((n > 0).sum())),
            "at the paper's setting": grouped["delta"].count(),
            "presets": grouped["preset"].agg(lambda p: ", ".join(sorted(set(p.dropna())))),
        }
    ).reset_index()


def _printed(value: float | str) -> str:
    """A paper's value as text; some are words already, as the settings in DE's Table S2."""
    return value if isinstance(value, str) else f"{value:g}"


def readable_ledger(table: pd.DataFrame) -> pd.DataFrame:
    """`build_ledger` for people: ours with its sd; delta with its interval, and a star if that
    excludes 0; blanks for gaps.

    >>> list(readable_ledger(build_ledger(["de"])))[:5]
    ['paper', 'table', 'row', 'printed', 'ours']
    """
    lines = table.to_dict("records")
    out = table[["paper", "table", "row"]].copy()
    out["printed"] = [f"{_printed(line['value'])} {line['unit']}".strip() for line in lines]
    out["ours"] = [plus_minus(line["ours"], line["sd"]) for line in lines]
    out["n"] = [line["n"] or "" for line in lines]
    out["preset"] = table["preset"].fillna("")
    out["ours - printed (95 % interval)"] = [_delta(line) for line in lines]
    for name in ("differs", "stand_in", "device", "core_hours", "experiment", "note"):
        out[name] = table[name]
    return readable_cells(out)


def _delta(line: Mapping[Any, Any]) -> str:
    if math.isnan(line["delta"]):
        return ""
    low, high = line["low"], line["high"]
    reach = "" if math.isnan(low) else f" ({low:+.2f} to {high:+.2f}){mark(low, high)}"
    return f"{line['delta']:+.2f}{reach}"


__all__ = [
    "FORMATS",
    "LEDGER_COLUMNS",
    "LEDGER_NOTE",
    "build_ledger",
    "counts",
    "export",
    "readable_ledger",
    "runs_by_size",
    "written",
]
