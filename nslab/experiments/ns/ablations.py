"""Ablations on CIFAR-100: Tables VI to VIII."""

from typing import Literal

from nslab.configs.train import TrainConfig
from nslab.experiments.definition import Experiment, TableRow, with_seeds
from nslab.experiments.ns.presets import SMALL, base, constant_weight
from nslab.experiments.presets import SEEDS_OF_MANY, Preset
from nslab.objectives import NS
from nslab.types import ObjectiveConfig

AblationMethod = Literal["ns_ws", "ce_constant"]


def ablation_base(preset: Preset, epochs: int | None = None) -> TrainConfig:
    """The training of Tables VI to VIII: on CIFAR-100 (section IV-C1); at preset ``smoke`` a small
    network on digits."""
    if preset == "smoke":
        small = SMALL | ({} if epochs is None else {"epochs": epochs})
        return base(preset, network="mlp", augment="none", **small)
    return base(preset, dataset="cifar100", epochs=epochs)


def table6(
    preset: Preset = "smoke", seeds: tuple[int, ...] | None = None, epochs: int | None = None
) -> list[TrainConfig]:
    """Table VI: how samples are grouped."""
    grids = [(1, 2), (2, 2), (2, 4), (4, 2), (4, 4)]
    objectives: list[ObjectiveConfig] = [NS(grid=grid, sigma=0.8) for grid in grids]
    return with_seeds(ablation_base(preset, epochs), objectives, seeds or SEEDS_OF_MANY[preset])


def table7(
    preset: Preset = "smoke",
    seeds: tuple[int, ...] | None = None,
    methods: tuple[AblationMethod, ...] = ("ns_ws", "ce_constant"),
    epochs: int | None = None,
) -> list[TrainConfig]:
    """Table VII: the base value sigma, with rho = 1; and beside each a control that the paper
    lacks, cross-entropy times the same mean weight, sigma + 1."""
    sigmas = (0.0, 0.1, 0.5, 0.8, 1.0, 1.5, 1.8)
    objectives = _with_controls([NS(sigma=sigma) for sigma in sigmas], methods)
    return with_seeds(ablation_base(preset, epochs), objectives, seeds or SEEDS_OF_MANY[preset])


def table8(
    preset: Preset = "smoke",
    seeds: tuple[int, ...] | None = None,
    methods: tuple[AblationMethod, ...] = ("ns_ws", "ce_constant"),
    epochs: int | None = None,
) -> list[TrainConfig]:
    """Table VIII: the factor rho, with sigma = 0.8; and beside each that control, with the mean
    weight 0.8 + rho.

    NOTE: with rho = 0 every weight is 0.8, so this row trains at 0.8 times the learning rate of
    the baseline; the paper prints the baseline's accuracy there. It is its own control.
    """
    rhos = (0.0, 0.1, 0.5, 0.8, 1.0, 1.5, 1.8)
    objectives = _with_controls([NS(sigma=0.8, rho=rho) for rho in rhos], methods)
    return with_seeds(ablation_base(preset, epochs), objectives, seeds or SEEDS_OF_MANY[preset])


def _with_controls(
    settings: list[NS], methods: tuple[AblationMethod, ...]
) -> list[ObjectiveConfig]:
    """Each setting, followed by its control of constant weight unless it is one already."""
    made: list[ObjectiveConfig] = []
    for ns in settings:
        made += [ns] if "ns_ws" in methods else []
        made += [constant_weight(ns)] if "ce_constant" in methods and ns.rho != 0 else []
    return made


def ns_row(config: TrainConfig) -> TableRow:
    """Hyper-parameters of NS as the ablation tables print them; ``ValueError`` for other runs."""
    ns = config.objective
    if not isinstance(ns, NS):
        raise ValueError(f"{ns} is not NS, and this table is an ablation of NS: leave the run out")
    return {"grid": f"{ns.grid[0]}x{ns.grid[1]}", "sigma": ns.sigma, "rho": ns.rho}


def grid_row(config: TrainConfig) -> TableRow:
    """Row of Table VI: how samples are grouped."""
    return {"grid": ns_row(config)["grid"]}


def sigma_row(config: TrainConfig) -> TableRow:
    """Row of Table VII: sigma; for a control, the sigma of the run with the same mean weight."""
    ns = ns_row(config)
    if ns["rho"] == 0:
        return {"sigma": round(float(ns["sigma"]) - 1, 9), "method": "ce_constant"}
    return {"sigma": ns["sigma"], "method": "ns_ws"}


def rho_row(config: TrainConfig) -> TableRow:
    """Row of Table VIII: rho; for a control, the rho of the run with the same mean weight."""
    ns = ns_row(config)
    if ns["rho"] == 0 and ns["sigma"] != 0.8:
        return {"rho": round(float(ns["sigma"]) - 0.8, 9), "method": "ce_constant"}
    return {"rho": ns["rho"], "method": "ns_ws"}


# NS is compared with the control of the same mean weight, groupings with the paper's choice, 2x2.
CONTROL = {"method": "ce_constant"}
EXPERIMENTS: dict[str, Experiment] = {
    "ns/table6": Experiment("Grouping", table6, grid_row, "table6", baseline={"grid": "2x2"}),
    "ns/table7": Experiment("Sigma", table7, sigma_row, "table7", baseline=CONTROL),
    "ns/table8": Experiment("Rho", table8, rho_row, "table8", baseline=CONTROL),
}
