"""Tables that are generated: claims with their verdicts, and where each equation is computed."""

import pandas as pd
from nslab_docs.api import APART

from nslab.analysis.claims.table import claim_table, readable_claims, verdict_counts
from nslab.papers.claims import PAPERS
from nslab.papers.equations import places

NAMES = {"ns": "Natural Selection", "de": "Differential evolution", "edl": "EDL"}


def markdown(table: pd.DataFrame) -> str:
    """A table in Markdown."""

    def line(cells: list[object]) -> str:
        shown = ("" if cell is None or cell != cell else str(cell) for cell in cells)
        return f"| {' | '.join(text.replace('|', chr(92) + '|') for text in shown)} |"

    rows = [line(list(row)) for row in table.itertuples(index=False)]
    return "\n".join([line(list(table.columns)), "|" + "---|" * len(table.columns), *rows])


def claims() -> str:
    """Counts of verdicts, then the claims that have runs and those that have none, by paper."""
    table = claim_table(PAPERS)
    parts = [markdown(verdict_counts(table))]
    for paper in PAPERS:
        mine = table[table["paper"] == paper]
        with_runs, without = mine[mine["n"] > 0], mine[mine["n"] == 0]
        parts.append(f"## {NAMES[paper]}")
        if len(with_runs):
            shown = readable_claims(with_runs, words=True).drop(columns=["paper", "more"])
            parts.append(":::{div} wide-table\n" + markdown(shown) + "\n:::")
        if len(without):
            some = without.drop_duplicates("key")[["claim", "source", "verdict", "note"]]
            parts.append(f"{len(some)} claims without runs:")
            parts.append(":::{div} wide-table\n" + markdown(some) + "\n:::")
    return "\n\n".join(parts)


def equations() -> str:
    """A line per tagged equation, with a link to its module."""
    lines = []
    for place in places():
        module = place.where.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
        where = f"`{module}`" if module.startswith(APART) else f"{{py:mod}}`{module}`"
        lines.append((place.paper, f"{place.kind}. {place.number}", where, place.line))
    return markdown(pd.DataFrame(lines, columns=["paper", "equation", "module", "line"]))
