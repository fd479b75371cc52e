"""Ablations on CIFAR-100: Tables VI to VIII."""

from collections.abc import Callable

from nslab.configs.train import TrainConfig
from nslab.experiments.definition import Experiment, TableRow, with_seeds
from nslab.experiments.ns.presets import SMALL, base
from nslab.experiments.presets import SEEDS_OF_MANY, Preset
from nslab.objectives import NS
from nslab.types import ObjectiveConfig


def ablation_base(preset: Preset, epochs: int | None = None) -> TrainConfig:
    """Tables VI to VIII are on CIFAR-100 (section IV-C1); smoke has digits and a small network."""
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
    preset: Preset = "smoke", seeds: tuple[int, ...] | None = None, epochs: int | None = None
) -> list[TrainConfig]:
    """Table VII: the base value sigma, with rho = 1."""
    sigmas = (0.0, 0.1, 0.5, 0.8, 1.0, 1.5, 1.8)
    objectives: list[ObjectiveConfig] = [NS(sigma=sigma) for sigma in sigmas]
    return with_seeds(ablation_base(preset, epochs), objectives, seeds or SEEDS_OF_MANY[preset])


def table8(
    preset: Preset = "smoke", seeds: tuple[int, ...] | None = None, epochs: int | None = None
) -> list[TrainConfig]:
    """Table VIII: the factor rho, with sigma = 0.8.

    NOTE: with rho = 0 every weight is 0.8, so this row trains at 0.8 times the learning rate of
    the baseline; the paper prints the baseline's accuracy there.
    """
    rhos = (0.0, 0.1, 0.5, 0.8, 1.0, 1.5, 1.8)
    objectives: list[ObjectiveConfig] = [NS(sigma=0.8, rho=rho) for rho in rhos]
    return with_seeds(ablation_base(preset, epochs), objectives, seeds or SEEDS_OF_MANY[preset])


def ns_row(config: TrainConfig) -> TableRow:
    """Hyper-parameters of NS as the ablation tables print them."""
    ns = config.objective
    if not isinstance(ns, NS):
        raise ValueError(f"{ns} is no row of an ablation of NS")
    return {"grid": f"{ns.grid[0]}x{ns.grid[1]}", "sigma": ns.sigma, "rho": ns.rho}


def _one(key: str) -> Callable[[TrainConfig], TableRow]:
    return lambda config: {key: ns_row(config)[key]}


# Table VIII has the baseline in it (rho = 0); the other two are set against the paper's choice.
EXPERIMENTS: dict[str, Experiment] = {
    "ns/table6": Experiment("Grouping", table6, _one("grid"), "table6", baseline={"grid": "2x2"}),
    "ns/table7": Experiment("Sigma", table7, _one("sigma"), "table7", baseline={"sigma": 0.8}),
    "ns/table8": Experiment("Rho", table8, _one("rho"), "table8", baseline={"rho": 0.0}),
}
