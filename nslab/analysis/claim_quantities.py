"""Quantities of claims: from finished runs, or a frozen table, to an effect at each preset."""

import functools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from nslab.analysis import adaptation, de, edl
from nslab.analysis.claim_effects import Effect
from nslab.analysis.comparison import TableLine, lines_of, paired_values
from nslab.analysis.ledger import runs_by_size
from nslab.analysis.run_tables import class_regressions
from nslab.configs.serialization import decode
from nslab.experiments import EXPERIMENTS, PRESETS, Experiment
from nslab.experiments.definition import preset_sizes
from nslab.experiments.edl import pretraining_row
from nslab.papers.claims import Claim, Keys
from nslab.papers.tables import as_text, keyed, paper_table
from nslab.runs import frozen
from nslab.runs.results import Result

CORRELATIONS = "ns_correlation_cpu"
SIZES = tuple(preset for preset in PRESETS if preset != "smoke")  # smoke supports no claim
Numbers = Callable[[Sequence[Result]], pd.DataFrame]
Units = Callable[[Experiment, str], Sequence[int]]


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


def difference(claim: Claim, against: Keys, evidence: Evidence) -> list[Measured]:
    """Ours minus theirs, seed by seed, averaged over the rows that count."""
    found = (_difference(claim, against, preset, evidence) for preset in SIZES)
    return [measured for measured in found if measured]


def _difference(claim: Claim, against: Keys, preset: str, evidence: Evidence) -> Measured | None:
    lines = evidence.lines(claim.experiment, preset)
    planned = planned_seeds(EXPERIMENTS[claim.experiment], preset)
    best: Measured | None = None
    for precision in sorted({line.precision for line in lines}):  # the one with most seeds
        kept = {line.row: line for line in lines if line.precision == precision}
        cells = _cells(kept, claim, against)
        if not cells:
            continue
        whole = set.intersection(*(set(values) for values, _ in cells))
        seeds = [seed for seed in planned if seed in whole]
        values = {seed: sum(of[seed] for of, _ in cells) / len(cells) for seed in seeds}
        if not values or (best and best.effect.n >= len(values)):
            continue
        both = [line for _, pair in cells for line in pair]
        names = EXPERIMENTS[claim.experiment].printed_as
        other = "another network" if any(value in names for value in _networks(both)) else ""
        notes = [note for line in both for note in (line.differs, precision, other) if note]
        best = Measured(
            preset,
            Effect.of_differences(list(values.values())),
            len(planned),
            _share(claim, [ours.row for _, (ours, _) in cells]),
            tuple({run.result.id: run.result for line in both for run in line.runs}.values()),
            tuple(dict.fromkeys(notes)),
        )
    return best


def _networks(lines: Sequence[TableLine]) -> set[str]:
    return {dict(zip(line.keys, line.row, strict=True)).get("network", "") for line in lines}


def _cells(
    lines: Mapping[tuple[str, ...], TableLine], claim: Claim, against: Keys
) -> list[tuple[dict[int, float], tuple[TableLine, TableLine]]]:
    """For each row that counts and has both sides: differences by seed, and the two lines."""
    found = []
    for line in lines.values():
        keys = dict(zip(line.keys, line.row, strict=True))
        if not _counts(keys, claim, claim.ours):
            continue
        other = lines.get(tuple((keys | against).values()))
        values = paired_values(line, other) if other else {}
        if other and values:
            found.append((values, (line, other)))
    return found


def _counts(keys: Mapping[str, str], claim: Claim, side: Keys) -> bool:
    """Whether a row is one of the claim's, on a side."""
    return all(keys.get(k) == v for k, v in side.items()) and all(
        keys.get(k) in values for k, values in claim.rows.items()
    )


def _share(claim: Claim, rows: Sequence[tuple[str, ...]]) -> str:
    """How many of the rows that the paper prints a mean of ours has."""
    printed = printed_differences(claim, claim.theirs)
    names = EXPERIMENTS[claim.experiment].printed_as
    there = len({tuple(names.get(value, value) for value in row) for row in rows} & set(printed))
    if not printed or there == len(printed):
        return ""
    return f"{there} of {len(printed)} rows" if there else "other rows than the paper's"


def printed_differences(claim: Claim, against: Keys) -> dict[tuple[str, ...], float]:
    """Ours minus theirs in the paper's own table, by each row that counts and has both."""
    exp = EXPERIMENTS.get(claim.experiment)
    if exp is None or exp.table is None or claim.quantity != "difference":
        return {}
    sides = [
        {key: exp.printed_as.get(value, value) for key, value in side.items()}
        for side in (claim.ours, against)
    ]
    keys, rows = keyed(paper_table(f"{claim.paper}/{exp.table}"))
    found = {}
    for row, line in rows.items():
        about = dict(zip(keys, row, strict=True))
        other = rows.get(tuple((about | sides[1]).values()))
        if other and other is not line and _counts(about, claim, sides[0]):
            found[row] = float(line["value"]) - float(other["value"])
    return {row: value for row, value in found.items() if not math.isnan(value)}


def size_correlation(claim: Claim, against: Keys, evidence: Evidence) -> list[Measured]:
    """Mean score against class size over the classes, means over the runs of the method that
    ``ours`` names [NS Fig. 4]."""
    table = frozen.table(CORRELATIONS)
    lines = class_regressions(table.assign(imbalance=0.0) if "imbalance" not in table else table)
    line = lines[(lines["method"] == claim.ours["method"]) & (lines["against"] == "size")].iloc[0]
    effect = Effect.of_correlations([(line["line"].r, line["line"].n)])
    return [Measured("cpu", effect, effect.n)]


