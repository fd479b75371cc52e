"""Compare the fitness of a population on a device with networks computed one by one without
torch."""

from collections.abc import Iterator

import numpy as np
import torch

from nslab.evolve.population import Population
from nslab.neuroevolution.fitness import Fitness
from nslab.neuroevolution.options import EvolveOptions
from nslab.neuroevolution.parameter_vector import Extras, ParameterLayout
from nslab.workbench.device_check.findings import Finding, largest_error
from nslab.workbench.device_check.small_network import (
    images,
    log_softmax,
    logits,
    small_network,
    weights_of,
)

PART = "fitness"


def check_fitness(device: torch.device) -> Iterator[Finding]:
    """Check the mean cross-entropy of six networks on one batch, in both modes of `Fitness`."""
    model, (x, y) = small_network().to(device), images(40)
    options = EvolveOptions(policy="parent", exempt_head=False)
    layout = ParameterLayout.of(model, exempt_head=False)
    draws = torch.Generator().manual_seed(1)
    genes = layout.vector(model.state_dict()).cpu()
    genes = genes + 0.3 * torch.randn(6, layout.size, generator=draws)
    fixed, wanted = weights_of(model), []
    for row in genes.double().numpy():
        first, w = 0, dict(fixed)
        for name, shape in zip(layout.names, layout.shapes, strict=True):
            count = int(np.prod(shape))
            w[name] = row[first : first + count].reshape(shape)
            first += count
        log_p = log_softmax(logits(w, x.numpy()))
        wanted.append(-log_p[np.arange(len(y)), y.numpy()].mean())
    population = Population.of(genes.to(device))
    extras = Extras.of(model, layout, [model.state_dict()] * 6)
    for mode in ("loop", "vmap"):
        fitness = Fitness(model, layout, options, mode=mode)
        found = fitness(population, extras, x.to(device), y.to(device))
        error = largest_error(found, np.array(wanted))
        yield Finding(PART, f"six networks, {mode}", error, 1e-5, "float32 forward, float64 mean")
