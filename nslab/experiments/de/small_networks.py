"""Small networks, Table S1 and Figs. S2 to S8: Adam with early stopping against evolution."""

import dataclasses
from typing import Any, Literal

from nslab.configs.evolve import EvolveConfig, Init
from nslab.configs.methods import EVOLUTION_METHODS
from nslab.configs.protocol import RunConfig
from nslab.configs.train import TrainConfig
from nslab.datasets import DATASETS
from nslab.evolve.de import AdaptiveDE
from nslab.experiments.de.presets import table_row
from nslab.experiments.definition import Experiment, TableRow
from nslab.experiments.presets import SEEDS, Preset

SmallMethod = Literal["adam", "de", "wa", "pso", "pso_constriction"]

# The paper: 20 members, 200 to 300 generations on a batch of 50,000; the whole network evolves.
# NOTE: 5,000 of 60,000 or 50,000 samples are held out, so a batch is nearly the whole training set,
# or all of it. A new batch is drawn every ten generations, after an evaluation on held-out samples.
SMALL_EVOLUTION: dict[str, dict[str, Any]] = {
    "smoke": {"size": 8, "batches": 2, "generations": 4, "batch_size": 1094},
    "cpu": {"size": 20, "batches": 4, "generations": 10, "batch_size": 5000},
    "paper": {"size": 20, "batches": 25, "generations": 10, "batch_size": 50000},
}
# Patience is less than the size of the population, so that the epoch chosen by early stopping,
# which counts as Adam's result, is among the last epochs that become parents.
SMALL_TRAINING: dict[str, dict[str, Any]] = {
    "smoke": {"epochs": 20, "lr": 2e-3, "batch_size": 64, "hold_out": 200, "patience": 4},
    "cpu": {"epochs": 60, "lr": 1e-3, "batch_size": 128, "hold_out": 5000, "patience": 10},
    "paper": {"epochs": 200, "lr": 1e-3, "batch_size": 128, "hold_out": 5000, "patience": 19},
}
PAIRS = {
    "smoke": (("digits", "lenet1"), ("digits", "lenet5")),
    "cpu": (
        ("mnist", "lenet1"),
        ("mnist", "lenet5"),
        ("fashion_mnist", "lenet5"),
        ("cifar10", "lenet5"),
        ("cifar100", "lenet5"),
    ),
}
PAIRS["paper"] = PAIRS["cpu"]

# The paper's grid (Table S2). NOTE: it does not say which pair its other tables use; we take DE's.
FACTORS, RATES = (0.01, 0.1, 1.0, 2.0), (0.0, 0.05, 0.5, 1.0)
DE = AdaptiveDE(f=0.1, cr=0.5)


def adam(preset: Preset, dataset: str, network: str, seed: int, **changes: Any) -> TrainConfig:
    """Training by Adam with early stopping; weight decay is the paper's best L2 factor, 1e-4.

    NOTE: the paper adds alpha times the squared norm to the loss, whose gradient is that of a
    ``weight_decay`` of 2 alpha. We set ``weight_decay`` to alpha, half as much, as code in PyTorch
    probably would.
    NOTE: learning rate, batch size and patience are ours; the paper names none.
    """
    base = TrainConfig(
        dataset=dataset,
        network=network,
        optimizer="adam",
        weight_decay=1e-4,
        seed=seed,
        keep_last=SMALL_EVOLUTION[preset]["size"],
        **SMALL_TRAINING[preset],
    )
    return dataclasses.replace(base, **changes)


def small_run(
    preset: Preset,
    base: TrainConfig,
    method: SmallMethod,
    de: AdaptiveDE = DE,
    init: Init = "last_epochs",
    **changes: Any,
) -> RunConfig:
    """The training ``base`` itself for ``"adam"``, else the run of a method from its last epochs.

    ``de`` gives F and Cr for method ``"de"``; ``changes`` are fields of `EvolveConfig`.
    """
    if method == "adam":
        return base
    chosen = de if method == "de" else EVOLUTION_METHODS[method]
    given = SMALL_EVOLUTION[preset] | {"exempt_head": False} | changes
    return EvolveConfig(base, init, method=chosen, **given)


def table_s1(
    preset: Preset = "smoke",
    seeds: tuple[int, ...] | None = None,
    methods: tuple[SmallMethod, ...] = ("adam", "de", "wa"),
    datasets: tuple[str, ...] | None = None,
    networks: tuple[str, ...] | None = None,
) -> list[RunConfig]:
    """Table S1: LeNets by Adam and by DE; the mean of the same last epochs (``wa``) is ours."""
    return [
        small_run(preset, adam(preset, dataset, network, seed), method)
        for seed in seeds or SEEDS[preset]
        for dataset, network in PAIRS[preset]
        if dataset in (datasets or (dataset,)) and network in (networks or (network,))
        for method in methods
    ]


def small_row(config: TrainConfig | EvolveConfig) -> TableRow:
    """Row of Table S1."""
    row = table_row(config)
    row.pop("initialization", None)
    return row | {"metric": "top1"}


