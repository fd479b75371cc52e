"""The papers' tables, as they print them."""

import pandas as pd

from nslab.system.paths import papers_dir
from nslab.system.validation import unknown

VALUE_COLUMNS = ["value", "sd", "unit", "n", "source", "doubtful", "note"]


def paper_table(name: str) -> pd.DataFrame:
    """A table of a paper, such as ``ns/table7``: key columns, then ``VALUE_COLUMNS``.

    Raises ``ValueError`` if there is no such table.
    """
    files = {f"{f.parent.name}/{f.stem}": f for f in sorted(papers_dir().glob("*/*.csv"))}
    if name not in files:
        tables = [known for known in files if known.partition("/")[2].startswith("table")]
        raise unknown("table", name, tables)
    return pd.read_csv(files[name], dtype={"note": str}, keep_default_na=True)


def keyed(table: pd.DataFrame) -> tuple[list[str], dict[tuple, dict]]:
    """Names of a paper table's key columns, and the rows (as dicts) by the text of their keys."""
    keys = [column for column in table.columns if column not in VALUE_COLUMNS]
    return keys, {tuple(as_text(r[k]) for k in keys): r for r in table.to_dict("records")}


def as_text(value: object) -> str:
    """A key as text that is the same for our tables and the paper's: 1.0 and 1 are the same row."""
    if isinstance(value, float) and value != value:  # nan
        return ""
    return f"{value:g}" if isinstance(value, int | float) else str(value)
