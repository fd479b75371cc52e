"""Runs of an experiment as lines of a table: what each averages, what of that is missing, and how
it differs from the baseline's line."""

import dataclasses
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from nslab.experiments import PRESETS, EvolveConfig, Experiment
from nslab.experiments.codec import decode
from nslab.experiments.evolution import Config
from nslab.experiments.experiment import precision_of, seedless, size_of, sizes
from nslab.results import Result

# What a row may average over, and what the paper calls it; other fields go by their own names.
AVERAGED = {"imbalance": "factors", "network": "networks", "dataset": "data sets"}
# What a method may change of a training; all else is the setting that it shares with the baseline.
OF_METHOD = ("objective", "sampler", "lr_scale", "weight_decay", "clip_norm")


@dataclass(frozen=True)
class Run:
    """A finished run: its config, that without seed and numerics, and its number."""

    result: Result
    config: Config
    size: Config
    value: float


@dataclass(frozen=True)
class Line:
    """Runs that one line of a table averages: they share row, preset and precision.

    Attributes:
        row: values of the table's keys, as text.
        preset, precision: of all runs; precision is blank for float32.
        values: mean over the runs of a seed, by seed.
        part: what of its mean is missing, such as ``"1 of 4 factors"``; blank if nothing is.
        at_size: whether all its runs have the size of the paper preset's.
        notes: what else is to be said of it.
        runs: those averaged.
    """

    row: tuple[str, ...]
    preset: str
    precision: str
    values: dict[int, float]
    part: str
    at_size: bool
    notes: tuple[str, ...]
    runs: tuple[Run, ...]


def lines_of(exp: Experiment, results: Sequence[Result]) -> list[Line]:
    """Runs gathered into lines, in the order in which they come."""
    groups: dict[tuple[tuple[str, ...], str, str], list[Run]] = {}
    for result in results:
        config = decode(result.config)
        row = tuple(map(as_text, exp.row(config).values()))
        key = (row, exp.preset_of(config, PRESETS), precision_of(config))
        run = Run(result, config, size_of(config), result.metrics[exp.metric])
        groups.setdefault(key, []).append(run)
    return [_line(exp, *key, runs) for key, runs in groups.items()]


def _line(
    exp: Experiment, row: tuple[str, ...], preset: str, precision: str, runs: list[Run]
) -> Line:
    by_seed: dict[int, dict[Config, Run]] = {}
    for run in runs:  # of two that differ in numerics alone the first counts
        by_seed.setdefault(run.config.seed, {}).setdefault(run.size, run)
    there = {run.size for run in runs}
    wanted = sized(exp, preset, row) if preset in PRESETS else list(there)
    whole = {seed: of for seed, of in by_seed.items() if set(of) >= set(wanted)}
    kept = whole or by_seed
    covered = there if whole else max((set(of) for of in kept.values()), key=len)
    part = missing(covered, sized(exp, "paper", row)) or missing(covered, wanted)
    averaged = tuple(run for of in kept.values() for run in of.values())
    notes = []
    if left := len(by_seed) - len(kept):
        notes.append(f"incomplete seeds left out: {left}")
    if len({frozenset(of) for of in kept.values()}) > 1:
        notes.append("seeds differ in their runs")
    if preset not in PRESETS and len(there) > 1:
        notes.append(f"mean of {len(there)} settings")
    return Line(
        row,
        preset,
        precision,
        {seed: _mean([run.value for run in of.values()]) for seed, of in kept.items()},
        part,
        there <= set(sizes(exp, "paper")),
        (*notes, *_remarks(exp, precision, averaged)),
        averaged,
    )


def _remarks(exp: Experiment, precision: str, runs: Sequence[Run]) -> list[str]:
    said = [precision] if precision else []
    if failed := sum(not run.result.learnt for run in runs):
        count = "" if failed == len(runs) else f"{failed} of {len(runs)} runs "
        said.append(f"{count}not above chance")
    if not exp.comparable:
        said.append("not the paper's data")
    if any(run.result.other_source for run in runs):
        said.append("other source code")
    return said


def sized(exp: Experiment, preset: str, row: tuple[str, ...]) -> list[Config]:
    """What runs, whatever their seed and numerics, a preset has of a row."""
    return [size for size, keys in sizes(exp, preset).items() if tuple(map(as_text, keys)) == row]


def missing(there: Iterable[Config], wanted: Sequence[Config]) -> str:
    """How much of a mean over ``wanted`` there is, as ``"1 of 4 factors"``; blank if all of it, or
    if the mean is over one thing.

    Where the wanted differ in one field throughout (four networks), its values count, whatever else
    tells a smaller preset's runs from them.
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


def fields_of(config: Config) -> dict[str, Any]:
    """A config's fields; of an evolution those of its base too."""
    own = {f.name: getattr(config, f.name) for f in dataclasses.fields(config)}
    return fields_of(config.base) | own if isinstance(config, EvolveConfig) else own


def differences(exp: Experiment, lines: Sequence[Line]) -> dict[int, list[float]]:
    """Of each line (by its place) that the experiment's baseline has a line to, ours minus the
    baseline's, seed by seed; nothing where the two are not the same mean or setting."""
    keys = list(exp.row(exp.plan("smoke")[0])) if lines and exp.baseline else []
    found = {(line.row, line.preset, line.precision): line for line in lines}
    made = {}
    for place, line in enumerate(lines):
        named = dict(zip(keys, line.row, strict=True)) if keys else {}
        row = tuple(as_text(exp.baseline.get(key, value)) for key, value in named.items())
        base = found.get((row, line.preset, line.precision))
        if base is None or base is line or not _alike(line, base):
            continue
        values = base.values
        if any(seedless(run.config) for run in base.runs):
            values = dict.fromkeys(line.values, _mean(list(values.values())))
        pairs = [value - values[seed] for seed, value in line.values.items() if seed in values]
        if pairs:
            made[place] = pairs
    return made


def _alike(line: Line, base: Line) -> bool:
    """Whether two lines of one preset differ in their method only: a preset vouches for that, of
    custom runs the settings must agree."""
    if line.preset in PRESETS:
        return True
    return {_setting(run.size) for run in line.runs} == {_setting(run.size) for run in base.runs}


def _setting(size: Config) -> tuple:
    fields = fields_of(size.base if isinstance(size, EvolveConfig) else size)
    return tuple((name, value) for name, value in fields.items() if name not in OF_METHOD)


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def as_text(value: object) -> str:
    """A key as both sides would write it: 1.0 and 1 are the same row."""
    if isinstance(value, float) and value != value:  # nan
        return ""
    return f"{value:g}" if isinstance(value, int | float) else str(value)
