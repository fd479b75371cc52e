"""The papers' numbers beside ours."""

import math
from collections.abc import Mapping, Sequence

import pandas as pd

from nslab.experiments import PRESETS, experiment
from nslab.experiments.codec import decode
from nslab.experiments.experiment import size_of, sizes
from nslab.paths import papers_dir
from nslab.store import Result

VALUE_COLUMNS = ["value", "sd", "unit", "n", "source", "doubtful", "note"]


def paper_table(name: str) -> pd.DataFrame:
    """A table of a paper, such as ``ns/table7``: key columns, then value, sd, unit, n, source.

    Raises ``ValueError`` if there is no such table.
    """
    files = {f"{f.parent.name}/{f.stem}": f for f in sorted(papers_dir().glob("*/*.csv"))}
    if name not in files:
        tables = [known for known in files if known.partition("/")[2].startswith("table")]
        raise ValueError(f"no table {name!r}; there are {', '.join(tables)}")
    return pd.read_csv(files[name], dtype={"note": str}, keep_default_na=True)


def keyed(table: pd.DataFrame) -> tuple[list[str], dict[tuple, dict]]:
    """Names of a paper table's key columns, and its rows by their keys (as text)."""
    keys = [column for column in table.columns if column not in VALUE_COLUMNS]
    return keys, {tuple(_text(r[k]) for k in keys): r for r in table.to_dict("records")}


def compare(name: str, results: Sequence[Result]) -> pd.DataFrame:
    """Paper beside ours, a line per row of the table and size of our runs.

    Columns: the table's keys; ``paper``; ``ours`` (mean over seeds; where a row has several runs of
    one seed, of their means), ``sd`` (sample standard deviation over seeds, blank for one), ``n``
    (seeds), ``preset``; ``delta`` = ours - paper, blank unless our
    runs have the paper's own setting; ``note``. Numbers either side lacks are blank.
    """
    exp = experiment(name)
    by_seed: dict[tuple, dict[int, list[float]]] = {}
    notes: dict[tuple, set[str]] = {}
    full_size = sizes(exp, "paper")
    at_size: dict[tuple, bool] = {}
    for result in results:
        config = decode(result.config)
        key = (*map(_text, exp.row(config).values()), exp.preset_of(config, PRESETS))
        by_seed.setdefault(key, {}).setdefault(config.seed, []).append(result.metrics[exp.metric])
        at_size[key] = exp.comparable and size_of(config) in full_size
        notes.setdefault(key, set())
        if result.other_source:
            notes[key].add("other source code")
        if not exp.comparable:
            notes[key].add("not the paper's data")
    lines: dict[tuple, list[float]] = {}
    for key, seeds in by_seed.items():
        lines[key] = [sum(values) / len(values) for values in seeds.values()]
        if len({len(values) for values in seeds.values()}) > 1:
            notes[key].add("seeds differ in their runs")
    printed: dict[tuple, dict] = {}
    if exp.table:
        keys, printed = keyed(paper_table(f"{name.partition('/')[0]}/{exp.table}"))
    else:
        keys = list(exp.row(exp.plan("smoke")[0]))
    table = []
    ours_only = [key for key in lines if key[:-1] not in printed]
    ours_too = {row: [key for key in lines if key[:-1] == row] for row in printed}
    for row, line in printed.items():
        table += [
            _line(keys, row, line, key, lines, at_size, notes) for key in ours_too[row] or (None,)
        ]
    table += [_line(keys, key[:-1], None, key, lines, at_size, notes) for key in ours_only]
    return pd.DataFrame(table)


def _line(
    keys: list[str],
    row: tuple,
    printed: dict | None,
    key: tuple | None,
    lines: dict[tuple, list[float]],
    at_size: dict[tuple, bool],
    notes: dict[tuple, set[str]],
) -> dict:
    paper = math.nan if printed is None else float(printed["value"])
    values = lines[key] if key else []
    ours = sum(values) / len(values) if values else math.nan
    said = set(notes[key]) if key else set()
    if printed is not None and printed["doubtful"] == "yes":
        said.add("paper's number doubtful")
    return {
        **dict(zip(keys, row, strict=True)),
        "paper": paper,
        "ours": ours,
        "sd": float(pd.Series(values).std()) if len(values) > 1 else math.nan,
        "n": len(values),
        "preset": key[-1] if key else "",
        "delta": ours - paper if key and at_size[key] else math.nan,
        "note": ", ".join(sorted(said)),
    }


def beside(name: str, ours: pd.DataFrame, fixed: Mapping[str, str] | None = None) -> pd.DataFrame:
    """A paper's table beside numbers of ours that are no run's, such as seconds.

    ``ours`` has the table's key columns and ``value``; where known ``sd``, ``n``, ``preset``,
    ``unit``, ``device``. ``fixed`` names keys that all of the table shares and therefore does not
    print, such as the network.

    Columns as `compare`'s, with ``unit`` and ``device`` (ours). ``delta`` is blank where a side
    lacks the row, and where our device is a CPU or not said: seconds and bytes do not compare then.
    Raises ``ValueError`` if ``ours`` lacks a key, or has another unit than the paper.
    """
    keys, printed = keyed(paper_table(name).assign(**(fixed or {})))
    if missing := [column for column in [*keys, "value"] if column not in ours]:
        raise ValueError(f"ours lacks {', '.join(missing)}: {name} needs {', '.join(keys)}, value")
    mine: dict[tuple, list[dict]] = {key: [] for key in printed}
    for row in ours.to_dict("records"):
        mine.setdefault(tuple(_text(row[k]) for k in keys), []).append(row)
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
            said.append("ours on a CPU: no delta" if device else "our device not said: no delta")
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
    """A line per run: the keys of its row (as text), ``seed``, ``value``, and ``paper``."""
    exp = experiment(name)
    printed: dict[tuple, float] = {}
    if exp.table:
        _, rows = keyed(paper_table(f"{name.partition('/')[0]}/{exp.table}"))
        printed = {key: row["value"] for key, row in rows.items()}
    lines = []
    for result in results:
        config = decode(result.config)
        row = {key: _text(value) for key, value in exp.row(config).items()}
        paper = printed.get(tuple(row.values()), math.nan)
        lines.append(
            row | {"seed": config.seed, "value": result.metrics[exp.metric], "paper": paper}
        )
    return pd.DataFrame(lines)


def shortened(table: pd.DataFrame) -> pd.DataFrame:
    """Of `compare`'s table the lines with a number of ours; all of them if there is none."""
    return table[table["n"] > 0] if (table["n"] > 0).any() else table


def readable(table: pd.DataFrame) -> pd.DataFrame:
    """`compare`'s table for people: ``ours ± sd (n, preset)`` in one column, blanks for gaps."""
    keys = list(table.columns[: list(table.columns).index("paper")])

    def ours(line: pd.Series) -> str:
        if not line["n"]:
            return ""
        sd = "" if math.isnan(line["sd"]) else f" ± {line['sd']:.2f}"
        return f"{line['ours']:.2f}{sd} (n = {line['n']}, {line['preset']})"

    out = table[keys].copy()
    out["paper"] = [("" if math.isnan(v) else f"{v:g}") for v in table["paper"]]
    out["ours"] = [ours(line) for _, line in table.iterrows()]
    out["delta"] = [("" if math.isnan(v) else f"{v:+.2f}") for v in table["delta"]]
    out["note"] = table["note"]
    return out


def _text(value: object) -> str:
    """A key as both sides would write it: 1.0 and 1 are the same row."""
    if isinstance(value, float) and math.isnan(value):
        return ""
    return f"{value:g}" if isinstance(value, int | float) else str(value)
