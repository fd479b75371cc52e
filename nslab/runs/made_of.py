"""Digests of people's own code and of data: what a result was made of beyond its config.

A config names both, and names stay when a loss is edited or images are replaced. So a result keeps
digests of them, and one that was made of other code or data does not answer for today's.
"""

import dataclasses
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from nslab.configs.adapt import AdaptConfig
from nslab.configs.protocol import RunConfig
from nslab.configs.train import TrainConfig
from nslab.datasets import DATASETS
from nslab.datasets.provenance import data_digest
from nslab.datasets.samplers import SAMPLERS
from nslab.networks import NETWORKS
from nslab.system.code_digest import code_digest
from nslab.system.content_names import DIGITS, parts_of
from nslab.system.plugin_sources import digest_of, sources_of
from nslab.system.plugins import LOADED, owner
from nslab.system.provenance import ACCEPT
from nslab.system.registry import CONFIG_CLASSES, EVERY, Registry

COMPUTES = "function that computes runs"  # what that registry is of; it imports from here
MADE_OF = "made_of"  # the key of a result's environment
_SAID: set[str] = set()
_DIGESTS: dict[tuple[str, str], tuple[object, str]] = {}


def entries(config: Any) -> Iterator[tuple[Registry, str]]:
    """The registries' entries that a config names."""
    if isinstance(config, tuple | list):
        for item in config:
            yield from entries(item)
    if not dataclasses.is_dataclass(config):
        return
    for registry in CONFIG_CLASSES.registries.values():
        yield from ((registry, key) for key, cls in registry.items() if cls is type(config))
    named: list[tuple[Registry, str]] = []
    if isinstance(config, TrainConfig):
        named = [(DATASETS, config.dataset), (NETWORKS, config.network), (SAMPLERS, config.sampler)]
    if isinstance(config, AdaptConfig):
        named = [(SAMPLERS, config.sampler)]
    if isinstance(config, RunConfig):
        named.append((DATASETS, str(config.dataset)))
        named += [(EVERY[COMPUTES], config.kind)] if COMPUTES in EVERY else []
    yield from ((registry, key) for registry, key in named if key in registry)
    for f in dataclasses.fields(config):
        yield from entries(getattr(config, f.name))


def made_of(config: RunConfig) -> dict[str, str]:
    """Digests by what they are of: each class or function of somebody's own that the run names, and
    each data set whose values its name does not tell."""
    return {what: found for what, digest in _parts(config).items() if (found := digest())}


def changed(config: RunConfig, then: Mapping[str, Any], *, data_only: bool = False) -> list[str]:
    """What of the run is other code, or other data, than ``then`` (the environment of a result).

    What was not written down, as in results of older versions, or is not here, cannot differ.
    """
    known = then.get(MADE_OF)
    if not isinstance(known, dict):
        return []
    parts = {
        what: digest
        for what, digest in _parts(config).items()
        if what in known and not (data_only and _is_code(what))
    }
    return [what for what, digest in parts.items() if (now := digest()) and now != str(known[what])]


def accepted(run: str, what: list[str], frozen: bool) -> bool:
    """Whether a result made of other code or data is used all the same; said in a line.

    Frozen results of other data are: they are not the ones to be computed again.
    """
    names = ", ".join(what)
    used = os.environ.get(ACCEPT, "0") not in ("", "0")
    if not used and frozen and not any(_is_code(name) for name in what):
        used = True
    origin = "frozen result" if frozen else "result"
    verdict = "is used all the same" if used else "is not used (--accept-stale would use it)"
    line = f"run {run}: {names} changed since its {origin} was made, which {verdict}"
    if line not in _SAID:
        _SAID.add(line)
        print(line, file=sys.stderr)
    return used


def _is_code(what: str) -> bool:
    return not what.startswith("data of ")


def _parts(config: RunConfig) -> dict[str, Callable[[], str]]:
    """How to digest each part, as data are large and mostly need not be read."""
    parts: dict[str, Callable[[], str]] = {}
    for registry, key in entries(config):
        if registry is DATASETS:
            parts[f"data of {key}"] = partial(_data, key)
        elif not parts_of(key) and not _ours(registry, key):
            parts[f"{registry.what} {key}"] = partial(_code, registry, key)
    return parts


def _ours(registry: Registry, key: str) -> bool:
    return registry.origins[key].module.partition(".")[0] == "nslab"


def _data(name: str) -> str:
    return (data_digest(name) or "")[:DIGITS]


def _code(registry: Registry, key: str) -> str:
    """The digest of what is registered; where it does not show what it holds, of its sources.

    What a file has registered is looked at once: it is read again as a whole when it changes, and
    what it counts while it runs makes no other code of it. A session's code may change around it.
    """
    value, origin = registry[key], registry.origins[key]
    known = _DIGESTS.get((registry.what, key))
    if known and known[0] is value and origin.module != "__main__":
        return known[1]
    try:
        digest = code_digest(value)
    except ValueError:
        plugin, file = LOADED.get(owner(origin.module)), Path(origin.file)
        sources = plugin.digest if plugin else digest_of(sources_of(file)) if file.is_file() else ""
        digest = sources[:DIGITS]
    _DIGESTS[registry.what, key] = value, digest
    return digest
