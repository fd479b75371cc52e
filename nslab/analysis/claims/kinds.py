"""Kinds of comparison: what a paper compares itself, a control that is ours, a question of ours."""

import re
from collections.abc import Sequence

import pandas as pd

from nslab.configs.labels import text_of
from nslab.papers.claims import Claim, Keys

OWN, CONTROL, QUESTION = "the paper's own", "control", "our question"
KINDS = {
    OWN: "on the papers' own comparisons",
    CONTROL: "against controls",
    QUESTION: "on questions of ours",
}
_RIVAL = re.compile(r" than .*")


def kind_of(claim: Claim, against: Keys) -> str:
    """Whose comparison it is, one of `KINDS`."""
    if claim.source == "ours":
        return QUESTION
    return CONTROL if claim.control and against == claim.control else OWN


def named(against: Keys) -> str:
    """What a claim is held against: its method, else its keys."""
    return against.get("method") or ", ".join(f"{key} {value}" for key, value in against.items())


def worded(claim: Claim, against: Keys) -> str:
    """The claim in words; held against a control, which the paper's sentence does not name, with
    the control in the place of the paper's rival.

    >>> from nslab.papers.claims import claims_of
    >>> (lenets,) = [claim for claim in claims_of("de") if claim.key == "lenets"]
    >>> worded(lenets, lenets.control)
    'Evolving the last epochs of Adam makes better LeNets: against the control weight average'
    """
    if kind_of(claim, against) != CONTROL:
        return claim.claim
    return f"{_RIVAL.sub('', claim.claim)}: against the control {text_of(named(against))}"


def counted(table: pd.DataFrame, verdicts: Sequence[str]) -> str:
    """How many lines of `nslab.analysis.claims.table.claim_table` have each verdict, kind by kind.

    >>> counted(pd.DataFrame({"kind": [OWN, CONTROL], "verdict": "undecided"}), ["undecided"])
    "1 undecided on the papers' own comparisons; 1 undecided against controls"
    """
    parts = []
    for kind, words in KINDS.items():
        counts = table.loc[table["kind"] == kind, "verdict"].value_counts()
        if said := ", ".join(f"{counts[v]} {v}" for v in verdicts if v in counts):
            parts.append(f"{said} {words}")
    return "; ".join(parts) or "none"
