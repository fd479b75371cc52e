"""Lists of stored and frozen runs: filtered, and found by the beginning of an id; nothing is
computed."""

import json
import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from fnmatch import fnmatch
from typing import Any

import pandas as pd

from nslab.configs import RunConfig
from nslab.configs.labels import columns, label
from nslab.experiments import EXPERIMENTS, PRESETS
from nslab.experiments.definition import preset_sizes, size_of
from nslab.runs.folder import LOCK, RESULT
from nslab.runs.made_of import changed
from nslab.runs.portability import known_config, unknown_here
from nslab.runs.results import Result, every_run
from nslab.system.locks import is_locked
from nslab.system.paths import runs_dir
from nslab.system.validation import unknown
from nslab.workbench.run_filter import RunFilter, check_id, moment

RUN_COLUMNS = ["run", "finished", "kind", "dataset", "network", "method", "seed", "epochs"]
RUN_COLUMNS += ["accuracy", "state"]
SAME_SECOND = ("dataset", "network", "method", "seed")  # the order of runs that ended together
FILTERS = ("dataset", "network", "method")


def run_list(wanted: RunFilter | None = None) -> pd.DataFrame:
    """A line per run, the newest first: ``run`` (id), when it ``finished`` (UTC), ``kind``,
    ``dataset``, ``network``, ``method``, ``seed``, ``epochs`` it took, ``accuracy`` (test, in
    percent), ``state``; if filtered by paper or experiment, also ``experiment`` and ``preset``.

    States: ``frozen``, with nslab or by `freeze`; ``finished`` here; ``stale``: made with earlier
    code of yours or other data, so that it would be computed again; ``running``: a process is
    computing it; ``unfinished``: not finished, with or without a checkpoint. Raises ``ValueError``
    for a name, seed or state that no run has, and names those that there are.
    """
    wanted = wanted or RunFilter()
    sizes = [
        (name, preset, set(preset_sizes(EXPERIMENTS[name], preset)))
        for name in wanted.experiments
        for preset in PRESETS
    ]
    lines = [*map(_finished, every_run()), *_unfinished()]
    lines = [line for line in lines if _within(line, sizes)]
    for name in FILTERS:
        lines = _matching(lines, name, getattr(wanted, name))
    if wanted.seed is not None:
        lines = _kept(lines, "seed", wanted.seed, lambda line: line["seed"] == wanted.seed)
    if wanted.state:
        lines = _kept(lines, "state", wanted.state, lambda line: line["state"] == wanted.state)
    since, until = moment(wanted.since), moment(wanted.until, end=True)
    lines = [
        line
        for line in lines
        if (not since or line["finished"] >= since)
        and (not until or "" < line["finished"] <= until)
    ]
    shown = [*RUN_COLUMNS, *(["experiment", "preset"] if sizes else [])]
    lines.sort(key=lambda line: [str(line[c]) for c in SAME_SECOND])  # runs on a GPU are short
    table = pd.DataFrame(lines, columns=shown)
    return table.sort_values("finished", ascending=False, kind="stable").reset_index(drop=True)


def _finished(result: Result) -> dict[str, Any]:
    config = known_config(result.config)
    about = columns(config) if config else unknown_here(result)
    state = "frozen" if result.origin == "frozen" else "finished"
    if config and changed(config, result.env):
        state = "stale"
    return {
        "run": result.id,
        "finished": str(result.env.get("finished", "")),
        "kind": str(result.config.get("@", "")),
        "dataset": "",
        "network": "",
        **about,
        "epochs": result.metrics.get("epochs", ""),
        "accuracy": result.metrics.get("test_accuracy"),
        "state": state,
        "config": config,
    }


