"""The papers' numbers beside ours."""

import math
from collections.abc import Mapping, Sequence

import pandas as pd

from nslab.analysis.comparison import (
    TableLine,
    baseline_differences,
    core_hours,
    lines_of,
    measured_runs,
)
from nslab.analysis.statistics import interval, mark
from nslab.experiments import Experiment, experiment
from nslab.papers.tables import as_text, keyed, paper_table
from nslab.runs.store import Result


def compare(
    name: str, results: Sequence[Result], numbers: pd.DataFrame | None = None
) -> pd.DataFrame:
    """The paper's numbers beside ours: a line per row of the table, preset and precision of our
    runs; rows with a number of ours come first.

    Columns: the table's keys; ``paper``; ``ours`` (mean over seeds; of several runs with one seed
    the mean counts), ``sd`` (sample standard deviation over seeds, blank for one), ``n`` (seeds),
    ``preset``; ``part``: how much of the paper's mean ours covers, such as ``"1 of 4 factors"``;
    ``delta`` = ours - paper, blank unless our runs are all those of the paper's own setting;
    ``differs``: how else ours differs from the paper's, such as ``"other data"``;
    ``against``: the experiment's baseline, and ``difference``, ``difference_sd``, ``difference_n``
    (pairs) of ours minus the baseline with the same seed, preset, precision and other keys;
    ``core_hours`` of our runs (device hours on a GPU); ``note``: remarks, for instance on runs that
    are not above chance. Missing values are blank.

    ``numbers``, in the form of `nslab.analysis.measures`, are used in place of the experiment's own
    measure.

    >>> from nslab import experiment, finished
    >>> frozen = finished(experiment("ns/first").plan("cpu", methods="ce,ns_ws"), frozen_only=True)
    >>> table = compare("ns/first", frozen)
    >>> table[["dataset", "method", "n"]].head(2).to_dict("records")[0]
    {'dataset': 'cifar10', 'method': 'ce', 'n': 1}
    """
    exp = experiment(name)
    lines = lines_of(exp, results, numbers)
    pairs = baseline_differences(exp, lines)
    printed: dict[tuple, dict] = {}
    if exp.table:
        keys, printed = keyed(paper_table(f"{name.partition('/')[0]}/{exp.table}"))
    else:
        keys = list(lines[0].keys if lines else exp.row(exp.plan("smoke")[0]))
    blank = _beside_paper(exp, None, None, [])
    mine: dict[tuple, list[dict]] = {row: [] for row in printed}
    for place, line in enumerate(lines):
        row = tuple(exp.printed_as.get(value, value) for value in line.row)
        row = row if row in printed else line.row
        number = _beside_paper(exp, line, printed.get(row), pairs.get(place, []))
        mine.setdefault(row, []).append(dict(zip(keys, line.row, strict=True)) | number)
    table = [
        line | _said(printed.get(row), line)
        for row, beside_it in mine.items()
        for line in beside_it or [dict(zip(keys, row, strict=True)) | blank]
    ]
    table.sort(key=lambda line: line["n"] == 0)
    return pd.DataFrame(table)


def _beside_paper(
    exp: Experiment, line: TableLine | None, printed: dict | None, pairs: list[float]
) -> dict:
    values = list(line.values.values()) if line else []
    ours, sd = _mean_and_sd(values)
    unlike = exp.unlike.get(line.row) if line and printed else None
    delta = math.nan
    if line and printed and line.at_size and not (line.part or line.differs or unlike):
        delta = ours - float(printed["value"])
    difference, difference_sd = _mean_and_sd(pairs)
    return {
        "paper": math.nan,
        "ours": ours,
        "sd": sd,
        "n": len(values),
        "preset": line.preset if line else "",
        "part": line.part if line else "",
        "delta": delta,
        "differs": line.differs if line else "",
        "against": _first(exp.baseline) if pairs else "",
        "difference": difference,
        "difference_sd": difference_sd,
        "difference_n": len(pairs),
        "core_hours": core_hours(run.result for run in line.runs) if line else math.nan,
        "note": ", ".join([*(line.notes if line else ()), *([unlike] if unlike else [])]),
    }


def _said(printed: dict | None, number: dict) -> dict:
    if printed is None:
        return {}
    doubtful = ["paper's number doubtful"] if printed["doubtful"] == "yes" else []
    note = ", ".join([*filter(None, [number["note"]]), *doubtful])
    return {"paper": float(printed["value"]), "note": note}


def _mean_and_sd(values: list[float]) -> tuple[float, float]:
    numbers = pd.Series(values, dtype=float)
    return float(numbers.mean()), float(numbers.std())


def _first(baseline: Mapping[str, str | float]) -> str:
    """The name of a baseline for people: its method, or its first key and value."""
    key, value = next(iter(baseline.items()))
    return as_text(value) if key == "method" else f"{key} {as_text(value)}"


