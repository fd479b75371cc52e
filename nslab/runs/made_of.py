"""Digests of users' own code and of data: what a result was made of beyond its config.

A config only names both, and the names stay when a loss is edited or images are replaced. So a
result keeps digests of them; one that was made of other code or data is not taken for today's.
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
from nslab.system.content_names import DIGITS, parse_content_name
from nslab.system.plugin_sources import digest_of, sources_of
from nslab.system.plugins import LOADED, owner
from nslab.system.provenance import ACCEPT
from nslab.system.registry import CONFIG_CLASSES, EVERY, Registry

COMPUTES = "function that computes runs"  # `what` of the registry COMPUTE, which imports this
MADE_OF = "made_of"  # the key of a result's environment
_SAID: set[str] = set()
_DIGESTS: dict[tuple[str, str], tuple[object, str]] = {}


def entries(config: Any) -> Iterator[tuple[Registry, str]]:
    """The registry entries that a config names, anywhere inside."""
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
    """Digests of what a run is made of, by what it is: each class or function of a user's own that
    the run names, and each data set whose contents its name does not determine."""
    return {what: found for what, digest in _parts(config).items() if (found := digest())}


def changed(config: RunConfig, then: Mapping[str, Any], *, data_only: bool = False) -> list[str]:
    """The code and data of a run that differ from ``then``, the environment of a result.

    Parts that ``then`` has no digest of (results of older versions), or that are not here, count as
    unchanged. ``data_only`` leaves code out.
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
    """Whether a result made of other code or data is used all the same; prints which, once.

    It is used if the user accepts stale results. A frozen result is also used if only data changed,
    since frozen numbers are not meant to be computed again.
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
    """A function that digests each part; called only where needed, because data are large."""
    parts: dict[str, Callable[[], str]] = {}
    for registry, key in entries(config):
        if registry is DATASETS:
            parts[f"data of {key}"] = partial(_data, key)
        elif not parse_content_name(key) and not _ours(registry, key):
            parts[f"{registry.what} {key}"] = partial(_code, registry, key)
    return parts


def _ours(registry: Registry, key: str) -> bool:
    return registry.origins[key].module.partition(".")[0] == "nslab"


def _data(name: str) -> str:
    return (data_digest(name) or "")[:DIGITS]


def _code(registry: Registry, key: str) -> str:
    """The digest of a registered value, or of its source files if the value cannot be digested.

    The digest of an entry from a file is computed once: a file that changes is loaded again as a
    whole, and state that its code accumulates while it runs, such as a counter, must not count as a
    change. Code of a session (``__main__``) is digested each time, because what it uses may change.
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
