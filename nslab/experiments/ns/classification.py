"""Classification of whole CIFAR: the first experiment, Tables II and IX."""

from typing import Literal

from nslab.experiments.config import TrainConfig
from nslab.experiments.experiment import Experiment, Row, with_seeds
from nslab.experiments.ns.common import SEEDS, Preset, base, method_of
from nslab.objectives import CrossEntropy
from nslab.objectives.ns import SETTINGS
from nslab.types import ObjectiveConfig

Method = Literal["ce", "ns_ws", "ns_lf"]


def first(
    preset: Preset = "smoke",
    seeds: tuple[int, ...] | None = None,
    methods: tuple[Method, ...] = ("ce", "ns_ws", "ns_lf"),
    dataset: str | None = None,
    network: str | None = None,
    epochs: int | None = None,
) -> list[TrainConfig]:
    """Cross-entropy against both strategies on one data set: the first thing to look at.

    NS-WS has the paper's setting for CIFAR-10, NS-LF its setting for CIFAR-LT-10.
    """
    objectives: dict[str, ObjectiveConfig] = {
        "ce": CrossEntropy(),
        "ns_ws": SETTINGS["cifar10"].objective,
        "ns_lf": SETTINGS["cifar10_lt"].objective,
    }
    config = base(preset, dataset=dataset, network=network, epochs=epochs)
    return with_seeds(config, [objectives[m] for m in methods], seeds or SEEDS[preset])


def classification_row(config: TrainConfig) -> Row:
    """Row of Table II: data set, network, method."""
    return {
        "dataset": config.dataset,
        "network": config.network.removesuffix("b"),  # the shortcut's option is not in its name
        "method": method_of(config),
    }


EXPERIMENTS: dict[str, Experiment] = {
    "ns/first": Experiment("CE against NS-WS and NS-LF", first, classification_row, "table2"),
}