def beside(name: str, ours: pd.DataFrame, fixed: Mapping[str, str] | None = None) -> pd.DataFrame:
    """A paper's table beside numbers of ours that do not come from runs, such as seconds.

    ``ours`` has the table's key columns and ``value``; if known also ``sd``, ``n``, ``preset``,
    ``unit``, ``device``. ``fixed`` gives keys that are the same in the whole table, which therefore
    does not print them, such as the network.

    Columns are the table's keys, ``paper``, ``ours``, ``sd``, ``n``, ``preset``, ``delta``,
    ``unit``, ``device`` (ours) and ``note``. ``delta`` is blank if a side lacks the row, and if our
    device is a CPU or unknown, since seconds and bytes are not comparable then. Raises
    ``ValueError`` if ``ours`` lacks a key, or has another unit than the paper.
    """
    keys, printed = keyed(paper_table(name).assign(**(fixed or {})))
    if missing := [column for column in [*keys, "value"] if column not in ours]:
        raise ValueError(f"ours lacks {', '.join(missing)}: {name} needs {', '.join(keys)}, value")
    mine: dict[tuple, list[dict]] = {key: [] for key in printed}
    for row in ours.to_dict("records"):
        mine.setdefault(tuple(as_text(row[k]) for k in keys), []).append(row)
    table = [
        dict(zip(keys, key, strict=True)) | _beside(printed.get(key, {}), row)
        for key, rows in mine.items()
        for row in rows or [{}]
    ]
    return pd.DataFrame(table)


def _beside(printed: dict, row: dict) -> dict:
    unit, device = row.get("unit", printed.get("unit", "")), str(row.get("device", ""))
    delta, said = math.nan, []
    if printed and row:
        if unit != printed["unit"]:
            raise ValueError(f"ours is in {unit}, the paper in {printed['unit']}: convert ours")
        if device and not device.lower().startswith("cpu"):
            delta = row["value"] - printed["value"]
        else:
            said.append("ours on a CPU: no delta" if device else "our device unknown: no delta")
    if printed.get("doubtful") == "yes":
        said.append("paper's number doubtful")
    return {
        "paper": printed.get("value", math.nan),
        "ours": row.get("value", math.nan),
        "sd": row.get("sd", math.nan),
        "n": row.get("n", 0),
        "preset": row.get("preset", ""),
        "delta": delta,
        "unit": unit,
        "device": device,
        "note": ", ".join(said),
    }


def run_table(name: str, results: Sequence[Result]) -> pd.DataFrame:
    """A line per run and number of the experiment's measure: the keys of its row (as text),
    ``seed``, ``value``, whether the run has ``learnt`` (is above chance), and ``paper``, the
    paper's number."""
    exp = experiment(name)
    printed: dict[tuple, float] = {}
    if exp.table:
        _, rows = keyed(paper_table(f"{name.partition('/')[0]}/{exp.table}"))
        printed = {key: row["value"] for key, row in rows.items()}
    lines = []
    for run in measured_runs(exp, results):
        number = {"seed": run.config.seed, "value": run.value, "learnt": run.result.learnt}
        paper = printed.get(tuple(run.row.values()), math.nan)
        lines.append({**run.row, **number, "paper": paper})
    return pd.DataFrame(lines)


def shortened(table: pd.DataFrame) -> pd.DataFrame:
    """The lines of `compare`'s table that have a number of ours; all lines if none has."""
    return table[table["n"] > 0] if (table["n"] > 0).any() else table


def readable(table: pd.DataFrame, *, marks: bool = False) -> pd.DataFrame:
    """`compare`'s table for people: ``ours ± sd (n, preset)`` in one column, the difference to the
    baseline in another, and blanks for gaps; columns that are entirely blank are left out. With
    ``marks``, a star follows a difference whose 95 % interval excludes 0, see
    `nslab.analysis.statistics.MARK_NOTE`.

    >>> from nslab import experiment, finished
    >>> frozen = finished(experiment("ns/first").plan("cpu", methods="ce,ns_ws"), frozen_only=True)
    >>> list(readable(compare("ns/first", frozen))["ours"].head(2))
    ['81.90 (n = 1, cpu)', '78.77 (n = 1, cpu)']
    """
    keys = list(table.columns[: list(table.columns).index("paper")])
    digits = 4 if table["ours"].abs().max() <= 1 else 2  # four decimals for shares, two for percent

    def spread(sd: float) -> str:
        return "" if math.isnan(sd) else f" ± {sd:.{digits}f}"

    def ours(line: pd.Series) -> str:
        if not line["n"]:
            return ""
        about = "; ".join(filter(None, [line["preset"], line.get("part", "")]))
        return f"{line['ours']:.{digits}f}{spread(line['sd'])} (n = {line['n']}, {about})"

    def difference(line: pd.Series) -> str:
        if not line.get("difference_n"):
            return ""
        mean = f"{line['difference']:+.{digits}f}{spread(line['difference_sd'])}"
        reach = interval(line["difference"], line["difference_sd"], line["difference_n"])
        return f"{mean} (n = {line['difference_n']}){mark(*reach) if marks else ''}"

    out = table[keys].copy()
    lines = [line for _, line in table.iterrows()]
    out["paper"] = [("" if math.isnan(v) else f"{v:g}") for v in table["paper"]]
    out["ours"] = [ours(line) for line in lines]
    out["delta"] = [("" if math.isnan(v) else f"{v:+.{digits}f}") for v in table["delta"]]
    against = next((name for name in table.get("against", []) if name), "baseline")
    out[f"minus {against}"] = [difference(line) for line in lines]
    out["note"] = table["note"]
    return out[[column for column in out if column == "ours" or out[column].ne("").any()]]
