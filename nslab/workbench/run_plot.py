"""The curves of several runs in one figure."""

import dataclasses
import textwrap
from collections.abc import Sequence
from typing import Any

import matplotlib as mpl
import pandas as pd
from matplotlib.figure import Figure

from nslab.analysis.run_differences import distinguished
from nslab.configs import TrainConfig
from nslab.configs.labels import columns
from nslab.configs.labels import text_of as method_text
from nslab.plots.curves import run_curves
from nslab.plots.style import apply, method_colours
from nslab.plots.titles import literal
from nslab.plots.wording import SMOKE, embedded
from nslab.runs.portability import known_config, unknown_here
from nslab.runs.results import Result
from nslab.workbench.run_list import label_of

WIDTH, LEGEND = 72, 100  # most characters in a line of the title, and of the legend


def curves_of(results: Sequence[Result]) -> Figure:
    """A figure with the curves of runs. The legend has their methods and what else distinguishes
    them; the title has what they share, and a caveat for runs on the small data that come with
    nslab. If methods differ, each has its own colour. Runs without a history are left out.

    Raises ``ValueError`` if no run has a history, or if some count epochs and others generations.
    """
    drawn = [result for result in results if result.history]
    if not drawn:
        raise ValueError(
            f"there is no history of {', '.join(r.id for r in results)}: choose runs that have one"
        )
    steps = {"epoch" if "epoch" in r.history[0] else "generation" for r in drawn}
    if len(steps) > 1:
        raise ValueError("some runs count epochs, others generations: plot them apart")
    configs = [known_config(result.config) for result in drawn]
    labels = distinguished(configs) if all(configs) else [r.id for r in drawn]
    methods = [str(about(result)["method"]) for result in drawn]
    named = methods_named(configs, methods)
    if len(set(named)) == len(named):
        labels = named
    names = ["\n".join(textwrap.wrap(literal(text or r.id), LEGEND))
             for text, r in zip(labels, drawn, strict=True)]  # fmt: skip
    colours = method_colours(methods) if len(set(methods)) > 1 else {}
    title = title_of(drawn)
    if embedded(pd.DataFrame([about(result) for result in drawn])):
        title += f" ({SMOKE})"
    with mpl.rc_context():
        apply()
        histories = [numbers_of(result.history) for result in drawn]
        lines = [colours[method] for method in methods] if colours else None
        return run_curves(histories, names, steps.pop(), literal(title), lines)


def methods_named(configs: Sequence[Any], methods: Sequence[str]) -> list[str]:
    """Labels of runs: their methods and, for trainings, the fields other than the objective in
    which they differ."""
    if not all(isinstance(config, TrainConfig) for config in configs):
        return [method_text(method) for method in methods]
    alike = [dataclasses.replace(config, objective=configs[0].objective) for config in configs]
    return [
        ", ".join(filter(None, [method_text(method), rest]))
        for method, rest in zip(methods, distinguished(alike), strict=True)
    ]


def numbers_of(history: Sequence[dict[str, Any]]) -> pd.DataFrame:
    """A history as a table, of its columns of numbers only."""
    rows = [{k: v for k, v in row.items() if isinstance(v, int | float)} for row in history]
    return pd.DataFrame(rows)


def title_of(results: Sequence[Result]) -> str:
    """A title: the number of runs, and the data set, network and method that all share; for one
    run, its id and label."""
    if len(results) == 1:
        return "\n".join(textwrap.wrap(f"{results[0].id}: {label_of(results[0])}", WIDTH))
    every = [about(result) for result in results]
    shared = [
        str(every[0][name])
        for name in ("dataset", "network", "method")
        if len({line.get(name) for line in every}) == 1 and every[0].get(name)
    ]
    return f"{len(results)} runs" + (f": {', '.join(shared)}" if shared else "")


def about(result: Result) -> dict[str, Any]:
    """The columns that identify a run in tables, as far as they are known here."""
    config = known_config(result.config)
    return columns(config) if config else unknown_here(result)
