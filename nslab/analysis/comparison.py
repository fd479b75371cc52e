"""Runs of an experiment as lines of a table: which runs each line averages, which of them are
missing, and how it differs from the baseline's line."""

import dataclasses
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from nslab.analysis.measures import NO_KEYS, measure_of
from nslab.configs import AdaptConfig, RunConfig
from nslab.experiments import PRESETS, Experiment
from nslab.experiments.definition import precision_of, preset_sizes, size_of
from nslab.objectives.fast_scores import exactly_scored
from nslab.papers.tables import as_text
from nslab.runs.portability import known_config
from nslab.runs.results import Result

# Fields that a row may average over, and their names in notes; other fields have their own names.
AVERAGED = {"imbalance": "factors", "network": "networks", "dataset": "data sets"}
# Fields of a training that belong to the method; all others must be the same as the baseline's.
OF_METHOD = ("objective", "sampler", "lr_scale", "weight_decay", "clip_norm")


@dataclass(frozen=True)
class MeasuredRun:
    """A number of a finished run.

    Attributes:
        result, config: the run.
        size: its config without seed and numerics.
        row: the row of the table that the number belongs to: column name -> value, as text.
        value: the number.
        part, differs, note: see `nslab.analysis.measures`.
    """

    result: Result
    config: RunConfig
    size: RunConfig
    row: Mapping[str, str]
    value: float
    part: str = ""
    differs: str = ""
    note: str = ""


@dataclass(frozen=True)
class TableLine:
    """The runs that one line of a table averages: they share row, preset and precision.

    Attributes:
        keys, row: names of the table's key columns, and the line's values of them, as text.
        preset, precision: of all runs; precision is blank for float32.
        values: seed -> mean over the runs of that seed.
        part: how much of the paper's mean there is, such as ``"1 of 4 factors"``; blank for all.
        differs: how it differs otherwise from the paper's, such as ``"other data"``; or blank.
        at_size: whether all runs are, but for seed and numerics, those of preset ``paper``.
        notes: remarks.
        runs: the runs that are averaged.
    """

    keys: tuple[str, ...]
    row: tuple[str, ...]
    preset: str
    precision: str
    values: dict[int, float]
    part: str
    differs: str
    at_size: bool
    notes: tuple[str, ...]
    runs: tuple[MeasuredRun, ...]


def measured_runs(
    exp: Experiment, results: Sequence[Result], numbers: pd.DataFrame | None = None
) -> list[MeasuredRun]:
    """The numbers of runs, by the experiment's measure or from ``numbers`` if they have been
    measured already. Runs whose config is unknown here (by a missing plug-in or data set) are
    skipped."""
    configs = {result.id: known_config(result.config) for result in results}
    results = [result for result in results if configs[result.id]]
    table = measure_of(exp.measure)(results) if numbers is None else numbers
    more = [key for key in table.columns if key not in NO_KEYS]
    about = [key for key in ("part", "differs", "note") if key in table]
    known = {result.id: (result, config) for result in results if (config := configs[result.id])}
    sizes_of = {name: size_of(config) for name, (_, config) in known.items()}
    made = []
    for number in table.to_dict("records"):
        result, config = known[number["run"]]
        row = exp.row(config) | {key: number[key] for key in more}
        texts = {key: as_text(value) for key, value in row.items()}
        said = {key: str(number[key]) for key in about}
        size = sizes_of[result.id]
        made.append(MeasuredRun(result, config, size, texts, number["value"], **said))
    return made


def lines_of(
    exp: Experiment, results: Sequence[Result], numbers: pd.DataFrame | None = None
) -> list[TableLine]:
    """Runs gathered into lines of a table, in order of their first runs; see `measured_runs`."""
    groups: dict[tuple[tuple[str, ...], str, str], list[MeasuredRun]] = {}
    for run in measured_runs(exp, results, numbers):
        preset = exp.preset_of(run.config, PRESETS)
        key = (tuple(run.row.values()), preset, precision_of(run.config))
        groups.setdefault(key, []).append(run)
    return [_line(exp, *key, runs) for key, runs in groups.items()]


def _line(
    exp: Experiment, row: tuple[str, ...], preset: str, precision: str, runs: list[MeasuredRun]
) -> TableLine:
    by_seed: dict[int, dict[RunConfig, MeasuredRun]] = {}
    # of runs that differ only in numerics the first counts, with exact scores before fast ones
    for run in sorted(runs, key=_scored_fast):
        by_seed.setdefault(run.config.seed, {}).setdefault(run.size, run)
    there = {run.size for run in runs}
    of_runs = tuple(map(as_text, exp.row(runs[0].config).values()))  # without the measure's keys
    wanted = sized(exp, preset, of_runs) if preset in PRESETS else list(there)
    whole = {seed: of for seed, of in by_seed.items() if set(of) >= set(wanted)}
    kept = whole or by_seed
    covered = there if whole else max((set(of) for of in kept.values()), key=len)
    part = missing(covered, sized(exp, "paper", of_runs)) or missing(covered, wanted)
    averaged = tuple(run for of in kept.values() for run in of.values())
    differs = [*([] if exp.comparable else ["other data"]), *_all(run.differs for run in averaged)]
    notes = _all(run.note for run in averaged)
    if left := len(by_seed) - len(kept):
        notes.append(f"incomplete seeds left out: {left}")
    if len({frozenset(of) for of in kept.values()}) > 1:
        notes.append("seeds differ in their runs")
    if preset not in PRESETS and len(there) > 1:
        notes.append(f"mean of {len(there)} settings")
    return TableLine(
        tuple(runs[0].row),
        row,
        preset,
        precision,
        {seed: _mean([run.value for run in of.values()]) for seed, of in kept.items()},
        part or ", ".join(_all(run.part for run in averaged)),
        ", ".join(differs),
        there <= set(preset_sizes(exp, "paper")),
        (*notes, *_remarks(exp, precision, averaged)),
        averaged,
    )


