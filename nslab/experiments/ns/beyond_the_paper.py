"""Experiments beyond the papers: NS on top of every loss, and NS under label noise."""

import dataclasses
from typing import Literal, get_args

from nslab.configs.methods import objective_name
from nslab.configs.train import TrainConfig
from nslab.experiments.definition import Experiment, TableRow
from nslab.experiments.ns import classification, long_tail
from nslab.experiments.ns.presets import COMPARED_METHODS, TrainingMethod, trained_by
from nslab.experiments.ns.presets import base as plain
from nslab.experiments.presets import SEEDS_OF_MANY, Preset
from nslab.objectives import NS

Strategy = Literal["none", "ns_ws", "ns_lf"]
LOSS_METHODS: tuple[TrainingMethod, ...] = tuple(
    m for m in COMPARED_METHODS if m not in ("cbs", "srs", "pbs")
)


def ns_settings(dataset: str) -> dict[str, NS]:
    """The paper's settings of NS-WS and NS-LF for a data set."""
    ws, lf = classification.ns_ws_setting(dataset), long_tail.ns_lf_setting(dataset)
    return {"ns_ws": ws, "ns_lf": lf}


def losses_with_ns(
    preset: Preset = "smoke",
    seeds: tuple[int, ...] | None = None,
    bases: tuple[TrainingMethod, ...] | None = None,
    strategies: tuple[Strategy, ...] = get_args(Strategy),
    epochs: int | None = None,
) -> list[TrainConfig]:
    """Every loss alone, with NS-WS and with NS-LF, on the preset's long-tailed data set."""
    start = long_tail.LONG_TAIL[preset]
    start = dataclasses.replace(start, epochs=start.epochs if epochs is None else epochs)
    ns = ns_settings(start.dataset)
    made = []
    for seed in seeds or SEEDS_OF_MANY[preset][:1]:
        for method in bases or (("ce", "focal", "gce") if preset == "cpu" else LOSS_METHODS):
            config = trained_by(dataclasses.replace(start, seed=seed), method, ns["ns_lf"])
            for strategy in strategies:
                objective = config.objective
                if strategy != "none":
                    objective = dataclasses.replace(ns[strategy], base=objective)
                made.append(dataclasses.replace(config, objective=objective))
    return made


def losses_row(config: TrainConfig) -> TableRow:
    """Loss, and the strategy on top of it."""
    objective = config.objective
    if not isinstance(objective, NS):
        return {"loss": objective_name(objective), "strategy": "none"}
    strategy = "ns_lf" if objective.rho < 0 else "ns_ws"
    return {"loss": objective_name(objective.base), "strategy": strategy}


def noise(
    preset: Preset = "smoke",
    seeds: tuple[int, ...] | None = None,
    methods: tuple[TrainingMethod, ...] = ("ce", "ns_ws", "ns_lf"),
    kind: Literal["symmetric", "pair_flip"] = "symmetric",
    rate: float = 0.4,
    epochs: int | None = None,
) -> list[TrainConfig]:
    """Training on labels of which a share ``rate`` is wrong; the history records samples with right
    and wrong labels separately."""
    small = {"epochs": 8} if preset == "smoke" else {}
    start = plain(preset, noise=kind, noise_rate=rate, **small)
    start = dataclasses.replace(start, epochs=start.epochs if epochs is None else epochs)
    ns = ns_settings(start.dataset)
    return [
        trained_by(dataclasses.replace(start, seed=seed), method, ns.get(method, ns["ns_ws"]))
        for seed in seeds or SEEDS_OF_MANY[preset]
        for method in methods
    ]


def noise_row(config: TrainConfig) -> TableRow:
    """Kind and rate of noise, method."""
    method = classification.classification_row(config)["method"]
    return {"noise": config.noise, "rate": config.noise_rate, "method": method}


EXPERIMENTS: dict[str, Experiment] = {
    "ns/losses": Experiment(
        "NS on top of every loss", losses_with_ns, losses_row, baseline={"strategy": "none"}
    ),
    "ns/noise": Experiment("NS under label noise", noise, noise_row, baseline={"method": "ce"}),
}
