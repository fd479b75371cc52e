"""Evidence: finished runs by experiment and preset, and what they say of a claim."""

import functools
from collections.abc import Sequence
from dataclasses import dataclass

from nslab.analysis.claims.effects import Effect
from nslab.analysis.comparison import TableLine, lines_of
from nslab.analysis.ledger import runs_by_size
from nslab.configs.serialization import decode
from nslab.experiments import EXPERIMENTS, PRESETS, Experiment
from nslab.experiments.definition import preset_sizes
from nslab.runs.results import Result

SIZES = tuple(preset for preset in PRESETS if preset != "smoke")  # smoke supports no claim


@dataclass(frozen=True)
class Measured:
    """What runs of one preset say of a claim.

    Attributes:
        preset: whose runs.
        effect: what they say.
        planned: how many independent units, mostly seeds, the preset fixes beforehand.
        cells: how much of the paper's table it averages, such as ``"1 of 4 rows"``; blank if all.
        runs: the runs behind it.
        notes: what else is to be said, such as networks that are not the paper's.
    """

    preset: str
    effect: Effect
    planned: int
    cells: str = ""
    runs: tuple[Result, ...] = ()
    notes: tuple[str, ...] = ()


@functools.cache
def planned_seeds(exp: Experiment, preset: str) -> tuple[int, ...]:
    """The seeds that a preset fixes, in order."""
    return tuple(dict.fromkeys(config.seed for config in exp.plan(preset)))


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

    def lines(self, experiment: str, preset: str) -> list[TableLine]:
        """Those runs as lines of the experiment's table."""
        if (experiment, preset) not in self._lines:
            runs = self.runs(experiment, preset)
            lines = lines_of(EXPERIMENTS[experiment], runs) if runs else []
            self._lines[experiment, preset] = lines
        return self._lines[experiment, preset]
