"""Runs as text and figures: one whole, two side by side, the curves of several."""

import dataclasses
import textwrap
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import pandas as pd
from matplotlib.figure import Figure

from nslab.analysis.run_differences import (
    config_differences,
    distinguished,
    environment_differences,
    environment_of,
    fields_of,
    metric_differences,
    text_of,
)
from nslab.configs import TrainConfig
from nslab.configs.labels import columns
from nslab.configs.labels import text_of as method_text
from nslab.plots.curves import run_curves
from nslab.plots.style import apply, method_colours
from nslab.plots.titles import literal
from nslab.plots.wording import SMOKE, embedded
from nslab.runs.made_of import changed
from nslab.runs.portability import known_config, unknown_here
from nslab.runs.results import Result
from nslab.system.files import sha256
from nslab.workbench.run_list import label_of

WIDTH, LEGEND = 72, 100  # characters of a figure's title, and of its legend


def described_run(result: Result) -> str:
    """All that is known of a finished run, as text."""
    return "\n".join(_described(result))


def _described(result: Result) -> Iterator[str]:
    yield f"{result.id}  {label_of(result)}"
    yield f"state        {state_of(result)}"
    if result.folder:
        yield f"folder       {result.folder}"
    yield from _block("config", fields_of(result.config))
    numbers = {k: text_of(v) for k, v in result.metrics.items() if not isinstance(v, list)}
    lists = {k: f"{len(v)} numbers" for k, v in result.metrics.items() if isinstance(v, list)}
    yield from _block("metrics", numbers | lists)
    steps = f"{len(result.history)} rows" if result.history else "none was kept"
    yield f"history      {steps}"
    yield from _block("made", environment_of(result))
    yield from _block("files", dict(_files(result)))
    if result.history:
        yield f"its curves: nslab plot {result.id}"


def _block(title: str, values: dict[str, str]) -> Iterator[str]:
    width = max([12, *map(len, values)])
    yield title
    for name, value in values.items():
        yield f"  {name:{width}} {value}"
    if not values:
        yield "  none"


def _files(result: Result) -> Iterator[tuple[str, str]]:
    """Weights and the like, whether they are as they were written."""
    for name, digest in result.files.items():
        file = (result.folder or Path()) / name
        if not result.folder or not file.exists():
            yield name, "not here"
            continue
        size = f"{file.stat().st_size / 1e6:.2f} MB"
        yield name, size if sha256(file) == digest else f"{size}, damaged: not as it was written"


def state_of(result: Result) -> str:
    """Whether a finished run answers for today's code and data, in words."""
    where = {"frozen": "frozen", "stored": "finished"}.get(result.origin, result.origin)
    config = known_config(result.config)
    if config is None:
        return f"{where}; {unknown_here(result)['unknown']}"
    if what := changed(config, result.env):
        return f"stale: {', '.join(what)} changed since, so it would be computed again"
    if config.id != result.id:
        return f"{where}, by code whose numbers were others: today this config is {config.id}"
    other = ", by other source code of nslab than today's" if result.other_source else ""
    return f"{where}{other}"


def compared_runs(a: Result, b: Result) -> str:
    """In what two runs differ, and their numbers side by side."""
    return "\n".join(_compared(a, b))


def _compared(a: Result, b: Result) -> Iterator[str]:
    for result in (a, b):
        yield f"{result.id}  {label_of(result)}"
    for title, table in (
        ("config", config_differences(a, b)),
        ("metrics", metric_differences(a, b)),
        ("environment", environment_differences(a, b)),
    ):
        yield ""
        yield table.to_string(index=False) if len(table) else f"{title}: no difference"


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
