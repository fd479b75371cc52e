"""Estimates of how long runs will take, from similar finished runs on such a device."""

from collections.abc import Iterable
from contextlib import suppress
from statistics import median
from typing import Any

from nslab.configs.protocol import RunConfig
from nslab.configs.serialization import without_seed
from nslab.runs import frozen
from nslab.runs.folder import RESULT
from nslab.runs.portability import known_config
from nslab.runs.results import many_objects
from nslab.system.paths import runs_dir
from nslab.system.provenance import environment
from nslab.system.seals import JSON

STARTING = 5.0  # seconds in which a process imports torch and reads its data, roughly

Run = dict[str, Any]  # with keys config (as JSON), metrics, env


def finished_here() -> list[Run]:
    """All finished runs, stored and frozen, that were computed on a device like this machine's. The
    stored files are not verified: that would take longer than an estimate is worth."""
    found: list[Run] = list(frozen.runs().values())
    with many_objects():
        for file in runs_dir().glob(f"*/{RESULT}"):
            with suppress(OSError, ValueError, TypeError, LookupError):
                whole = JSON.validate_json(file.read_bytes())
                found.append({part: dict(whole[part]) for part in ("config", "metrics", "env")})
    device = environment()["device"]
    return [run for run in found if run["env"].get("device") == device]


class Estimates:
    """Estimated times of runs: the median time per unit of `RunConfig.cost` of similar finished
    runs, times the cost of the run in question."""

    def __init__(self, runs: Iterable[Run]) -> None:
        self.rates: dict[tuple, list[float]] = {}
        self.epochs: dict[tuple, list[float]] = {}
        decoded: dict[str, RunConfig | None] = {}  # many differ by the seed alone
        for run in runs:
            metrics = run["metrics"]
            seconds, name = metrics.get("seconds"), without_seed(run["config"])
            if name not in decoded:
                decoded[name] = known_config(run["config"])
            config = decoded[name]
            if seconds is None or config is None:
                continue
            length = metrics.get("epochs") or 0
            self.epochs.setdefault(stopping(config), []).append(length)
            for key in config.kin():
                self.rates.setdefault(key, []).append(seconds / config.cost(length))

    def of(self, config: RunConfig) -> float | None:
        """Seconds of a run in a process of its own; None if no similar run is finished."""
        length = 0.0
        if getattr(config, "patience", 0):  # it may end early, as others did
            length = median(self.epochs.get(stopping(config), [0]))
        for key in config.kin():
            if key in self.rates:
                return STARTING + median(self.rates[key]) * config.cost(length)
        return None


def stopping(config: RunConfig) -> tuple:
    """The fields by which trainings with early stopping are grouped to guess when one stops."""
    parts = ("dataset", "network", "epochs", "patience")
    return tuple(getattr(config, part, None) for part in parts)