def _unfinished() -> Iterable[dict[str, Any]]:
    """Lines of runs that have begun and have no result."""
    folder = runs_dir()
    for entry in sorted(os.scandir(folder), key=lambda e: e.name) if folder.is_dir() else ():
        place = folder / entry.name
        if (place / RESULT).exists() or not (place / "config.json").exists():
            continue
        try:
            form = json.loads((place / "config.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            continue
        known = known_config(form)
        about = columns(known) if known else unknown_here(Result(entry.name, form, {}, [], {}))
        yield {
            "run": entry.name,
            "finished": "",
            "kind": str(form.get("@", "")),
            "dataset": "",
            "network": "",
            **about,
            "epochs": "",
            "accuracy": None,
            "state": "running" if is_locked(place / LOCK) else "unfinished",
            "config": known,
        }


def _within(line: dict[str, Any], sizes: Sequence[tuple[str, str, set[RunConfig]]]) -> bool:
    """Whether a run belongs to an experiment at one of its presets; also adds both to the line."""
    if not sizes or line["config"] is None:
        return not sizes
    size = size_of(line["config"])
    found = [(name, preset) for name, preset, runs in sizes if size in runs]
    if found:
        line["experiment"] = ", ".join(dict.fromkeys(name for name, _ in found))
        line["preset"] = ", ".join(dict.fromkeys(preset for _, preset in found))
    return bool(found)


def _matching(lines: list[dict[str, Any]], name: str, wanted: str) -> list[dict[str, Any]]:
    """Lines whose ``name`` equals or matches ``wanted``, or else contains it. A method must match,
    or be of that family: short keys would be contained in many other names."""
    if not wanted:
        return lines
    low = wanted.casefold()
    if name == "method":
        own = re.compile(rf"{re.escape(low)}(?![a-z0-9])")

        def meant(line: dict[str, Any]) -> bool:
            method = str(line[name]).casefold()
            return bool(own.match(method)) or fnmatch(method, low)

        return _kept(lines, name, wanted, meant)
    exact = [line for line in lines if fnmatch(str(line[name]).casefold(), low)]
    return exact or _kept(lines, name, wanted, lambda line: low in str(line[name]).casefold())


def _kept(
    lines: list[dict[str, Any]], name: str, wanted: object, test: Callable[[dict[str, Any]], bool]
) -> list[dict[str, Any]]:
    """Lines that pass a test; if none does, ``ValueError`` with the values that there are."""
    found = [line for line in lines if test(line)]
    if not found and lines:
        # only the names of methods, without their settings
        known = {re.split(r"[(,]", str(line[name]))[0] for line in lines} - {""}
        what = "data set" if name == "dataset" else name
        raise unknown(f"{what} of a run", wanted, sorted(known))
    return found


def run_named(prefix: str) -> Result:
    """The finished run, stored or frozen, whose id begins with ``prefix``. ``ValueError`` if there
    is none, or if there are several, which are then listed."""
    check_id(prefix)
    found = [result for result in every_run() if result.id.startswith(prefix)]
    if len(found) > 1:
        listed = "".join(f"\n  {r.id}  {label_of(r)}" for r in found)
        raise ValueError(
            f"{prefix} is the beginning of {len(found)} runs: give more digits{listed}"
        )
    if not found:
        begun = [line["run"] for line in _unfinished() if line["run"].startswith(prefix)]
        if begun:
            raise ValueError(
                f"run {begun[0]} is not finished: the command that began it continues it"
            )
        raise ValueError(f"there is no finished run {prefix}: nslab runs lists what there is")
    return found[0]


def label_of(result: Result) -> str:
    """A run in a few words, even if its config is unknown here."""
    config = known_config(result.config)
    if config:
        return label(config)
    about: Mapping[str, Any] = unknown_here(result)
    return " ".join(str(about[name]) for name in ("dataset", "network", "method", "seed"))


def readable_runs(table: pd.DataFrame) -> pd.DataFrame:
    """`run_list` for people: times to the minute, accuracies to two decimals, missing values and
    columns blank or left out."""
    out = table.astype(object).where(table.notna(), "")
    out["finished"] = table["finished"].str.slice(0, 16).str.replace("T", " ")
    out["accuracy"] = ["" if pd.isna(a) else f"{a:.2f}" for a in table["accuracy"]]
    return out.loc[:, [c for c in out if c == "run" or (out[c].astype(str) != "").any()]]
