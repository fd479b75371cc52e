"""The table of claims: each claim of the papers with the evidence of finished runs and a verdict.

No verdict is written by hand. A claim's line in ``claims.csv`` says what is compared, an
experiment's presets fix size and seeds before anything runs, and there is no verdict before all of
those runs are finished, so nobody can stop at the first p below 0.05. The two-sided p values of a
paper's comparisons are adjusted together, by Holm's method.
"""

import math
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import pandas as pd

from nslab.analysis.claims.differences import printed_differences
from nslab.analysis.claims.effects import LEVEL, MOST_SEEDS, holm
from nslab.analysis.claims.evidence import Evidence, Measured, planned_seeds
from nslab.analysis.claims.kinds import CONTROL, kind_of, named, worded
from nslab.analysis.claims.quantities import QUANTITIES
from nslab.analysis.comparison import core_hours
from nslab.configs.labels import text_of
from nslab.experiments import EXPERIMENTS
from nslab.papers.claims import PAPERS, Claim, Keys, claims_of
from nslab.runs.results import every_run

CLAIM_COLUMNS = ["paper", "key", "claim", "source", "kind", "against", "unit", "preset", "effect"]
CLAIM_COLUMNS += ["low", "high", "n", "planned", "p", "p_adjusted", "printed", "least", "verdict"]
CLAIM_COLUMNS += ["more", "cells", "device", "core_hours", "note"]
VERDICTS = ("supported", "contradicted", "undecided", "waiting", "no runs", "not measured")


def claim_table(papers: Sequence[str] = PAPERS) -> pd.DataFrame:
    """The claims of papers: a line per claim, side that it is compared with, and preset with runs.

    Columns:

    - ``kind``: whether the paper makes the comparison, ``against`` is a control that we add, or the
      question is ours (`nslab.analysis.claims.kinds`).
    - ``preset``: any other than ``paper`` is a smaller setting than the claim is about.
    - ``effect``: ours - theirs in ``unit``, with its 95 % interval, ``low`` to ``high``, from ``n``
      independent units of ``planned``; ``p`` is two-sided, ``p_adjusted`` by Holm over the lines of
      the paper.
    - ``printed``: the paper's own difference over the same rows; ``least``: the smallest effect
      that counts as what the paper claims.
    - ``verdict``: *supported* if the effect is above 0, *contradicted* if it is below ``least``,
      both with an adjusted p below 0.05, else *undecided*. For a claim that something does no harm,
      the bounds are minus what is tolerated, and 0; for one that something is lower, all is
      mirrored. *waiting* while seeds or rows that the preset fixes are missing; *no runs*;
      *not measured* if no code measures it, and ``note`` says why.
    - ``more``: how many further units would decide it if spread and estimate stayed as they are;
      blank for a correlation over classes, since there are no more of these.

    >>> table = claim_table(["edl"])
    >>> sorted(set(table["verdict"]) - set(VERDICTS))
    []
    """
    evidence = Evidence(every_run())
    lines: list[dict[str, Any]] = []
    for paper in papers:
        mine: list[dict[str, Any]] = []
        for claim in claims_of(paper):
            sides = [claim.theirs, *([claim.control] if claim.control else [])]
            for against in sides:
                mine += _lines(claim, against, evidence)
        adjusted = holm([line["p"] for line in mine])
        count = sum(not math.isnan(p) for p in adjusted)
        lines += [_judged(line, p, count) for line, p in zip(mine, adjusted, strict=True)]
    return pd.DataFrame(lines, columns=CLAIM_COLUMNS)


def _lines(claim: Claim, against: Keys, evidence: Evidence) -> list[dict[str, Any]]:
    printed = mean_of(printed_differences(claim, against).values())
    least = claim.least
    if math.isnan(least):  # half of what the paper prints against its own baseline
        own = mean_of(printed_differences(claim, claim.theirs).values())
        least = 0.0 if math.isnan(own) else max(0.0, claim.sign * own / 2)
    about = {name: getattr(claim, name) for name in ("paper", "key", "source", "unit", "note")}
    about |= {"claim": worded(claim, against), "kind": kind_of(claim, against)}
    about |= {"against": named(against), "printed": printed, "least": least}
    blank = dict.fromkeys(("effect", "low", "high", "p", "core_hours"), math.nan)
    about |= blank | {"preset": "", "n": 0, "planned": 0, "cells": "", "device": ""}
    if not claim.quantity:
        return [about | {"verdict": "not measured"}]
    found = QUANTITIES[claim.quantity](claim, against, evidence)
    if not found:
        exp = EXPERIMENTS[claim.experiment]
        about["planned"] = len(planned_seeds(exp, "paper"))
        about["note"] = claim.note or f"nslab run {claim.experiment} --preset paper"
        return [about | {"verdict": "no runs"}]
    return [about | _measured(claim, measured, least) for measured in found]


