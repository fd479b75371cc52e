"""`MethodComparison`: finished runs of several methods as a table, a sentence and a figure."""

import html
import io
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from nslab.analysis.confusion import Confusion, confusion
from nslab.analysis.exports import export, plus_minus
from nslab.analysis.run_tables import class_table
from nslab.analysis.statistics import MARK_NOTE, differences, excludes_zero, mark
from nslab.plots.comparison import paired_comparison
from nslab.plots.confusion import confusion_matrix
from nslab.plots.style import apply
from nslab.plots.sweep import validation_grid
from nslab.plots.titles import literal
from nslab.runs.results import Result
from nslab.system.validation import unknown
from nslab.workbench.sweeps import Sweep

MOST_LISTED = 3  # most methods that a verdict treats one by one; more are counted
VERDICTS = ("is above", "is below", "cannot be distinguished from")


def verdict_on(line: Mapping[str, Any]) -> str:
    """One of ``VERDICTS``, by whether the 95 % interval of a paired difference excludes 0."""
    above, below, neither = VERDICTS
    return (neither, above, below)[excludes_zero(line["low"], line["high"])]


@dataclass(frozen=True)
class MethodComparison:
    """Finished runs of several methods.

    Attributes:
        results: the results of the runs in the table, seed by seed.
        runs: a line per result: ``method``, ``seed``, ``value`` (test accuracy in percent),
            ``learnt`` (whether that is above chance), ``run`` (its id).
        baseline: the method that the others are compared with.
        title: names of network and data set, and the number of seeds.
        sweep: the settings that were tried for each method, if there were several.
    """

    results: list[Result] = field(repr=False)
    runs: pd.DataFrame = field(repr=False)
    baseline: str
    title: str = ""
    sweep: Sweep | None = field(default=None, repr=False)

    @property
    def differences(self) -> pd.DataFrame:
        """A line per other method: the mean of its runs minus the baseline's of the same seed, with
        the 95 % interval and the p of a paired t test, see `nslab.analysis.statistics.Paired`."""
        return differences(self.runs, self.baseline, [])

    @property
    def table(self) -> pd.DataFrame:
        """A line per method: mean accuracy, sd over seeds, n, and the difference from the baseline
        with its 95 % interval ``low`` to ``high`` and p, which the baseline and single seeds lack.
        After a sweep also the ``setting`` that was chosen."""
        by_method = self.runs.groupby("method", sort=False)["value"]
        table = pd.DataFrame({"accuracy": by_method.mean(), "sd": by_method.std()})
        table["n"] = by_method.count()
        others = self.differences
        if len(others):
            found = others.set_index("method")[["mean", "low", "high", "p"]]
            table = table.join(found.rename(columns={"mean": f"minus {self.baseline}"}))
        if self.sweep:
            table.insert(0, "setting", pd.Series(self.sweep.chosen))
        return table.reset_index()

    @property
    def readable(self) -> pd.DataFrame:
        """`table` for people: means with their sd, differences with their interval and a star if
        that excludes 0; missing values are blank."""
        minus = f"minus {self.baseline}"
        lines = self.table.to_dict("records")
        out = self.table[["method", *(["setting"] if self.sweep else [])]].copy()
        out["test accuracy (%)"] = [plus_minus(line["accuracy"], line["sd"]) for line in lines]
        out["n"] = [str(line["n"]) for line in lines]
        if minus in self.table:
            out[f"{minus} (95 % interval)"] = [_difference(line, minus) for line in lines]
            out["p"] = ["" if pd.isna(line["p"]) else f"{line['p']:.2g}" for line in lines]
        return out

    @property
    def grid(self) -> pd.DataFrame:
        """Every setting of every method in a sweep: accuracy on validation samples, by which the
        choice was made, and on test samples, which had no part in it. ``ValueError`` without a
        sweep."""
        if not self.sweep:
            raise ValueError('nothing was swept: compare_methods(..., sweep={"lr": [0.01, 0.1]})')
        return self.sweep.table

    @property
    def verdict(self) -> str:
        """What the runs show, in a sentence that is computed from the intervals."""
        said, table = [], self.differences.to_dict("records")
        lines = [{str(name): value for name, value in line.items()} for line in table]
        for line in lines:
            shown = f"{line['mean']:+.2f} points"
            if line["low"] == line["high"]:
                shown += " with every seed, so their spread is unknown"
            elif line["n"] > 1:
                shown += f" ({line['low']:+.2f} to {line['high']:+.2f})"
            said.append(f"{line['method']} {verdict_on(line)} {self.baseline}: {shown}")
        if len(lines) > MOST_LISTED:
            words = [verdict_on(line) for line in lines]
            said = [
                f"{count} of {len(words)} {w if count == 1 else w.replace('is ', 'are ')} "
                f"{self.baseline}"
                for w in VERDICTS
                if (count := words.count(w))
            ]
        return "; ".join(said) or f"{self.baseline} alone"

    @property
    def notes(self) -> list[str]:
        """Notes that a reader of the table must know, as sentences."""
        return [*self._notes()]

    def _notes(self) -> Iterator[str]:
        others = self.differences
        if len(others) and others["n"].max() < 2:
            yield "One seed allows no interval: give seeds=3, or more."
        if alike := [str(line["method"]) for line in others.to_dict("records")
                     if line["low"] == line["high"]]:  # fmt: skip
            yield (
                f"{', '.join(alike)}: the difference is the same with every seed, so its spread is "
                "unknown, and there is no interval: give more seeds."
            )
        if controls := [*self._controls()]:
            yield f"Controls, with the mean weight of NS: {', '.join(controls)}."
        if len(others) and any(mark(low, high) for low, high in others[["low", "high"]].values):
            yield MARK_NOTE
        at_chance = self.runs.groupby("method", sort=False)["learnt"].any()
        if failed := [str(name) for name, learnt in at_chance.items() if not learnt]:
            advice = "Train longer, at another rate (lr), or test on more samples."
            yield f"Not above chance: {', '.join(failed)}. {advice}"
        if self.sweep:
            yield from self.sweep.notes

    def _controls(self) -> Iterator[str]:
        """What each control is: a loss, or a learning rate, times a constant."""
        trained = {result.id: result.config for result in self.results}
        for name, lines in self.runs.groupby("method", sort=False):
            config = trained.get(lines["run"].iloc[0], {})
            objective = config.get("objective", {})
            if objective.get("@") == "ns" and objective.get("rho") == 0:
                yield f"{name} is the loss times {objective['sigma']:g}"
            elif (scale := config.get("lr_scale", 1)) != 1:
                yield f"{name} is the learning rate times {scale:g}"

    def figure(self) -> Figure:
        """A figure of the accuracy of every run, and of each method's difference from the baseline
        with its interval."""
        with mpl.rc_context():
            apply()
            title = self.title or "Methods compared"
            tables = (_literal(self.runs), _literal(self.differences))
            return paired_comparison(*tables, literal(self.baseline), literal(title))

    def sweep_figure(self) -> Figure:
        """A figure of the accuracy on validation samples at every setting of a sweep, with the
        chosen ones ringed."""
        with mpl.rc_context():
            apply()
            return validation_grid(
                _literal(self.grid), "Each method at its best on validation samples"
            )

    @property
    def per_class(self) -> pd.DataFrame:
        """Test accuracy of each class (rows) by each method (columns), in percent: means over
        seeds."""
        table = class_table(self.results)
        table["method"] = np.repeat(list(self.runs["method"]), len(table) // len(self.runs))
        return table.pivot_table("accuracy", "class", "method", sort=False, dropna=False)

    def confusion(self, method: str) -> Confusion:
        """The confusion of classes of test samples by the networks of a method, computed from their
        stored weights; ``ValueError`` for an unknown method."""
        chosen = self.runs["method"] == method
        if not chosen.any():
            raise unknown("method", method, self.runs["method"].unique())
        return confusion([r for r, own in zip(self.results, chosen, strict=True) if own])

    def confusion_figure(self, method: str) -> Figure:
        """`confusion` as a figure: a matrix, or for more than 30 classes the pairs that are most
        often confused."""
        with mpl.rc_context():
            apply()
            found = self.confusion(method)
            found = replace(found, classes=tuple(map(literal, found.classes)))
            return confusion_matrix(found, literal(method))

    def to(self, file: str | Path) -> Path:
        """Write the comparison to a file, and return its path: ``.csv`` has the table with all
        digits; ``.md``, ``.tex`` and ``.html`` have verdict, table, notes and the grid of a sweep;
        ``.html`` also has the figures, in one self-contained file. ``ValueError`` for another
        ending, or a folder."""
        figures = {self.verdict: self.figure}
        if self.sweep:
            figures["Accuracy on validation samples at each setting"] = self.sweep_figure
        wanted = figures if Path(file).suffix == ".html" else {}
        return export(
            self.table,
            Path(file),
            shown=self.readable,
            title=self.title or "Methods compared",
            notes=[f"{self.verdict}.", *self.notes],
            more={"Every setting": self.sweep.readable} if self.sweep else {},
            pictures={about: _png(draw()) for about, draw in wanted.items()},
        )

    def __str__(self) -> str:
        """Title, table, verdict, notes, and what else is available, for a terminal."""
        more = ".figure(), .per_class, .confusion(method), .to('table.html')"
        more += ", .grid, .sweep_figure()" if self.sweep else ""
        said = [self.title, "", self.readable.to_string(index=False), "", f"{self.verdict}."]
        return "\n".join([*said, *self.notes, f"More: {more}"]).strip()

    def _repr_html_(self) -> str:
        table = self.readable.to_html(index=False, border=0)
        below = "".join(f"<p>{html.escape(note)}</p>" for note in self.notes)
        return f"<p><b>{html.escape(self.verdict)}</b></p>{table}{below}"


def _literal(table: pd.DataFrame) -> pd.DataFrame:
    """A table whose names of methods are safe as text in a figure, see `literal`."""
    return table.assign(method=table["method"].map(literal)) if "method" in table else table


def _difference(line: Mapping[Any, Any], minus: str) -> str:
    if pd.isna(line[minus]):
        return ""
    reach = f" ({line['low']:+.2f} to {line['high']:+.2f})" if line["low"] < line["high"] else ""
    return f"{line[minus]:+.2f}{reach}{mark(line['low'], line['high'])}"


def _png(figure: Figure) -> bytes:
    out = io.BytesIO()
    figure.savefig(out, format="png", dpi=120)
    return out.getvalue()


__all__ = ["VERDICTS", "MethodComparison", "verdict_on"]
