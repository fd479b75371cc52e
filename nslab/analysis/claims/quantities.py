"""Quantities of claims: each maps finished runs, or a stored table, to an effect per preset."""

import functools
import math
from collections.abc import Callable, Sequence

import pandas as pd

from nslab.analysis import adaptation, de, edl
from nslab.analysis.claims.differences import difference
from nslab.analysis.claims.effects import Effect
from nslab.analysis.claims.evidence import SIZES, Evidence, Measured, planned_seeds
from nslab.analysis.run_tables import class_regressions
from nslab.configs.loss_search import losses_of
from nslab.configs.serialization import decode
from nslab.experiments import EXPERIMENTS, Experiment
from nslab.experiments.edl import pretraining_row
from nslab.papers.claims import Claim, Keys
from nslab.papers.tables import as_text
from nslab.runs import frozen
from nslab.runs.results import Result

CORRELATIONS = "ns_correlation_cpu"
NO_KEYS = ("run", "n", "asked", "won")  # columns that do not tell which number a line has
Numbers = Callable[[Sequence[Result]], pd.DataFrame]
Units = Callable[[Experiment, str], Sequence[int]]


def size_correlation(claim: Claim, against: Keys, evidence: Evidence) -> list[Measured]:
    """The correlation of mean score and class size over the classes, from means over the runs of
    the method that ``ours`` names [NS Fig. 4]."""
    table = frozen.table(CORRELATIONS)
    lines = class_regressions(table.assign(imbalance=0.0) if "imbalance" not in table else table)
    line = lines[(lines["method"] == claim.ours["method"]) & (lines["against"] == "size")].iloc[0]
    effect = Effect.of_correlations([(line["line"].r, line["line"].n)])
    return [Measured("cpu", effect, effect.n)]


def quality_correlation(claim: Claim, against: Keys, evidence: Evidence) -> list[Measured]:
    """The correlation of mean score and percent of right pseudo-labels over the classes of each
    task, averaged over tasks by Fisher's z."""
    exp, found = EXPERIMENTS[claim.experiment], []
    for preset in SIZES:
        results = [
            result
            for result in evidence.runs(claim.experiment, preset)
            if exp.row(decode(result.config))["method"] == claim.ours["method"]
        ]
        if results:
            lines = [line for *_, line in _correlations(results) if not math.isnan(line.r)]
            effect = Effect.of_correlations([(line.r, line.n) for line in lines])
            complete = evidence.complete(claim, preset, (claim.ours,))
            found.append(Measured(preset, effect, effect.n, complete, runs=tuple(results)))
    return found


def _correlations(results: Sequence[Result]) -> list[tuple]:
    return adaptation.class_correlations(adaptation.class_table(results))


def by_seed(
    numbers: Numbers, units: Units, claim: Claim, against: Keys, evidence: Evidence
) -> list[Measured]:
    """Ours minus theirs, seed by seed, averaged over the other keys that both sides have.

    ``numbers`` turns runs into a table with the claim's keys, ``seed`` and ``value``; ``units``
    gives the seeds that a preset fixes.
    """
    exp, found = EXPERIMENTS[claim.experiment], []
    for preset in SIZES:
        results = evidence.runs(claim.experiment, preset)
        if not results:
            continue
        table = numbers(results)
        for key, values in claim.rows.items():
            table = table[table[key].map(as_text).isin(values)]
        compared = {"seed", "value", *NO_KEYS, *claim.ours, *against}
        keys = ["seed", *(column for column in table.columns if column not in compared)]
        sides = []
        for side in (claim.ours, against):
            part = table
            for key, value in side.items():
                part = part[part[key].map(as_text) == value]
            sides.append(part.groupby(keys, dropna=False)["value"].mean())
        both = (sides[0] - sides[1]).dropna().groupby("seed").mean()
        if len(both):
            effect = Effect.of_differences(both.tolist())
            complete = evidence.complete(claim, preset, (claim.ours, against))
            planned = len(units(exp, preset))
            found.append(Measured(preset, effect, planned, complete, runs=tuple(results)))
    return found


def generations_needed(results: Sequence[Result]) -> pd.DataFrame:
    """Generations until the loss network ranks held-out pairs, see
    `nslab.analysis.edl.reached_table`."""
    return edl.reached_table(edl.pretraining_table(results))


def held_out_objective(results: Sequence[Result]) -> pd.DataFrame:
    """The objective that evolution minimised, on held-out pairs at its end, as 100 times its
    logarithm, so that small differences are percent."""
    lines = [
        pretraining_row(config) | {"seed": config.seed, "value": 100 * math.log(objective)}
        for config, objective in ((decode(r.config), r.metrics["objective"]) for r in results)
    ]
    return pd.DataFrame(lines)


def success_rates(results: Sequence[Result]) -> pd.DataFrame:
    """Per run, the percentage of each strategy's trials that won: ``strategy``, ``seed``,
    ``value``; and that of all other strategies together, as ``not <strategy>`` [DE Fig. 6]."""
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
    """Mean test accuracy of the networks trained with each evolved loss; ``seed`` is that of the
    loss's evolution."""
    table = edl.factor_table(results)
    return table[table["feature"] != "CE"].rename(columns={"evolution": "seed"})


def accuracy_correlation(claim: Claim, against: Keys, evidence: Evidence) -> list[Measured]:
    """The rank correlation of evolved losses' held-out objective and the accuracy of networks
    trained with them, over the generations of each evolution, averaged over evolutions. Losses of
    one evolution depend on each other, so evolutions are the independent units."""
    found = []
    for preset in SIZES:
        results = evidence.runs(claim.experiment, preset)
        if not results:
            continue
        table = edl.transfer_table(results)
        table["evolution"] = table["loss"].map(_evolutions(results))
        ranks = [
            float(part["objective"].corr(part["accuracy"], method="spearman"))
            for _, part in table.groupby(["variant", "evolution"], sort=False)
            if min(part["objective"].nunique(), part["accuracy"].nunique()) > 1
        ]
        if ranks:
            effect, complete = Effect.of_differences(ranks), evidence.complete(claim, preset, ({},))
            found.append(Measured(preset, effect, len(ranks), complete, runs=tuple(results)))
    return found


def _evolutions(results: Sequence[Result]) -> dict[str, int]:
    """Id of the run that evolved a loss -> seed of that evolution."""
    sources = [losses_of(decode(result.config))[0] for result in results]
    return {source.id: source.seed for source in sources}


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
