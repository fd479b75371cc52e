"""Tables that are generated: claims with their verdicts, and where each equation is computed."""

import functools

import pandas as pd

from nslab.analysis.claims.table import claim_table, readable_claims, verdict_counts
from nslab.papers.claims import PAPERS
from nslab.papers.equations import places
from nslab_docs.api import APART

# The comparisons of the first page: paper, claim, what it is held against, and in plain words.
HEADLINES = (
    ("ns", "long_tail_10_100", "ce", "NS against cross-entropy, long-tailed CIFAR-10"),
    ("ns", "text_textcnn", "ce", "NS against cross-entropy, texts (AG News and IMDB)"),
    ("ns", "adaptation_winners", "ce", "NS against cross-entropy, adaptation of digits and MNIST"),
    ("ns", "cifar10_winners", "ce", "NS against cross-entropy, CIFAR-10, one short run"),
    ("de", "lenets", "adam", "DE against Adam, LeNets on MNIST, Fashion-MNIST and CIFAR"),
    (
        "de",
        "lenets",
        "wa",
        "DE against our control, the average of the same checkpoints; same networks",
    ),
    ("edl", "competitive_log", "ce", "EDL against cross-entropy, CIFAR-10"),
)
NAMES = {"ns": "Natural Selection", "de": "Differential evolution", "edl": "EDL"}


def markdown(table: pd.DataFrame) -> str:
    """A table in Markdown."""

    def line(cells: list[object]) -> str:
        shown = ("" if cell is None or cell != cell else str(cell) for cell in cells)
        return f"| {' | '.join(text.replace('|', chr(92) + '|') for text in shown)} |"

    rows = [line(list(row)) for row in table.itertuples(index=False)]
    return "\n".join([line(list(table.columns)), "|" + "---|" * len(table.columns), *rows])


@functools.cache
def decided() -> pd.DataFrame:
    """The claims of all papers; it takes seconds, and two pages have a part of it."""
    return claim_table(PAPERS)


def headlines() -> str:
    """The comparisons of the first page, with their intervals and verdicts as of now."""
    table = decided()
    lines = []
    for paper, key, against, words in HEADLINES:
        chosen = (table["paper"] == paper) & (table["key"] == key)
        chosen &= table["against"] == against
        for line in table[chosen & (table["n"] > 0)].to_dict("records"):
            known = line["low"] == line["low"]
            bounds = f"{line['low']:+.2f} to {line['high']:+.2f}" if known else "no interval"
            interval = f"{line['effect']:+.2f} ({bounds})"
            seeds = f"{line['n']} of {line['planned']}"
            lines.append((words, interval, seeds, line["preset"], line["verdict"]))
    columns = [
        "comparison",
        "points of test accuracy (95 % interval)",
        "seeds",
        "preset",
        "verdict",
    ]
    return markdown(pd.DataFrame(lines, columns=columns))


def claims() -> str:
    """Counts of verdicts, then the comparisons with runs and those without, by paper."""
    table = decided()
    parts = [markdown(verdict_counts(table))]
    for paper in PAPERS:
        mine = table[table["paper"] == paper]
        with_runs, without = mine[mine["n"] > 0], mine[mine["n"] == 0]
        parts.append(f"## {NAMES[paper]}")
        if len(with_runs):
            shown = readable_claims(with_runs, words=True).drop(columns=["paper", "more"])
            shown["rows"] = shown["rows"].replace("other rows than the paper's", "other")
            parts.append(":::{div} wide-table\n" + markdown(shown) + "\n:::")
        if len(without):
            some = without[["claim", "verdict", "source", "note"]]
            note = some["note"].str.replace(r"(nslab run \S+ --preset \w+)", r"`\1`", regex=True)
            some = some.assign(note=note)
            parts.append(f"{len(some)} comparisons without runs:")
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
