"""Compute an evolution: evolve or combine trained networks, choose one, test it once."""

import time
from collections.abc import Callable, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path

from torch import nn

from nslab.configs.evolve import EvolveConfig
from nslab.configs.selection import LAST, SELECTION
from nslab.evolve.protocol import Evolver
from nslab.neuroevolution.baselines import Baseline, BaselineInputs, Parents, network_with
from nslab.neuroevolution.evolution import CHECKPOINT as EVOLUTION
from nslab.neuroevolution.evolution import Evolved, OtherEvolution, evolve
from nslab.neuroevolution.history import diversity
from nslab.rng import generator
from nslab.runs.evolve_setup import EvolveSetup, population
from nslab.system.distributed import process_group
from nslab.system.seals import set_aside
from nslab.training.checkpoint import read_weights, save_weights
from nslab.training.loop import Trained
from nslab.training.texts import save_vocabulary
from nslab.types import Row, StateDict

BEST = "best-{}.safetensors"  # the fittest network after a batch; batches count from 1


def run_evolution(
    config: EvolveConfig,
    parents: Sequence[StateDict],
    folder: Path | None = None,
    *,
    show: bool = True,
    on_generation: Callable[[Row], object] | None = None,
) -> Trained:
    """Evolve or combine ``parents``, the states of ``config.parents()`` in order.

    The candidates of an evolution are the best parent and the fittest network after each batch. The
    result is the candidate that is best on the held-out samples, see `ModelSelection`; without such
    samples it is the last. Nothing is chosen by the test set. An interrupted evolution continues
    from ``folder``, which also gets the result's weights if the result is one network of the base's
    architecture. ``on_generation`` is called with the row of each generation.

    The metrics are the result's test numbers: means over networks if a baseline gives several. An
    evolution also has ``chosen_batch`` (0: a parent), ``last_test_accuracy`` of the fittest after
    the last batch, ``start_test_accuracy`` of the best parent and, where the fittest of each batch
    is tested, ``best_test_accuracy``, by which nothing is chosen.
    """
    started, states = time.perf_counter(), population(config, parents)
    with closing(EvolveSetup(config)) as setup:
        made, history, metrics = combined(config, setup, states, folder, show, on_generation)
    if folder and config.leaves_weights and process_group().is_main_process:
        save_weights(made, folder)
        save_vocabulary(config.base, folder)
    return Trained(made, history, metrics | {"seconds": time.perf_counter() - started})


def combined(
    config: EvolveConfig,
    setup: EvolveSetup,
    states: Sequence[StateDict],
    folder: Path | None,
    show: bool,
    on_generation: Callable[[Row], object] | None,
) -> tuple[nn.Module, list[Row], Row]:
    """The network that a method makes of trained ones, a row per generation, and the test metrics;
    a baseline has no generations."""
    if isinstance(config.method, Baseline):
        inputs = BaselineInputs(
            setup.calibration, setup.score, setup.rank, generator(config.seed, "rival")
        )
        networks = config.method.combine(setup.model, states, inputs)
        rows = [setup.test(made) for made in networks]
        metrics = mean_row(rows)
        metrics["selected_by"] = SELECTION.name if config.method.chooses else "nothing"
        if isinstance(config.method, Parents):
            metrics["test_accuracies"] = [row["test_accuracy"] for row in rows]
        return networks[0], [], metrics
    return evolution(config, config.method, setup, states, folder, show, on_generation)


