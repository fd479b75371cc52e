"""Configs as JSON and back, typed: one way to write them, to hash them and to read parameters.

A dataclass becomes an object whose ``"@"`` names its class by its key in a registry
(``{"@": "ns", "grid": [2, 2], ...}``), so a config reads well and no code is ever unpickled.
"""

import dataclasses
import functools
import hashlib
import inspect
import json
import types
import typing
from collections.abc import Callable, Mapping
from typing import Any

from pydantic import TypeAdapter, ValidationError

from nslab.experiments.schedules import SCHEDULES
from nslab.objectives import OBJECTIVES

SCALARS = (str, int, float, bool)
# Later additions to a config carry this metadata: while such a field holds its default it is left
# out of the hash, so runs made before it existed keep their identity.
LATER = {"later": True}


def classes() -> dict[str, type]:
    """All classes a config may name, by key."""
    from nslab.experiments.config import TrainConfig

    return {"train": TrainConfig, **OBJECTIVES, **SCHEDULES}


def encode(value: Any) -> Any:
    """A config as plain JSON values."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        keys = {cls: key for key, cls in classes().items()}
        if type(value) not in keys:
            raise TypeError(
                f"{type(value).__name__} has no key: add it to a registry (OBJECTIVES, say)"
            )
        fields = dataclasses.fields(value)
        return {"@": keys[type(value)]} | {f.name: encode(getattr(value, f.name)) for f in fields}
    if isinstance(value, tuple | list):
        return [encode(item) for item in value]
    if value is None or isinstance(value, SCALARS):
        return value
    raise TypeError(f"{value!r} cannot be part of a config")


def decode(data: Any) -> Any:
    """The config that `encode` wrote; ``ValueError`` or ``TypeError`` if it is no valid one."""
    if not isinstance(data, dict):
        return data
    known = classes()
    if data.get("@") not in known:
        raise ValueError(f"unknown kind of config {data.get('@')!r}; there are {', '.join(known)}")
    cls = known[data["@"]]
    given = {name: decode(value) for name, value in data.items() if name != "@"}
    return cls(**check_parameters(given, hints(cls), str(data["@"])))


def identity(config: Any) -> str:
    """Twelve hexadecimal digits that hash every field of a config: the name of its run."""
    text = json.dumps(_hashed(config), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def _hashed(value: Any) -> Any:
    if not dataclasses.is_dataclass(value):
        return encode(value)
    out = {"@": encode(value)["@"]}
    for f in dataclasses.fields(value):
        item = getattr(value, f.name)
        if not (f.metadata.get("later") and item == f.default):
            out[f.name] = _hashed(item)
    return out


def hints(target: Callable | type) -> dict[str, Any]:
    """Parameter names and types of a dataclass or a function."""
    found = typing.get_type_hints(target, include_extras=True)
    if dataclasses.is_dataclass(target):
        return {f.name: found[f.name] for f in dataclasses.fields(target)}
    return {name: found.get(name, Any) for name in inspect.signature(target).parameters}


def check_parameters(given: Mapping[str, Any], allowed: Mapping[str, Any], what: str) -> dict:
    """``given`` with values brought to the types of ``allowed``.

    Text is read as a command line or YAML would give it ("1e-2" is a float where a float is
    wanted). Raises ``ValueError`` naming the parameter, for unknown names and wrong types.
    """
    if unknown := [name for name in given if name not in allowed]:
        raise ValueError(
            f"{what} has no parameter {', '.join(map(repr, unknown))}; it has {', '.join(allowed)}"
        )
    return {name: coerce(f"{what}: {name}", value, allowed[name]) for name, value in given.items()}


def coerce(what: str, value: Any, hint: Any) -> Any:
    """One value brought to a type, see `check_parameters`."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return value  # decoded already; its owner checks what it can do
    if getattr(hint, "_is_protocol", False):
        raise ValueError(f"{what} must be an object with a key '@', not {value!r}")
    union = typing.get_origin(hint) in (types.UnionType, typing.Union)
    plain = set(typing.get_args(hint)) if union else {hint}
    if isinstance(value, str):
        if type(None) in plain and value.lower() in ("", "none", "null"):
            return None
        if any(typing.get_origin(kind) is tuple for kind in plain):
            inside = value.strip().removeprefix("[").removesuffix("]")
            value = [item.strip() for item in inside.split(",") if item.strip()]
    if isinstance(value, bool) and not plain & {bool, Any}:
        raise ValueError(f"{what} must be {_name(hint)}, not {value!r}")
    try:
        return _adapter(hint).validate_python(value)
    except ValidationError as error:
        reasons = "; ".join(dict.fromkeys(e["msg"] for e in error.errors()))
        raise ValueError(f"{what} must be {_name(hint)}, not {value!r} ({reasons})") from None


def strict(what: str, value: Any, hint: Any) -> Any:
    """A value that must have its type already (whole numbers may stand for floats)."""
    try:
        return _adapter(hint).validate_python(value, strict=True)
    except ValidationError:
        raise TypeError(f"{what} must be {_name(hint)}, not {value!r}") from None


@functools.cache
def _adapter(hint: Any) -> TypeAdapter:
    return TypeAdapter(hint)


def _name(hint: Any) -> str:
    return hint.__name__ if isinstance(hint, type) and not typing.get_args(hint) else str(hint)
