"""Kinds of comparison: one that the paper makes, one with a control of ours, a question of ours."""

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
    """The kind of a comparison, one of `KINDS`."""
    if claim.source == "ours":
        return QUESTION
    return CONTROL if claim.control and against == claim.control else OWN


def named(against: Keys) -> str:
    """The name of the side that a claim is compared with: its method, else its keys."""
    return against.get("method") or ", ".join(f"{key} {value}" for key, value in against.items())


def worded(claim: Claim, against: Keys) -> str:
    """The claim in words. If it is compared with a control of ours, that replaces the paper's
    rival, which the sentence names after "than".

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
