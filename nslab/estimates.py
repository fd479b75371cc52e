"""How long runs will take, from the seconds of finished ones like them on this device."""

import json
from collections.abc import Iterable
from statistics import median
from typing import Any

from nslab import frozen
from nslab.experiments.codec import decode, encode
from nslab.experiments.evolution import Config
from nslab.folders import RESULT
from nslab.paths import runs_dir
from nslab.provenance import environment
from nslab.results import read_result

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
        self.rates: dict[str, list[float]] = {}
        self.epochs: dict[str, list[float]] = {}
        for run in runs:
            metrics = run["metrics"]
            seconds = metrics.get("seconds")
            try:
                config = encode(decode(run["config"]))  # with fields that are younger than the run
            except (ValueError, TypeError):
                continue
            if seconds is None:
                continue
            length = metrics.get("epochs", config.get("epochs")) or 0
            self.epochs.setdefault(stopping(config), []).append(length)
            for key in alike(config):
                self.rates.setdefault(key, []).append(seconds / work(config, length))

    def of(self, config: Config) -> float | None:
        """Seconds of a run in a process of its own; None if no run was like it."""
        asked = encode(config)
        length = asked.get("epochs", 0)
        if asked.get("patience"):  # it may end early, as others did
            length = median(self.epochs.get(stopping(asked), [length]))
        for key in alike(asked):
            if key in self.rates:
                return STARTING + median(self.rates[key]) * work(asked, length)
        return None


def work(config: dict[str, Any], epochs: float) -> float:
    """What a run's seconds are proportional to: epochs, samples scored, or 1 for a combination."""
    match config["@"]:
        case "train":
            return max(1.0, epochs)
        case "evolve" if config["method"]["@"] in ("de", "pso"):
            passes = (config["generations"] + 1) * config["batches"] * config["size"]
            return float(passes * config["batch_size"])
        case "pretrain":
            return max(1.0, config["generations"] * config["pairs"] * config["members"])
    return 1.0


def alike(config: dict[str, Any]) -> list[str]:
    """Names of the kinds of run that a run is one of, the closest kin first."""
    base = config.get("base", config)
    kind = config["@"]
    if kind == "pretrain":
        return [text(kind, config["form"], config["search"]["@"])]
    rough = [kind, base["dataset"], base["network"]]
    if kind == "train":
        parts = ("batch_size", "train_size", "hold_out", "imbalance", "precision", "sampler")
        near = [config["objective"]["@"], *(config[part] for part in parts)]
        return [text(*rough, *near), text(*rough)]
    method = config["method"]["@"]
    return [text(*rough, method, config["size"]), text(*rough, method)]


def stopping(config: dict[str, Any]) -> str:
    """What trainings that stop early share, as far as it says when."""
    parts = ("dataset", "network", "epochs", "patience")
    return text("stopping", *(config.get(part) for part in parts))


def text(*parts: Any) -> str:
    """Parts as a key."""
    return json.dumps(parts, sort_keys=True)
