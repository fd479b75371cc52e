"""Compare the strategies of differential evolution on a device, mutants and survivors, with
formulas written a second time, member by member."""

import math
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch

from nslab.evolve.breeding import breed
from nslab.evolve.operators import MUTATIONS, Draws, survives
from nslab.evolve.population import Population
from nslab.workbench.device_check.findings import Finding, largest_error, worst

PART = "generations"
MEMBERS, GENES = 8, 499
Formula = Callable[..., np.ndarray]


def trigonometric(r: Sequence[np.ndarray], losses: Sequence[float], **_: object) -> np.ndarray:
    """The trigonometric mutation S_Trigo as the paper writes it [DE section 3.2]."""
    p1, p2, p3 = (abs(loss) / sum(map(abs, losses[:3])) for loss in losses[:3])
    mean = (r[0] + r[1] + r[2]) / 3
    return mean + (p2 - p1) * (r[0] - r[1]) + (p3 - p2) * (r[1] - r[2]) + (p1 - p3) * (r[2] - r[0])


# Mutants from target i, picks r, best member b, scaling factor f, and k from U(0, 1) [DE section
# 3.1].
FORMULAS: dict[str, Formula] = {
    "rand/1": lambda i, r, f, **_: r[0] + f * (r[1] - r[2]),
    "current-to-best/1": lambda i, r, b, f, **_: i + f * (b - i) + f * (r[0] - r[1]),
    "rand/2": lambda i, r, f, **_: r[0] + f * (r[1] - r[2]) + f * (r[3] - r[4]),
    "current-to-rand/1": lambda i, r, f, k, **_: i + k * (r[0] - i) + f * (r[1] - r[2]),
    "trigonometric": trigonometric,
    "current-to-best/2": lambda i, r, b, f, **_: (
        i + f * (b - i) + f * (r[0] - r[1]) + f * (r[2] - r[3])
    ),
}
# losses of parent and trial, and whether the trial replaces the parent [DE Eq. 1]; not if equal
SURVIVALS = [
    (1.0, 0.5, True),
    (1.0, 1.5, False),
    (1.0, 1.0, False),
    (math.nan, 2.0, True),
    (1.0, math.nan, False),
    (1.0, -math.inf, False),
]


def mutants_error(name: str, device: torch.device) -> float:
    """The largest error of a strategy's mutants for six members; at a crossover rate of 1 every
    gene is the mutant's."""
    gen = torch.Generator().manual_seed(len(name))
    x = torch.randn(MEMBERS, GENES, generator=gen)
    fitness = torch.rand(MEMBERS, generator=gen, dtype=torch.float64) + 0.5
    f, k = torch.rand(2, 6, generator=gen, dtype=torch.float64)
    targets, best = torch.arange(6), torch.full((6,), int(fitness.argmin()))
    others = [[j for j in range(MEMBERS) if j != i] for i in range(6)]
    picks = torch.tensor([row[i % 2 : i % 2 + 5] for i, row in enumerate(others)])
    terms = MUTATIONS[name].terms(Draws(fitness, targets, picks, f, best, k))
    population = Population.of(x.to(device))
    breed(population, terms, torch.ones(6, dtype=torch.float64), 7, targets)
    found = population.rows[population.spare[:6].to(device)].double().cpu().numpy()
    rows, errors = x.double().numpy(), []
    for i, chosen in enumerate(picks.tolist()):
        wanted = FORMULAS[name](
            i=rows[i],
            r=[rows[j] for j in chosen],
            b=rows[int(best[i])],
            f=float(f[i]),
            k=float(k[i]),
            losses=fitness[chosen].tolist(),
        )
        errors.append(largest_error(found[i], wanted))
    return worst(errors)


def check_strategies(device: torch.device) -> Iterator[Finding]:
    """Check every strategy's mutants, then survival."""
    for name in MUTATIONS:
        if name not in FORMULAS:
            skipped = "nslab has no second formula for it"
            yield Finding(PART, f"mutants of {name}", None, 2e-6, "", skipped)
            continue
        why = "sums of up to seven terms in float32"
        yield Finding(PART, f"mutants of {name}", mutants_error(name, device), 2e-6, why)
    parents, trials, wanted = zip(*SURVIVALS, strict=True)
    parent, trial = (torch.tensor(losses, dtype=torch.float64) for losses in (parents, trials))
    found = survives(parent, trial).tolist()
    wrong = sum(a != b for a, b in zip(found, wanted, strict=True))
    yield Finding(PART, "who survives", float(wrong), 0.0, "a comparison has no rounding")
