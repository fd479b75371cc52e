"""Evidence: finished runs by experiment and preset, and what they say of a claim."""

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from nslab.analysis.claims.effects import Effect
from nslab.analysis.comparison import TableLine, lines_of
from nslab.analysis.ledger import runs_by_size
from nslab.configs import RunConfig
from nslab.configs.serialization import decode
from nslab.experiments import EXPERIMENTS, PRESETS, Experiment
from nslab.experiments.definition import (
    TableRow,
    planned,
    precision_of,
    preset_sizes,
    size_of,
)
from nslab.papers.claims import Claim, Keys
from nslab.papers.tables import as_text
from nslab.runs.results import Result

SizeAndSeed = tuple[RunConfig, int]
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
    return tuple(dict.fromkeys(config.seed for config in planned(exp, preset)))


def size_and_seed(config: RunConfig) -> SizeAndSeed:
    """What two runs that differ in numerics alone share."""
    return size_of(config), config.seed


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
        self._planned: dict[tuple[str, str], list[tuple[SizeAndSeed, TableRow]]] = {}
        self._found: dict[tuple[str, str], list[tuple[SizeAndSeed, str]]] = {}
        self._configs: dict[str, RunConfig] = {}

    def runs(self, experiment: str, preset: str) -> list[Result]:
        """The runs of a preset's sizes and seeds."""
        if (experiment, preset) not in self._runs:
            exp = EXPERIMENTS[experiment]
            seeds, sizes = set(planned_seeds(exp, preset)), preset_sizes(exp, preset)
            found = [result for size in sizes for result in self._by_size.get(size, ())]
            kept = [result for result in found if self._config(result).seed in seeds]
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
        key = (claim.experiment, preset)
        if key not in self._planned:
            exp = EXPERIMENTS[claim.experiment]
            plan = [(config, exp.row(config)) for config in planned(exp, preset)]
            self._planned[key] = [(size_and_seed(config), row) for config, row in plan]
            found = map(self._config, self.runs(*key))
            self._found[key] = [(size_and_seed(c), precision_of(c)) for c in found]
        there = {size for size, of in self._found[key] if precision is None or of == precision}
        return all(
            size in there
            for size, row in self._planned[key]
            if any(_has(row, side, claim) for side in sides)
        )

    def _config(self, result: Result) -> RunConfig:
        """The run's config: to make one takes time."""
        if result.id not in self._configs:
            self._configs[result.id] = decode(result.config)
        return self._configs[result.id]

    def lines(self, experiment: str, preset: str) -> list[TableLine]:
        """Those runs as lines of the experiment's table."""
        if (experiment, preset) not in self._lines:
            runs = self.runs(experiment, preset)
            lines = lines_of(EXPERIMENTS[experiment], runs) if runs else []
            self._lines[experiment, preset] = lines
        return self._lines[experiment, preset]
