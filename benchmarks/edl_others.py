"""The search for a loss network with other libraries: the contenders of edl_search.py.

The loss network is written as a textbook would: a hidden layer of tanh for every class, minus the
value at the one-hot label.
"""

import importlib
import logging
import math
import os
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nslab.configs.loss_search import LossSearchConfig
from nslab.evolve.es import ES
from nslab.evolve.population import Population
from nslab.lossnet import LossForm
from nslab.lossnet.net import SMALL
from nslab.lossnet.ranking import TEMPERATURE, margins
from nslab.lossnet.synthetic_predictions import Pairs, draw_pairs
from nslab.rng import generator

LOW, HIGH = math.log(SMALL), math.log1p(SMALL)
Losses = tuple[Tensor, Tensor]  # of the worse, of the better predictions


class Contender(NamedTuple):
    """Functions that compute the losses and the objective of all candidates and one generation; and
    the CPU seconds that compiling them took."""

    losses: Callable[[], Losses]
    fitness: Callable[[], Tensor]
    generation: Callable[[], object]
    compiling: float = 0.0


@dataclass(frozen=True)
class Problem:
    """Candidates (rows of ``w``) for one form of network, and the pairs they are scored on."""

    config: LossSearchConfig
    w: Tensor
    pairs: list[Pairs]

    @classmethod
    def of(cls, config: LossSearchConfig) -> "Problem":
        """As many random networks and pairs as a generation of `pretrain` has."""
        pairs = draw_pairs(config.regimes, config.pairs, generator(0, "pairs"))
        w = config.form.initial(ES().min_population, generator(0, "candidates"))
        return cls(config, w.float(), pairs)

    @property
    def groups(self) -> list[tuple[Tensor, Tensor]]:
        """For each number of classes the worse predictions with their labels, then the better ones;
        evaluated together, they would take a fifth more time."""
        worse = [(group.worse, group.worse_y) for group in self.pairs]
        return worse + [(group.better, group.better_y) for group in self.pairs]


class Textbook(nn.Module):
    """The equivariant form: the sum over k of phi(p_k, [k = y]), minus its value at onehot(y)."""

    def __init__(self, form: LossForm) -> None:
        super().__init__()
        self.log_feature = form.log_feature
        self.phi = nn.Sequential(
            nn.Linear(form.inputs, form.hidden), nn.Tanh(), nn.Linear(form.hidden, 1, bias=False)
        )

    def forward(self, p: Tensor, y: Tensor) -> Tensor:
        inputs = [2 * p - 1, 2 * F.one_hot(y, p.shape[1]).to(p) - 1]
        if self.log_feature:
            inputs.insert(1, 2 * ((p + SMALL).log() - LOW) / (HIGH - LOW) - 1)
        # At onehot(y) inputs are all 1 for the label's own class and all -1 for every other.
        own, other = self.phi(torch.ones(2, len(inputs)) * torch.tensor([[1.0], [-1.0]]))
        return self.phi(torch.stack(inputs, -1)).sum((1, 2)) - own - (p.shape[1] - 1) * other


def evolution(problem: Problem, score: Callable[[Tensor], Tensor]) -> Callable[[], object]:
    """Generations of nslab's evolution strategy, in float64 as in `pretrain`."""
    es, x = ES(), problem.w[:1].double().expand(len(problem.w), -1)
    state, gen = es.init(Population.of(x), torch.zeros(len(x))), generator(0, "evolve")

    def step() -> None:
        nonlocal state
        trials = es.ask(state, gen)
        rows = state.population.rows[state.population.spare[trials.targets]]
        state = es.tell(state, trials, score(rows.float()))

    return step


def vmap(problem: Problem) -> Contender:
    """Evaluation by `torch.func`, search by nslab's evolution strategy."""
    losses, score, vectors = plain(problem)
    return Contender(partial(losses, vectors), partial(score, vectors), evolution(problem, score))


def plain(
    problem: Problem,
) -> tuple[Callable[[Tensor], Losses], Callable[[Tensor], Tensor], Tensor]:
    """Functions for the losses and the objectives of candidates, given as vectors of the module's
    parameters; and the candidates as such vectors."""
    form, w, groups = problem.config.form, problem.w, problem.groups
    margin, n = margins(problem.pairs, problem.config.margin), form.inputs * form.hidden
    module = Textbook(form)
    named = {name: p.shape for name, p in module.named_parameters()}

    def one(vector: Tensor, p: Tensor, y: Tensor) -> Tensor:
        parts = vector.split([shape.numel() for shape in named.values()])
        values = {k: v.view(named[k]) for k, v in zip(named, parts, strict=True)}
        return torch.func.functional_call(module, values, (p, y))

    def losses(vectors: Tensor) -> Losses:
        found = [torch.vmap(one, (0, None, None))(vectors, *group) for group in groups]
        half = len(found) // 2
        return torch.cat(found[:half], 1), torch.cat(found[half:], 1)

    def score(vectors: Tensor) -> Tensor:
        worse, better = losses(vectors)
        both = torch.cat([worse, better], 1)
        std = both.std(1, keepdim=True)
        rest = (margin / 2 - (worse - better) / std) / TEMPERATURE
        return TEMPERATURE * F.softplus(rest).mean(1) + (-both / std).relu().mean(1)

    into = w[:, :n].unflatten(1, (-1, form.hidden)).mT.flatten(1)
    return losses, score, torch.cat([into, w[:, n:]], 1)


