"""A digest of a person's own code: of a function or class, and of what of theirs it uses.

What is edited is another thing then, whatever its name: results of the old code never answer for
the new. Code of installed packages counts by its name alone.
"""

import ast
import functools
import hashlib
import inspect
import sys
import sysconfig
import textwrap
import types
from pathlib import Path
from typing import Any

from nslab.system.content_names import DIGITS

_INSTALLED = tuple(
    str(Path(sysconfig.get_path(name)).resolve())
    for name in ("stdlib", "platstdlib", "purelib", "platlib")
)
_PACKAGE = str(Path(__file__).resolve().parents[1])
_PLAIN = (int, float, complex, str, bytes, bool, type(None))


def code_digest(target: Any) -> str:
    """Twelve hexadecimal digits that hash a function or class, those of the same author that it
    uses (functions, classes, base classes, constants), and files of theirs that it imports.

    Comments and layout change nothing.

    >>> def double(x):
    ...     return 2 * x
    >>> def triple(x):
    ...     return 3 * x
    >>> code_digest(double) == code_digest(triple)
    False
    """
    walk = _Walk()
    walk.see(target)
    return walk.digest.hexdigest()[:DIGITS]


def is_own(value: Any) -> bool:
    """Whether something was defined by the user: in a session, or a file of theirs."""
    module = sys.modules.get(getattr(value, "__module__", None) or "")
    file = getattr(value if isinstance(value, types.ModuleType) else module, "__file__", None)
    if isinstance(value, types.ModuleType) and file is None:
        return False
    if file is None:  # a session, or builtins
        return getattr(value, "__module__", "") not in sys.builtin_module_names
    place = str(Path(file).resolve())
    return not place.startswith((*_INSTALLED, _PACKAGE))


class _Walk:
    """Everything of the user's that can be reached, each thing once."""

    def __init__(self) -> None:
        self.digest, self.seen = hashlib.sha256(), set[int]()
        self.kept: list[Any] = []  # so that no id is used twice

    def add(self, *words: object) -> None:
        self.digest.update("\0".join(map(str, words)).encode() + b"\1")

    def see(self, value: Any) -> None:
        if isinstance(value, _PLAIN):
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
        elif isinstance(value, tuple | list | set | frozenset):
            self.add(type(value).__name__)
            for item in sorted(value, key=repr) if isinstance(value, set | frozenset) else value:
                self.see(item)
        elif isinstance(value, dict):
            self.add("dict")
            for key, item in value.items():
                self.see(key)
                self.see(item)
        elif isinstance(value, staticmethod | classmethod | types.MethodType):
            self.see(value.__func__)
        elif isinstance(value, property):
            for function in (value.fget, value.fset, value.fdel):
                self.see(function)
        elif isinstance(value, types.ModuleType):
            self.module(value)
        elif isinstance(value, type) and is_own(value):
            self.class_(value)
        elif isinstance(value, types.FunctionType) and is_own(value):
            self.function(value)
        else:
            kind = value if isinstance(value, types.FunctionType | type) else type(value)
            self.add("named", kind.__module__, getattr(value, "__qualname__", kind.__qualname__))

    def module(self, module: types.ModuleType) -> None:
        self.add("module", module.__name__)
        if is_own(module) and module.__file__:
            self.digest.update(Path(module.__file__).read_bytes())

    def class_(self, cls: type) -> None:
        self.add("class", cls.__name__)
        for base in cls.__bases__:
            self.see(base)
        for name, value in sorted(vars(cls).items()):
            made = isinstance(value, types.FunctionType) and "<" in value.__code__.co_filename
            skipped = ("__module__", "__dict__", "__weakref__", "__doc__", "__firstlineno__")
            if name in skipped or (made and "ipython" not in value.__code__.co_filename):
                continue  # of dataclasses: the fields say it
            self.add("member", name)
            self.see(value)

    def function(self, function: types.FunctionType) -> None:
        self.add("function", function.__name__)
        try:
            source = textwrap.dedent(inspect.getsource(function))
            self.add(ast.unparse(ast.parse(source)))
        except (OSError, TypeError, SyntaxError):  # no source, or a part of a line
            self.code(function.__code__)
        self.see(function.__defaults__)
        self.see(function.__kwdefaults__)
        for cell in function.__closure__ or ():
            try:
                self.see(cell.cell_contents)
            except ValueError:  # not filled yet
                self.add("empty cell")
        for name in sorted(names_of(function.__code__)):
            if name in function.__globals__:
                self.add("uses", name)
                self.see(function.__globals__[name])

    def code(self, code: types.CodeType) -> None:
        self.add(code.co_code.hex(), code.co_names, code.co_varnames)
        for constant in code.co_consts:
            if isinstance(constant, types.CodeType):
                self.code(constant)
            else:
                self.add(repr(constant))


def names_of(code: types.CodeType) -> set[str]:
    """The names that a function looks up outside itself, inner functions' too."""
    found = set(code.co_names)
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            found |= names_of(constant)
    return found
