"""A digest of a user's own code: of a function or class, and of the user's code that it uses.

Edited code thus has another digest, though its name is the same, and results of the old code are
never taken for results of the new. Code of installed packages counts by its name alone.
"""

import dataclasses
import dis
import functools
import hashlib
import os
import re
import sys
import sysconfig
import types
from collections.abc import Sequence, Set
from enum import Enum
from pathlib import Path
from typing import Any

from nslab.system.content_names import DIGITS
from nslab.system.plugin_sources import digest_of, location, sources_of
from nslab.system.registry import Registry

_INSTALLED = tuple(
    str(Path(sysconfig.get_path(name)).resolve())
    for name in ("stdlib", "platstdlib", "purelib", "platlib")
)
_PACKAGE = str(Path(__file__).resolve().parents[1])
_GLOBAL = ("LOAD_GLOBAL", "LOAD_NAME")  # bytecode operations that read globals
_PLAIN = (int, float, complex, str, bytes, bool, type(None), type(...))
_BUILT_IN = (
    *(types.BuiltinFunctionType, types.MethodDescriptorType, types.WrapperDescriptorType),
    *(types.GetSetDescriptorType, types.MemberDescriptorType, types.ClassMethodDescriptorType),
)
# Packages whose values show everything they hold in their repr, unless it has an address.
_SHOWN = ("builtins", "torch", "re", "pathlib", "decimal", "fractions", "datetime", "numpy")
# Methods that dataclasses generate from the fields, which are digested themselves.
_GENERATED = (
    *("__init__", "__repr__", "__eq__", "__hash__", "__lt__", "__le__", "__gt__", "__ge__"),
    *("__setattr__", "__delattr__", "__replace__", "__getstate__", "__setstate__"),
)
# Attributes that Python itself adds to a class, and annotations, which compute nothing.
_OF_CLASSES = (
    *("__module__", "__dict__", "__weakref__", "__doc__", "__annotations__", "__annotate__"),
    *("__annotate_func__", "__annotations_cache__", "__firstlineno__", "__static_attributes__"),
    *("__dataclass_fields__", "__dataclass_params__", "__match_args__", "__orig_bases__"),
    *("__parameters__", "__abstractmethods__", "_abc_impl"),
)


def code_digest(target: Any) -> str:
    """Twelve hexadecimal digits that hash a function or class, the user's own functions, classes
    and constants that it uses, and the user's own files that it imports.

    Comments and layout change nothing; another minor version of Python does. Values that code
    encloses or refers to count by their contents; ``ValueError`` for one that does not show them.

    >>> def double(x):
    ...     return 2 * x
    >>> def triple(x):
    ...     return 3 * x
    >>> code_digest(double) == code_digest(triple)
    False
    """
    walk = _Walk()
    try:
        walk.see(target)
    except (RuntimeError, NotImplementedError, TypeError, AttributeError, OSError) as error:
        problem = f"nslab cannot tell whether {target!r} has changed ({error})"
        raise ValueError(problem) from None
    return walk.digest.hexdigest()[:DIGITS]


def is_own(value: Any) -> bool:
    """Whether something was defined by the user: in a session, or a file of theirs."""
    module = sys.modules.get(getattr(value, "__module__", None) or "")
    file = getattr(value if isinstance(value, types.ModuleType) else module, "__file__", None)
    if isinstance(value, types.ModuleType) and file is None:
        return False
    if file is None:  # a session, or builtins
        return getattr(value, "__module__", "") not in sys.builtin_module_names
    place = Path(file).resolve()
    if any(site in place.parts for site in ("site-packages", "dist-packages")):
        return False
    return not str(place).startswith(tuple(root + os.sep for root in (*_INSTALLED, _PACKAGE)))