def evotorch(problem: Problem) -> Contender:
    """evotorch's problem with a vectorized objective, and its SNES."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # from packages that evotorch imports
        core = importlib.import_module("evotorch")
        algorithms = importlib.import_module("evotorch.algorithms")
    logging.getLogger("evotorch").setLevel(logging.WARNING)
    losses, score, vectors = plain(problem)
    task = core.Problem(
        "min",
        core.decorators.vectorized(score),
        solution_length=vectors.shape[1],
        initial_bounds=(-1, 1),
        dtype=torch.float32,
    )
    batch = task.generate_batch(len(vectors))
    batch.set_values(vectors)

    def fitness() -> Tensor:
        task.evaluate(batch)
        return batch.evals[:, 0]

    start = {"stdev_init": ES().sigma, "center_init": vectors[0]}
    search = algorithms.SNES(task, popsize=len(vectors), **start)
    return Contender(partial(losses, vectors), fitness, search.step)


def evosax(problem: Problem, at_once: int | None = None) -> Contender:
    """Evaluation compiled by JAX for all candidates at once, or ``at_once`` at a time, and evosax's
    SimpleES."""
    os.environ.setdefault("JAX_PLATFORMS", "cpu")
    jax, algorithms = map(importlib.import_module, ("jax", "evosax.algorithms"))
    jnp, form = jax.numpy, problem.config.form
    h, n = form.hidden, form.inputs * form.hidden
    w, margin, groups = jax.tree.map(
        lambda t: jnp.asarray(t.numpy()),
        (problem.w, margins(problem.pairs, problem.config.margin), problem.groups),
    )

    def one(w: Any, p: Any, y: Any) -> Any:
        def phi(x: Any) -> Any:
            return jnp.tanh(x @ w[:n].reshape(-1, h) + w[n : n + h]) @ w[n + h :]

        inputs = [2 * p - 1, 2 * jax.nn.one_hot(y, p.shape[1]) - 1]
        if form.log_feature:
            inputs.insert(1, 2 * (jnp.log(p + SMALL) - LOW) / (HIGH - LOW) - 1)
        corner = jnp.ones(len(inputs))
        return phi(jnp.stack(inputs, -1)).sum(1) - phi(corner) - (p.shape[1] - 1) * phi(-corner)

    def losses(w: Any, groups: Any) -> Any:
        found = [one(w, *group) for group in groups]
        half = len(found) // 2
        return jnp.concatenate(found[:half]), jnp.concatenate(found[half:])

    def score(w: Any, groups: Any, margin: Any) -> Any:
        worse, better = losses(w, groups)
        both = jnp.concatenate([worse, better])
        std = both.std(ddof=1)
        rest = (margin / 2 - (worse - better) / std) / TEMPERATURE
        return TEMPERATURE * jax.nn.softplus(rest).mean() + jax.nn.relu(-both / std).mean()

    def scores(w: Any, groups: Any, margin: Any) -> Any:
        if at_once is None:
            return jax.vmap(score, (0, None, None))(w, groups, margin)
        return jax.lax.map(lambda v: score(v, groups, margin), w, batch_size=at_once)

    es, key = algorithms.SimpleES(len(w), w[0]), jax.random.key(0)
    params = es.default_params.replace(std_init=ES().sigma)

    def generation(key: Any, state: Any, groups: Any, margin: Any) -> Any:
        key, ask, tell = jax.random.split(key, 3)
        x, state = es.ask(ask, state, params)
        state, _ = es.tell(tell, x, scores(x, groups, margin), state, params)
        return key, state

    running, began = (key, es.init(key, w[0], params)), time.process_time()
    fitness = jax.jit(scores).lower(w, groups, margin).compile()
    whole = jax.jit(generation).lower(*running, groups, margin).compile()
    compiling = time.process_time() - began

    def tensors(arrays: Any) -> Any:
        return jax.tree.map(lambda a: torch.from_numpy(np.array(a)), arrays)  # waits for the result

    def step() -> None:
        nonlocal running
        running = jax.block_until_ready(whole(*running, groups, margin))

    return Contender(
        lambda: tensors(jax.vmap(losses, (0, None))(w, groups)),
        lambda: tensors(fitness(w, groups, margin)),
        step,
        compiling,
    )
