"""Evolution of populations of vectors, by name: ``EVOLVERS[key]`` for networks, ``CLASSIC[key]``
for functions. Add a class of your own to ``EVOLVER_CLASSES`` to use it in configs.

>>> EVOLVERS["sa-shade-tri-ensin"].min_population
6
>>> EVOLVERS["pso"]
PSO(w=1.0, c1=2.0, c2=2.0, v_max=None, per_gene=True)
"""

from dataclasses import replace

from nslab.evolve.chaotic_evolution import ChaoticEvolution
from nslab.evolve.de import AdaptiveDE
from nslab.evolve.es import ES
from nslab.evolve.operators import MUTATIONS
from nslab.evolve.protocol import Evolver
from nslab.evolve.pso import PSO
from nslab.system.registry import CONFIG_CLASSES, Registry, config_class, instance_of
from nslab.system.renamed import refuse_old_names

EVOLVER_CLASSES: Registry[type] = Registry(
    "class of evolvers",
    check=config_class("min_population", "init", "ask", "tell"),
    names=CONFIG_CLASSES,
)
EVOLVER_CLASSES |= {
    "de": AdaptiveDE,
    "pso": PSO,
    "es": ES,
    "chaotic_evolution": ChaoticEvolution,
}

_SADE = ("rand/1", "current-to-best/1", "rand/2", "current-to-rand/1")  # S1 to S4
_DE = AdaptiveDE()
_SHADE = AdaptiveDE(
    ("current-to-best/1",), adapt_f="shade", adapt_cr="shade", f_law="cauchy", p_best=0.1
)
_BOTH = AdaptiveDE(_SADE, adapt_strategy=True, adapt_f="shade", adapt_cr="shade")
_TRIGONOMETRIC = replace(_BOTH, strategies=(*_SADE, "trigonometric"))

EVOLVERS: Registry[Evolver] = Registry("evolver", check=instance_of(Evolver))
EVOLVERS |= {
    "de": _DE,
    "sade": AdaptiveDE(_SADE, adapt_strategy=True, adapt_f="normal", adapt_cr="mean"),
    "shade": _SHADE,
    "sade+shade": _BOTH,
    "+trigonometric": _TRIGONOMETRIC,
    "+sin-f": replace(_BOTH, sinusoid="individual"),
    "sa-shade-tri-ensin": replace(_TRIGONOMETRIC, sinusoid="individual"),
    # frequencies from a Cauchy distribution, as in LSHADE-EpSin; the paper says normal
    "sa-shade-tri-ensin-cauchy": replace(
        _TRIGONOMETRIC, sinusoid="individual", frequency_law="cauchy"
    ),
    "pso": PSO(),
    "pso-constriction": PSO(w=0.729, c1=1.49445, c2=1.49445),
}

# The DE paper's Table 3, row by row. NOTE: rows 5 and 6 have the same ticks in print; we take row 5
# for the one without the trigonometric mutation, since no other row would be. Rows 7 and 8 are row
# 6 with other initial populations.
TABLE_3: dict[int, str] = {
    1: "de",
    2: "sade",
    3: "sade+shade",
    4: "+trigonometric",
    5: "+sin-f",
    6: "sa-shade-tri-ensin",
    7: "sa-shade-tri-ensin",
    8: "sa-shade-tri-ensin",
}

_UNIT = AdaptiveDE(
    f=0.5,
    cr=0.5,
    f_range=(0.0, 1.0),
    cr_range=(0.0, 1.0),
    f_law="cauchy",
    forced_gene=True,
    ties=True,
)

# The same algorithms with the settings of their original papers, for functions: F and Cr up to 1.
CLASSIC: dict[str, Evolver] = {
    "de": replace(_UNIT, cr=0.9),
    # Qin, Huang and Suganthan 2009. NOTE: F is restricted to (0, 1]; theirs is normal, unbounded.
    "sade": replace(
        _UNIT,
        strategies=("rand/1", "current-to-best/2", "rand/2", "current-to-rand/1"),
        adapt_strategy=True,
        adapt_f="normal",
        adapt_cr="median",
        f_law="normal",
        f_std=0.3,
        cross_all=False,
        history=50,
    ),
    # Tanabe and Fukunaga 2013. NOTE: without its archive of replaced parents, for which a
    # population of networks has no memory, and with the same p for all members.
    "shade": replace(
        _UNIT,
        strategies=("current-to-best/1",),
        adapt_f="shade",
        adapt_cr="shade",
        cr_mean="arithmetic",
        p_best=0.1,
        history=100,
    ),
    "sa-shade-tri-ensin": replace(
        _UNIT,
        strategies=_TRIGONOMETRIC.strategies,
        adapt_strategy=True,
        adapt_f="shade",
        adapt_cr="shade",
        sinusoid="individual",
        frequency_law="cauchy",
    ),
    "pso": PSO(),
    "pso-constriction": EVOLVERS["pso-constriction"],
}

__all__ = [
    "CLASSIC",
    "ES",
    "EVOLVERS",
    "EVOLVER_CLASSES",
    "MUTATIONS",
    "PSO",
    "TABLE_3",
    "AdaptiveDE",
    "ChaoticEvolution",
    "Evolver",
]

__getattr__ = refuse_old_names(__name__)
