"""Names of methods in tables: of training, and of evolving or combining trained networks."""

from dataclasses import replace
from typing import Any

from nslab.configs.labels import short_repr
from nslab.evolve import EVOLVERS
from nslab.neuroevolution.baselines import GreedySoup, Parents, SparseMutations, Vote, WeightAverage
from nslab.objectives import NS, OBJECTIVES, Asymmetric
from nslab.system.content_names import short_name
from nslab.types import ObjectiveConfig

# Ways to evolve or combine trained networks, by their names in the DE paper's tables, else ours.
EVOLUTION_METHODS: dict[str, Any] = {
    "pretrained": Parents("all"),
    "population_mean": Parents("all"),
    "population_best": Parents("best"),
    "wa": WeightAverage(),
    "ensemble": Vote(),
    "fge": Vote(),
    "soups": GreedySoup(),
    "smd": SparseMutations(),
    "de": EVOLVERS["de"],
    "sade": EVOLVERS["sade"],
    "sa_shade": EVOLVERS["sade+shade"],
    "sa_shade_tri": EVOLVERS["+trigonometric"],
    "sa_shade_ensin": EVOLVERS["+sin-f"],
    "sa_shade_tri_ensin": EVOLVERS["sa-shade-tri-ensin"],
    "sa_shade_tri_ensin_cauchy": EVOLVERS["sa-shade-tri-ensin-cauchy"],
    "pso": EVOLVERS["pso"],
    "pso_constriction": EVOLVERS["pso-constriction"],
}


def objective_name(objective: ObjectiveConfig) -> str:
    """The name of an objective in the papers' tables: its key, or the name of its class in lower
    case if it has no key."""
    if isinstance(objective, Asymmetric):
        return objective.kind if not objective.alpha else f"nce_{objective.kind}"
    keys = {cls: key for key, cls in OBJECTIVES.items()}
    return short_name(keys.get(type(objective), type(objective).__name__.lower()))


def training_method(objective: ObjectiveConfig, sampler: str, lr_scale: float) -> str:
    """The name of the method that trained a network; a sampler other than ``shuffle`` counts as a
    method of its own."""
    if sampler != "shuffle":
        return sampler
    if isinstance(objective, NS):
        if objective.rho == 0:
            return "ce_constant"
        name = "ns_lf" if objective.rho < 0 else "ns_ws"
        inner = objective_name(objective.base)
        return name if inner == "ce" else f"{name}+{inner}"
    return "ce_lr" if lr_scale != 1 else objective_name(objective)


def evolution_method(method: Any, init: str) -> str:
    """The name of the method that evolved or combined trained networks; DE with any F and Cr is
    ``de``."""
    if init == "pretrained":
        return "pretrained"
    if init == "cyclic" and method == Vote():
        return "fge"
    plain: Any = EVOLVERS["de"]
    if type(method) is type(plain) and method == replace(plain, f=method.f, cr=method.cr):
        return "de"
    named = [n for n, m in EVOLUTION_METHODS.items() if m == method and n != "pretrained"]
    named += [key for key, evolver in EVOLVERS.items() if evolver == method]
    return named[0] if named else short_repr(method)
