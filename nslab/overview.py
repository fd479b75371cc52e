"""Every number of the papers beside ours, in one table, and that table as a file."""

import csv
import math
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
from scipy import stats

from nslab import frozen, robustness
from nslab.experiments import EXPERIMENTS, PRESETS
from nslab.files import write_text
from nslab.ledger import compare, keyed, paper_table
from nslab.paths import papers_dir
from nslab.results import Result, finished

COLUMNS = ["paper", "table", "row", "unit", "value", "ours", "sd", "n", "preset", "device"]
COLUMNS += ["delta", "low", "high", "experiment", "note"]
FORMATS = (".md", ".csv", ".html")


def ledger(papers: Sequence[str] = ("ns", "de")) -> pd.DataFrame:
    """A line per number that a paper prints: its ``value`` beside our best run of that row, at the
    largest preset there is one of.

    ``ours``, ``sd``, ``n`` (seeds), ``preset`` and ``device`` say what our number is. Where it has
    the paper's own setting, ``delta`` is ours - paper and ``low`` to ``high`` its 95 % confidence
    interval by our seeds (Student's t; the paper's number is taken as exact); elsewhere they are
    blank, and ``note`` says why. Nothing is computed: runs and frozen tables are looked up.
    """
    with (papers_dir() / "without_runs.csv").open(encoding="utf-8") as reasons_file:
        rows = list(csv.DictReader(reasons_file))
    reasons = {f"{row['paper']}/table{row['table']}": row["reason"] for row in rows}
    of_table = {
        f"{name.partition('/')[0]}/{exp.table}": name
        for name, exp in EXPERIMENTS.items()
        if exp.table
    }
    lines = []
    for paper in papers:
        for file in sorted((papers_dir() / paper).glob("table*.csv"), key=_order):
            name = f"{paper}/{file.stem}"
            lines += _lines(name, of_table.get(name), reasons.get(name))
    return pd.DataFrame(lines, columns=COLUMNS)


def _order(file: Path) -> tuple[bool, int]:
    number = file.stem.removeprefix("table")
    return number.startswith("S"), int(number.removeprefix("S"))


def _lines(table: str, experiment: str | None, reason: str | None) -> list[dict[str, object]]:
    keys, printed = keyed(paper_table(table))
    rows, devices = _corrupted(table)
    best = {tuple(row[k] for k in keys): row for row in rows}
    why = reason or f"not run yet, no GPU time: nslab run {experiment} --preset paper"
    if experiment:
        for preset in PRESETS:  # a larger one replaces a smaller
            results = finished(EXPERIMENTS[experiment].plan(preset))
            devices[preset] = {str(result.env.get("device", "")) for result in results}
            for row in _compared(experiment, results):
                best[tuple(row[k] for k in keys)] = row
    paper, _, stem = table.partition("/")
    lines = []
    for key, row in printed.items():
        about = ", ".join(f"{k} {v}" for k, v in zip(keys, key, strict=True) if v)
        line = {"paper": paper, "table": stem.removeprefix("table"), "row": about}
        line |= {"unit": _blank(row["unit"]), "value": row["value"], "experiment": experiment or ""}
        lines.append(line | _ours(best.get(key), devices, why))
    return lines


def _corrupted(table: str) -> tuple[list[dict], dict[str, set[str]]]:
    """Frozen errors on corrupted images, which are measured on runs and are none themselves, as
    rows of `compare`; and on which devices."""
    kind = robustness.SETS.get(table.removeprefix("de/table"))
    if kind is None:
        return [], {}
    errors = frozen.table("de_robustness_cpu")
    errors = errors[errors["set"] == kind]
    if errors.empty:
        return [], {}
    found = robustness.beside(paper_table(table), robustness.relative_table(errors), "cpu")
    found = found[found["n"] > 0].assign(dataset=kind)
    return found.to_dict("records"), {"cpu": set(errors["device"])}


def _compared(experiment: str, results: list[Result]) -> list[dict]:
    if not results:
        return []
    table = compare(experiment, results)
    return table[table["n"] > 0].to_dict("records")


def _ours(row: dict | None, devices: dict[str, set[str]], why: str) -> dict[str, object]:
    if row is None:
        return {"ours": math.nan, "sd": math.nan, "n": 0, "note": why}
    low = high = math.nan
    if not math.isnan(row["delta"]) and row["n"] > 1:
        reach = stats.t.ppf(0.975, row["n"] - 1) * row["sd"] / math.sqrt(row["n"])
        low, high = row["delta"] - reach, row["delta"] + reach
    note = row["note"]
    if math.isnan(row["delta"]):
        note = ", ".join(filter(None, [note, f"preset {row['preset']}: not the paper's setting"]))
    device = ", ".join(sorted(devices.get(row["preset"], set())))
    kept = {k: row[k] for k in ("ours", "sd", "n", "preset", "delta")}
    return kept | {"device": device, "low": low, "high": high, "note": note}


def _blank(value: object) -> str:
    return "" if isinstance(value, float) and math.isnan(value) else str(value)


def counts(table: pd.DataFrame) -> pd.DataFrame:
    """Of `ledger`, per paper and table: numbers printed, how many have one of ours, at which
    presets, and how many at the paper's own setting."""
    grouped = table.groupby(["paper", "table"], sort=False)
    return pd.DataFrame(
        {
            "numbers": grouped.size(),
            "ours": grouped["n"].agg(lambda n: int((n > 0).sum())),
            "at the paper's setting": grouped["delta"].count(),
            "presets": grouped["preset"].agg(lambda p: ", ".join(sorted(set(p.dropna())))),
        }
    ).reset_index()


def written(table: pd.DataFrame, suffix: str) -> str:
    """A table as text: ``.csv`` with all digits, ``.md`` or ``.html`` for people, numbers of two
    decimals and gaps blank."""
    if suffix == ".csv":
        return table.to_csv(index=False, lineterminator="\n")
    shown = table.map(lambda v: f"{v:.2f}" if isinstance(v, float) else v).replace("nan", "")
    shown = shown.astype(object).where(shown.notna(), "")
    if suffix == ".html":
        return shown.to_html(index=False, border=0) + "\n"
    rows = [list(shown.columns), ["---"] * len(shown.columns), *shown.to_numpy().tolist()]
    cells = [[str(cell).replace("|", "\\|") for cell in row] for row in rows]
    return "".join(f"| {' | '.join(row)} |\n" for row in cells)


def export(table: pd.DataFrame, file: Path) -> Path:
    """Write a table to a file, as its suffix says; ``ValueError`` for another than `FORMATS`."""
    if file.suffix not in FORMATS:
        raise ValueError(f"{file} must end in one of {', '.join(FORMATS)}")
    write_text(file, written(table, file.suffix))
    return file
