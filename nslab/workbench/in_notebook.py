"""`Notebook`: what the cells of notebooks would otherwise repeat: passing parameters on, saving
figures and showing tables."""

import base64
import html
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from IPython.display import Markdown, clear_output, display
from matplotlib.figure import Figure

from nslab.analysis.paper_tables import compare, readable, shortened
from nslab.configs import RunConfig
from nslab.configs.labels import text_of
from nslab.experiments import experiment
from nslab.plots import style
from nslab.plots.style import DrawnRun
from nslab.runs.store import Result, run_all
from nslab.system.presets import FIRST_SEED
from nslab.system.validation import hints
from nslab.workbench.notebook_tables import drawn_table

PAGE_WIDTH = 840  # pixels: the text column of a notebook that was rendered as a page


class Notebook:
    """The parameters of a notebook, and what is done with them.

    Attributes:
        preset: the size of the runs; also the name of the figures' folder.
        parameters: the notebook's other parameters, which are stored with every figure. One that is
            0 or empty is left to the preset.
        seeds: ``n_seeds`` seeds from 2024 on (0: the preset's own), or ``seed`` alone.

    >>> nb = Notebook("smoke", n_seeds=2, epochs=3, methods=[])
    >>> [(run.dataset, run.seed, run.epochs) for run in nb.plan("ns/first")[:2]]
    [('digits_16', 2024, 3), ('digits_16', 2024, 3)]
    """

    def __init__(self, preset: str, **parameters: Any) -> None:
        style.apply()
        self.preset = preset
        self.parameters = {
            name: tuple(value) if isinstance(value, list) else value
            for name, value in parameters.items()
        }
        first = parameters.get("seed", FIRST_SEED)
        self.seeds = tuple(range(first, first + parameters.get("n_seeds", 1)))

    def plan(self, name: str, **changes: Any) -> list[RunConfig]:
        """The configs of an experiment at this preset, with those of the notebook's parameters that
        it takes, and with ``changes``; a parameter that is 0 or empty is left to the preset.

        Raises ``ValueError`` for unknown names of parameters and for values that do not fit.
        """
        found = experiment(name)
        taken = {key: v for key, v in self.parameters.items() if key in hints(found.configs)}
        every = {"seeds": self.seeds} | taken | changes
        given = {key: value for key, value in every.items() if value or value is False}
        return found.plan(self.preset, **given)

    def run(self, configs: Sequence[RunConfig], **options: Any) -> list[Result]:
        """Results of many runs, see `nslab.run_all`, which takes the ``options``. It shows progress
        while it computes, and then one line on what was done. Call it first in a cell, since it
        clears the cell's output.
        """
        results = run_all(configs, **options)
        clear_output(wait=True)
        computed = sum(result.origin == "computed" for result in results)
        done = f"{computed} computed now, {len(results) - computed} looked up"
        self.say(f"{len(results)} run{'s' * (len(results) != 1)}: {done}.")
        return results

    def show(
        self,
        figure: Figure,
        name: str,
        *,
        runs: Sequence[DrawnRun] = (),
        alt: str = "",
        parameters: dict[str, Any] | None = None,
    ) -> Path:
        """Save a figure as ``figures/<preset>/<name>`` (see `style.save`) and display it at the
        size it was drawn for, at most `PAGE_WIDTH`.

        ``runs`` are those that it shows. ``alt`` describes it for people who cannot see it, by
        default by its titles. ``parameters`` replaces those of the notebook for a figure that
        depends on fewer. Returns the path of the PNG.
        """
        remembered = self.parameters if parameters is None else parameters
        path = style.save(figure, name, self.preset, runs=runs, parameters=remembered)
        png = base64.b64encode(path.read_bytes()).decode()
        width = min(PAGE_WIDTH, round(figure.get_figwidth() * style.DPI))
        alt = alt or titles(figure) or name
        picture = (
            f'<img src="data:image/png;base64,{png}" alt="{html.escape(alt)}" '
            f'style="width: {width}px; max-width: 100%; height: auto">'
        )
        data = {"text/html": picture, "image/png": png, "text/plain": f"[figure] {alt}"}
        display(data, raw=True, metadata={"image/png": {"width": width, "alt": alt}})
        return path

    @property
    def caveat(self) -> str:
        """The sentence that must stand beside every number of preset ``smoke``; blank at others.

        >>> Notebook("cpu").caveat
        ''
        """
        return "This is preset `smoke`, which supports no claim." if self.preset == "smoke" else ""

    def say(self, *sentences: str) -> None:
        """Display a paragraph of Markdown whose numbers were computed, such as what a figure
        shows; blank sentences are left out."""
        display(Markdown(" ".join(filter(None, sentences))))

    def table(
        self,
        table: pd.DataFrame,
        *,
        digits: int = 2,
        fold: str = "",
        caption: str = "",
        **headings: str,
    ) -> None:
        """Display a whole table for people: numbers rounded to ``digits``, missing values blank,
        methods by their names, no row numbers. A column of equal words goes into the caption.

        ``headings`` renames columns. With ``fold``, the table is hidden behind that line until it
        is clicked.
        """
        shown = table.reset_index() if table.index.names != [None] else table
        text, plain = drawn_table(shown, digits, caption, headings)
        if fold:
            text = f"<details><summary>{html.escape(fold)}</summary>{text}</details>"
        display({"text/html": text, "text/plain": plain}, raw=True)

    def compare(self, name: str, results: Sequence[Result]) -> pd.DataFrame:
        """Display the paper's numbers beside ours: the rows with a number of ours, and the other
        rows behind a line that opens them. Returns the table of `nslab.compare`.

        Column *ours* is mean ± standard deviation over ``n`` seeds, and the preset; *ours − paper*
        is blank unless our runs have the paper's own setting.
        """
        table = compare(name, results)
        short = shortened(table)
        self.table(_headed(short))
        if left := len(table) - len(short):
            rows = f"{left} more row{'s' * (left > 1)} of the paper's table"
            whole = f"{rows}, for which this preset has no run"
            self.table(_headed(table[table["n"] == 0]), fold=whole)
        return table


def _headed(table: pd.DataFrame) -> pd.DataFrame:
    """`readable` of a comparison, with headings in words and without empty columns."""
    shown = readable(table).rename(columns={"delta": "ours − paper"})
    kept = [str(name) for name in shown if (shown[name] != "").any()]
    minus = {n: f"ours − {text_of(n[6:])}" for n in kept if n.startswith("minus ")}
    return shown[kept].rename(columns=minus)


def titles(figure: Figure) -> str:
    """The titles of a figure and its panels, as one text."""
    texts = [figure.get_suptitle(), *(axes.get_title() for axes in figure.axes)]
    return "; ".join(" ".join(text.split()) for text in texts if text)
