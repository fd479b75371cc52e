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

WIDTH, LEGEND = 72, 100  # characters of a figure's title, and of its legend


def curves_of(results: Sequence[Result]) -> Figure:
    """The curves of runs; the legend has their methods and what else distinguishes them, the title
    what they share, and that runs on embedded data support no claim. Where methods differ, each has
    its own colour.

    Raises ``ValueError`` for runs without a history.
    """
    drawn = [result for result in results if result.history]
    if not drawn:
        raise ValueError(f"no history was kept of {', '.join(r.id for r in results)}: no curves")
    steps = {"epoch" if "epoch" in r.history[0] else "generation" for r in drawn}
    if len(steps) > 1:
        raise ValueError("some runs count epochs, others generations: plot them apart")
    configs = [known_config(result.config) for result in drawn]
    told = distinguished(configs) if all(configs) else [r.id for r in drawn]
    methods = [str(about(result)["method"]) for result in drawn]
    named = methods_named(configs, methods)
    if len(set(named)) == len(named):
        told = named
    names = ["\n".join(textwrap.wrap(literal(text or r.id), LEGEND))
             for text, r in zip(told, drawn, strict=True)]  # fmt: skip
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
    """Runs of training by their methods, and by what else distinguishes them."""
    if not all(isinstance(config, TrainConfig) for config in configs):
        return [method_text(method) for method in methods]
    alike = [dataclasses.replace(config, objective=configs[0].objective) for config in configs]
    return [
        ", ".join(filter(None, [method_text(method), rest]))
        for method, rest in zip(methods, distinguished(alike), strict=True)
    ]


def numbers_of(history: Sequence[dict[str, Any]]) -> pd.DataFrame:
    """The rows of a history, their numbers."""
    rows = [{k: v for k, v in row.items() if isinstance(v, int | float)} for row in history]
    return pd.DataFrame(rows)


def title_of(results: Sequence[Result]) -> str:
    """What runs share, of data set, network and method, with their number; of one, its label."""
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
    """The columns that tell a run apart in tables, as far as it is known here."""
    config = known_config(result.config)
    return columns(config) if config else unknown_here(result)
