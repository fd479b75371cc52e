"""What a method makes of trained networks: evolve or combine them, choose one, test it once."""

import time
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import nn

from nslab.bench import Bench, population
from nslab.checkpoint import save_weights
from nslab.epoch import Row
from nslab.evolve.ensembles import State
from nslab.evolve.loop import Evolved, evolve
from nslab.evolve.record import diversity
from nslab.evolve.rivals import Material, Parents, Rival, network
from nslab.experiments.evolution import EvolveConfig
from nslab.prepare import AUTOCAST
from nslab.processes import processes
from nslab.rng import generator
from nslab.train import Trained, held_out_rank

BEST = "best-{}.safetensors"  # the network after a batch, from 1
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}


def improve(
    config: EvolveConfig,
    parents: Sequence[State],
    folder: Path | None = None,
    *,
    show: bool = True,
    on_generation: Callable[[Row], object] | None = None,
) -> Trained:
    """Evolve or combine ``parents``, the states of ``config.parents()`` in order.

    Of the networks that an evolution has, the fittest after each batch and the best parent before,
    the best on held-out samples is the result, see `held_out_rank`; without such samples the last.
    Nothing is chosen by the test set. An interrupted evolution goes on from ``folder``, which gets
    the result's weights if it is one network of this form. ``on_generation`` is told each
    generation's row.

    The metrics are the result's test numbers, means over networks where a rival gives several. An
    evolution also has ``chosen_batch`` (0: a parent), ``last_test_accuracy`` of the last batch's
    fittest, and ``start_test_accuracy`` of the best parent.
    """
    started, bench = time.perf_counter(), Bench(config)
    states = population(config, parents)
    if isinstance(config.method, Rival):
        material = Material(
            bench.calibration, bench.score, bench.rank, generator(config.seed, "rival")
        )
        networks = config.method.combine(bench.model, states, material)
        rows = [bench.test(made) for made in networks]
        metrics = mean_row(rows)
        if isinstance(config.method, Parents):
            metrics["test_accuracies"] = [row["test_accuracy"] for row in rows]
        made, history = networks[0], list[Row]()
    else:
        made, history, metrics = evolution(config, bench, states, folder, show, on_generation)
    if folder and config.leaves_weights and processes().is_main_process:
        save_weights(made, folder)
    return Trained(made, history, metrics | {"seconds": time.perf_counter() - started})


def evolution(
    config: EvolveConfig,
    bench: Bench,
    states: Sequence[State],
    folder: Path | None,
    show: bool,
    on_generation: Callable[[Row], object] | None,
) -> tuple[nn.Module, list[Row], Row]:
    """The chosen network, a row per generation, and the test numbers."""
    parent, *looks = best_parent(bench, states)
    chosen: dict[str, State] = {}

    def after_batch(evolved: Evolved) -> Row:
        row = {"diversity": diversity(evolved.state.population)}
        if not bench.held:
            return row
        fittest = evolved.network()
        row |= bench.held_out(fittest)
        before = looks[:1] + [r for r in evolved.history if "held_out_loss" in r]
        ranks = [held_out_rank(r) for r in before]
        if held_out_rank(row) > max(ranks):
            chosen["state"] = {k: t.detach().clone() for k, t in fittest.state_dict().items()}
            if folder and processes().is_main_process:
                # killed before the batch counts as done, the one before is still the best
                kept = {BEST.format(ranks.index(max(ranks))), BEST.format(len(ranks))}
                save_weights(fittest, folder, name=BEST.format(len(ranks)))
                for file in folder.glob(BEST.format("*")):
                    if file.name not in kept:
                        file.unlink()
        return row

    def tell(evolved: Evolved) -> Row:
        row = after_batch(evolved)
        if on_generation:
            for before in evolved.history[-config.generations : -1]:
                on_generation(before)
            on_generation(evolved.history[-1] | row)
        return row

    evolved = evolve(
        bench.model,
        states,
        bench.batches.nth,
        config.method,  # type: ignore[arg-type]
        batches=config.batches,
        generations=config.generations,
        seed=config.seed,
        exempt_head=config.exempt_head,
        policy=config.policy,
        calibration=tuple(bench.calibration()) if config.policy == "recalibrate" else (),
        dtype=DTYPES[config.dtype],
        autocast=AUTOCAST[config.precision],
        microbatch=config.microbatch,
        mode="loop",  # the same each time
        folder=folder,
        show=show,
        on_batch=tell,
    )
    last, history = evolved.network(), evolved.history
    looks += [row for row in history if "held_out_loss" in row]
    ranks = list(map(held_out_rank, looks))
    batch = ranks.index(max(ranks)) if ranks else config.batches
    if batch == 0:
        made = parent
    elif batch == config.batches:
        made = last
    else:  # an evolution that was taken up here has the chosen network in its folder
        file = BEST.format(batch)
        state = chosen["state"] if "state" in chosen else load_file(folder / file)  # type: ignore[operator]
        made = network(bench.model, state)
    tested = bench.test(made)
    metrics = tested | {"chosen_batch": batch}
    for name, other in (("last_test_accuracy", last), ("start_test_accuracy", parent)):
        row = tested if other is made else bench.test(other)
        metrics[name] = row["test_accuracy"]
    for name in ("held_out_accuracy", "held_out_loss") if looks else ():
        metrics |= {name: looks[batch][name], f"start_{name}": looks[0][name]}
    return made, history, metrics


def best_parent(bench: Bench, states: Sequence[State]) -> tuple[nn.Module, *tuple[Row, ...]]:
    """The best parent on held-out samples and its numbers there; without such samples the last."""
    if not bench.held:
        return (network(bench.model, states[-1]),)
    networks = [network(bench.model, state) for state in states]
    rows = [bench.held_out(made) for made in networks]
    best = max(range(len(rows)), key=lambda i: held_out_rank(rows[i]))
    return networks[best], rows[best]


def mean_row(rows: Sequence[Row]) -> Row:
    """The means of rows of numbers and of lists of numbers."""

    def mean(values: list) -> object:
        if isinstance(values[0], list):
            return [sum(column) / len(values) for column in zip(*values, strict=True)]
        return sum(values) / len(values)

    return {key: mean([row[key] for row in rows]) for key in rows[0]}
