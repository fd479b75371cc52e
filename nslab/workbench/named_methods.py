"""Methods by the words that tables of results have for them, as fields of a training run."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from nslab.datasets.samplers import SAMPLERS
from nslab.objectives import NS, OBJECTIVES, Asymmetric, CrossEntropy
from nslab.objectives.ns import SETTINGS
from nslab.system.unknown_names import PLUGIN_ADVICE, unknown
from nslab.workbench.own_objects import objective_of

# The settings of Natural Selection are those of the paper for CIFAR-10, and for it long-tailed.
VARIANTS = {
    "ns_ws": NS(),
    "ns_lf": SETTINGS["cifar10_lt"].objective,
    "aul": Asymmetric("aul"),
}
CONTROLS = ("ce_constant", "ce_lr")


def fields_of(methods: Mapping[str, Any], *, texts: bool = False) -> dict[str, dict[str, Any]]:
    """The fields of `TrainConfig` that each method sets, by its name.

    Words are keys of ``OBJECTIVES``; ``ns_ws``, ``ns_lf`` and ``aul``; for cross-entropy on
    rebalanced batches ``cbs``, ``srs`` and ``pbs``; and two controls: cross-entropy with the mean
    weight of the one NS among the methods as a factor of its loss (``ce_constant``) or of its
    learning rate (``ce_lr``); where that NS weights another loss, its controls are of that loss.
    For ``texts`` words of NS stand for ``compose="tiled"``. Raises ``ValueError`` for other words,
    and for a control where no NS or several are among the methods, or its mean weight is 1.

    >>> list(fields_of({"CE": "ce", "balanced": "cbs"})["balanced"].items())[1]
    ('sampler', 'cbs')
    """
    found = {name: _fields(method) for name, method in methods.items()}
    for name, method in methods.items():
        ns = found[name]["objective"]
        if texts and isinstance(method, str) and isinstance(ns, NS):
            found[name]["objective"] = dataclasses.replace(ns, compose="tiled")
    scored = [fields["objective"] for fields in found.values() if _scores(fields["objective"])]
    for name, method in methods.items():
        if not isinstance(method, str) or method not in CONTROLS:
            continue
        if len(scored) != 1:
            advice = "compare one NS at a time" if scored else "add one, such as ns_lf"
            raise ValueError(
                f"{method} is a control of the one NS among the methods whose rho is not 0, with "
                f"the same mean weight, and there are {len(scored)}: {advice}"
            )
        ns = scored[0]
        mean = round(ns.sigma + ns.rho, 9)  # 1.4 - 0.4 is 1
        if mean == 1 or mean <= 0:
            why = "then it is the loss itself" if mean == 1 else "it must be above 0"
            raise ValueError(
                f"{method}: the mean weight of the NS is {mean:g}, {why}: leave it out"
            )
        if method == "ce_constant":
            found[name] = {"objective": dataclasses.replace(ns, sigma=mean, rho=0.0)}
        else:
            found[name] = {"objective": ns.base, "lr_scale": mean}
    return found


def _scores(objective: Any) -> bool:
    """Whether it is an NS whose weights depend on the scores."""
    return isinstance(objective, NS) and objective.rho != 0


def _fields(method: Any) -> dict[str, Any]:
    """What one method sets; of a control only the objective it is a control of."""
    if not isinstance(method, str) or method in OBJECTIVES:
        return {"objective": objective_of(method)}
    if method in VARIANTS:
        return {"objective": VARIANTS[method]}
    rebalancing = [name for name in SAMPLERS if name != "shuffle"]
    if method in rebalancing:
        return {"objective": CrossEntropy(), "sampler": method}
    if method in CONTROLS:
        return {"objective": CrossEntropy()}
    words = dict.fromkeys([*OBJECTIVES, *VARIANTS, *rebalancing, *CONTROLS])
    raise unknown("method", method, words, f"; {PLUGIN_ADVICE}")
