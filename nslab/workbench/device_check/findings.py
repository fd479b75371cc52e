"""Findings of a check: errors against references, and ratios of times or memory."""

import dataclasses
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from torch import Tensor

from nslab.system.timing import Quartiles

AGREES, DISAGREES, SKIPPED = "agrees", "DISAGREES", "skipped"


@dataclass(frozen=True)
class Finding:
    """One comparison with a reference.

    Attributes:
        part, name: the part of the check, and what was compared in it.
        error: the largest error that was found; None if nothing was compared.
        tolerance: the largest error that still counts as agreement.
        reason: why the tolerance is as large as that.
        skipped: why nothing was compared, if so.
    """

    part: str
    name: str
    error: float | None
    tolerance: float
    reason: str
    skipped: str = ""

    @property
    def verdict(self) -> str:
        """`AGREES`, `DISAGREES` (also for an error of NaN) or `SKIPPED`."""
        if self.skipped:
            return SKIPPED
        return AGREES if self.error is not None and self.error <= self.tolerance else DISAGREES


@dataclass(frozen=True)
class Ratio:
    """The ratio of two times or amounts of memory: median and quartiles over rounds (memory has one
    round), and its ``meaning`` in words."""

    name: str
    median: float
    q1: float
    q3: float
    meaning: str

    @classmethod
    def of(cls, name: str, quartiles: Quartiles, meaning: str) -> "Ratio":
        """From the quartiles of several rounds."""
        return cls(name, *quartiles, meaning)


@dataclass(frozen=True)
class Report:
    """The result of the check of a device: environment, comparisons, ratios, and its duration in
    seconds."""

    environment: dict[str, Any]
    findings: list[Finding]
    ratios: list[Ratio] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def passed(self) -> bool:
        """Whether something was compared, and all that was agrees."""
        verdicts = [finding.verdict for finding in self.findings]
        return DISAGREES not in verdicts and AGREES in verdicts

    def count(self, verdict: str) -> int:
        """How many findings have this verdict."""
        return sum(finding.verdict == verdict for finding in self.findings)

    def sentence(self) -> str:
        """The number of findings with each verdict, in words."""
        device = self.environment["device"]
        text = f"{self.count(AGREES)} of {len(self.findings)} comparisons on {device} agree"
        text += f", {wrong} DISAGREE" if (wrong := self.count(DISAGREES)) else ""
        return text + (f", {left} skipped" if (left := self.count(SKIPPED)) else "")

    def to_json(self) -> str:
        """The whole report as JSON; an error that is not finite is null."""
        whole = dataclasses.asdict(self) | {"passed": self.passed}
        for row, finding in zip(whole["findings"], self.findings, strict=True):
            row["verdict"] = finding.verdict
            if finding.error is not None and not math.isfinite(finding.error):
                row["error"] = None
        return json.dumps(whole, indent=1, allow_nan=False) + "\n"

    @classmethod
    def from_json(cls, text: str) -> "Report":
        """The report that `to_json` wrote."""
        found = json.loads(text)
        names = {f.name for f in dataclasses.fields(Finding)}
        findings = [Finding(**{name: row[name] for name in names}) for row in found["findings"]]
        ratios = [Ratio(**row) for row in found["ratios"]]
        return cls(found["environment"], findings, ratios, found["seconds"])

    def table(self) -> str:
        """The findings and ratios as lines of text."""
        lines = [f"{'':9}  {'error':>8}  {'allowed':>8}  of"]
        for f in self.findings:
            error = "" if f.error is None else f"{f.error:.1e}"
            more = f": {f.skipped}" if f.skipped else ""
            lines.append(f"{f.verdict:9}  {error:>8}  {f.tolerance:8.0e}  {f.part}: {f.name}{more}")
        if self.ratios:
            lines += ["", f"{'median':>9}  {'quartiles':>17}  ratio"]
        for r in self.ratios:
            lines.append(f"{r.median:9.3f}  {f'{r.q1:.3f}-{r.q3:.3f}':>17}  {r.name}: {r.meaning}")
        return "\n".join(lines)


def largest_error(
    found: Tensor | np.ndarray, wanted: Tensor | np.ndarray, floor: float = 1.0
) -> float:
    """max |found - wanted| / (floor + |wanted|); infinite for shapes or values that do not match.

    >>> round(largest_error(np.array([1.0, 101.0]), np.array([1.0, 100.0])), 4)
    0.0099
    """
    a, b = (
        (v.detach().double().cpu().numpy() if isinstance(v, Tensor) else v).astype(np.float64)
        for v in (found, wanted)
    )
    if a.shape != b.shape:
        return math.inf
    gaps = np.abs(a - b) / (floor + np.abs(b))
    return float(np.where(np.isnan(gaps), np.inf, gaps).max(initial=0.0))


def worst(errors: Sequence[float]) -> float:
    """The largest of some errors; NaN, and having no errors at all, counts as infinite."""
    return max((math.inf if math.isnan(e) else e for e in errors), default=math.inf)
