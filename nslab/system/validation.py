"""Parameters from a command line, a notebook or a file, converted to their types and checked."""

import dataclasses
import functools
import inspect
import math
import types
import typing
from collections.abc import Callable, Mapping
from typing import Any

from pydantic import TypeAdapter, ValidationError

from nslab.system.registry import CONFIG_CLASSES
from nslab.system.type_words import misfit
from nslab.system.unknown_names import ALIASES, suggestion
from nslab.system.unknown_names import PLUGIN_ADVICE as PLUGIN_ADVICE
from nslab.system.unknown_names import near as near
from nslab.system.unknown_names import unknown as unknown

MOST_COMBINATIONS = 10_000
# Advice, since a number of seeds and a list of them are easily confused.
MEANT = {
    "seeds": "n_seeds=3 asks for three seeds; a list, such as seeds=1,2,3, is for experiments",
    "n_seeds": "seeds=1,2,3 names the seeds; their number, such as n_seeds=3, is for notebooks",
}

FIXED = (
    "the preset fixes it: choose another preset, or change the configs of `plan` yourself and pass "
    "them to nslab.run_all"
)


def check_count(what: str, sizes: Mapping[str, int]) -> None:
    """``ValueError`` for more than `MOST_COMBINATIONS`, before one of them is built. ``sizes`` has
    the number of values of each parameter.

    >>> check_count("the grid", {"seeds": 3, "lr": 4})
    """
    if (count := math.prod(sizes.values())) > MOST_COMBINATIONS:
        factors = " x ".join(f"{size:,} {name}" for name, size in sizes.items() if size != 1)
        raise ValueError(
            f"{what} asks for {count:,} combinations ({factors}), and {MOST_COMBINATIONS:,} are "
            "the most that are planned at once: give fewer values, or a part of them at a time"
        )


def hints(target: Callable | type) -> dict[str, Any]:
    """Parameter names and types of a dataclass or a function."""
    return dict(_hints(target))


@functools.lru_cache(maxsize=1024)  # needed again for each of many stored configs
def _hints(target: Callable | type) -> dict[str, Any]:
    found = typing.get_type_hints(target, include_extras=True)
    if dataclasses.is_dataclass(target):
        return {f.name: found[f.name] for f in dataclasses.fields(target)}
    return {name: found.get(name, Any) for name in inspect.signature(target).parameters}


def omitted_means(old: Any, used: Callable[[Any], bool] = lambda config: True) -> dict[str, Any]:
    """Metadata of a field that was added later: the value that a config without it stands for.

    A value of ``old`` is left out of the hash, so runs made before the field existed keep their
    identity, and a stored config that lacks the field is read back as ``old``. Both hold for ever:
    a new default applies to new configs only, and gives them identities of their own.
    ``used(config)`` says whether the field can change anything; if not, it is never hashed.
    """
    return {"omitted_means": old, "used": used}


def hashed_as(content: Callable[[Any], Any]) -> dict[str, Any]:
    """Metadata of a field whose identity is ``content(value)``: for example, without the path of
    a file."""
    return {"hashed_as": content}


def check_parameters(
    given: Mapping[str, Any],
    allowed: Mapping[str, Any],
    what: str,
    advice: Mapping[str, str] = MEANT,
) -> dict:
    """``given`` with values converted to the types of ``allowed``; ``what`` takes them.

    Text is read as a command line or YAML would give it ("1e-2" is a float where a float is
    wanted). Raises ``ValueError`` naming the parameter, for unknown names (with the text that
    ``advice`` has for them) and wrong types.
    """
    if wrong := [name for name in given if name not in allowed]:
        # no advice for what is only a misspelling of an allowed name
        unclear = [n for n in wrong if n in MEANT or not near(n, allowed)]
        told = (advice.get(n) or advice.get(ALIASES.get(n, n), "") for n in unclear)
        hint = "".join(f" ({text})" for text in dict.fromkeys(told) if text)
        raise ValueError(
            f"{what} has no parameter {', '.join(map(repr, wrong))}"
            f"{suggestion(wrong, allowed, 'It')} has {', '.join(allowed)}{hint}"
        )
    return {name: coerce(f"{what}: {name}", value, allowed[name]) for name, value in given.items()}


def items_of(text: str) -> list[str]:
    """The items of a list as a command line gives it.

    >>> items_of("[1, 2]"), items_of("ce,ns_ws")
    (['1', '2'], ['ce', 'ns_ws'])
    """
    text = text.strip()
    if text.startswith("[") != text.endswith("]"):
        raise ValueError(f"{text!r} has one bracket: close it, or leave out both")
    text = text.removeprefix("[").removesuffix("]")
    return [item.strip() for item in text.split(",") if item.strip()]


