"""Configs as JSON and back, and the hash that names a run.

A dataclass becomes an object whose ``"@"`` names its class by its key in a registry
(``{"@": "ns", "grid": [2, 2], ...}``), so people can read configs and no code is ever unpickled.
"""

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from typing import Any

from nslab.configs.checkpoint_files import CheckpointFiles
from nslab.lossnet import LossForm, Regimes, Shipped
from nslab.objectives.joined_texts import Joined
from nslab.system.registry import CONFIG_CLASSES, Registry, config_class
from nslab.system.validation import PLUGIN_ADVICE, check_parameters, hints, unknown
from nslab.types import TokenInfo

# Kinds of run by their key, filled by `nslab.configs`; register kinds of your own here.
RUN_KINDS: Registry[type] = Registry(
    "kind of run",
    check=config_class("kind", "id", "with_seed", "requires", "label", "columns"),
    key="kind",
    names=CONFIG_CLASSES,
)
PARTS: Registry[type] = Registry("part of a config", names=CONFIG_CLASSES)
PARTS |= {"checkpoint_files": CheckpointFiles}
PARTS |= {"joined_texts": Joined, "tokens": TokenInfo}
PARTS |= {"loss_form": LossForm, "regimes": Regimes, "shipped": Shipped}


def classes() -> dict[str, type]:
    """All classes that a config may name, by key: those of the registries in `CONFIG_CLASSES`."""
    return {
        k: cls for registry in CONFIG_CLASSES.registries.values() for k, cls in registry.items()
    }


def encode(value: Any) -> Any:
    """A config as plain JSON values; ``TypeError`` for a value that has no such form."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        keys = {cls: key for key, cls in classes().items()}
        if type(value) not in keys:
            raise TypeError(_without_key(type(value), keys))
        fields = dataclasses.fields(value)
        return {"@": keys[type(value)]} | {f.name: encode(getattr(value, f.name)) for f in fields}
    if isinstance(value, tuple | list):
        return [encode(item) for item in value]
    if value is None or isinstance(value, str | int | float | bool):
        return value
    raise TypeError(f"{value!r} cannot be part of a config")


def _without_key(cls: type, keys: Mapping[type, str]) -> str:
    same = [k for k in keys if (k.__module__, k.__qualname__) == (cls.__module__, cls.__qualname__)]
    if same:
        return f"{cls.__name__} was defined again since this value was made: make the value again"
    return f"{cls.__name__} has no key: add it to a registry, such as OBJECTIVES"


def decode(data: Any) -> Any:
    """The config that `encode` wrote; ``ValueError`` or ``TypeError`` if it is no valid one."""
    if not isinstance(data, dict):
        return data
    known = classes()
    if data.get("@") not in known:
        raise unknown("kind of config", data.get("@"), known, f"; {PLUGIN_ADVICE}")
    cls = known[data["@"]]
    given = {name: decode(value) for name, value in data.items() if name != "@"}
    given = check_parameters(given, hints(cls), str(data["@"]))
    later = {
        f.name: f.metadata
        for f in dataclasses.fields(cls)
        if "omitted_means" in f.metadata and f.name not in given
    }
    config = cls(**given, **{name: then["omitted_means"] for name, then in later.items()})
    # where such a field changes nothing, it gets today's default, as in a config made today
    return cls(**given, **{n: t["omitted_means"] for n, t in later.items() if t["used"](config)})


def identity(config: Any) -> str:
    """Twelve hexadecimal digits that hash every field of a config: the name of its run.

    A fix that changes what a config computes without a new field raises its ``revision``, the
    number of such fixes that affect it. A revision above 0 is hashed, so that a run made before the
    fix is not taken for one made after it.
    """
    return _digest(_hashed(config))


def without_seed(data: Mapping[str, Any]) -> str:
    """The JSON of a config without its own seed, which is the same for runs that differ only in
    that."""
    return json.dumps({k: v for k, v in data.items() if k != "seed"}, sort_keys=True)


class Identities:
    """Identities of many stored configs; those that differ in the seed alone are decoded once."""

    def __init__(self) -> None:
        self.known: dict[str, dict[str, Any]] = {}

    def of(self, data: Mapping[str, Any]) -> str:
        """`identity` of the config that ``data`` encodes; raises what `decode` raises."""
        text = without_seed(data)
        if text not in self.known:
            self.known[text] = _hashed(decode(dict(data)))
        whole = self.known[text]
        if "seed" in whole:
            whole = whole | {"seed": data.get("seed", whole["seed"])}
        return _digest(whole)


def _digest(hashed: Any) -> str:
    text = json.dumps(hashed, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def _hashed(value: Any) -> Any:
    if not dataclasses.is_dataclass(value):
        return encode(value)
    out = {"@": encode(value)["@"]}
    for f in dataclasses.fields(value):
        item, late = getattr(value, f.name), "omitted_means" in f.metadata
        item = f.metadata["hashed_as"](item) if "hashed_as" in f.metadata else item
        if not (late and (item == f.metadata["omitted_means"] or not f.metadata["used"](value))):
            out[f.name] = _hashed(item)
    if revision := getattr(value, "revision", 0):
        out["revision"] = revision
    return out
