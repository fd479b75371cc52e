"""Evidence: finished runs by experiment and preset, and what they say about a claim."""

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
    """What the runs of one preset say about a claim.

    Attributes:
        preset: the preset of the runs.
        effect: the estimate from them.
        planned: how many independent units, mostly seeds, the preset fixes beforehand.
        complete: whether all runs are finished that the preset fixes beforehand for these units,
            such as those of all rows that are averaged. Before that there is no verdict.
        cells: how much of the paper's table is averaged, such as ``"1 of 4 rows"``; blank for all.
        runs: the runs behind the estimate.
        notes: remarks, such as that the network is not the paper's.
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
    """A key that is equal for runs that differ only in numerics, such as precision."""
    return size_of(config), config.seed


def _has(row: Mapping[str, object], side: Keys, claim: Claim) -> bool:
    """Whether a row is among the claim's rows and on the given side; keys that the row lacks are
    not compared."""
    wanted = {key: (value,) for key, value in side.items()} | claim.rows
    return all(as_text(row[key]) in values for key, values in wanted.items() if key in row)


class Evidence:
    """Finished runs, looked up by experiment and preset; tables of them are cached."""

    def __init__(self, results: Sequence[Result]) -> None:
        self._by_size = runs_by_size(results)
        self._runs: dict[tuple[str, str], list[Result]] = {}
        self._lines: dict[tuple[str, str], list[TableLine]] = {}
        self._planned: dict[tuple[str, str], list[tuple[SizeAndSeed, TableRow]]] = {}
        self._found: dict[tuple[str, str], list[tuple[SizeAndSeed, str]]] = {}
        self._configs: dict[str, RunConfig] = {}

    def runs(self, experiment: str, preset: str) -> list[Result]:
        """The runs of a preset, at its seeds and in any numerics. Empty if they are the same as
        those of a smaller preset."""
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
        """Whether all runs that a preset plans for a claim's rows, on any of ``sides``, are
        finished, in the given precision if there is one. Keys that the planned rows lack, because
        a quantity adds them itself, are ignored."""
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
        """The run's config, cached, since decoding takes time."""
        if result.id not in self._configs:
            self._configs[result.id] = decode(result.config)
        return self._configs[result.id]

    def lines(self, experiment: str, preset: str) -> list[TableLine]:
        """`runs` as lines of the experiment's table."""
        if (experiment, preset) not in self._lines:
            runs = self.runs(experiment, preset)
            lines = lines_of(EXPERIMENTS[experiment], runs) if runs else []
            self._lines[experiment, preset] = lines
        return self._lines[experiment, preset]
