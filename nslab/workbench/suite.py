"""Whole papers by one command: experiments and notebooks by pattern, from a file that is checked.

A suite file is a list in YAML. Each entry has ``experiments`` or ``notebooks`` (names or patterns);
``parameters`` for all of them; a ``grid`` of lists, every combination of which is run; ``presets``,
if not that of the command; and ``optional``: leave out runs whose data are not here.
"""

import hashlib
import itertools
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, model_validator

from nslab.analysis.paper_tables import compare
from nslab.configs import RunConfig
from nslab.configs.labels import label
from nslab.datasets import MissingDataset, load
from nslab.execution.local import OUT_OF_TIME, Engine, run_local
from nslab.execution.monitor import Monitor
from nslab.execution.stopping import stoppable
from nslab.experiments import EXPERIMENTS, experiment
from nslab.runs.results import find, finished, stages
from nslab.runs.store import RunsFailed, run_all
from nslab.system.files import write_text
from nslab.system.paths import figures_dir
from nslab.system.presets import Preset
from nslab.system.renamed import renamed_keywords
from nslab.system.validation import check_count, unknown
from nslab.system.yaml_files import read_entries, within_entry
from nslab.workbench.absent_data import absent_arrays, absent_folders, needs
from nslab.workbench.notebooks import Planned, plan
from nslab.workbench.render import render

DEFAULT = Path(__file__).with_name("suite.yaml")
# Named suites, beside the presets of the default suite; their entries have presets of their own.
SUITES: dict[str, Path] = {"first-light": Path(__file__).with_name("first_light.yaml")}


class SuiteEntry(BaseModel):
    """One entry of a suite file."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    experiments: list[str] = Field(default_factory=list)
    notebooks: list[str] = Field(default_factory=list)
    presets: list[Preset] = Field(default_factory=list)
    parameters: dict[str, Any] = Field(default_factory=dict)
    grid: dict[str, list[Any]] = Field(default_factory=dict)
    optional: bool = False

    @model_validator(mode="after")
    def consistent(self) -> "SuiteEntry":
        """The entry, if it has experiments or notebooks but not both, and every parameter once."""
        if bool(self.experiments) == bool(self.notebooks):
            raise ValueError("an entry needs either experiments or notebooks, not both")
        if twice := sorted(set(self.parameters) & set(self.grid)):
            raise ValueError(f"{', '.join(twice)} is in both parameters and grid: leave out one")
        if "preset" in self.parameters or "preset" in self.grid:
            raise ValueError("preset is no parameter here: write presets: [smoke]")
        if empty := [name for name, values in self.grid.items() if not values]:
            raise ValueError(f"grid: {', '.join(empty)} has no values: give a list of some")
        return self

    def variants(self) -> Iterator[dict[str, Any]]:
        """The parameters of each run of the entry."""
        for values in itertools.product(*self.grid.values()):
            yield self.parameters | dict(zip(self.grid, values, strict=True))


@dataclass(frozen=True)
class Table:
    """An experiment's runs, and the name of the file its table is written to."""

    experiment: str
    name: str
    configs: list[RunConfig]
    optional: bool = False


@dataclass(frozen=True)
class Suite:
    """The tables and notebooks of a suite, in that order."""

    tables: list[Table] = field(default_factory=list)
    notebooks: list[Planned] = field(default_factory=list)

    @property
    def configs(self) -> dict[str, RunConfig]:
        """The tables' runs by their ids."""
        return {config.id: config for table in self.tables for config in table.configs}

    @property
    def optional(self) -> set[str]:
        """The ids of runs that only optional tables have."""
        needed = {c.id for table in self.tables if not table.optional for c in table.configs}
        return set(self.configs) - needed

    def todo(self) -> list[RunConfig]:
        """Runs that are not finished and those that they require, each after all it requires."""
        missing = {name: c for name, c in self.configs.items() if not find(c)}
        return [config for step in stages(missing) for config in step]


def read_suite(file: Path, preset: Preset) -> Suite:
    """The suite in a file at a preset; everything in it is checked before anything starts.

    Raises ``ValueError`` naming the file, and the entry (from 1) with what is wrong in it.
    """
    tables: dict[str, Table] = {}
    notebooks: dict[str, Planned] = {}
    for number, raw in enumerate(read_entries(file, "suite"), 1):
        with within_entry(file, number, SuiteEntry.model_fields):
            entry = SuiteEntry.model_validate(raw)
            sizes = {name: len(values) for name, values in entry.grid.items()}
            check_count("the grid", sizes | {"presets": max(1, len(entry.presets))})
            for chosen, given in itertools.product(entry.presets or [preset], entry.variants()):
                tables |= {table.name: table for table in tables_of(entry, chosen, given)}
                if entry.notebooks:
                    planned = plan(entry.notebooks, chosen, given)
                    notebooks |= {p.name: p for p in planned}
    return Suite(list(tables.values()), list(notebooks.values()))