def coerce(what: str, value: Any, hint: Any) -> Any:
    """One value converted to a type, see `check_parameters`."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return value  # decoded already; the config that takes it checks it
    union = typing.get_origin(hint) in (types.UnionType, typing.Union)
    plain = set(typing.get_args(hint)) if union else {hint}
    if value is None and type(None) in plain:
        return None
    if is_config(hint):
        if (rest := without_configs(hint)) is None:
            raise ValueError(f"{what} must be {_config_meant(value, hint)}, not {value!r}")
        return coerce(what, value, rest)
    if isinstance(value, str):
        if type(None) in plain and value.lower() in ("", "none", "null"):
            return None
        if any(typing.get_origin(kind) in (tuple, list) for kind in plain):
            value = items_of(value)
    wanted = plain | {item for kind in plain for item in typing.get_args(kind)}
    items = value if isinstance(value, tuple | list) else [value]
    if any(isinstance(item, bool) for item in items) and not wanted & {bool, Any}:
        raise ValueError(misfit(what, value, hint))
    try:
        return _adapter(hint).validate_python(value)
    except ValidationError:
        raise ValueError(misfit(what, value, hint)) from None


def _config_meant(word: Any, hint: Any) -> str:
    """What to write where a config is wanted instead of a word: an example of the class that has
    the word as its key, or of the most similar key, or of the first class that fits."""
    kinds = tuple(kind for kind in typing.get_args(hint) or (hint,) if is_config(kind))
    known = {key: cls for part in CONFIG_CLASSES.registries.values() for key, cls in part.items()}
    fit = {key: cls for key, cls in known.items() if _fits(cls, kinds)}
    if not fit:
        return "an object with a key '@'"
    cls = fit[[*near(word, fit), *fit][0]]
    needed = [
        f"{f.name}=..."
        for f in dataclasses.fields(cls)
        if f.default is f.default_factory is dataclasses.MISSING
    ]
    return (
        f"a value, such as {cls.__name__}({', '.join(needed)}) from {cls.__module__} (in a file, "
        "an object with a key '@')"
    )


def _fits(cls: type, kinds: tuple[type, ...]) -> bool:
    try:
        return issubclass(cls, kinds)
    except TypeError:  # a protocol with members other than methods allows no such question
        return False


def strict(what: str, value: Any, hint: Any) -> Any:
    """A value that must have its type already, except that whole numbers may stand for floats, and
    a list for a tuple; ``TypeError`` otherwise."""
    if isinstance(value, list) and typing.get_origin(hint) is tuple:
        value = tuple(value)
    try:
        return _adapter(hint).validate_python(value, strict=True)
    except ValidationError:
        raise TypeError(misfit(what, value, hint)) from None


def check_fields(
    config: Any,
    *,
    positive: tuple[str, ...] = (),
    at_least: Mapping[str, float] | None = None,
    at_most: Mapping[str, float] | None = None,
    below: Mapping[str, float] | None = None,
    one_of: Mapping[str, Mapping[str, Any]] | None = None,
) -> None:
    """Convert the fields of a frozen dataclass to their declared types and check their ranges.

    Every number must be finite; None is in every range; ``one_of`` gives the registry that must
    have a field's value as a key. Raises ``TypeError`` for a wrong type, ``ValueError`` for a value
    out of range, both naming class and field.
    """
    name = type(config).__name__
    for field, declared in hints(type(config)).items():
        value = getattr(config, field)
        if type(value) is declared and declared in (str, int, bool):
            continue
        hint = without_configs(declared)
        if hint is None or (hint != declared and dataclasses.is_dataclass(value)):
            continue  # another config, which checked itself when it was made
        value = strict(f"{name}: {field}", value, hint)
        object.__setattr__(config, field, value)
        if isinstance(value, float) and not math.isfinite(value):
            raise ValueError(f"{name}: {field} must be finite, not {value}")
    for field_name, bound, holds, words in (
        *((n, 0.0, float.__gt__, "above") for n in positive),
        *((n, b, float.__ge__, "at least") for n, b in (at_least or {}).items()),
        *((n, b, float.__le__, "at most") for n, b in (at_most or {}).items()),
        *((n, b, float.__lt__, "below") for n, b in (below or {}).items()),
    ):
        value = getattr(config, field_name)
        if value is not None and not holds(float(value), float(bound)):
            raise ValueError(f"{name}: {field_name} must be {words} {bound:g}, not {value}")
    for field_name, names in (one_of or {}).items():
        if (value := getattr(config, field_name)) not in names:
            raise unknown(field_name, value, names)


@functools.cache
def is_config(hint: Any) -> bool:
    """Whether a type, or one of a union, is another config: a dataclass, or a protocol of such."""
    kinds = typing.get_args(hint) or (hint,)
    return any(getattr(k, "_is_protocol", False) or dataclasses.is_dataclass(k) for k in kinds)


@functools.cache
def without_configs(hint: Any) -> Any:
    """A type without the configs in its union; None if nothing but None is left."""
    if not is_config(hint):
        return hint
    rest = [k for k in typing.get_args(hint) if not is_config(k)]
    return typing.Union[tuple(rest)] if set(rest) - {type(None)} else None  # noqa: UP007


@functools.cache
def _adapter(hint: Any) -> TypeAdapter:
    return TypeAdapter(hint)
