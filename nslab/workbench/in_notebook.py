"""`Notebook`: what a notebook's cells would otherwise repeat, namely passing parameters on and
keeping figures."""

import base64
import html
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from IPython.display import Markdown, display
from matplotlib.figure import Figure

from nslab.configs import RunConfig
from nslab.experiments import experiment
from nslab.plots import style
from nslab.plots.style import DrawnRun
from nslab.system.validation import hints

FIRST_SEED = 2024
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

        ``alt`` says in words what one sees, for whoever does not see it; without it the figure's
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

    def say(self, *sentences: str) -> None:
        """Display a paragraph of Markdown whose numbers were computed, such as what a figure
        shows."""
        display(Markdown(" ".join(sentences)))


def titles(figure: Figure) -> str:
    """What stands above a figure and its panels."""
    said = [figure.get_suptitle(), *(axes.get_title() for axes in figure.axes)]
    return "; ".join(" ".join(text.split()) for text in said if text)
