"""YAML files written by people: only plain values, and of limited size when read."""

import math
import re
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from nslab.system.validation import unknown

MOST_BYTES, MOST_VALUES = 1_000_000, 100_000
PLAIN = {  # what pydantic says -> what people who write YAML understand
    r"^Field required$": "is missing",
    r"^Input should be a valid (dictionary|mapping).*": "must be a mapping, NAME: VALUE",
    r"^Input should be a valid list.*": "must be a list, [A, B]",
    r"^Input should be a valid tuple.*": "must be a list, [A, B]",
    r"^Input should be a valid string.*": "must be a text",
    r"^Input should be a valid boolean.*": "must be true or false",
    r"^Input should be a valid integer.*": "must be a whole number",
    r"^Input should be a valid number.*": "must be a number",
    r"^Input should be ": "must be ",
}


class UniqueKeys(yaml.SafeLoader):
    """A loader of plain values that refuses a key which a mapping has twice; YAML itself would
    silently keep the last one."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict:
        """A mapping; ``YAMLError`` naming a key that occurs twice, or is no plain value."""
        seen = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise yaml.YAMLError(f"line {key.start_mark.line + 1}: a key must be one word")
            if key.value in seen:
                where = key.start_mark
                raise yaml.YAMLError(f"line {where.line + 1} gives {key.value} a second time")
            seen.add(key.value)
        return super().construct_mapping(node, deep)


def read_yaml(file: Path, what: str) -> Any:
    """The contents of a file. ``ValueError`` for one that is broken, or that would be too large
    with its aliases expanded; the size is computed before any is expanded."""
    try:
        if (size := file.stat().st_size) > MOST_BYTES:
            raise yaml.YAMLError(f"it has {size:,} bytes, and {MOST_BYTES:,} at most are read")
        loader = UniqueKeys(file.read_text(encoding="utf-8"))
        if (node := loader.get_single_node()) is None:
            return None
        if (count := written_out(node, {})) > MOST_VALUES:
            raise yaml.YAMLError(
                f"with its aliases (*) written out it has {count:.3g} values, and {MOST_VALUES:,} "
                "at most are read: write the values without aliases"
            )
        return loader.construct_document(node)
    except RecursionError:
        reason: object = "it is nested too deeply"
    except FileNotFoundError:
        raise ValueError(f"{file} does not exist") from None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        reason = f"{f'line {mark.line + 1}: ' if mark else ''}{error.problem or error.context}"
    except (OSError, ValueError, yaml.YAMLError) as error:
        reason = error
    raise ValueError(f"{file} cannot be read as a {what}: {reason}")


def read_entries(file: Path, what: str) -> list[Any]:
    """The entries of a file that is a list; ``ValueError`` for any other, see `read_yaml`."""
    found = read_yaml(file, what)
    if not isinstance(found, list) or not found:
        raise ValueError(f"{file} is no {what}: write a list, whose entries begin with '- '")
    return found


@contextmanager
def within_entry(file: Path, number: int, keys: Collection[str] = ()) -> Iterator[None]:
    """Turn errors in the block into a ``ValueError`` that names the file and the entry (from 1).
    For a key that is not among ``keys``, it also names the most similar and all of these."""
    try:
        yield
    except ValidationError as error:
        parts = [(".".join(map(str, e["loc"])), _plain(e["msg"])) for e in error.errors()]
        extra = [str(e["loc"][0]) for e in error.errors() if e["type"] == "extra_forbidden"]
        wrong = [str(unknown("key", key, keys)) for key in extra if keys]
        others = [part for part in parts if not (keys and part[0] in extra)]
        why = "; ".join([*wrong, *(": ".join(filter(None, part)) for part in others)])
        raise ValueError(f"{file}, entry {number}: {why}") from None
    except (ValueError, TypeError) as error:
        raise ValueError(f"{file}, entry {number}: {error}") from None


def _plain(message: str) -> str:
    """pydantic's message in the words of YAML."""
    for old, new in PLAIN.items():
        message = re.sub(old, new, message)
    return message


def written_out(node: yaml.Node, known: dict[int, float]) -> float:
    """The number of values in a part of a document with its aliases expanded; infinite if the part
    contains itself."""
    if id(node) not in known:
        known[id(node)] = math.inf  # while it is being counted
        parts = [*node.value] if isinstance(node, yaml.CollectionNode) else []
        if isinstance(node, yaml.MappingNode):
            parts = [part for pair in node.value for part in pair]
        known[id(node)] = 1 + sum(written_out(part, known) for part in parts)
    return known[id(node)]
