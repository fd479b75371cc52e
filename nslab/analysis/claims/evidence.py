"""Evidence: finished runs by experiment and preset, and what they say of a claim."""

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from nslab.analysis.claims.effects import Effect
from nslab.analysis.comparison import TableLine, lines_of
from nslab.analysis.ledger import runs_by_size
from nslab.configs.serialization import decode
from nslab.experiments import EXPERIMENTS, PRESETS, Experiment
from nslab.experiments.definition import precision_of, preset_sizes, size_of
from nslab.papers.claims import Claim, Keys
from nslab.papers.tables import as_text
from nslab.runs.results import Result

SIZES = tuple(preset for preset in PRESETS if preset != "smoke")  # smoke supports no claim


@dataclass(frozen=True)
class Measured:
    """What runs of one preset say of a claim.

    Attributes:
        preset: whose runs.
        effect: what they say.
        planned: how many independent units, mostly seeds, the preset fixes beforehand.
        complete: whether all is there that the preset fixes beforehand beside them, such as the
            rows that are averaged. No verdict comes before.
        cells: how much of the paper's table it averages, such as ``"1 of 4 rows"``; blank if all.
        runs: the runs behind it.
        notes: what else is to be said, such as networks that are not the paper's.
    """

    preset: str
    effect: Effect
    planned: int
    complete: bool = True
    cells: str = ""
    runs: tuple[Result, ...] = ()
    notes: tuple[str, ...] = ()


@functools.cache
def planned_seeds(exp: Experiment, preset: str) -> tuple[int, ...]:
    """The seeds that a preset fixes, in order."""
    return tuple(dict.fromkeys(config.seed for config in exp.plan(preset)))


def _has(row: Mapping[str, object], side: Keys, claim: Claim) -> bool:
    """Whether a row is one of the claim's on a side, as far as it has their keys."""
    wanted = {key: (value,) for key, value in side.items()} | claim.rows
    return all(as_text(row[key]) in values for key, values in wanted.items() if key in row)


class Evidence:
    """Finished runs, looked up by experiment and preset; each table of them is made once."""

    def __init__(self, results: Sequence[Result]) -> None:
        self._by_size = runs_by_size(results)
        self._runs: dict[tuple[str, str], list[Result]] = {}
        self._lines: dict[tuple[str, str], list[TableLine]] = {}

    def runs(self, experiment: str, preset: str) -> list[Result]:
        """The runs of a preset's sizes and seeds."""
        if (experiment, preset) not in self._runs:
            exp = EXPERIMENTS[experiment]
            seeds, sizes = set(planned_seeds(exp, preset)), preset_sizes(exp, preset)
            found = [result for size in sizes for result in self._by_size.get(size, ())]
            kept = [result for result in found if decode(result.config).seed in seeds]
            for smaller in SIZES[: SIZES.index(preset)]:  # a preset may be no larger than another
                if kept == self.runs(experiment, smaller):
                    kept = []
            self._runs[experiment, preset] = kept
        return self._runs[experiment, preset]

    def complete(
        self, claim: Claim, preset: str, sides: Sequence[Keys], precision: str | None = None
    ) -> bool:
        """Whether all runs are there that a preset has of a claim's rows on one of its sides, and
        of one precision if it is given. Keys that no row of the plan has, as a quantity makes them
        itself, leave nothing out."""
        exp = EXPERIMENTS[claim.experiment]
        found = [decode(result.config) for result in self.runs(claim.experiment, preset)]
        there = {
            (size_of(config), config.seed)
            for config in found
            if precision is None or precision_of(config) == precision
        }
        return all(
            (size_of(config), config.seed) in there
            for config in exp.plan(preset)
            if any(_has(exp.row(config), side, claim) for side in sides)
        )

    def lines(self, experiment: str, preset: str) -> list[TableLine]:
        """Those runs as lines of the experiment's table."""
        if (experiment, preset) not in self._lines:
            runs = self.runs(experiment, preset)
            lines = lines_of(EXPERIMENTS[experiment], runs) if runs else []
            self._lines[experiment, preset] = lines
        return self._lines[experiment, preset]
