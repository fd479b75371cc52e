"""A user's plug-in as a file, and a context that restores the registries."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from nslab.system import plugins, registry

EVERYTHING = '''"""A loss, a network, a data set, an evolver, an experiment."""

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import nn

from nslab import DATASETS, EXPERIMENTS, NETWORKS, OBJECTIVES
from nslab import CrossEntropy, EvolveConfig, TrainConfig
from nslab.datasets import Dataset
from nslab.datasets.arrays import Arrays, Layout
from nslab.evolve import EVOLVER_CLASSES
from nslab.evolve.operators import survives
from nslab.evolve.protocol import Trials
from nslab.experiments import Experiment
from nslab.objectives.probabilities import log_probabilities, of_label
from nslab.objectives.weighted import PlainLoss


@OBJECTIVES.register
@dataclass(frozen=True)
class Doubt(PlainLoss):
    key = "doubt"
    scale: float = 3.0

    def loss(self, logits, y):
        return self.scale * (1 - of_label(log_probabilities(logits, y).exp(), y))


@NETWORKS.register("line")
def line(shape, num_classes):
    pixels = int(np.prod(shape))
    return nn.Sequential(nn.Flatten(), nn.Linear(pixels, 8), nn.Tanh(), nn.Linear(8, num_classes))


def halves(folder, name):
    draw = np.random.default_rng(5)
    x = draw.integers(0, 150, (90, 8, 8, 1), dtype=np.uint8)
    y = np.arange(90) % 2
    x[y == 0, :4] += 80
    x[y == 1, 4:] += 80
    return Arrays(x[:60], y[:60], x[60:], y[60:])


DATASETS["halves"] = Dataset(
    Layout(60, 30, (8, 8, 1), 2), (0.4,), (0.2,), ("upper", "lower"), halves
)


@dataclass(frozen=True, eq=False)
class State:
    population: object
    fitness: torch.Tensor


@EVOLVER_CLASSES.register
@dataclass(frozen=True)
class Walk:
    key = "walk"
    step: float = 0.01
    min_population = 2

    def init(self, population, fitness):
        return State(population, fitness.double().cpu())

    def ask(self, state, gen):
        x = state.population.x()
        moved = x + self.step * torch.randn(x.shape, generator=gen).to(x)
        state.population.rows[state.population.spare.to(x.device)] = moved
        return Trials(torch.arange(len(x)), torch.ones(len(x), dtype=torch.bool))

    def tell(self, state, trials, fitness):
        new = fitness.double().cpu()
        won = survives(state.fitness, new)
        return State(state.population.accept(won), torch.where(won, new, state.fitness))


def plan(preset: str, seeds: tuple[int, ...] = (1, 2)):
    """Cross-entropy, doubt, and an evolution of the latter."""
    found = []
    for seed in seeds:
        base = TrainConfig("halves", "line", epochs=3, lr=0.02, batch_size=20, seed=seed)
        doubt = replace(base, objective=Doubt())
        found += [base, doubt, EvolveConfig(doubt, size=3, method=Walk(), batches=1, generations=2)]
    return found


def row(config):
    if config.kind == "evolve":
        return {"method": "walk"}
    return {"method": "ce" if config.objective == CrossEntropy() else "doubt"}


EXPERIMENTS["mine/table"] = Experiment("Mine", plan, row, baseline={"method": "ce"})
'''


def write_plugin(folder: Path, name: str = "mine", source: str = EVERYTHING) -> Path:
    """Write a plug-in and return its file."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f"{name}.py"
    file.write_text(source, encoding="utf-8")
    return file


@contextmanager
def as_before(folder: Path) -> Iterator[None]:
    """Restore at the end registries, plug-ins, ``sys.path`` and the environment, and forget modules
    that were imported from within ``folder``."""
    entries, loaded = registry.snapshot(), (plugins.LOADED, dict(plugins.LOADED))
    modules, path, environment = set(sys.modules), (sys.path, [*sys.path]), dict(os.environ)
    try:
        yield
    finally:
        registry.restore(entries)
        for name in {*sys.modules} - modules:
            file = Path(str(getattr(sys.modules[name], "__file__", "")))
            if plugins.owner(name) or folder in file.parents:
                del sys.modules[name]
        plugins.LOADED, sys.path = loaded[0], path[0]
        plugins.LOADED.clear()
        plugins.LOADED.update(loaded[1])
        sys.path[:] = path[1]
        if os.environ != environment:
            os.environ.clear()
            os.environ.update(environment)
