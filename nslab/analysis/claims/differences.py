"""Differences between two methods, in our runs and in the paper's own table."""

import math
from collections.abc import Mapping, Sequence

from nslab.analysis.claims.effects import Effect
from nslab.analysis.claims.evidence import SIZES, Evidence, Measured, planned_seeds
from nslab.analysis.comparison import TableLine, paired_values
from nslab.experiments import EXPERIMENTS
from nslab.papers.claims import Claim, Keys
from nslab.papers.tables import keyed, paper_table


def difference(claim: Claim, against: Keys, evidence: Evidence) -> list[Measured]:
    """Ours minus theirs, seed by seed, averaged over the claim's rows: one value per preset with
    runs. ``against`` is the other side, the claim's ``theirs`` or ``control``."""
    found = (_difference(claim, against, preset, evidence) for preset in SIZES)
    return [measured for measured in found if measured]


def _difference(claim: Claim, against: Keys, preset: str, evidence: Evidence) -> Measured | None:
    """The difference at a preset, in the precision with the most complete runs."""
    lines = evidence.lines(claim.experiment, preset)
    found = [
        measured
        for precision in sorted({line.precision for line in lines})
        if (measured := _of_precision(claim, against, preset, precision, evidence))
    ]
    return max(found, key=lambda m: (m.complete, m.effect.n, len(m.runs)), default=None)


def _of_precision(
    claim: Claim, against: Keys, preset: str, precision: str, evidence: Evidence
) -> Measured | None:
    exp = EXPERIMENTS[claim.experiment]
    lines = evidence.lines(claim.experiment, preset)
    cells = _cells({ln.row: ln for ln in lines if ln.precision == precision}, claim, against)
    planned = planned_seeds(exp, preset)
    whole = set.intersection(*(set(values) for values, _ in cells)) if cells else set()
    seeds = [seed for seed in planned if seed in whole]
    if not seeds:
        return None
    both = [line for _, pair in cells for line in pair]
    other = "another network" if _networks(both) & set(exp.printed_as) else ""
    notes = [note for ln in both for note in (ln.differs, precision, other, *ln.notes) if note]
    return Measured(
        preset,
        Effect.of_differences([sum(of[seed] for of, _ in cells) / len(cells) for seed in seeds]),
        len(planned),
        evidence.complete(claim, preset, (claim.ours, against), precision),
        _share(claim, [ours.row for _, (ours, _) in cells]),
        tuple({run.result.id: run.result for line in both for run in line.runs}.values()),
        tuple(dict.fromkeys(notes)),
    )


def _networks(lines: Sequence[TableLine]) -> set[str]:
    return {dict(zip(line.keys, line.row, strict=True)).get("network", "") for line in lines}


def _cells(
    lines: Mapping[tuple[str, ...], TableLine], claim: Claim, against: Keys
) -> list[tuple[dict[int, float], tuple[TableLine, TableLine]]]:
    """For each row of the claim that has both sides: differences by seed, and the two lines."""
    found = []
    for line in lines.values():
        keys = dict(zip(line.keys, line.row, strict=True))
        if not _counts(keys, claim, claim.ours):
            continue
        other = lines.get(tuple((keys | against).values()))
        values = paired_values(line, other) if other else {}
        if other and values:
            found.append((values, (line, other)))
    return found


def _counts(keys: Mapping[str, str], claim: Claim, side: Keys) -> bool:
    """Whether a row is among the claim's rows and on the given side."""
    return all(keys.get(k) == v for k, v in side.items()) and all(
        keys.get(k) in values for k, values in claim.rows.items()
    )


def _share(claim: Claim, rows: Sequence[tuple[str, ...]]) -> str:
    """How many of the paper's rows our mean covers, such as ``"1 of 4 rows"``; blank for all."""
    printed = printed_differences(claim, claim.theirs)
    names = EXPERIMENTS[claim.experiment].printed_as
    there = len({tuple(names.get(value, value) for value in row) for row in rows} & set(printed))
    if not printed or there == len(printed):
        return ""
    return f"{there} of {len(printed)} rows" if there else "other rows than the paper's"


def printed_differences(claim: Claim, against: Keys) -> dict[tuple[str, ...], float]:
    """Ours minus theirs in the paper's own table, for each row of the claim that has both sides."""
    exp = EXPERIMENTS.get(claim.experiment)
    if exp is None or exp.table is None or claim.quantity != "difference":
        return {}
    sides = [
        {key: exp.printed_as.get(value, value) for key, value in side.items()}
        for side in (claim.ours, against)
    ]
    keys, rows = keyed(paper_table(f"{claim.paper}/{exp.table}"))
    found = {}
    for row, line in rows.items():
        about = dict(zip(keys, row, strict=True))
        other = rows.get(tuple((about | sides[1]).values()))
        if other and other is not line and _counts(about, claim, sides[0]):
            found[row] = float(line["value"]) - float(other["value"])
    return {row: value for row, value in found.items() if not math.isnan(value)}
