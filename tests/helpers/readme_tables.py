"""The ledger's part of the READMEs; ``python tests/helpers/readme_tables.py`` rewrites it.

Only frozen results (stored in version control) count there, so it uses an empty store of runs.
"""

import os
import re
import tempfile
import textwrap
from pathlib import Path

import pandas as pd

from nslab.analysis import ledger
from nslab.experiments import EXPERIMENTS

ROOT = Path(__file__).parents[2]
BLOCK = re.compile(r"(<!-- ledger -->\n).*?(<!-- end of ledger -->)", re.DOTALL)


def totals(table: pd.DataFrame) -> str:
    """The ledger in one sentence."""
    ours, alike = table[table["n"] > 0], int(table["delta"].count())
    differ = ours.loc[ours["delta"].isna(), "differs"].value_counts()
    rest = ", ".join(f"{why} ({n})" for why, n in differ.items())
    text = (
        f"Of the {len(table):,} numbers in the tables of NS and DE, {len(ours)} have one of ours "
        f"beside them, {alike or 'none'} like for like (the paper's data, network and setting); "
        f"the others: {rest}."
    )
    return textwrap.fill(text, 100) + "\n"


def blocks() -> dict[str, str]:
    """File -> the text between its two marks."""
    table = ledger.build_ledger()
    # errors on corrupted images would take too many lines; the ledger itself has them
    errors = {name for name, exp in EXPERIMENTS.items() if exp.measure.endswith("_errors")}
    runs = table[(table["n"] > 0) & ~table["experiment"].isin({"", *errors})]
    shown = runs.drop(columns=["delta", "low", "high", "differs", "experiment"])
    note = shown["note"].str.replace("made by another version of nslab, ", "")
    tables = [ledger.counts(table), shown.assign(note=note).rename(columns={"value": "printed"})]
    return {
        "README.md": totals(table),
        "data/results/README.md": "\n" + "\n".join(ledger.written(t, ".md") for t in tables),
    }


def main() -> None:
    """Write the blocks into their files."""
    with tempfile.TemporaryDirectory() as home:
        os.environ["NSLAB_HOME"] = home
        for name, block in blocks().items():
            text = (ROOT / name).read_text(encoding="utf-8")
            new = BLOCK.sub(lambda m, b=block: m[1] + b + m[2], text)
            (ROOT / name).write_text(new, encoding="utf-8")


if __name__ == "__main__":
    main()