def quality_correlation(claim: Claim, against: Keys, evidence: Evidence) -> list[Measured]:
    """Mean score against right pseudo-labels over the classes of each task, as one mean z."""
    exp, found = EXPERIMENTS[claim.experiment], []
    for preset in SIZES:
        results = [
            result
            for result in evidence.runs(claim.experiment, preset)
            if exp.row(decode(result.config))["method"] == claim.ours["method"]
        ]
        if results:
            lines = [line for *_, line in _correlations(results)]
            effect = Effect.of_correlations([(line.r, line.n) for line in lines])
            found.append(Measured(preset, effect, effect.n, runs=tuple(results)))
    return found


def _correlations(results: Sequence[Result]) -> list[tuple]:
    return adaptation.class_correlations(adaptation.class_table(results))


def by_seed(
    numbers: Numbers, units: Units, claim: Claim, against: Keys, evidence: Evidence
) -> list[Measured]:
    """Ours minus theirs of ``numbers``, a table with the claim's keys, ``seed`` and ``value``; seed
    by seed, means over what else it has. ``units``: the seeds that a preset fixes."""
    exp, found = EXPERIMENTS[claim.experiment], []
    for preset in SIZES:
        results = evidence.runs(claim.experiment, preset)
        if not results:
            continue
        table = numbers(results)
        for key, values in claim.rows.items():
            table = table[table[key].map(as_text).isin(values)]
        sides = []
        for side in (claim.ours, against):
            part = table
            for key, value in side.items():
                part = part[part[key].map(as_text) == value]
            sides.append(part.groupby("seed")["value"].mean())
        both = (sides[0] - sides[1]).dropna()
        if len(both):
            effect = Effect.of_differences(both.tolist())
            found.append(Measured(preset, effect, len(units(exp, preset)), runs=tuple(results)))
    return found


def generations_needed(results: Sequence[Result]) -> pd.DataFrame:
    """Generations until the loss network ranks held-out pairs."""
    return edl.reached_table(edl.pretraining_table(results))


def held_out_objective(results: Sequence[Result]) -> pd.DataFrame:
    """What evolution minimised, on held-out pairs at its end, as 100 times the logarithm: small
    differences are percent."""
    lines = [
        pretraining_row(config) | {"seed": config.seed, "value": 100 * math.log(objective)}
        for config, objective in ((decode(r.config), r.metrics["objective"]) for r in results)
    ]
    return pd.DataFrame(lines)


def success_rates(results: Sequence[Result]) -> pd.DataFrame:
    """Percent of a strategy's trials that won, by run: ``strategy``, ``seed``, ``value``; and the
    same of all other strategies together, as ``not <strategy>`` [DE Fig. 6]."""
    table = de.strategy_table([r for r in results if hasattr(_method(r), "strategies")])
    sums = table.groupby(["run", "seed", "strategy"], as_index=False)[["asked", "won"]].sum()
    total = sums.groupby("run")[["asked", "won"]].transform("sum")
    rest = sums.assign(
        strategy="not " + sums["strategy"],
        asked=total["asked"] - sums["asked"],
        won=total["won"] - sums["won"],
    )
    whole = pd.concat([sums, rest[rest["asked"] > 0]])
    return whole.assign(value=100 * whole["won"] / whole["asked"])


def _method(result: Result) -> object:
    return getattr(decode(result.config), "method", None)


def margin_and_feature(results: Sequence[Result]) -> pd.DataFrame:
    """Mean test accuracy of the networks trained with each evolved loss, its evolution as
    ``seed``."""
    table = edl.factor_table(results)
    return table[table["feature"] != "CE"].rename(columns={"evolution": "seed"})


def accuracy_correlation(claim: Claim, against: Keys, evidence: Evidence) -> list[Measured]:
    """Held-out objective of evolved losses against accuracy with them, over the losses of each
    kind, as one mean z."""
    found = []
    for preset in SIZES:
        results = evidence.runs(claim.experiment, preset)
        if not results:
            continue
        table = edl.transfer_table(results)
        pairs = [
            (float(part["objective"].corr(part["accuracy"], method="spearman")), len(part))
            for _, part in table.groupby("variant", sort=False)
            if len(part) > 3
        ]
        if pairs:
            effect = Effect.of_correlations(pairs)
            found.append(Measured(preset, effect, effect.n, runs=tuple(results)))
    return found


def evolutions(exp: Experiment, preset: str) -> tuple[int, ...]:
    """The seeds of the evolutions whose losses a preset trains with."""
    return tuple({row["evolution"] for row in map(exp.row, exp.plan(preset))} - {0})  # type: ignore[arg-type]


QUANTITIES: dict[str, Callable[[Claim, Keys, Evidence], list[Measured]]] = {
    "difference": difference,
    "size_correlation": size_correlation,
    "quality_correlation": quality_correlation,
    "generations": functools.partial(by_seed, generations_needed, planned_seeds),
    "objective": functools.partial(by_seed, held_out_objective, planned_seeds),
    "success_rate": functools.partial(by_seed, success_rates, planned_seeds),
    "margin_and_feature": functools.partial(by_seed, margin_and_feature, evolutions),
    "accuracy_correlation": accuracy_correlation,
}
