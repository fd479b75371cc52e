"""Panel: all finished runs, with filters, and the papers' numbers beside ours."""

import math
from typing import Any

import pandas as pd

from nslab.analysis.paper_tables import compare, readable, shortened
from nslab.configs import RunConfig
from nslab.configs.labels import columns, text_of
from nslab.configs.serialization import decode, without_seed
from nslab.experiments import EXPERIMENTS, PRESETS
from nslab.experiments.definition import precision_of, preset_sizes, size_of
from nslab.explore.results.figure import ResultsFigure
from nslab.explore.ui import controls
from nslab.explore.ui.panel import Panel
from nslab.runs.portability import known_config, unknown_here
from nslab.runs.results import Result, every_run
from nslab.system.validation import unknown

EVERY = "all"
KEYS = ("dataset", "network", "method")
RUN_COLUMNS = [*KEYS, "seed", "epochs", "accuracy", "origin", "run"]
UNKNOWN_COLUMNS = [*KEYS, "seed", "accuracy", "origin", "run", "unknown"]


class Results(Panel):
    """Choose an experiment, a data set, a network and a method; compare runs at any epoch."""

    name = "results"

    def __init__(self, experiment: str = "") -> None:
        """``experiment`` is the one shown first; by default the first with finished runs."""
        self.table = self.unknown = pd.DataFrame()
        self.changing = False
        self.view = ResultsFigure()
        super().__init__(self.view.canvas)
        self.experiment = controls.choice("results-experiment", "", "experiment", [EVERY], EVERY)
        self.filters = {
            key: controls.choice(f"results-{key}", "", word, [EVERY], EVERY)
            for key, word in zip(KEYS, ("data set", "network", "method"), strict=True)
        }
        self.epoch = controls.counter("results-epoch", "e", "epochs of a training", 1, (1, 1))
        self.again = controls.button(
            *("results-reload", "reload", "refresh"),
            *(self.ui_thread, self._reload, "Look for finished runs again"),
        )
        self.compared = controls.Sheet("results-compared", 230)
        self.listed = controls.Sheet("results-listed", 230)
        controls.on_change(self.ui_thread, self._choose, self.experiment)
        controls.on_change(self.ui_thread, self._filter, *self.filters.values())
        controls.on_change(self.ui_thread, self._draw, self.epoch)
        self.widget = controls.column(
            self.name,
            controls.row(self.experiment, *self.filters.values()),
            controls.row(self.epoch, self.again),
            self.status.widget,
            self.view.canvas.widget,
            self.compared.widget,
            self.listed.widget,
        )
        self.wanted = experiment
        self._reload()

    @property
    def parameters(self) -> dict[str, Any]:
        """Values of the controls, as provenance of the figure."""
        chosen = {key: control.value for key, control in self.filters.items()}
        return chosen | {"experiment": self.experiment.value, "epoch": self.epoch.value}

    def _reload(self) -> None:
        self.status.say("reading the store …")
        self.ui_thread.later(lambda: finished_runs(every_run()), self._show)

    def _show(self, table: pd.DataFrame) -> None:
        """Offer the experiments that have runs, and keep the one that was chosen."""
        self.table = table
        self.unknown = pd.DataFrame(table.attrs.pop("unknown"), columns=UNKNOWN_COLUMNS)
        known = [
            name for name in EXPERIMENTS if any(name in names for names in table["experiments"])
        ]
        options = [(f"{name}: {EXPERIMENTS[name].title}"[:60], name) for name in known]
        wanted = self.wanted or (known[0] if known else EVERY)
        self.experiment.options = [(EVERY, EVERY), *options]
        if wanted not in [EVERY, *known]:
            raise unknown("experiment with a finished run", wanted, known)
        self.experiment.value = wanted
        self._choose()

    def _choose(self) -> None:
        """Update filters and comparison for another experiment."""
        self.wanted = name = self.experiment.value
        self.changing = True  # each filter calls `_filter` as it changes; wait for the last
        for key, control in self.filters.items():
            kept, options = control.value, [EVERY, *sorted(set(self._of_experiment()[key]))]
            control.options = options
            control.value = kept if kept in options else EVERY
        self.changing = False
        self._filter()
        if name == EVERY:
            self.compared.show("<p>Choose an experiment.</p>", "The paper beside ours")
            return
        runs = list(self._of_experiment()["result"])
        table = readable(shortened(compare(name, runs)))
        self.compared.show(as_html(table), f"The paper beside ours: {EXPERIMENTS[name].title}")

    def _of_experiment(self) -> pd.DataFrame:
        chosen = self.experiment.value
        if chosen == EVERY:
            return self.table
        return self.table[[chosen in names for names in self.table["experiments"]]]

    def _filter(self) -> None:
        """Show the runs that pass the filters."""
        if self.changing:
            return
        shown, unknown = self._of_experiment(), self.unknown
        for key, control in self.filters.items():
            if control.value != EVERY:
                shown = shown[shown[key] == control.value]
                unknown = unknown[unknown[key] == control.value]
        self.runs = list(shown["result"])
        listed = shown[RUN_COLUMNS].assign(accuracy=shown["accuracy"].map("{:.2f}".format))
        greyed = f'<div style="color:#767676">{as_html(unknown)}</div>' if len(unknown) else ""
        self.listed.show(
            as_html(listed) + greyed, f"{len(shown)} runs; accuracy: test images, in percent"
        )
        self.view.build(shown.assign(label=labels(shown, self.experiment.value)))
        with self.epoch.hold_trait_notifications():
            self.epoch.max = self.view.longest
            self.epoch.value = self.view.longest
        self._draw()
        said = f"{len(shown)} of {len(self.table)} finished runs"
        if self.view.left_out:
            said += f"; the settings drawn are the first ones, {self.view.left_out} more are not"
        if other := int((shown["course"].map(len) == 0).sum()):
            said += f"; {other} runs without a test accuracy per epoch stand at their final one"
        if len(unknown):
            said += f"; {len(unknown)} more, greyed, are of a class or data set unknown here"
        self.status.say(said)

    def _draw(self) -> None:
        self.view.draw(self.epoch.value)


