"""Registries: dicts of the classes and values that configs and commands name by a key; you can add
your own.

>>> LOSSES: Registry[type] = Registry("loss")
>>> @LOSSES.register
... class Doubt:
...     key = "doubt"
>>> LOSSES["doubt"].__name__
'Doubt'

A key is given once: registering another value under it raises an error. The same class defined
again, in a notebook's cell or a file that runs again, replaces the old one.
"""

import dataclasses
import inspect
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any, TypeVar, overload

from nslab.system.content_names import parse_content_name
from nslab.system.unknown_names import unknown

V = TypeVar("V")
KEY = re.compile(r"[\w+][\w+.-]*(/[\w+.-]+( [\w+.-]+)*)?")
RULE = "keys are words of letters, digits, _, +, . and -, with one / at most (and spaces after it)"
C = TypeVar("C", bound=type)
ABSENT: Any = object()
EVERY: dict[str, "Registry"] = {}  # all registries, by their `what`


@dataclass(frozen=True)
class Origin:
    """The line that registered something: its module, its file, its number."""

    module: str
    file: str
    line: int

    def __str__(self) -> str:
        if self.module == "__main__" and ("ipykernel" in self.file or self.file.startswith("<")):
            return "a cell of this notebook"
        return f"{self.file}:{self.line}"


@dataclass
class NameSpace:
    """Registries in which no key may occur twice; importing the module ``home`` creates all."""

    home: str
    registries: dict[str, "Registry"] = field(default_factory=dict)


# Classes whose values may be parts of a config, which names a class by its key alone.
CONFIG_CLASSES = NameSpace("nslab.configs")


class Registry(dict[str, V]):
    """A dict of what has been registered.

    Args:
        what: what its values are called in messages, such as "objective".
        check: returns what is wrong with a key and its value; empty if nothing.
        key: the attribute of a class that holds its key.
        names: the name space in which its keys must be unique, if it shares one.
    """

    def __init__(
        self,
        what: str,
        *,
        check: Callable[[str, V], str] = lambda key, value: "",
        key: str = "key",
        names: NameSpace | None = None,
    ) -> None:
        super().__init__()
        self.what, self.check, self.key, self.names = what, check, key, names
        self.origins: dict[str, Origin] = {}
        EVERY[what] = self
        if names:
            names.registries[what] = self

    @overload
    def register(self, key: str, value: V) -> V: ...
    @overload
    def register(self, key: str) -> Callable[[V], V]: ...
    @overload
    def register(self, key: C) -> C: ...
    def register(self, key: Any, value: Any = ABSENT) -> Any:
        """Add a value and return it: ``@register`` above a class that has its key, or
        ``register(key, value)``, or ``@register(key)``.

        Raises ``ValueError`` for a key that is taken or malformed, and for a value that `check`
        refuses.
        """
        if self.names and self.names.home not in sys.modules:
            import_module(self.names.home)  # registers its own keys, which are taken, too
        if not isinstance(key, str):
            self[self._key_of(key)] = key
            return key
        if value is ABSENT:
            return lambda later: self.register(key, later)
        self[key] = value
        return value

    def _key_of(self, value: Any) -> str:
        """The key in a class itself; an inherited one belongs to its base class."""
        own = vars(value).get(self.key) if isinstance(value, type) else None
        fields = dataclasses.fields(value) if dataclasses.is_dataclass(value) else ()
        shown = name_of(value)
        if self.key in {f.name for f in fields}:
            raise ValueError(
                f"{shown}: {self.key} is a field: write it without a type, or register "
                f'{shown} by register("a_name", {shown})'
            )
        if not isinstance(own, str):
            raise ValueError(
                f'{shown} has no {self.key}: write `{self.key} = "a_name"` into the class itself, '
                f'or register it by register("a_name", {shown})'
            )
        return own

    def __missing__(self, key: str) -> V:
        """``KeyError`` that names the nearest key."""
        raise KeyError(str(unknown(self.what, key, self)))

    def __setitem__(self, key: str, value: V) -> None:
        origin, shown = caller(), name_of(value)
        if not isinstance(key, str) or not (KEY.fullmatch(key) or parse_content_name(key)):
            raise ValueError(f"{key!r} cannot be the key of {shown} ({origin}): {RULE}")
        for registry in self.names.registries.values() if self.names else [self]:
            if key in registry and not (registry is self and self._again(key, value, origin)):
                raise ValueError(
                    f"the key {key!r} is taken: {registry.what} {name_of(registry[key])} "
                    f"({registry.origins[key]}) has it, so {self.what} {shown} ({origin}) needs "
                    "another"
                )
        if problem := self.check(key, value):
            raise ValueError(f"{shown} ({origin}) is no {self.what}: {problem}")
        self.origins[key] = origin
        super().__setitem__(key, value)

    def _again(self, key: str, value: V, origin: Origin) -> bool:
        """Whether ``value`` is the value of ``key``, the same defined again, or the same moved from
        a cell to a file."""
        old, known = self[key], self.origins[key].module
        if old is value or known not in (origin.module, "__main__"):
            return old is value or (all(_place(old)) and _place(old) == _place(value))
        return type(old) is type(value) and name_of(old) == name_of(value)

    def update(self, *given: Any, **named: Any) -> None:
        """As `dict.update`, with each value checked."""
        for key, value in dict(*given, **named).items():
            self[key] = value

    def __ior__(self, given: Any) -> "Registry[V]":  # type: ignore[override,misc]
        self.update(given)
        return self

    def setdefault(self, key: str, default: Any = None) -> Any:
        """As `dict.setdefault`, with the value checked."""
        if key not in self:
            self[key] = default
        return self[key]


