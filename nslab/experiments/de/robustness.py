"""Robustness: Tables S4 to S6, networks by Adam and by evolution on corrupted test images.

The runs of the LeNets are those of Table S1, so nothing is trained twice. What they are measured on
is `nslab.robustness`'s; an experiment itself knows clean test accuracy only.
"""

from nslab.experiments.config import TrainConfig
from nslab.experiments.de.common import METHODS, SEEDS, Method, Preset, evolved, pretrained, row_of
from nslab.experiments.de.pretrained import METHOD, NETWORKS
from nslab.experiments.de.small import SmallMethod, adam, small, small_row
from nslab.experiments.evolution import Config, EvolveConfig
from nslab.experiments.experiment import Experiment, Row
from nslab.experiments.ns.common import method_of

LENETS = ("lenet1", "lenet5")
DEEPER: tuple[Method, ...] = ("population_best", METHOD)

# The paper's names of what ours stands beside.
# NOTE: its ResNet has no depth and was trained by Adam; ours are the best of several epochs of
# training by SGD, and what evolution makes of all of them. There is no MobileNet here.
PRINTED: dict[str, str] = {"population_best": "adam", METHOD: "de"}
PRINTED |= {name: "resnet" for names in NETWORKS.values() for name in names}


def table_s4(
    preset: Preset = "smoke",
    seeds: tuple[int, ...] | None = None,
    networks: tuple[str, ...] = LENETS,
    methods: tuple[SmallMethod, ...] = ("adam", "de"),
) -> list[Config]:
    """Table S4: LeNets trained on MNIST, for MNIST-C."""
    return lenets(preset, "mnist", seeds, networks, methods)


def table_s5(
    preset: Preset = "smoke",
    seeds: tuple[int, ...] | None = None,
    networks: tuple[str, ...] = LENETS,
    methods: tuple[SmallMethod, ...] = ("adam", "de"),
) -> list[Config]:
    """Table S5: LeNets trained on CIFAR-10, for CIFAR-10-C; Table S1 has LeNet-5 of them."""
    return lenets(preset, "cifar10", seeds, networks, methods)


def table_s6(
    preset: Preset = "smoke",
    seeds: tuple[int, ...] | None = None,
    networks: tuple[str, ...] | None = None,
) -> list[Config]:
    """Table S6: ResNets for CIFAR-10-C, the best parent and what evolution makes of all; with
    them LeNet-1 by Adam, in percent of which their errors are given."""
    made = lenets(preset, "cifar10", seeds, LENETS[:1], ("adam",))
    for seed in seeds or SEEDS[preset]:
        for network in networks or NETWORKS[preset]:
            base = pretrained(preset, network, seed)
            made += [evolved(preset, base, "last_epochs", method) for method in DEEPER]
    return made


def lenets(
    preset: Preset,
    dataset: str,
    seeds: tuple[int, ...] | None,
    networks: tuple[str, ...],
    methods: tuple[SmallMethod, ...],
) -> list[Config]:
    """The runs of Table S1 with these networks; at preset smoke on digits."""
    dataset = "digits" if preset == "smoke" else dataset
    return [
        small(preset, adam(preset, dataset, network, seed), method)
        for seed in seeds or SEEDS[preset]
        for network in networks
        for method in methods
    ]


def network_row(config: TrainConfig | EvolveConfig) -> Row:
    """What a table of errors tells apart: data set, network, method."""
    row = row_of(config)
    if isinstance(config, TrainConfig):
        row["method"] = "adam" if config.optimizer == "adam" else method_of(config)
    elif row["method"] not in METHODS:  # plain DE with the small networks' F and Cr
        row["method"] = small_row(config)["method"]
    return {key: row[key] for key in ("dataset", "network", "method")}


EXPERIMENTS: dict[str, Experiment] = {
    "de/tableS4": Experiment(
        "LeNets that MNIST-C is for", table_s4, network_row, baseline={"method": "adam"}
    ),
    "de/tableS5": Experiment(
        "LeNets that CIFAR-10-C is for", table_s5, network_row, baseline={"method": "adam"}
    ),
    "de/tableS6": Experiment(
        "ResNets that CIFAR-10-C is for",
        table_s6,
        network_row,
        baseline={"method": "population_best"},
    ),
}
