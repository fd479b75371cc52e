"""Configs as JSON and back, and the hash that names a run.

A dataclass becomes an object whose ``"@"`` names its class by its key in a registry
(``{"@": "ns", "grid": [2, 2], ...}``), so a config reads well and no code is ever unpickled.
"""

import dataclasses
import hashlib
import json
from typing import Any

from nslab.parameters import check_parameters, hints

# Later additions to a config carry this metadata: while such a field holds its default it is left
# out of the hash, so runs made before it existed keep their identity.
LATER = {"later": True}


def classes() -> dict[str, type]:
    """All classes a config may name, by key."""
    from nslab.evolve.chaotic import ChaoticEvolution
    from nslab.evolve.de import AdaptiveDE
    from nslab.evolve.es import ES
    from nslab.evolve.pso import PSO
    from nslab.evolve.rivals import RIVALS
    from nslab.experiments.config import TrainConfig  # it imports this module
    from nslab.experiments.evolution import EvolveConfig
    from nslab.experiments.pretraining import PretrainConfig
    from nslab.experiments.schedules import SCHEDULES
    from nslab.lossnet import LossForm, Regimes, Shipped
    from nslab.objectives import OBJECTIVES

    runs = {"train": TrainConfig, "evolve": EvolveConfig, "pretrain": PretrainConfig}
    searches = {"de": AdaptiveDE, "pso": PSO, "es": ES, "chaotic_evolution": ChaoticEvolution}
    losses = {"loss_form": LossForm, "regimes": Regimes, "shipped": Shipped}
    return {**runs, **OBJECTIVES, **SCHEDULES, **searches, **RIVALS, **losses}


def encode(value: Any) -> Any:
    """A config as plain JSON values."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        keys = {cls: key for key, cls in classes().items()}
        if type(value) not in keys:
            raise TypeError(
                f"{type(value).__name__} has no key: add it to a registry (OBJECTIVES, say)"
            )
        fields = dataclasses.fields(value)
        return {"@": keys[type(value)]} | {f.name: encode(getattr(value, f.name)) for f in fields}
    if isinstance(value, tuple | list):
        return [encode(item) for item in value]
    if value is None or isinstance(value, str | int | float | bool):
        return value
    raise TypeError(f"{value!r} cannot be part of a config")


def decode(data: Any) -> Any:
    """The config that `encode` wrote; ``ValueError`` or ``TypeError`` if it is no valid one."""
    if not isinstance(data, dict):
        return data
    known = classes()
    if data.get("@") not in known:
        raise ValueError(f"unknown kind of config {data.get('@')!r}; there are {', '.join(known)}")
    cls = known[data["@"]]
    given = {name: decode(value) for name, value in data.items() if name != "@"}
    return cls(**check_parameters(given, hints(cls), str(data["@"])))


def identity(config: Any) -> str:
    """Twelve hexadecimal digits that hash every field of a config: the name of its run."""
    text = json.dumps(_hashed(config), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def _hashed(value: Any) -> Any:
    if not dataclasses.is_dataclass(value):
        return encode(value)
    out = {"@": encode(value)["@"]}
    for f in dataclasses.fields(value):
        item = getattr(value, f.name)
        factory = f.default_factory
        default = f.default if isinstance(factory, dataclasses._MISSING_TYPE) else factory()
        if not (f.metadata.get("later") and item == default):
            out[f.name] = _hashed(item)
    return out
