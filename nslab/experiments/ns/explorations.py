"""What none of the papers has: NS on top of every loss, and NS under label noise."""

import dataclasses
from typing import Literal, get_args

from nslab.experiments.config import TrainConfig
from nslab.experiments.experiment import Experiment, Row
from nslab.experiments.ns import classification, long_tail
from nslab.experiments.ns.common import BASELINES, SEEDS, Method, Preset, key_of, trained_by
from nslab.experiments.ns.common import base as plain
from nslab.objectives import NS

Strategy = Literal["none", "ns_ws", "ns_lf"]
LOSSES: tuple[Method, ...] = tuple(m for m in BASELINES if m not in ("cbs", "srs", "pbs"))


def settings(dataset: str) -> dict[str, NS]:
    """The paper's setting of either strategy for a data set."""
    ws, lf = classification.ns_setting(dataset), long_tail.ns_setting(dataset)
    return {"ns_ws": ws, "ns_lf": lf}


def losses(
    preset: Preset = "smoke",
    seeds: tuple[int, ...] | None = None,
    bases: tuple[Method, ...] | None = None,
    strategies: tuple[Strategy, ...] = get_args(Strategy),
    epochs: int | None = None,
) -> list[TrainConfig]:
    """Every loss alone, under NS-WS and under NS-LF, on the long-tailed set of the preset."""
    start = long_tail.LONG_TAIL[preset]
    start = dataclasses.replace(start, epochs=epochs or start.epochs)
    ns = settings(start.dataset)
    made = []
    for seed in seeds or SEEDS[preset][:1]:
        for method in bases or (("ce", "focal", "gce") if preset == "cpu" else LOSSES):
            config = trained_by(dataclasses.replace(start, seed=seed), method, ns["ns_lf"])
            for strategy in strategies:
                objective = config.objective
                if strategy != "none":
                    objective = dataclasses.replace(ns[strategy], base=objective)
                made.append(dataclasses.replace(config, objective=objective))
    return made


def losses_row(config: TrainConfig) -> Row:
    """Loss, and the strategy on top of it."""
    objective = config.objective
    if not isinstance(objective, NS):
        return {"loss": key_of(objective), "strategy": "none"}
    strategy = "ns_lf" if objective.rho < 0 else "ns_ws"
    return {"loss": key_of(objective.base), "strategy": strategy}


def noise(
    preset: Preset = "smoke",
    seeds: tuple[int, ...] | None = None,
    methods: tuple[Method, ...] = ("ce", "ns_ws", "ns_lf"),
    kind: Literal["symmetric", "pair_flip"] = "symmetric",
    rate: float = 0.4,
    epochs: int | None = None,
) -> list[TrainConfig]:
    """Training labels of which a share is wrong; the history tells the two kinds apart."""
    small = {"epochs": 12} if preset == "smoke" else {}
    start = plain(preset, noise=kind, noise_rate=rate, **small)
    start = dataclasses.replace(start, epochs=epochs or start.epochs)
    ns = settings(start.dataset)
    return [
        trained_by(dataclasses.replace(start, seed=seed), method, ns.get(method, ns["ns_ws"]))
        for seed in seeds or SEEDS[preset]
        for method in methods
    ]


def noise_row(config: TrainConfig) -> Row:
    """Kind and rate of noise, method."""
    method = classification.classification_row(config)["method"]
    return {"noise": config.noise, "rate": config.noise_rate, "method": method}


EXPERIMENTS: dict[str, Experiment] = {
    "ns/losses": Experiment(
        "NS on top of every loss", losses, losses_row, baseline={"strategy": "none"}
    ),
    "ns/noise": Experiment("NS under label noise", noise, noise_row, baseline={"method": "ce"}),
}
