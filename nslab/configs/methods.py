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
    method of its own, and so does a learning rate that is scaled. A loss other than cross-entropy
    is added to such a name, with a plus sign.

    >>> training_method(NS(rho=0.0), "shuffle", 1.0), training_method(NS(), "cbs", 1.0)
    ('ce_constant', 'cbs+ns_ws')
    """
    if isinstance(objective, NS):
        variants = {0: "ce_constant", 1: "ns_ws", -1: "ns_lf"}
        inner = objective_name(objective.base)
        loss = variants[(objective.rho > 0) - (objective.rho < 0)]
        loss += "" if inner == "ce" else f"+{inner}"
    else:
        loss = objective_name(objective)
    if sampler != "shuffle":
        return sampler if loss == "ce" else f"{sampler}+{loss}"
    if lr_scale != 1:
        return "ce_lr" if loss == "ce" else f"ce_lr+{loss}"
    return loss


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