def forget(modules: Callable[[str], bool]) -> None:
    """Remove from all registries what modules have registered for whose names ``modules`` is
    true."""
    for registry in EVERY.values():
        for key in [key for key in registry if modules(registry.origins[key].module)]:
            del registry[key]


def snapshot() -> list[tuple["Registry", dict[str, Any], dict[str, Origin]]]:
    """The contents of all registries, for `restore`."""
    return [(registry, dict(registry), dict(registry.origins)) for registry in EVERY.values()]


def restore(before: list[tuple["Registry", dict[str, Any], dict[str, Origin]]]) -> None:
    """Restore a `snapshot`; registries created since stay as they are."""
    for registry, entries, origins in before:
        registry.clear()
        dict.update(registry, entries)
        registry.origins = origins


def config_class(*members: str) -> Callable[[str, Any], str]:
    """The check of a class whose values are parts of a config: a frozen dataclass with these
    ``members``."""

    def check(key: str, value: Any) -> str:
        if not isinstance(value, type):
            return f"{value!r} is no class"
        params = getattr(value, "__dataclass_params__", None)
        if not (dataclasses.is_dataclass(value) and params and params.frozen):
            return "write @dataclass(frozen=True) above the class, below register"
        lacking = [name for name in members if not hasattr(value, name)]
        return f"it has no {' and no '.join(lacking)}" if lacking else ""

    return check


def callable_with(*arguments: Any, says: str) -> Callable[[str, Any], str]:
    """The check of a function that is called with ``arguments``, which ``says`` names."""

    def check(key: str, value: Any) -> str:
        try:
            inspect.signature(value).bind(*arguments)
        except TypeError as error:
            return f"it is called with {says} ({error})"
        except ValueError:
            pass  # builtins have no signature to check
        return ""

    return check


def instance_of(kind: type) -> Callable[[str, Any], str]:
    """The check that a value is an instance of a class or protocol."""

    def check(key: str, value: Any) -> str:
        if isinstance(value, type):
            return f"give a value, such as {value.__name__}(...), not the class"
        return "" if isinstance(value, kind) else f"it must be an instance of {kind.__name__}"

    return check


def name_of(value: Any) -> str:
    """A class or function by its name, another value by its class."""
    return getattr(value, "__qualname__", "") or f"a {type(value).__name__}"


def _place(value: Any) -> tuple[str, str]:
    """Module and name of a class or function; a lambda has none."""
    name = getattr(value, "__qualname__", "")
    return getattr(value, "__module__", "") or "", "" if "<lambda>" in name else name


def caller() -> Origin:
    """The innermost running line outside this module."""
    frame = sys._getframe(1)
    while frame.f_back and frame.f_globals.get("__name__") == __name__:
        frame = frame.f_back
    module = frame.f_globals.get("__name__", "")
    return Origin(module, frame.f_code.co_filename, frame.f_lineno)
