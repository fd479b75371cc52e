"""Differences of runs: in the fields of their configs, their numbers, and their environments."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from nslab.configs.labels import label, short_repr
from nslab.configs.serialization import encode
from nslab.runs.log_writers import flat
from nslab.runs.portability import known_config
from nslab.runs.results import Result
from nslab.system.content_names import short_name

NOT_THERE = "—"
# parts of a run's environment that are compared
ENVIRONMENT = ("device", "processes", "threads", "commit", "dirty", "source", "begun", "finished")


def fields_of(form: Mapping[str, Any]) -> dict[str, str]:
    """A config's fields as text; those of nested configs have dotted names.

    >>> from nslab import TrainConfig
    >>> fields_of(encode(TrainConfig("digits", "mlp")))["objective.kind"]
    'ce'
    """
    config = known_config(form)  # adds the defaults of fields that are newer than the run
    return dict(flat("", encode(config) if config else dict(form)))


def differing(forms: Sequence[Mapping[str, Any]]) -> list[dict[str, str]]:
    """For each config (as JSON), its values of the fields that are not the same in all.

    >>> from nslab import TrainConfig
    >>> pair = [encode(TrainConfig("digits", "mlp", lr=lr)) for lr in (0.1, 0.2)]
    >>> differing(pair)
    [{'lr': '0.1'}, {'lr': '0.2'}]
    """
    every = [fields_of(form) for form in forms]
    names = dict.fromkeys(name for fields in every for name in fields)
    apart = [n for n in names if len({fields.get(n) for fields in every}) > 1]
    return [{n: fields[n] for n in apart if n in fields} for fields in every]


def distinguished(configs: Sequence[Any]) -> list[str]:
    """A short text for each config with the fields that differ; blank if none does.

    >>> from nslab import NS, TrainConfig
    >>> distinguished([TrainConfig("digits", "mlp", NS(rho=rho), lr=0.2) for rho in (0.0, 1.0)])
    ['rho 0', 'rho 1']
    >>> distinguished([TrainConfig("digits", "mlp"), TrainConfig("digits", "mlp", NS(), lr=0.2)])
    ['CrossEntropy(), lr 0.1', 'NS(), lr 0.2']
    """
    if len({type(config) for config in configs}) > 1:
        return [label(config) for config in configs]
    words: list[list[str]] = [[] for _ in configs]
    for f in dataclasses.fields(configs[0]) if configs else ():
        values = [getattr(config, f.name) for config in configs]
        if all(value == values[0] for value in values):
            continue
        parts = all(map(dataclasses.is_dataclass, values))
        if parts and len({type(value) for value in values}) == 1:
            told = distinguished(values)
        else:
            told = [_worded(f.name, value) for value in values]
        for own, text in zip(words, told, strict=True):
            own.append(text)
    return [", ".join(own) for own in words]


def _worded(name: str, value: Any) -> str:
    """A field's name and value; the value alone for nested configs, data sets, networks and
    methods."""
    if dataclasses.is_dataclass(value):
        return short_repr(value)
    if isinstance(value, str) and name in ("dataset", "network", "method"):
        return short_name(value)
    return f"{name} {value:g}" if isinstance(value, float) else f"{name} {value}"


def config_differences(a: Result, b: Result) -> pd.DataFrame:
    """A line per field of the config that differs: ``field``, and its value in each run."""
    one, two = differing([a.config, b.config])
    names = dict.fromkeys([*one, *two])
    lines = [(name, one.get(name, NOT_THERE), two.get(name, NOT_THERE)) for name in names]
    return pd.DataFrame(lines, columns=["field", a.id, b.id])


def metric_differences(a: Result, b: Result) -> pd.DataFrame:
    """A line per final number of either run: ``metric``, its value in each, and b's minus a's."""
    lines = []
    for name in dict.fromkeys([*a.metrics, *b.metrics]):
        pair = [result.metrics.get(name) for result in (a, b)]
        if any(isinstance(value, list) for value in pair):
            continue
        numbers = [v for v in pair if isinstance(v, int | float) and not isinstance(v, bool)]
        minus = f"{numbers[1] - numbers[0]:+.6g}" if len(numbers) == 2 else ""
        lines.append([name, *(NOT_THERE if v is None else text_of(v) for v in pair), minus])
    return pd.DataFrame(lines, columns=["metric", a.id, b.id, "difference"])


def environment_differences(a: Result, b: Result) -> pd.DataFrame:
    """A line per part of the environment that differs: ``environment``, and its value for each
    run."""
    lines = []
    told = [environment_of(result) for result in (a, b)]
    for name in dict.fromkeys([*told[0], *told[1]]):
        pair = [one.get(name, NOT_THERE) for one in told]
        if pair[0] != pair[1]:
            lines.append([name, *pair])
    return pd.DataFrame(lines, columns=["environment", a.id, b.id])


def environment_of(result: Result) -> dict[str, str]:
    """A run's environment, name -> text: device, processes, commit, versions, digests and so on."""
    env = result.env
    found = {name: str(env[name]) for name in ENVIRONMENT if env.get(name) is not None}
    for part in ("versions", "plugins", "made_of", "data"):
        values = env.get(part)
        if isinstance(values, dict):
            found |= {f"{part}: {name}": str(value) for name, value in values.items()}
    return found


def text_of(value: Any) -> str:
    """A number in six digits, anything else as it is."""
    return f"{value:.6g}" if isinstance(value, float) else str(value)
