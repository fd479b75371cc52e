"""The papers' claims, each with the comparison that decides it."""

import csv
import math
from dataclasses import dataclass
from typing import Literal, get_args

from nslab.system.paths import papers_dir
from nslab.system.validation import unknown

PAPERS = ("ns", "de", "edl")
Claimed = Literal["higher", "lower", "not higher", "not lower", ""]
Keys = dict[str, str]


@dataclass(frozen=True)
class Claim:
    """A line of a paper's ``claims.csv``.

    Attributes:
        paper: ``"ns"``, ``"de"`` or ``"edl"``.
        key: the claim's short name, unique in its paper.
        claim: what is claimed, in our words.
        source: where the paper says so.
        quantity: how it is measured, a name in ``nslab.analysis.claims.quantities.QUANTITIES``;
            blank if no code measures it, and ``note`` then says why.
        unit: of the effect, such as ``points`` (percentage points).
        experiment: the experiment whose runs test the claim; its presets fix their size and seeds
            beforehand.
        rows: the rows of the experiment's table that count: key -> the values it may have.
        ours, theirs: the two sides of the difference: the keys in which they differ.
        control: a second side that ours is compared with, such as a larger learning rate.
        claimed: the direction of the difference ours - theirs; blank if no code measures it.
        least: the smallest effect that would support the claim; for ``not higher`` and ``not
            lower`` the difference that is tolerated. NaN: half of the paper's printed difference.
        note: remarks.
    """

    paper: str
    key: str
    claim: str
    source: str
    quantity: str
    unit: str
    experiment: str
    rows: dict[str, tuple[str, ...]]
    ours: Keys
    theirs: Keys
    control: Keys
    claimed: Claimed
    least: float
    note: str

    @property
    def sign(self) -> int:
        """1 if a larger difference supports the claim, -1 if a smaller one does."""
        return 1 if self.claimed in ("higher", "not lower") else -1


def claims_of(paper: str) -> list[Claim]:
    """The claims of a paper, ``"ns"``, ``"de"`` or ``"edl"``.

    Raises ``ValueError`` for another paper, and, naming the line, for one that cannot be read.

    >>> claims_of("ns")[0].key
    'imagenet_winners'
    """
    if paper.lower() not in PAPERS:
        raise unknown("paper", paper, PAPERS)
    file = papers_dir() / paper.lower() / "claims.csv"
    found: dict[str, Claim] = {}
    with file.open(encoding="utf-8", newline="") as lines:
        for number, line in enumerate(csv.DictReader(lines), start=2):
            try:
                claim = _read(paper.lower(), line)
            except ValueError as error:
                raise ValueError(f"{file}, line {number}: {error}") from None
            if claim.key in found:
                raise ValueError(f"{file}, line {number}: a second claim {claim.key}: rename it")
            found[claim.key] = claim
    return list(found.values())


def _read(paper: str, line: dict[str, str]) -> Claim:
    for column in ("key", "claim", "source"):
        if not line[column]:
            raise ValueError(f"{column} is blank")
    directions = [word for word in get_args(Claimed) if word]
    if line["quantity"] and line["claimed"] not in directions:
        raise ValueError(f"claimed must be one of {', '.join(directions)}")
    if not line["quantity"] and (line["claimed"] or not line["note"]):
        raise ValueError("a claim without a quantity has a blank claimed, and a note that says why")
    rows = {key: tuple(value.split("|")) for key, value in _keys(line["rows"]).items()}
    sides = {side: _keys(line[side]) for side in ("ours", "theirs", "control")}
    least = float(line["least"]) if line["least"] else math.nan
    if line["claimed"].startswith("not") and math.isnan(least) and line["quantity"]:
        raise ValueError(f"claimed {line['claimed']!r} needs a least: the difference tolerated")
    if least < 0:
        raise ValueError("least must not be negative: the column claimed gives the direction")
    texts = {name: line[name] for name in TEXTS}
    return Claim(paper=paper, rows=rows, least=least, **sides, **texts)  # type: ignore[arg-type]


TEXTS = ("key", "claim", "source", "quantity", "unit", "experiment", "claimed", "note")


def _keys(text: str) -> Keys:
    """``a=1; b=2`` as a dict."""
    pairs = [part.partition("=") for part in text.split(";") if part.strip()]
    if wrong := [key for key, equals, _ in pairs if not equals]:
        raise ValueError(f"{', '.join(wrong)}: keys are written name=value, with ; between them")
    return {key.strip(): value.strip() for key, _, value in pairs}