def finished_runs(results: list[Result]) -> pd.DataFrame:
    """A line per run with a test accuracy: `RUN_COLUMNS`; the ``experiments`` it belongs to; the
    ``course`` of its accuracy over epochs (empty if it has none); its ``setting``; the ``result``.
    ``attrs["unknown"]`` lists runs of a class or data set that is unknown here."""
    lines, unknown, sizes = [], [], sizes_by_experiment()
    known: dict[str, dict[str, Any] | None] = {}  # many runs differ only in their seed
    for result in results:
        if "test_accuracy" not in result.metrics:
            continue
        name = without_seed(result.config)
        if name not in known:
            config = known_config(result.config)
            known[name] = described(config, sizes) if config else None
        if (shared := known[name]) is None:
            about = {"accuracy": f"{result.metrics['test_accuracy']:.2f}", "origin": result.origin}
            unknown.append(unknown_here(result) | about | {"run": result.id})
            continue
        course = [row.get("test_accuracy", math.nan) for row in result.history]
        lines.append(
            shared
            | ({"seed": result.config["seed"]} if "seed" in result.config else {})
            | {
                "epochs": result.metrics.get("epochs", ""),
                "accuracy": result.metrics["test_accuracy"],
                "origin": result.origin,
                "run": result.id,
                "course": [] if any(map(math.isnan, course)) else course,
                "result": result,
            }
        )
    shown = [*RUN_COLUMNS, "experiments", "course", "setting", "result"]
    table = pd.DataFrame(lines, columns=shown).sort_values(["dataset", "network", "seed"])
    table.attrs["unknown"] = unknown
    return table


def described(config: RunConfig, sizes: dict[str, set[RunConfig]]) -> dict[str, Any]:
    """The columns that are the same for runs that differ only in their seed."""
    size = size_of(config)
    return columns(config) | {
        "experiments": [name for name, known in sizes.items() if size in known],
        "setting": config.with_seed(0).id,  # unlike ``size``, depends on the precision
    }


def sizes_by_experiment() -> dict[str, set[RunConfig]]:
    """The runs of each experiment at any preset, whatever their seed."""
    return {
        name: {size for preset in PRESETS for size in preset_sizes(experiment, preset)}
        for name, experiment in EXPERIMENTS.items()
    }


def labels(runs: pd.DataFrame, experiment: str) -> list[str]:
    """A label for each run: its method, and those of data set, network, precision and the keys of
    its row in the paper's table that differ among the runs shown."""
    rows = [dict[str, Any]() for _ in range(len(runs))]
    if experiment in EXPERIMENTS:
        rows = [EXPERIMENTS[experiment].row(decode(result.config)) for result in runs["result"]]
    lines = []
    for (_, run), row in zip(runs.iterrows(), rows, strict=True):
        known = {key: run[key] for key in ("dataset", "network")}
        known["precision"] = precision_of(decode(run["result"].config)) or "float32"
        known |= {key: f"{key} {value}" for key, value in row.items() if key not in KEYS}
        lines.append(known)
    table = pd.DataFrame(lines)
    differ = [key for key in table if table[key].nunique() > 1]
    return [
        ", ".join([text_of(method), *(str(line[key]) for key in differ if key in line)])
        for method, line in zip(runs["method"], lines, strict=True)
    ]


def as_html(table: pd.DataFrame) -> str:
    """A table as HTML, with its contents escaped."""
    return str(table.to_html(index=False, border=0, justify="left"))
