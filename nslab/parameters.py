"""Parameters from a command line, a notebook or a file, brought to the types they must have."""

import dataclasses
import functools
import inspect
import types
import typing
from collections.abc import Callable, Mapping
from typing import Any

from pydantic import TypeAdapter, ValidationError

# A number of seeds and a list of them are easily taken for one another.
MEANT = {
    "seeds": "n_seeds=3 asks for three seeds; a list, such as seeds=1,2,3, is for experiments",
    "n_seeds": "seeds=1,2,3 names the seeds; their number, such as n_seeds=3, is for notebooks",
}


def hints(target: Callable | type) -> dict[str, Any]:
    """Parameter names and types of a dataclass or a function."""
    found = typing.get_type_hints(target, include_extras=True)
    if dataclasses.is_dataclass(target):
        return {f.name: found[f.name] for f in dataclasses.fields(target)}
    return {name: found.get(name, Any) for name in inspect.signature(target).parameters}


def omitted_means(old: Any, used: Callable[[Any], bool] = lambda config: True) -> dict[str, Any]:
    """Metadata of a field that a config got later: what a config without it has always meant.

    A value of ``old`` is left out of the hash, so runs made before the field existed keep their
    identity, and a stored config that lacks the field is read back as ``old``. Both hold for ever:
    a new default is only what new configs start with, and gives them identities of their own.
    ``used(config)`` says whether the field can change anything; where not, no value of it counts.
    """
    return {"omitted_means": old, "used": used}


def check_parameters(given: Mapping[str, Any], allowed: Mapping[str, Any], what: str) -> dict:
    """``given`` with values brought to the types of ``allowed``.

    Text is read as a command line or YAML would give it ("1e-2" is a float where a float is
    wanted). Raises ``ValueError`` naming the parameter, for unknown names and wrong types.
    """
    if unknown := [name for name in given if name not in allowed]:
        hint = "".join(f" ({MEANT[name]})" for name in unknown if name in MEANT)
        raise ValueError(
            f"{what} has no parameter {', '.join(map(repr, unknown))}; it has {', '.join(allowed)}"
            f"{hint}"
        )
    return {name: coerce(f"{what}: {name}", value, allowed[name]) for name, value in given.items()}


def coerce(what: str, value: Any, hint: Any) -> Any:
    """One value brought to a type, see `check_parameters`."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return value  # decoded already; its owner checks what it can do
    union = typing.get_origin(hint) in (types.UnionType, typing.Union)
    plain = set(typing.get_args(hint)) if union else {hint}
    if value is None and type(None) in plain:
        return None
    if any(getattr(k, "_is_protocol", False) or dataclasses.is_dataclass(k) for k in plain):
        raise ValueError(f"{what} must be an object with a key '@', not {value!r}")
    if isinstance(value, str):
        if type(None) in plain and value.lower() in ("", "none", "null"):
            return None
        if any(typing.get_origin(kind) in (tuple, list) for kind in plain):
            text = value.strip().removeprefix("[").removesuffix("]")
            value = [item.strip() for item in text.split(",") if item.strip()]
    wanted = plain | {item for kind in plain for item in typing.get_args(kind)}
    items = value if isinstance(value, tuple | list) else [value]
    if any(isinstance(item, bool) for item in items) and not wanted & {bool, Any}:
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
