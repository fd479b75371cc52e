"""Names that commands take, known without importing what they name: that takes seconds.

In a checkout they are gathered from the registries once for each state of the sources, and kept in
``data/cache``. An installed copy has them in ``names.json``, which a test holds to the registries
(``python -m nslab.workbench.names`` writes it). Where plug-ins are loaded, or the registries are
imported already, these are asked themselves.
"""

import json
import sys
import typing
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from nslab.system.content_names import parts_of
from nslab.system.files import write_text
from nslab.system.paths import checkout, home_cache_dir
from nslab.system.plugins import LOADED, owner
from nslab.system.provenance import source_digest
from nslab.system.type_words import choices, not_one_of
from nslab.system.validation import (
    FIXED,
    MEANT,
    PLUGIN_ADVICE,
    check_parameters,
    items_of,
    unknown,
)

NamesIndex = dict[str, Any]
SHIPPED = Path(__file__).with_name("names.json")
OF_DATA, OF_NETWORKS = ("dataset", "datasets"), ("network", "networks")  # parameters


def gathered() -> NamesIndex:
    """All names from the registries, each with the plug-in that has registered it, if one has; of
    experiments titles and parameters too, with the words that those of words take; the fields of
    runs that presets fix; and what logs can be written for."""
    from nslab.datasets import DATASETS
    from nslab.evolve import EVOLVER_CLASSES, EVOLVERS
    from nslab.experiments import EXPERIMENTS
    from nslab.experiments.definition import fixed_fields
    from nslab.networks import NETWORKS
    from nslab.objectives import OBJECTIVES
    from nslab.runs.loggers import LOGS

    registries = {
        "experiments": EXPERIMENTS,
        "data sets": DATASETS,
        "networks": NETWORKS,
        "objectives": OBJECTIVES,
        "evolvers": EVOLVERS,
        "classes of evolvers": EVOLVER_CLASSES,
    }
    index: NamesIndex = {
        what: {key: owner(registry.origins[key].module) for key in registry}  # type: ignore[attr-defined]
        for what, registry in registries.items()
    }
    plans = {
        key: {
            "title": experiment.title,
            "parameters": list(experiment.allowed),
            "words": {
                name: choices(hint) for name, hint in experiment.allowed.items() if closed(hint)
            },
        }
        for key, experiment in EXPERIMENTS.items()
    }
    return index | {"plans": plans, "fixed": fixed_fields(), "logs": dict.fromkeys(LOGS, "")}


def closed(hint: Any) -> bool:
    """Whether a type takes words of a list alone, one or several."""
    if typing.get_origin(hint) is typing.Literal:
        return all(isinstance(word, str) for word in typing.get_args(hint))
    inner = [kind for kind in typing.get_args(hint) if kind not in (type(None), Ellipsis)]
    return bool(inner) and all(map(closed, inner))


def names() -> NamesIndex:
    """The names as they are now, see `gathered`."""
    if LOADED or "nslab.experiments" in sys.modules:
        return gathered()
    if not checkout():
        return dict(json.loads(SHIPPED.read_text(encoding="utf-8")))
    folder = home_cache_dir()
    file = folder / f"names-{source_digest()}.json"
    with suppress(OSError, ValueError):
        return dict(json.loads(file.read_text(encoding="utf-8")))
    index = gathered()
    with suppress(OSError):  # where nothing can be written it takes seconds each time
        folder.mkdir(parents=True, exist_ok=True)
        for old in folder.glob("names-*.json"):
            old.unlink(missing_ok=True)
        write_text(file, json.dumps(index))
    return index


def check_experiment(name: str, parameters: Mapping[str, str] | None = None) -> None:
    """``ValueError`` for an unknown experiment, or a parameter that it has not, and for unknown
    data sets, networks and words among the values of its parameters."""
    index = names()
    if name not in index["experiments"]:
        raise unknown("experiment", name, index["experiments"], f"; {PLUGIN_ADVICE}")
    plan = index["plans"][name]
    given = dict(parameters or {})
    advice = {key: FIXED for key in index["fixed"] if key not in plan["parameters"]} | MEANT
    check_parameters(given, dict.fromkeys(plan["parameters"], Any), name, advice)
    for parameter, value in given.items():
        for word in items_of(value):
            if word.lower() in ("none", "null"):
                continue
            if parameter in OF_DATA:
                check_dataset(word)
            if parameter in OF_NETWORKS:
                check_network(word)
            if word not in (words := plan["words"].get(parameter, [word])):
                raise ValueError(not_one_of(f"{name}: {parameter}", word, words))


def check_logs(given: Sequence[str] | None) -> None:
    """``ValueError`` for what no log can be written for."""
    known = names()["logs"] if given else ()
    for name in given or ():
        if name not in known:
            raise unknown("log", name, known)


def check_dataset(name: str) -> None:
    """``ValueError`` for a name that no data set has, as `nslab.datasets.resolved` says it; what
    may be a folder or file is left to that."""
    known = names()["data sets"]
    if not (":" in name or name in known or parts_of(name) or Path(name).is_dir()):
        more = f", folder:PATH and csv:PATH; {PLUGIN_ADVICE}"
        raise unknown("data set", name, known, more)


def check_network(name: str) -> None:
    """``ValueError`` for a name that no network has, as `nslab.networks.check_network` says it;
    those of other libraries are left to that."""
    known = names()["networks"]
    if not ("/" in name or name in known or parts_of(name)):
        more = ", torchvision/<name>, timm/<name> and transformers/<name or folder>"
        raise unknown("network", name, known, f"{more}; {PLUGIN_ADVICE}")


def check_evolver(name: str) -> None:
    """``ValueError`` for a name that no evolver has."""
    known = names()["evolvers"]
    if name not in known:
        raise unknown("evolver", name, known, f"; {PLUGIN_ADVICE}")


if __name__ == "__main__":
    lines = [f'"{key}": {json.dumps(value)}' for key, value in gathered().items()]  # a line each
    write_text(SHIPPED, "{\n" + ",\n".join(lines) + "\n}\n")