def _measured(claim: Claim, measured: Measured, least: float) -> dict[str, Any]:
    effect = measured.effect
    low, high = effect.interval()
    bounds = bounds_of(claim, least)
    line: dict[str, Any] = {
        "preset": measured.preset,
        "effect": effect.shown,
        "low": low,
        "high": high,
        "n": effect.n,
        "planned": measured.planned,
        "p": math.nan,
        "verdict": "waiting",
        "cells": measured.cells,
        "device": ", ".join(sorted({str(r.env.get("device", "")) for r in measured.runs})),
        "core_hours": core_hours(measured.runs),
        "note": "; ".join(filter(None, (*measured.notes, claim.note))),
    }
    if not measured.complete:
        line["note"] = "; ".join(filter(None, ("runs of the preset are missing", line["note"])))
    elif effect.n >= measured.planned:
        p_values = effect.p_values(bounds)
        line |= {"p": min(p_values), "verdict": "", "judged": (effect, bounds)}
        line["for_it"], line["against_it"] = p_values[:: claim.sign]
    return line


def bounds_of(claim: Claim, least: float) -> tuple[float, float]:
    """The bounds that decide a claim: an effect above the first, or below the second, is decisive.

    For a claimed gain they are 0 and ``least``; for a claim of no harm, minus what is tolerated and
    0. They are mirrored if a lower value is claimed.
    """
    low, high = (-least, 0.0) if claim.claimed.startswith("not") else (0.0, least)
    return (low, high) if claim.sign > 0 else (-high, -low)


def _judged(line: dict[str, Any], adjusted: float, count: int) -> dict[str, Any]:
    """A line with its verdict after adjustment, and how many more units would decide it."""
    if "judged" not in line:
        return line | {"p_adjusted": adjusted, "more": ""}
    effect, bounds = line["judged"]
    if adjusted < LEVEL:  # an effect surely above 0 supports the claim even if it is below least
        sure = line["for_it"] < LEVEL / count or line["for_it"] <= line["against_it"]
        return line | {
            "p_adjusted": adjusted,
            "verdict": "supported" if sure else "contradicted",
            "more": "",
        }
    number = effect.more_units_needed(bounds, LEVEL / max(count, 1))
    more = f"{number}" if number is not None else f"over {MOST_SEEDS}" if effect.n > 1 else "?"
    more = "" if effect.correlation else more
    return line | {"p_adjusted": adjusted, "verdict": "undecided", "more": more}


def mean_of(values: Collection[float]) -> float:
    """The mean; NaN of no values."""
    return sum(values) / len(values) if values else math.nan


def readable_claims(table: pd.DataFrame, *, words: bool = False) -> pd.DataFrame:
    """`claim_table` for people: effect and interval in one column, finished of planned seeds in
    another, and how many of the paper's rows are covered; claims by their short names, or in
    ``words``. The verdict is *waiting for rows* if all seeds are finished, but not all rows.

    >>> list(readable_claims(claim_table(["edl"])))[:4]
    ['paper', 'claim', 'verdict', 'against']
    """
    lines = table.to_dict("records")
    out = table[["paper"]].assign(claim=table["claim" if words else "key"])
    out["verdict"] = [_verdict(line) for line in lines]
    rivals = table["against"].map(text_of)
    controls = "control" if words else "control: " + rivals  # words of the claim name it
    out["against"] = rivals.where(table["kind"] != CONTROL, controls)
    out["preset"] = table["preset"]
    out["effect (95 % interval)"] = [_interval(line) for line in lines]
    out["printed"] = [_signed(line["printed"]) for line in lines]
    out["rows"] = table["cells"].where(table["cells"] != "", "all").where(table["n"] > 0, "")
    out["n"] = [f"{line['n']} of {line['planned']}" if line["planned"] else "" for line in lines]
    out["p adjusted"] = [
        "" if math.isnan(line["p_adjusted"]) else f"{line['p_adjusted']:.2g}" for line in lines
    ]
    return out.assign(more=table["more"])


def _verdict(line: Mapping[Any, Any]) -> str:
    rows = line["verdict"] == "waiting" and line["n"] >= line["planned"]
    return "waiting for rows" if rows else line["verdict"]


def _interval(line: Mapping[Any, Any]) -> str:
    if math.isnan(line["effect"]):
        return ""
    reach = "" if math.isnan(line["low"]) else f" ({line['low']:+.2f} to {line['high']:+.2f})"
    return f"{_signed(line['effect'])}{reach} {line['unit']}"


def _signed(value: float) -> str:
    return "" if math.isnan(value) else f"{value:+.2f}"


def verdict_counts(table: pd.DataFrame) -> pd.DataFrame:
    """The number of lines of a `claim_table` with each verdict, by paper, preset and kind."""
    shown = table.assign(preset=table["preset"].replace("", "none"))
    counts = shown.groupby(["paper", "preset", "kind", "verdict"], sort=False).size()
    return counts.unstack(fill_value=0).reset_index()
