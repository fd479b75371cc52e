"""Names that commands take, known without the seconds it takes to import what they name.

In a checkout they are gathered from the registries once for each state of the sources, and cached
in ``data/cache``. An installed copy has them in ``names.json``, which
``python -m nslab.workbench.names`` writes and a test compares with the registries. If plug-ins are
loaded, or the registries imported already, the names come from the registries.
"""

import json
import sys
import typing
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from nslab.system.content_names import parse_content_name
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
OF_DATA, OF_NETWORKS = ("dataset", "datasets"), ("network", "networks")  # names of parameters


def gathered() -> NamesIndex:
    """All names in the registries, each with the plug-in that registered it or "". Also, under
    ``plans``, each experiment's title, parameters and the words that some of these allow; under
    ``fixed``, the fields of runs that presets fix; and under ``logs``, the viewers that can be
    logged for."""
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
    """Whether a type allows only the words of a fixed list, one or several of them."""
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
    with suppress(OSError):  # without a cache it takes seconds each time
        folder.mkdir(parents=True, exist_ok=True)
        for old in folder.glob("names-*.json"):
            old.unlink(missing_ok=True)
        write_text(file, json.dumps(index))
    return index


def check_experiment(name: str, parameters: Mapping[str, str] | None = None) -> None:
    """``ValueError`` for an unknown experiment, a parameter that it does not have, and unknown data
    sets, networks and words among the values of its parameters."""
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
    """``ValueError`` for an unknown viewer to log for."""
    known = names()["logs"] if given else ()
    for name in given or ():
        if name not in known:
            raise unknown("log", name, known)


def check_dataset(name: str) -> None:
    """``ValueError`` for an unknown data set, with the message of `nslab.datasets.resolved`, which
    checks names that may be a folder or file."""
    known = names()["data sets"]
    if not (":" in name or name in known or parse_content_name(name) or Path(name).is_dir()):
        more = f", folder:PATH and csv:PATH; {PLUGIN_ADVICE}"
        raise unknown("data set", name, known, more)


def check_network(name: str) -> None:
    """``ValueError`` for an unknown network, with the message of `nslab.networks.check_network`,
    which checks names of other libraries."""
    known = names()["networks"]
    if not ("/" in name or name in known or parse_content_name(name)):
        more = ", torchvision/<name>, timm/<name> and transformers/<name or folder>"
        raise unknown("network", name, known, f"{more}; {PLUGIN_ADVICE}")


def check_evolver(name: str) -> None:
    """``ValueError`` for an unknown evolver."""
    known = names()["evolvers"]
    if name not in known:
        raise unknown("evolver", name, known, f"; {PLUGIN_ADVICE}")


if __name__ == "__main__":
    lines = [f'"{key}": {json.dumps(value)}' for key, value in gathered().items()]  # a line each
    write_text(SHIPPED, "{\n" + ",\n".join(lines) + "\n}\n")