class _Walk:
    """Visits all of the user's code that can be reached from a value, each part once, and digests
    it."""

    def __init__(self) -> None:
        self.digest, self.seen = hashlib.sha256(), set[int]()
        self.kept: list[Any] = []  # keeps values alive, so that no id is used twice
        self.modules = set[tuple[int, Set[str]]]()

    def add(self, *words: object) -> None:
        self.digest.update("\0".join(map(str, words)).encode() + b"\1")

    def see(self, value: Any) -> None:
        if isinstance(value, _PLAIN) and not (isinstance(value, Enum) and is_own(type(value))):
            self.add("value", repr(value))
        elif id(value) in self.seen:
            self.add("seen", getattr(value, "__name__", ""))
        else:
            self.seen.add(id(value))
            self.kept.append(value)
            self.look_into(value)

    def look_into(self, value: Any) -> None:
        if isinstance(value, functools.partial):
            for part in (value.func, value.args, value.keywords):
                self.see(part)
        elif isinstance(value, Registry):
            self.add("registry", value.what)  # the code names the entries that it uses
        elif isinstance(value, set | frozenset):
            self.add(type(value).__name__, *sorted(code_digest(item) for item in value))
        elif isinstance(value, tuple | list | dict) and is_own(type(value)):
            self.see(type(value))  # it may have methods of its own
            self.see(dict(value) if isinstance(value, dict) else list(value))
        elif isinstance(value, tuple | list):
            self.add(type(value).__name__, len(value))
            for item in value:
                self.see(item)
        elif isinstance(value, dict):
            self.add("dict", len(value))
            self.see(getattr(value, "default_factory", None))
            for key, item in value.items():
                self.see(key)
                self.see(item)
        elif isinstance(value, staticmethod | classmethod):
            self.see(value.__func__)
        elif isinstance(value, types.MethodType):
            self.see(value.__func__)
            self.see(value.__self__)
        elif isinstance(value, property):
            for function in (value.fget, value.fset, value.fdel):
                self.see(function)
        elif isinstance(value, types.ModuleType):
            self.module(value, frozenset())
        elif isinstance(value, functools._lru_cache_wrapper):
            self.see(value.__wrapped__)
        elif isinstance(value, type):
            self.class_(value) if is_own(value) else self.named(value)
        elif isinstance(value, types.FunctionType):
            self.function(value) if is_own(value) else self.named(value)
        elif isinstance(value, _BUILT_IN):
            self.named(value)
        else:
            self.object(value)

    def named(self, value: Any) -> None:
        """Add something of an installed package, by its name."""
        self.add("named", getattr(value, "__module__", ""), value.__qualname__)

    def object(self, value: Any) -> None:
        """Add a value that code encloses or refers to, by its contents."""
        self.add("object", type(value).__module__, type(value).__qualname__)
        if hasattr(value, "detach") and hasattr(value, "numpy"):  # a tensor
            value = value.detach().cpu()
            self.add(value.dtype, tuple(value.shape))
            self.digest.update(bytes(value.contiguous().flatten().view(self.byte(value)).numpy()))
        elif hasattr(value, "tobytes") and hasattr(value, "dtype"):  # an array
            self.add(value.dtype, getattr(value, "shape", ()))
            self.digest.update(value.tobytes())
        elif callable(getattr(value, "named_modules", None)):
            self.see(dict(value.state_dict()))
            for name, part in value.named_modules():
                self.add(name)
                self.see(type(part))
                self.see(dict(part.named_buffers(recurse=False)))  # some are not in the state dict
                self.see({k: v for k, v in vars(part).items() if not k.startswith("_")})
        elif isinstance(value, re.Pattern):
            self.add(value.pattern, value.flags)
        elif type(value).__module__.startswith("torch.distributions"):
            self.see(vars(value))
        elif type(value).__module__.partition(".")[0] in _SHOWN and " at 0x" not in repr(value):
            self.add(repr(value))
        elif hasattr(value, "__dict__"):
            self.see(type(value))
            self.see(vars(value))
        else:
            raise ValueError(
                f"nslab cannot tell when {value!r} changes, so old results would be taken for new "
                "ones: make it inside the function, or put the code into a plug-in file, see "
                "nslab.use"
            )

    @staticmethod
    def byte(tensor: Any) -> Any:
        """``torch.uint8``, without importing torch."""
        return sys.modules[type(tensor).__module__.partition(".")[0]].uint8

    def module(self, module: types.ModuleType, names: Set[str]) -> None:
        """Add what code that looks up ``names`` uses of a module: the module as it is now, which
        may differ from its file."""
        self.add("module", module.__name__)
        for name in sorted(names & vars(module).keys()) if is_own(module) else ():
            self.add("of module", name)
            value = vars(module)[name]
            if isinstance(value, types.ModuleType):
                if (id(value), names) not in self.modules:
                    self.modules.add((id(value), names))
                    self.module(value, names)
            else:
                self.see(value)

    def class_(self, cls: type) -> None:
        self.add("class", cls.__name__)
        for base in (type(cls), *cls.__bases__):
            self.see(base)
        for name, value in sorted(vars(cls).items()):
            made = (
                isinstance(value, types.FunctionType) and value.__code__.co_filename == "<string>"
            )
            if name in _OF_CLASSES or made:  # generated methods follow from the fields
                continue
            self.add("member", name)
            self.see(value)
        for field in dataclasses.fields(cls) if dataclasses.is_dataclass(cls) else ():
            self.add("field", field.name)
            for default in (field.default, field.default_factory):
                if default is not dataclasses.MISSING:
                    self.see(default)

    def function(self, function: types.FunctionType) -> None:
        # the compiled code, which is what runs: the source may have been edited since
        self.add("function", function.__name__)
        self.code(function.__code__, function.__doc__)
        self.see(function.__defaults__)
        self.see(function.__kwdefaults__)
        for cell in function.__closure__ or ():
            try:
                enclosed = cell.cell_contents
            except ValueError:  # not filled yet
                enclosed = "empty cell"
            self.see(enclosed)
        names = frozenset(names_of(function.__code__))
        for name in sorted(names_of(function.__code__, _GLOBAL) & function.__globals__.keys()):
            self.add("uses", name)
            value = function.__globals__[name]
            if isinstance(value, types.ModuleType):
                self.module(value, names)
            else:
                self.see(value)
        for name in sorted(names_of(function.__code__, ("IMPORT_NAME",))):
            self.imported(name)

    def imported(self, name: str) -> None:
        """Add a module that a function imports when it runs, by its sources, if it is the
        user's."""
        try:
            path = location(name)
        except ValueError:
            return
        module = types.ModuleType(name.partition(".")[0])
        module.__file__ = str(path)
        if is_own(module):
            self.add("imports", name, digest_of(sources_of(path)))

    def code(self, code: types.CodeType, doc: str | None = None) -> None:
        self.add(code.co_code.hex(), code.co_names, code.co_varnames, code.co_freevars)
        self.add(code.co_argcount, code.co_kwonlyargcount, code.co_flags)
        self.add(code.co_exceptiontable.hex())
        for constant in code.co_consts:
            if isinstance(constant, types.CodeType):
                self.code(constant)
            elif constant is not doc or doc is None:
                self.see(constant)


def names_of(code: types.CodeType, how: Sequence[str] = ()) -> set[str]:
    """The names that a function and its inner functions look up outside themselves: all, or only
    those by the bytecode operations ``how``."""
    found = (
        {str(step.argval) for step in dis.get_instructions(code) if step.opname in how}
        if how
        else set(code.co_names)
    )
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            found |= names_of(constant, how)
    return found