def _all(said: Iterable[str]) -> list[str]:
    """The remarks that are not blank, each once."""
    return list(dict.fromkeys(filter(None, said)))


def _remarks(exp: Experiment, precision: str, runs: Sequence[MeasuredRun]) -> list[str]:
    said = [precision] if precision else []
    if any(map(_scored_fast, runs)):
        said.append("scores in bf16")
    if failed := sum(not run.result.learnt for run in runs):
        count = "" if failed == len(runs) else f"{failed} of {len(runs)} runs "
        said.append(f"{count}not above chance")
    if not exp.comparable:
        said.append("not the paper's data")
    if any(run.result.other_source for run in runs):
        said.append("made by another version of nslab")
    return said


def _scored_fast(run: MeasuredRun) -> bool:
    objective = getattr(run.config.training, "objective", None)
    return objective != exactly_scored(objective)


def core_hours(results: Iterable[Result]) -> float:
    """Computing time of runs, in hours of one core, or of one device on a GPU. Trainings that they
    start from are not counted. Runs of older versions may not have recorded it: NaN if none has.

    >>> core_hours([])
    nan
    """
    hours = [
        seconds * env.get("processes", 1) * (env.get("threads", 1) if on_cpu(env) else 1) / 3600
        for seconds, env in ((result.metrics.get("seconds"), result.env) for result in results)
        if seconds is not None
    ]
    return sum(hours) if hours else math.nan


def on_cpu(env: Mapping[str, Any]) -> bool:
    """Whether a run was computed on a CPU; ``env`` is the environment it recorded."""
    return str(env.get("device", "")).startswith("CPU")


def sized(exp: Experiment, preset: str, row: tuple[str, ...]) -> list[RunConfig]:
    """The runs, without seed and numerics, that a preset has for a row."""
    return [
        size for size, keys in preset_sizes(exp, preset).items() if tuple(map(as_text, keys)) == row
    ]


def missing(there: Iterable[RunConfig], wanted: Sequence[RunConfig]) -> str:
    """How much of a mean over ``wanted`` runs there is, as ``"1 of 4 factors"``; blank for all, or
    if only one run is wanted.

    If the wanted runs all differ in one field (four networks), values of that field are counted,
    even if the runs ``there`` differ in other fields, as those of a smaller preset do.
    """
    if len(wanted) < 2:
        return ""
    ours, theirs = [fields_of(c) for c in there], [fields_of(c) for c in wanted]
    for name in sorted(theirs[0], key=lambda name: name not in AVERAGED):
        values = [fields[name] for fields in theirs]
        if all(values.count(value) == 1 for value in values):
            count = sum(value in [fields[name] for fields in ours] for value in values)
            return _share(count, values, AVERAGED.get(name, f"values of {name}"))
    return _share(len(set(there) & set(wanted)), wanted, "settings")


def _share(count: int, of: Sequence[Any], what: str) -> str:
    return "" if count == len(of) else f"{count} of {len(of)} {what}"


def fields_of(config: RunConfig) -> dict[str, Any]:
    """A config's fields, and those of its training, whose data and network it shares."""
    own = {f.name: getattr(config, f.name) for f in dataclasses.fields(config)}  # type: ignore[arg-type]
    training = config.training
    return fields_of(training) | own if training not in (None, config) else own


def baseline_differences(exp: Experiment, lines: Sequence[TableLine]) -> dict[int, list[float]]:
    """Position of a line -> its values minus the baseline's, seed by seed. Lines without a
    baseline line of the same preset, precision and setting are left out."""
    found = {(line.row, line.preset, line.precision): line for line in lines}
    made = {}
    for place, line in enumerate(lines):
        named = zip(line.keys, line.row, strict=True) if exp.baseline else []
        row = tuple(as_text(exp.baseline.get(key, value)) for key, value in named)
        base = found.get((row, line.preset, line.precision))
        if base is None or base is line or not _alike(line, base):
            continue
        if pairs := list(paired_values(line, base).values()):
            made[place] = pairs
    return made


def paired_values(line: TableLine, base: TableLine) -> dict[int, float]:
    """A line's values minus another's, for the seeds that both have; a baseline that does not
    depend on the seed has the same value for all seeds."""
    values = base.values
    if any(run.config.seedless for run in base.runs):
        values = dict.fromkeys(line.values, _mean(list(values.values())))
    return {seed: value - values[seed] for seed, value in line.values.items() if seed in values}


def _alike(line: TableLine, base: TableLine) -> bool:
    """Whether two lines of one preset differ only in the method. Runs of a preset always do;
    settings of custom runs are compared."""
    if line.preset in PRESETS:
        return True
    return {_setting(run.size) for run in line.runs} == {_setting(run.size) for run in base.runs}


def _setting(size: RunConfig) -> tuple:
    fields = fields_of(size if isinstance(size, AdaptConfig) else size.training or size)
    return tuple((name, value) for name, value in fields.items() if name not in OF_METHOD)


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
