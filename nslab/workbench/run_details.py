"""Runs as text: one in full, or two side by side."""

from collections.abc import Iterator
from pathlib import Path

from nslab.analysis.run_differences import (
    config_differences,
    environment_differences,
    environment_of,
    fields_of,
    metric_differences,
    text_of,
)
from nslab.runs.made_of import changed
from nslab.runs.portability import known_config, unknown_here
from nslab.runs.results import Result
from nslab.system.files import sha256
from nslab.workbench.run_list import label_of


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
    steps = f"{len(result.history)} rows" if result.history else "none is stored"
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
    """The files of a run, each with its size, or whether it is missing or damaged."""
    for name, digest in result.files.items():
        file = (result.folder or Path()) / name
        if not result.folder or not file.exists():
            yield name, "not here"
            continue
        size = f"{file.stat().st_size / 1e6:.2f} MB"
        yield name, size if sha256(file) == digest else f"{size}, damaged: not as it was written"


def state_of(result: Result) -> str:
    """The state of a finished run in words: whether it is frozen or stale, and by which code."""
    where = {"frozen": "frozen", "stored": "finished"}.get(result.origin, result.origin)
    config = known_config(result.config)
    if config is None:
        return f"{where}; {unknown_here(result)['unknown']}"
    if what := changed(config, result.env):
        return f"stale: {', '.join(what)} changed since, so it would be computed again"
    if config.id != result.id:
        return f"{where}, by code that computed other numbers: today this config is {config.id}"
    other = ", by other source code of nslab than today's" if result.other_source else ""
    return f"{where}{other}"


def compared_runs(a: Result, b: Result) -> str:
    """The differences between two runs in config and environment, and their metrics side by side,
    as text."""
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