def soup(
    preset: Preset = "smoke",
    seeds: tuple[int, ...] | None = None,
    decays: tuple[float, ...] = (0.0, 1e-4),
    methods: tuple[SmallMethod, ...] = ("adam", "de"),
    inits: tuple[Literal["last_epochs", "random"], ...] = ("last_epochs", "random"),
    dataset: str | None = None,
    network: str = "lenet1",
) -> list[RunConfig]:
    """[DE Fig. S2], [DE Fig. S8]: evolution from a trained ancestor and from random weights."""
    name, made = dataset or ("digits" if preset == "smoke" else "mnist"), list[RunConfig]()
    for seed in seeds or SEEDS[preset][:1]:
        for k, decay in enumerate(decays):
            base = adam(preset, name, network, seed, weight_decay=decay)
            for method in methods:
                if method == "adam":
                    made.append(base)
                    continue
                # random weights do not depend on the training's L2 factor
                made += [
                    small_run(preset, base, method, init=init)
                    for init in inits
                    if init != "random" or k == 0
                ]
    return made


def complexity(
    preset: Preset = "smoke",
    seeds: tuple[int, ...] | None = None,
    networks: tuple[str, ...] | None = None,
    shares: tuple[float, ...] | None = None,
    dataset: str | None = None,
) -> list[RunConfig]:
    """[DE Fig. S3], left: less and more training data.

    NOTE: the paper enlarges the training set by augmentation; here there are parts of it, and all
    of it with random crops.
    """
    name, made = dataset or ("digits" if preset == "smoke" else "mnist"), []
    for seed in seeds or SEEDS[preset][:1]:
        for network in networks or (("lenet5",) if preset == "smoke" else ("lenet1", "lenet5")):
            whole = adam(preset, name, network, seed)
            rest = DATASETS[name].layout.train - whole.hold_out
            for share in shares or ((0.25, 1.0) if preset == "smoke" else (0.25, 0.5, 1.0)):
                part = 0 if share == 1 else round(share * rest)
                made.append(dataclasses.replace(whole, train_size=part))
            made.append(dataclasses.replace(whole, augment="crop"))
    return [small_run(preset, base, method) for base in made for method in ("adam", "de")]


def decay(
    preset: Preset = "smoke",
    seeds: tuple[int, ...] | None = None,
    decays: tuple[float, ...] = (0.0, 1e-4, 1e-3, 1e-2),
    dataset: str | None = None,
    network: str = "lenet5",
) -> list[RunConfig]:
    """[DE Fig. S3], middle: the L2 factor of the training by Adam; the fitness that evolution
    minimises has no L2 term."""
    name = dataset or ("digits" if preset == "smoke" else "mnist")
    return [
        small_run(preset, adam(preset, name, network, seed, weight_decay=factor), method)
        for seed in seeds or SEEDS[preset][:1]
        for factor in decays
        for method in ("adam", "de")
    ]


def networks_and_data(
    preset: Preset = "smoke",
    seeds: tuple[int, ...] | None = None,
    networks: tuple[str, ...] = ("lenet1", "lenet5", "mlp", "rnn"),
    datasets: tuple[str, ...] | None = None,
) -> list[RunConfig]:
    """Fig. S5: four networks on four data sets."""
    every = ("digits",) if preset == "smoke" else ("mnist", "fashion_mnist", "cifar10", "cifar100")
    return [
        small_run(preset, adam(preset, dataset, network, seed), method)
        for seed in seeds or SEEDS[preset][:1]
        for dataset in datasets or every
        for network in networks
        for method in ("adam", "de")
    ]


def f_and_cr(
    preset: Preset = "smoke",
    seeds: tuple[int, ...] | None = None,
    f: tuple[float, ...] = FACTORS,
    cr: tuple[float, ...] = RATES,
    network: str = "rnn",
    dataset: str | None = None,
) -> list[RunConfig]:
    """Figs. S6 and S7: F and Cr of the paper's grid, on the recurrent network (an LSTM)."""
    name = dataset or ("digits" if preset == "smoke" else "mnist")
    return [
        small_run(
            preset, adam(preset, name, network, seed), "de", dataclasses.replace(DE, f=a, cr=b)
        )
        for seed in seeds or SEEDS[preset][:1]
        for a in f
        for b in cr
    ]


def factor_row(config: EvolveConfig) -> TableRow:
    """F and Cr; ``ValueError`` for a method without them."""
    method: Any = config.method
    if not (hasattr(method, "f") and hasattr(method, "cr")):
        raise ValueError(f"{method} has no F and Cr: this table is for runs of plain DE")
    return {"f": method.f, "cr": method.cr}


def setting_row(config: TrainConfig | EvolveConfig) -> TableRow:
    """What the supplement's figures vary: network, data, L2 factor, samples, start, method."""
    base = config if isinstance(config, TrainConfig) else config.base
    row = small_row(config)
    return {
        "dataset": row["dataset"],
        "network": row["network"],
        "method": row["method"],
        "start": "trained" if isinstance(config, TrainConfig) else config.initialization,
        "weight_decay": base.weight_decay,
        "train_size": base.train_size or "all",
        "augment": base.augment,
    }


ADAM = {"method": "adam", "start": "trained"}
EXPERIMENTS: dict[str, Experiment] = {
    "de/tableS1": Experiment(
        "LeNets by Adam and by DE", table_s1, small_row, "tableS1", baseline={"method": "adam"}
    ),
    **{
        name: Experiment(title, configs, setting_row, baseline=ADAM)
        for name, title, configs in (
            ("de/soup", "Trained ancestor and primordial soup", soup),
            ("de/complexity", "More training data", complexity),
            ("de/decay", "L2 factor of the ancestors", decay),
            ("de/networks", "Networks and data sets", networks_and_data),
        )
    },
    "de/factors": Experiment("F and Cr of DE", f_and_cr, factor_row),
}
