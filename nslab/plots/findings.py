"""Findings of paired comparisons in words."""

import math
from collections.abc import Sequence

import pandas as pd

from nslab.analysis.statistics import ALIKE, Paired, paired
from nslab.configs.labels import text_of
from nslab.plots.wording import embedded

SIGNIFICANT = 0.05


def comparison_finding(
    table: pd.DataFrame,
    method: str,
    baseline: str,
    *,
    planned: int = 0,
    unit: str = "points",
    more_is_better: bool = True,
) -> str:
    """A method against a baseline over the seeds that they share, in a sentence: on how many seeds
    it is ahead, the mean difference with its 95 % interval, and p of a paired t test. With fewer
    seeds than ``planned``, the verdict waits; if that is unknown (0), p < 0.05 is not called
    significant. Blank if no seed is shared.

    ``table``: columns ``method``, ``seed``, ``value``, one line per method and seed.

    >>> table = pd.DataFrame({"seed": [1, 2, 3] * 2, "method": ["ns_lf"] * 3 + ["ce"] * 3})
    >>> table["value"] = [71.0, 72.0, 75.0, 70.0, 71.0, 71.0]
    >>> ahead, _, rest = comparison_finding(table, "ns_lf", "ce").partition(": ")
    >>> ahead, rest[:47] + "..."
    ('NS-LF ahead of CE in 3 of 3 seeds', '+2.00 points (95 % interval -2.30 to 6.30), not...')
    """
    wide = table.pivot_table(index="seed", columns="method", values="value")
    if method not in wide or baseline not in wide:
        return ""
    apart = (wide[method] - wide[baseline]).dropna()
    if apart.empty:
        return ""
    better = int((apart > 0).sum() if more_is_better else (apart < 0).sum())
    return paired_finding(
        paired(wide[method], wide[baseline]),
        better,
        (text_of(method), text_of(baseline)),
        planned=planned,
        unit=unit,
    )


def paired_finding(
    found: Paired, better: int, names: tuple[str, str], *, planned: int = 0, unit: str = "points"
) -> str:
    """`comparison_finding` for the result of a comparison, in which the first of ``names`` is ahead
    in ``better`` pairs."""
    first, second = names
    seeds = f"{found.n} seed{'s' if found.n > 1 else ''}"
    where = f"in {better} of {seeds}" if better else f"in none of {seeds}"
    text = f"{first} ahead of {second} {where}: {found.mean:+.2f} {unit}"
    if found.low < found.high:
        text += f" (95 % interval {found.low:.2f} to {found.high:.2f})"
    if planned > found.n:
        return f"{text}; verdict waits: {found.n} of {planned} seeds"
    if math.isnan(found.p):
        return f"{text}; {'one pair allows no test' if found.n == 1 else ALIKE}"
    if found.p >= SIGNIFICANT:
        return f"{text}, not significant (p = {found.p:.2g})"
    return f"{text}, {f'significant (p = {found.p:.2g})' if planned else f'p = {found.p:.2g}'}"


def findings_of(
    table: pd.DataFrame, baseline: str, *texts: str, methods: Sequence[str] = (), planned: int = 0
) -> str:
    """The finding above a figure of methods: the `comparison_finding` of one or two methods; for
    more, how many are ahead. Blank for embedded data (see `nslab.plots.wording.embedded`).

    ``methods``: those that are compared with the baseline; by default those of NS, evolution and
    EDL if there are one or two, else all.
    """
    known = list(dict.fromkeys(table["method"]))
    if embedded(table, *texts) or baseline not in known:
        return ""
    if table.duplicated(["method", "seed"]).any():
        return ""  # several settings, so not a single comparison
    others = [method for method in known if method != baseline]
    ours = [m for m in others if m.startswith(("ns_", "edl", "de", "sa_shade"))]
    spoken = list(methods) or (ours if 0 < len(ours) <= 2 else others)
    if len(spoken) <= 2:
        found = (comparison_finding(table, m, baseline, planned=planned) for m in spoken)
        return "\n".join(filter(None, found))
    return _counted(table, spoken, baseline, planned)


def _counted(table: pd.DataFrame, methods: Sequence[str], baseline: str, planned: int) -> str:
    wide = table.pivot_table(index="seed", columns="method", values="value")
    found = [
        paired(wide[m], wide[baseline])
        for m in methods
        if wide[[m, baseline]].notna().all(axis=1).any()
    ]
    above = sum(one.mean > 0 for one in found)
    text = f"{above} of {len(found)} methods above {text_of(baseline)} on average"
    fewest = min((one.n for one in found), default=0)
    if planned > fewest:
        return f"{text}; verdict waits: {fewest} of {planned} seeds"
    if fewest < 2:
        return f"{text}; too few seeds for a test"
    apart = sum(one.p < SIGNIFICANT and one.mean > 0 for one in found)
    return f"{text}, {apart} of them at p < 0.05 (paired t test, not corrected for their number)"
