"""Generations of evolvers on a device. Crossover is compared with a second implementation of its
hash, mutants with a second formula, and every evolver with itself in float64 on the CPU."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch

from nslab.evolve import ES, EVOLVERS, ChaoticEvolution
from nslab.evolve.breeding import Terms, breed
from nslab.evolve.population import Population
from nslab.evolve.protocol import completed
from nslab.workbench.device_check.findings import Finding, largest_error, worst
from nslab.workbench.device_check.hashes import crossed
from nslab.workbench.device_check.strategies import check_strategies

PART = "generations"
DTYPES = {torch.float32: 2e-6, torch.float64: 1e-14, torch.bfloat16: 8e-3}
LARGE = 2**20  # so many genes that the loop is compiled, if there is a compiler
ROUNDING = "sums of {} terms up to 10 in {}; every gene comes from the parent that the hash names"


def bred(genes: int, dtype: torch.dtype, device: torch.device) -> float:
    """The largest error of the trials of six members; a gene of the wrong parent would be large."""
    draws = torch.Generator().manual_seed(genes)
    x = torch.randn(8, genes, generator=draws).to(dtype)
    terms = Terms(
        torch.randint(8, (6, 5), generator=draws),
        torch.randn(6, 5, generator=draws, dtype=torch.float64),
    )
    rates, seed = torch.linspace(0, 1, 6, dtype=torch.float64), 7
    population = Population.of(x.to(device))
    breed(population, terms, rates, seed, torch.arange(6))
    found = population.rows[population.spare[:6].to(device)].double().cpu().numpy()
    members, weights = x.double().numpy(), terms.weights.float().double().numpy()
    weights = terms.weights.numpy() if dtype == torch.float64 else weights
    errors = []
    for t in range(6):
        mutant = sum(
            w * members[k] for w, k in zip(weights[t], terms.picks[t].tolist(), strict=True)
        )
        wanted = np.where(crossed(genes, float(rates[t]), seed, t), mutant, members[t])
        errors.append(largest_error(found[t], wanted))
    return worst(errors)


def offspring(evolver: Any, device: torch.device, dtype: torch.dtype) -> torch.Tensor:
    """The population's rows after two generations, whose fitness is random and not computed, so
    that the same candidates survive in any precision."""
    draws = torch.Generator().manual_seed(5)
    evolver = completed(evolver, 4)
    size = evolver.population_size(12)
    x = torch.randn(size, 1031, generator=draws).to(device, dtype)
    if evolver.generational:
        x = x[:1].expand(size, -1).contiguous()
    fitness = torch.rand(3, size, generator=draws, dtype=torch.float64)
    state, gen = evolver.init(Population.of(x), fitness[0]), torch.Generator().manual_seed(6)
    for g in (1, 2):
        trials = evolver.ask(state, gen)
        state = evolver.tell(state, trials, fitness[g, : len(trials.targets)])
    return state.population.rows.cpu()


def check_generations(device: torch.device) -> Iterator[Finding]:
    """Check breeding alone, for few and many genes; the strategies; and all registered evolvers."""
    for dtype, limit in DTYPES.items():
        name = str(dtype).removeprefix("torch.")
        reason = ROUNDING.format(5, name)
        yield Finding(PART, f"997 genes, {name}", bred(997, dtype, device), limit, reason)
    reason = ROUNDING.format(5, "float32") + "; a compiler may fuse a product and a sum"
    error = bred(LARGE, torch.float32, device)
    yield Finding(PART, f"{LARGE:,} genes, float32", error, DTYPES[torch.float32], reason)
    yield from check_strategies(device)
    others: dict[str, Any] = {"es": ES(offspring=12, mu=4), "chaotic_evolution": ChaoticEvolution()}
    for key, evolver in {**EVOLVERS, **others}.items():
        found = offspring(evolver, device, torch.float32)
        wanted = offspring(evolver, torch.device("cpu"), torch.float64)
        why = "float32 against float64 on the CPU, two generations of sums and products"
        yield Finding(PART, f"two of {key}", largest_error(found, wanted), 3e-6, why)
        if device.type != "cpu":
            same = offspring(evolver, torch.device("cpu"), torch.float32)
            why = "the CPU's float32; a fused product and sum may round once instead of twice"
            yield Finding(PART, f"{key}, as on the CPU", largest_error(found, same), 1e-6, why)