def tables_of(entry: SuiteEntry, preset: Preset, given: dict[str, Any]) -> list[Table]:
    """The tables of an entry's experiments with the parameters ``given``; ``ValueError`` for a
    pattern that matches none."""
    names: list[str] = []
    for pattern in entry.experiments:
        matching = [name for name in EXPERIMENTS if fnmatch(name, pattern)]
        if not matching:
            raise unknown("experiment", pattern, EXPERIMENTS)
        names += [name for name in matching if name not in names]
    digest = hashlib.sha256(json.dumps(given, sort_keys=True, default=str).encode()).hexdigest()
    suffix = f"-{digest[:8]}" if given else ""
    return [
        Table(
            name,
            f"{preset}/tables/{name.replace('/', '_')}{suffix}",
            experiment(name).plan(preset, **given),
            entry.optional,
        )
        for name in names
    ]


@renamed_keywords(together="processes_per_run")
def run_suite(
    suite: Suite,
    *,
    jobs: int = 1,
    devices: Sequence[str] = (),
    engine: Engine = run_local,
    processes_per_run: int = 1,
    retries: int = 1,
    show: bool = True,
    log: Sequence[str] = (),
    echo: Callable[[str], object] = print,
) -> dict[str, str]:
    """Run a suite, each run and notebook in a process of its own, and write its tables to
    ``figures/<preset>/tables``; what is finished is not done again. ``engine`` runs the
    processes, here or on a cluster, ``processes_per_run`` > 1 of them for each run; for ``log`` see
    `run`.

    A failed run or notebook is tried ``retries`` more times and stops nothing else. Returns why
    each failed that did in the end, by name; `OUT_OF_TIME` for those that time was too short for.
    Runs on folders of images and on texts that are not here are left out with a message, and so are
    optional runs on any data that are not. For other missing data `MissingDataset` is raised before
    anything starts.
    """
    todo = suite.todo()
    absent = absent_folders(todo) | absent_arrays([c for c in todo if c.id in suite.optional])
    for name, (count, why) in absent.items():
        echo(f"LEFT OUT: {count} runs on {name}: {why}")
    todo = [config for config in todo if not needs(config, absent)]
    for dataset in sorted({config.dataset for config in todo} - {""}):
        load(dataset)
    failed: dict[str, str] = {}
    with stoppable(), Monitor(jobs, show=show) as monitor:
        monitor.expect({config.id: label(config) for config in todo})
        new = bool(todo) or any(not p.rendered() for p in suite.notebooks)
        notebooks = [p for p in suite.notebooks if not p.rendered() or (new and p.looks_up_all)]
        monitor.expect({p.name: "notebook" for p in notebooks})
        try:
            run_all(
                [config for config in suite.configs.values() if not needs(config, absent)],
                jobs=jobs,
                devices=devices,
                engine=engine,
                processes_per_run=processes_per_run,
                subprocess=True,
                retries=retries,
                monitor=monitor,
                log=log,
            )
        except RunsFailed as error:
            failed |= {
                f"{name} ({monitor.entries[name].label})": w for name, w in error.failed.items()
            }
        for table in suite.tables:
            file = figures_dir() / f"{table.name}.csv"
            found = finished(table.configs)
            if found:
                # without core hours, so that the same runs always give the same bytes
                shown = compare(table.experiment, found).drop(columns="core_hours")
                write_text(file, shown.to_csv(index=False, lineterminator="\n"))
        ended = render(
            notebooks,
            jobs,
            echo=no_echo,
            devices=devices,
            engine=engine,
            retries=retries,
            monitor=monitor,
        )
        for end in ended:
            if end.status and absent and MissingDataset.__name__ in end.why():
                echo(f"LEFT OUT: {end.job.name}: {end.why()}")
            elif end.status:
                failed[end.job.name] = end.why()
    for name, why in failed.items():
        if why != OUT_OF_TIME:
            echo(f"FAILED: {name}: {why}")
    return failed


def no_echo(line: str) -> None:
    """Print nothing; the monitor shows it."""
