"""Classification on balanced CIFAR: a first experiment, Table II, and Table IX."""

import dataclasses
from typing import Literal

from nslab.configs.labels import columns, paper_name_of
from nslab.configs.schedules import Step
from nslab.configs.train import TrainConfig
from nslab.experiments.definition import Experiment, TableRow, with_seeds
from nslab.experiments.ns import emotion, imagenet, long_tail
from nslab.experiments.ns.presets import SMALL, TrainingMethod, base, trained_by
from nslab.experiments.presets import SEEDS_OF_MANY, Preset
from nslab.objectives import NS, CrossEntropy
from nslab.objectives.ns import SETTINGS
from nslab.types import ObjectiveConfig

FirstMethod = Literal["ce", "ns_ws", "ns_lf"]

# Settings that differ by network (section IV-A2; weight decay from bearpaw/pytorch-classification).
NETWORK_SETTINGS: dict[str, dict[str, dict]] = {
    "smoke": {"lenet5": SMALL, "resnet8": {}},
    "cpu": {"resnet20": {}},
    "paper": {
        "alexnet_cifar": {"weight_decay": 5e-4},
        "vgg19_bn_cifar": {"weight_decay": 5e-4},
        "resnet110b": {"weight_decay": 1e-4},
        "resnext29": {
            "weight_decay": 5e-4,
            "epochs": 300,
            "schedule": Step((150, 225), (0.1, 0.1)),
        },
    },
}


def first(
    preset: Preset = "smoke",
    seeds: tuple[int, ...] | None = None,
    methods: tuple[FirstMethod, ...] = ("ce", "ns_ws", "ns_lf"),
    dataset: str | None = None,
    network: str | None = None,
    epochs: int | None = None,
) -> list[TrainConfig]:
    """Cross-entropy against both strategies on one data set: the experiment to begin with.

    NS-WS has the paper's setting for CIFAR-10, NS-LF its setting for CIFAR-LT-10.
    """
    objectives: dict[str, ObjectiveConfig] = {
        "ce": CrossEntropy(),
        "ns_ws": SETTINGS["cifar10"].objective,
        "ns_lf": SETTINGS["cifar10_lt"].objective,
    }
    config = base(preset, dataset=dataset, network=network, epochs=epochs)
    return with_seeds(config, [objectives[m] for m in methods], seeds or SEEDS_OF_MANY[preset])


def ns_ws_setting(dataset: str) -> NS:
    """The paper's NS-WS for a data set; digits take CIFAR-10's."""
    return SETTINGS["cifar100" if dataset == "cifar100" else "cifar10"].objective


def table2(
    preset: Preset = "smoke",
    seeds: tuple[int, ...] | None = None,
    methods: tuple[TrainingMethod, ...] = ("ce", "ns_ws", "ce_lr", "ce_constant"),
    datasets: tuple[str, ...] | None = None,
    networks: tuple[str, ...] | None = None,
    epochs: int | None = None,
) -> list[TrainConfig]:
    """Table II: four networks with and without NS-WS, and two controls that the paper lacks."""
    start, recipes = base(preset), NETWORK_SETTINGS[preset]
    sets = ("cifar10", "cifar100") if preset == "paper" else (start.dataset,)
    keep = {"epochs": epochs} if epochs else {}
    configs = [
        dataclasses.replace(
            start, dataset=dataset, network=network, **recipes.get(network, {}) | keep
        )
        for dataset in datasets or sets
        for network in networks or recipes
    ]
    return [
        dataclasses.replace(trained_by(config, method, ns_ws_setting(config.dataset)), seed=seed)
        for config in configs
        for seed in seeds or SEEDS_OF_MANY[preset]
        for method in methods
    ]


def table9(
    preset: Preset = "smoke",
    seeds: tuple[int, ...] | None = None,
    methods: tuple[Literal["ce", "ns"], ...] = ("ns",),
    epochs: int | None = None,
) -> list[TrainConfig]:
    """Table IX: the runs with NS of Tables II and V, and at preset ``paper`` of Tables I and III;
    ``"ce"`` in ``methods`` adds their baselines."""
    mine = {"ns": ("ns_ws", "ns_lf"), "ce": ("ce", "ce")}
    plain = tuple(mine[method][0] for method in methods)
    tailed = tuple(mine[method][1] for method in methods)
    small = [
        *table2(preset, seeds, methods=plain, epochs=epochs),  # type: ignore[arg-type]
        *long_tail.table5(preset, seeds, methods=tailed, epochs=epochs),  # type: ignore[arg-type]
    ]
    if preset != "paper":
        return small
    fours = tuple("ns_ws_4" if method == "ns" else "ce" for method in methods)
    return [
        *small,
        *imagenet.table1(preset, seeds, methods=fours, epochs=epochs),  # type: ignore[arg-type]
        *emotion.table3(preset, seeds, methods=tailed, epochs=epochs),  # type: ignore[arg-type]
    ]


def classification_row(config: TrainConfig) -> TableRow:
    """Row of Table II: data set, network, method."""
    return {
        "dataset": config.dataset,
        "network": paper_name_of(config.network),
        "method": columns(config)["method"],
    }


def stability_row(config: TrainConfig) -> TableRow:
    """Row of Table IX: data set."""
    return {"dataset": config.dataset + ("_lt" if config.imbalance > 1 else "")}


# NOTE: the paper's text speaks of five networks; Table II has four, whose mean is not Table IX's.
FIFTH = "the paper's mean includes a fifth network that it does not name"

EXPERIMENTS: dict[str, Experiment] = {
    "ns/first": Experiment(
        "CE against NS-WS and NS-LF", first, classification_row, "table2", baseline={"method": "ce"}
    ),
    "ns/table2": Experiment(
        "Networks with and without NS-WS",
        table2,
        classification_row,
        "table2",
        baseline={"method": "ce"},
    ),
    "ns/table9": Experiment(
        "Mean and sd over seeds",
        table9,
        stability_row,
        "table9",
        unlike={("cifar10",): FIFTH, ("cifar100",): FIFTH},
    ),
}
