"""`Notebook`: what a notebook's cells would otherwise repeat, namely passing parameters on, keeping
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
        preset: which sizes of run are meant, and the folder of the figures.
        parameters: the notebook's others; every figure remembers them. One that is 0 or empty was
            left to the preset.
        seeds: ``n_seeds`` of them from 2024 on (0: the preset's own), or ``seed`` alone.

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
        """The runs of an experiment at this preset, with those of the notebook's parameters that it
        takes, and these ``changes``; what is 0 or empty is left to the preset.

        Raises ``ValueError`` for names and values that it cannot have.
        """
        found = experiment(name)
        taken = {key: v for key, v in self.parameters.items() if key in hints(found.configs)}
        wished = {"seeds": self.seeds} | taken | changes
        given = {key: value for key, value in wished.items() if value or value is False}
        return found.plan(self.preset, **given)

    def run(self, configs: Sequence[RunConfig], **options: Any) -> list[Result]:
        """Results of many runs, see `nslab.run_all`, whose options these are. While it computes one
        sees how far it is; then one line says what was done. Call it first in a cell: it clears the
        cell's output.
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
        """Keep a figure as ``figures/<preset>/<name>`` (see `style.save`) and display it at the
        size it was drawn for, at most `PAGE_WIDTH`.

        ``alt`` says in words what one sees, for people who do not see it; without it the figure's
        titles do. ``parameters`` replaces those of the notebook for a figure that depends on fewer.
        Returns the path of the PNG.
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
        """What belongs to every number of preset ``smoke``; blank at the others.

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
        """Display a table for people: every row, numbers rounded, gaps blank, methods by their
        names, and no row numbers. A column that says the same in each of several rows goes into
        the caption.

        ``headings`` renames columns; where there is ``fold``, the table is hidden behind that line,
        and a click opens it.
        """
        shown = table.reset_index() if table.index.names != [None] else table
        text, plain = drawn_table(shown, digits, caption, headings)
        if fold:
            text = f"<details><summary>{html.escape(fold)}</summary>{text}</details>"
        display({"text/html": text, "text/plain": plain}, raw=True)

    def compare(self, name: str, results: Sequence[Result]) -> pd.DataFrame:
        """Display the paper's numbers beside ours: the rows with a number of ours, and the whole
        table behind a line that opens it. Returns `nslab.compare`'s table.

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
    """What stands above a figure and its panels."""
    said = [figure.get_suptitle(), *(axes.get_title() for axes in figure.axes)]
    return "; ".join(" ".join(text.split()) for text in said if text)
