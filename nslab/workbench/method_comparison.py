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

MOST_SAID = 3  # methods that a verdict speaks of one by one
VERDICTS = ("is above", "is below", "cannot be distinguished from")


def verdict_on(line: Mapping[str, Any]) -> str:
    """What a paired difference with its 95 % interval shows."""
    above, below, neither = VERDICTS
    return (neither, above, below)[excludes_zero(line["low"], line["high"])]


@dataclass(frozen=True)
class MethodComparison:
    """Finished runs of several methods.

    Attributes:
        results: of every run that the table is about, seed by seed.
        runs: a line per such run: ``method``, ``seed``, ``value`` (test accuracy in percent),
            ``learnt`` (whether that is above chance), ``run`` (its id).
        baseline: the method that the others are compared with.
        title: what was trained on what.
        sweep: the settings that were tried of each method, where there were several.
    """

    results: list[Result] = field(repr=False)
    runs: pd.DataFrame = field(repr=False)
    baseline: str
    title: str = ""
    sweep: Sweep | None = field(default=None, repr=False)

    @property
    def differences(self) -> pd.DataFrame:
        """A line per other method: its runs minus the baseline's of the same seed, with the 95 %
        interval and the p of a paired t test, see `nslab.analysis.statistics.Paired`."""
        return differences(self.runs, self.baseline, [])

    @property
    def table(self) -> pd.DataFrame:
        """A line per method: mean accuracy, sd over seeds, n, and the difference to the baseline
        with its 95 % interval ``low`` to ``high`` and p; blank for the baseline and for one
        seed. Of a sweep the ``setting`` that was chosen, too."""
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
        """`table` for people: means with their sd, differences with their interval, a star where
        that excludes 0; gaps blank."""
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
        """Of a sweep every setting of every method: accuracy on validation samples, by which the
        choice was made, and on test samples, which had no part in it; ``ValueError`` where there
        was no sweep."""
        if not self.sweep:
            raise ValueError('nothing was swept: compare_methods(..., sweep={"lr": [0.01, 0.1]})')
        return self.sweep.table

    @property
    def verdict(self) -> str:
        """What the runs show, in a sentence: computed from the intervals."""
        said, table = [], self.differences.to_dict("records")
        lines = [{str(name): value for name, value in line.items()} for line in table]
        for line in lines:
            shown = f"{line['mean']:+.2f} points"
            if line["low"] == line["high"]:
                shown += " with every seed, so their spread is unknown"
            elif line["n"] > 1:
                shown += f" ({line['low']:+.2f} to {line['high']:+.2f})"
            said.append(f"{line['method']} {verdict_on(line)} {self.baseline}: {shown}")
        if len(lines) > MOST_SAID:
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
        """What a reader of the table must know."""
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
        if len(others) and any(mark(low, high) for low, high in others[["low", "high"]].values):
            yield MARK_NOTE
        at_chance = self.runs.groupby("method", sort=False)["learnt"].any()
        if failed := [str(name) for name, learnt in at_chance.items() if not learnt]:
            yield f"Not above chance: {', '.join(failed)}. Train longer, or at another rate (lr)."
        if self.sweep:
            yield from self.sweep.notes

    def figure(self) -> Figure:
        """Accuracy of every run, and each method's difference to the baseline with its interval."""
        with mpl.rc_context():
            apply()
            title = self.title or "Methods compared"  # the finding stands above it
            tables = (_literal(self.runs), _literal(self.differences))
            return paired_comparison(*tables, literal(self.baseline), literal(title))

    def sweep_figure(self) -> Figure:
        """Of a sweep the accuracy on validation samples at every setting, the choice ringed."""
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
        """What the networks of a method take test images for, from the weights that they kept;
        ``ValueError`` for a method that there is not."""
        chosen = self.runs["method"] == method
        if not chosen.any():
            raise unknown("method", method, self.runs["method"].unique())
        return confusion([r for r, own in zip(self.results, chosen, strict=True) if own])

    def confusion_figure(self, method: str) -> Figure:
        """The same as a matrix; of more than 30 classes the pairs that are most often confused."""
        with mpl.rc_context():
            apply()
            found = self.confusion(method)
            found = replace(found, classes=tuple(map(literal, found.classes)))
            return confusion_matrix(found, literal(method))

    def to(self, file: str | Path) -> Path:
        """Write it to a file: ``.csv`` has the table with all digits; ``.md``, ``.tex`` and
        ``.html`` verdict, table and notes, and of a sweep the grid; ``.html`` the figures too, in
        one file that needs no network. ``ValueError`` for another ending, or a folder."""
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
        """For a terminal: title, table, verdict, notes, and what more there is."""
        more = ".figure(), .per_class, .confusion(method), .to('table.html')"
        more += ", .grid, .sweep_figure()" if self.sweep else ""
        said = [self.title, "", self.readable.to_string(index=False), "", f"{self.verdict}."]
        return "\n".join([*said, *self.notes, f"More: {more}"]).strip()

    def _repr_html_(self) -> str:
        table = self.readable.to_html(index=False, border=0)
        below = "".join(f"<p>{html.escape(note)}</p>" for note in self.notes)
        return f"<p><b>{html.escape(self.verdict)}</b></p>{table}{below}"


def _literal(table: pd.DataFrame) -> pd.DataFrame:
    """A table whose methods can stand in a figure as they are."""
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
