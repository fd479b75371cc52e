"""Types of parameters in plain words, for error messages."""

import types
import typing
from collections.abc import Iterable
from typing import Any

from nslab.system.unknown_names import near

WORDS = {  # singular and plural
    int: ("a whole number", "whole numbers"),
    float: ("a number", "numbers"),
    bool: ("true or false", "values true or false"),
    str: ("a text", "texts"),
    type(None): ("none", "none"),
}


def in_words(hint: Any) -> str:
    """A type in plain words; a type without such words by its name.

    >>> in_words(tuple[int, ...] | None), in_words(tuple[float, float])
    ('a list of whole numbers, or none', '2 numbers')
    """
    kinds, origin = typing.get_args(hint), typing.get_origin(hint)
    if origin in (types.UnionType, typing.Union):
        return ", or ".join(map(in_words, kinds))
    if origin is typing.Literal:
        return f"one of {', '.join(map(str, kinds))}"
    if origin in (tuple, list):
        item = next(iter(kinds))
        several = WORDS[item][1] if item in WORDS else f"values, each {in_words(item)}"
        if origin is list or Ellipsis in kinds:
            return f"a list of {several}"
        if set(kinds) == {item}:
            return f"{len(kinds)} {several}"
    if hint in WORDS:
        return WORDS[hint][0]
    return hint.__name__ if isinstance(hint, type) and not kinds else str(hint)


def choices(hint: Any) -> list[str]:
    """The words that a type allows, if it is a ``Literal`` or a tuple, list or union of one.

    >>> choices(tuple[typing.Literal["a", "b"], ...] | None)
    ['a', 'b']
    """
    if typing.get_origin(hint) is typing.Literal:
        return [word for word in typing.get_args(hint) if isinstance(word, str)]
    return [word for inner in typing.get_args(hint) for word in choices(inner)]


def not_one_of(what: str, word: str, allowed: Iterable[str]) -> str:
    """The message for a word that is not among those allowed."""
    allowed = list(allowed)
    likely = near(word, allowed)
    meant = f": did you mean {' or '.join(likely)}?" if likely else ""
    return f"{what} must be one of {', '.join(allowed)}, not {word!r}{meant}"


def misfit(what: str, value: Any, hint: Any) -> str:
    """The message for a value that does not fit a type."""
    allowed, words = choices(hint), value if isinstance(value, tuple | list) else [value]
    wrong = [word for word in words if isinstance(word, str) and word not in allowed]
    if allowed and wrong:
        return not_one_of(what, wrong[0], allowed)
    return f"{what} must be {in_words(hint)}, not {value!r}"
