"""Estimates of how long runs will take, from finished runs like them on this device."""

from collections.abc import Iterable
from statistics import median
from typing import Any

from nslab.configs.protocol import RunConfig
from nslab.runs import frozen
from nslab.runs.folder import RESULT
from nslab.runs.portability import known_config
from nslab.runs.results import read_result
from nslab.system.paths import runs_dir
from nslab.system.provenance import environment

STARTING = 5.0  # seconds in which a process imports torch and reads its data, roughly

Run = dict[str, Any]  # with keys config (as JSON), metrics, env


def finished_here() -> list[Run]:
    """All finished runs, stored and frozen, that were computed on a device like this one's."""
    found: list[Run] = list(frozen.runs().values())
    for file in sorted(runs_dir().glob(f"*/{RESULT}")):
        if result := read_result(file.parent):
            found.append({"config": result.config, "metrics": result.metrics, "env": result.env})
    device = environment()["device"]
    return [run for run in found if run["env"].get("device") == device]


class Estimates:
    """Seconds of runs to come; what was finished at other lengths is scaled."""

    def __init__(self, runs: Iterable[Run]) -> None:
        self.rates: dict[tuple, list[float]] = {}
        self.epochs: dict[tuple, list[float]] = {}
        for run in runs:
            metrics = run["metrics"]
            seconds = metrics.get("seconds")
            config = known_config(run["config"])
            if seconds is None or config is None:
                continue
            length = metrics.get("epochs") or 0
            self.epochs.setdefault(stopping(config), []).append(length)
            for key in config.kin():
                self.rates.setdefault(key, []).append(seconds / config.cost(length))

    def of(self, config: RunConfig) -> float | None:
        """Seconds of a run in a process of its own; None if no run was like it."""
        length = 0.0
        if getattr(config, "patience", 0):  # it may end early, as others did
            length = median(self.epochs.get(stopping(config), [0]))
        for key in config.kin():
            if key in self.rates:
                return STARTING + median(self.rates[key]) * config.cost(length)
        return None


def stopping(config: RunConfig) -> tuple:
    """What trainings that stop early share, as far as it says when."""
    parts = ("dataset", "network", "epochs", "patience")
    return tuple(getattr(config, part, None) for part in parts)
