"""Filters of runs for `nslab.workbench.run_list`, and the check of ids.

They are checked without slow imports, so that a typing mistake is reported at once.
"""

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from nslab.system.validation import unknown
from nslab.workbench.names import names

STATES = ("frozen", "finished", "stale", "running", "unfinished")
LEAST = 4  # fewest digits that may stand for a run's id
AGO = re.compile(r"(\d+) ?([hdw])[a-z]*")
HOURS = {"h": 1, "d": 24, "w": 168}


@dataclass(frozen=True)
class RunFilter:
    """Which runs are wanted; a blank attribute means all.

    Attributes:
        dataset, network: a name, a part of one, or a pattern such as ``cifar*``.
        method: a name, which stands for its family too (``ns``: ``ns_ws`` and ``ns_lf``), or a
            pattern.
        seed: the run's seed.
        since, until: bounds on when it finished: ``2026-11-30``, with or without a time (UTC;
            without, the whole day is included), or how long ago: ``3d``, ``12h``.
        state: one of `STATES`.
        paper, experiment: only runs that belong to these, at any preset.
    """

    dataset: str = ""
    network: str = ""
    method: str = ""
    seed: int | None = None
    since: str = ""
    until: str = ""
    state: str = ""
    paper: str = ""
    experiment: str = ""

    def __post_init__(self) -> None:
        if self.state and self.state not in STATES:
            raise unknown("state", self.state, STATES)
        if (self.experiment or self.paper) and not self.experiments:
            known = names()["experiments"]
            if self.experiment:
                raise unknown("experiment", self.experiment, known)
            raise unknown("paper", self.paper, dict.fromkeys(n.partition("/")[0] for n in known))
        moment(self.since), moment(self.until, end=True)

    @property
    def experiments(self) -> list[str]:
        """The experiments whose runs are wanted; empty if neither paper nor experiment is given."""
        known = names()["experiments"] if self.experiment or self.paper else ()
        if self.experiment:
            return [self.experiment] if self.experiment in known else []
        return [n for n in known if n.startswith(f"{self.paper}/")]


def moment(text: str, *, end: bool = False, now: datetime | None = None) -> str:
    """A time in the form that results use (UTC); for a day its beginning, or with ``end`` its end.
    ``ValueError`` for a text that is no time.

    >>> moment("2026-11-30"), moment("2026-11-30", end=True)
    ('2026-11-30T00:00:00Z', '2026-11-30T23:59:59Z')
    """
    if not text:
        return ""
    if ago := AGO.fullmatch(text.strip()):
        past = timedelta(hours=int(ago[1]) * HOURS[ago[2]])
        return f"{(now or datetime.now(UTC)) - past:%Y-%m-%dT%H:%M:%SZ}"
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(
            f"{text!r} is no time: give 2026-11-30, 2026-11-30T18:00, or so long ago: 3d, 12h"
        ) from None
    if end and len(text.strip()) <= len("2026-11-30"):
        found = found.replace(hour=23, minute=59, second=59)
    found = found.astimezone(UTC) if found.tzinfo else found
    return f"{found:%Y-%m-%dT%H:%M:%SZ}"


def check_id(prefix: str) -> None:
    """``ValueError`` for a text that cannot be the beginning of a run's id."""
    if not re.fullmatch(f"[0-9a-f]{{{LEAST},12}}", prefix):
        raise ValueError(
            f"{prefix!r} is no id of a run: twelve hexadecimal digits, or the first of them, "
            f"{LEAST} at least; nslab runs lists them"
        )