def evolution(
    config: EvolveConfig,
    evolver: Evolver,
    setup: EvolveSetup,
    states: Sequence[StateDict],
    folder: Path | None,
    show: bool,
    on_generation: Callable[[Row], object] | None,
) -> tuple[nn.Module, list[Row], Row]:
    """The network that an evolution ends with, a row per generation, and the test metrics."""
    parent, *candidates = best_parent(setup, states)  # no row without held-out samples
    chosen: dict[str, StateDict] = {}

    def after_batch(evolved: Evolved) -> Row:
        row: Row = {"diversity": diversity(evolved.state.population)}
        fittest = evolved.network()
        if config.test_each_batch:
            tested = setup.test(fittest)
            row |= {name: tested[name] for name in ("test_accuracy", "test_top5", "test_loss")}
        if not setup.held:
            return row
        row |= setup.held_out(fittest)
        before = candidates[:1] + [r for r in evolved.history if "held_out_loss" in r]
        ranks = [SELECTION.key(r) for r in before]
        if SELECTION.key(row) > max(ranks):
            chosen["state"] = {k: t.detach().clone() for k, t in fittest.state_dict().items()}
            if folder and process_group().is_main_process:
                # the previous best is still needed if this process dies before its checkpoint
                needed = {BEST.format(ranks.index(max(ranks))), BEST.format(len(ranks))}
                save_weights(fittest, folder, name=BEST.format(len(ranks)))
                for file in folder.glob(BEST.format("*")):
                    if file.name not in needed:
                        file.unlink()
        return row

    def log(evolved: Evolved) -> Row:
        row = after_batch(evolved)
        if on_generation:
            for before in evolved.history[-config.generations : -1]:
                on_generation(before)
            on_generation(evolved.history[-1] | row)
        return row

    evolving = partial(
        evolve,
        setup.model,
        states,
        setup.batch_of,
        evolver,
        config,
        seed=config.seed,
        calibration=tuple(setup.calibration()) if config.policy == "recalibrate" else (),
        mode="loop",  # "auto" measures, so two evolutions could differ by rounding
        folder=folder,
        show=show,
        on_batch=log,
    )
    try:
        evolved = evolving()
    except OtherEvolution:  # for example, the parents were trained again since
        process_group().wait_for_everyone()  # until all have read the checkpoint
        if folder and process_group().is_main_process:
            set_aside(folder / EVOLUTION, "is of other parents or options; it starts over")
        process_group().wait_for_everyone()
        evolved = evolving()
    last, history = evolved.network(), evolved.history
    candidates += [row for row in history if "held_out_loss" in row]
    ranks = list(map(SELECTION.key, candidates))
    batch = ranks.index(max(ranks)) if ranks else config.batches
    if batch == 0:
        made = parent
    elif batch == config.batches:
        made = last
    else:  # a resumed evolution has the chosen network in its folder
        try:
            state = chosen.get("state") or kept(folder, batch)
        except (FileNotFoundError, ValueError) as error:
            assert folder is not None
            set_aside(folder / EVOLUTION, f"has lost its best network ({error}); it starts again")
            return evolution(config, evolver, setup, states, folder, show, on_generation)
        made = network_with(setup.model, state)
    tested = setup.test(made)
    metrics = tested | {
        "chosen_batch": batch,
        "selected_by": SELECTION.name if candidates else LAST,
    }
    for name, other in (("last_test_accuracy", last), ("start_test_accuracy", parent)):
        row = tested if other is made else setup.test(other)
        metrics[name] = row["test_accuracy"]
    if seen := [r["test_accuracy"] for r in history if "test_accuracy" in r]:
        metrics["best_test_accuracy"] = max(*seen, metrics["start_test_accuracy"])
    for name in ("held_out_accuracy", "held_out_loss") if candidates else ():
        metrics |= {name: candidates[batch][name], f"start_{name}": candidates[0][name]}
    return made, history, metrics


def kept(folder: Path | None, batch: int) -> StateDict:
    """The best network of a resumed evolution, the fittest after ``batch``, from its folder."""
    if folder is None:
        raise FileNotFoundError("there is no folder that keeps it")
    return read_weights(folder / BEST.format(batch), folder.name)


def best_parent(
    setup: EvolveSetup, states: Sequence[StateDict]
) -> tuple[nn.Module, *tuple[Row, ...]]:
    """The best parent on held-out samples and its numbers there; without such samples the last."""
    if not setup.held:
        return (network_with(setup.model, states[-1]),)
    # one at a time: a large population fits the memory once, not twice
    rows = [setup.held_out(network_with(setup.model, state)) for state in states]
    best = SELECTION.best(rows)
    assert best is not None
    return network_with(setup.model, states[best]), rows[best]


def mean_row(rows: Sequence[Row]) -> Row:
    """The mean over rows of each column; of lists, element by element."""

    def mean(values: list) -> object:
        if isinstance(values[0], list):
            return [sum(column) / len(values) for column in zip(*values, strict=True)]
        return sum(values) / len(values)

    return {key: mean([row[key] for row in rows]) for key in rows[0]}
