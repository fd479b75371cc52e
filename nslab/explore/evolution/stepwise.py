"""Evolution of a small population of networks, step by step, projected onto the population's first
two principal components."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from nslab.configs import EvolveConfig
from nslab.evolve.population import Population
from nslab.evolve.protocol import Evolver, completed
from nslab.explore.ui.tasks import Worker
from nslab.neuroevolution.fitness import Fitness
from nslab.neuroevolution.parameter_vector import Extras, ParameterLayout
from nslab.rng import generator
from nslab.runs.evolve_setup import EvolveSetup

POINTS, IMAGES = 21, 256  # points along a side of the slice, images for its losses
MARGIN = 1.7  # the slice reaches this many times as far as the population


@dataclass(frozen=True, eq=False)
class Slice:
    """The plane of the first two principal components of a population, through its mean.

    Attributes:
        centre, basis: the mean, and two orthonormal directions.
        shares: share of the population's variance along each direction.
        places: coordinates along an axis of the plane.
        losses: at every pair of coordinates (rows: second coordinate), on a part of the first
            batch.
    """

    centre: Float[Tensor, " d"]
    basis: Float[Tensor, "2 d"]
    shares: tuple[float, float]
    places: Float[Tensor, " a"]
    losses: Float[Tensor, "a a"]

    def project(self, x: Float[Tensor, "np d"]) -> Float[Tensor, "np 2"]:
        """Coordinates of vectors projected onto the plane."""
        return (x.double() - self.centre) @ self.basis.T


@dataclass(frozen=True, eq=False)
class Moment:
    """A population after a generation, or at the start.

    Attributes:
        points: coordinates of its members in the slice.
        losses: of its members on the current batch.
        made: number of the strategy that made each member; -1 for a parent from the training.
        row: the evolver's ``report`` on the last generation; empty at the start.
        batch: number of the current batch.
    """

    points: Float[Tensor, "np 2"]
    losses: Float[Tensor, " np"]
    made: Int[Tensor, " np"]
    row: dict[str, Any]
    batch: int = 0


@dataclass(frozen=True, eq=False)
class EvolutionStart:
    """Everything that an evolution starts from. All weights evolve, those of the last layer too.

    Attributes:
        config, setup, fitness: the evolution's config, its data and model, its fitness function.
        parents: their weights as vectors.
        slice: the plane that the population is shown in.
        start: the parents as the first `Moment`.
    """

    config: EvolveConfig
    setup: EvolveSetup
    fitness: Fitness
    parents: Float[Tensor, "np d"]
    slice: Slice
    start: Moment

    @property
    def extras(self) -> Extras:
        """Buffers besides the weights: none, as these networks have no BatchNorm."""
        return Extras({}, {})


def prepare_evolution(
    config: EvolveConfig, states: Sequence[Mapping[str, Tensor]]
) -> EvolutionStart:
    """Prepare an evolution of the last of ``states`` (state dicts): score them as a population, and
    compute the slice of the loss around it.

    Raises ``ValueError`` for networks with buffers.
    """
    setup = EvolveSetup(config)
    layout = ParameterLayout.of(setup.model, exempt_head=False)
    if layout.buffers:
        raise ValueError(
            f"{config.base.network} has buffers, such as those of BatchNorm, which points of a "
            "slice do not have: choose a network without them"
        )
    parents = torch.stack([layout.vector(state) for state in states[-config.size :]])
    fitness = Fitness(setup.model, layout, config, mode="loop")
    batch = setup.batches.nth(0)
    extras = Extras({}, {})
    losses = fitness(Population.of(parents), extras, batch.x, batch.y)
    centre = parents.double().mean(0)
    _, spread, basis = torch.linalg.svd(parents.double() - centre, full_matrices=False)
    shares = (spread**2 / (spread**2).sum()).tolist()
    plane = Slice(centre, basis[:2], (shares[0], shares[1]), torch.zeros(0), torch.zeros(0, 0))
    reach = MARGIN * float(plane.project(parents).abs().max())
    places = torch.linspace(-reach, reach, POINTS, dtype=torch.float64)
    rows = []
    for b in places:
        along = torch.stack([places, b.expand(POINTS)], 1)
        points = (centre + along @ basis[:2]).to(parents.dtype)
        rows.append(fitness(Population.of(points), extras, batch.x[:IMAGES], batch.y[:IMAGES]))
    plane = replace(plane, places=places, losses=torch.stack(rows))
    made = torch.full((len(parents),), -1)
    return EvolutionStart(
        config, setup, fitness, parents, plane, Moment(plane.project(parents), losses, made, {})
    )


def evolve_stepwise(
    worker: Worker, origin: EvolutionStart, evolver: Evolver, generations: int
) -> None:
    """Evolve generation by generation, and post a `Moment` after each.

    Computes the same as `nslab.neuroevolution.evolution.evolve`, which can stop only after batches,
    not after generations.
    """
    config, setup, extras = origin.config, origin.setup, origin.extras
    evolver = completed(evolver, config.generations)
    population, made = Population.of(origin.parents), origin.start.made
    batch, state = setup.batches.nth(0), evolver.init(population, origin.start.losses)
    for step in range(generations):
        worker.wait_for_step()
        k, g = divmod(step, config.generations)
        if k and g == 0:
            batch = setup.batches.nth(k)
            losses = origin.fitness(state.population, extras, batch.x, batch.y)
            state = evolver.rescore(state, losses)
        trials = evolver.ask(state, generator(config.seed, "evolve", k, g))
        asked = trials.changed
        losses = torch.full((config.size,), torch.inf, dtype=torch.float64)
        losses[asked] = origin.fitness(
            state.population, extras, batch.x, batch.y, trials.targets[asked]
        )
        after = evolver.tell(state, trials, losses)
        won = after.population.members != state.population.members
        made = torch.where(won, trials.strategy, made)
        row = evolver.report(state, trials, after)
        state = after
        points = origin.slice.project(state.population.x())
        worker.post(Moment(points, state.fitness, made, row, k))
