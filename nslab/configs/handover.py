"""A dataclass as JSON, for a child process: unlike a pickle it holds only data.

Reading it imports classes by name, so read only what this program itself wrote, never files.
"""

import dataclasses
import importlib
import json
from typing import Any

from nslab.system.validation import check_parameters, hints


def packed(value: Any) -> str:
    """A dataclass of plain values, lists, tuples and other such dataclasses, as JSON text."""
    return json.dumps(_plain(value))


def unpacked(text: str) -> Any:
    """The value that `packed` wrote."""
    return _whole(json.loads(text))


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        cls = type(value)
        fields = {f.name: _plain(getattr(value, f.name)) for f in dataclasses.fields(cls)}
        return {"@": f"{cls.__module__}:{cls.__qualname__}"} | fields
    return [_plain(item) for item in value] if isinstance(value, list | tuple) else value


def _whole(data: Any) -> Any:
    if isinstance(data, list):
        return [_whole(item) for item in data]
    if not isinstance(data, dict):
        return data
    module, _, name = data["@"].partition(":")
    cls = getattr(importlib.import_module(module), name)
    given = {key: _whole(item) for key, item in data.items() if key != "@"}
    return cls(**check_parameters(given, hints(cls), name))
