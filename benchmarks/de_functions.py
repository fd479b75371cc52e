"""Adaptive differential evolution on functions: nslab's SADE and SHADE against scipy's.

Functions have D = 30 variables and minimum 0. For each seed, all contenders start from the same
random population and have the same number of evaluations. scipy's `differential_evolution` has its
default settings (best1bin, F from 0.5 to 1, Cr 0.7), but does not polish or stop early; it keeps to
the bounds, which nslab does not have. p values are of two-sided Wilcoxon signed-rank tests over
seeds, uncorrected.
"""

import argparse
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from paired import finish, machine
from scipy.optimize import differential_evolution
from scipy.stats import wilcoxon

from nslab.evolve import CLASSIC, AdaptiveDE
from nslab.evolve.population import Population
from nslab.rng import generator, stream_seed

Array = NDArray[np.float64]


class Function(NamedTuple):
    """A function of the rows of a matrix, and the bounds of each variable's initial value."""

    values: Callable[[Array], Array]
    low: float
    high: float


def sphere(x: Array) -> Array:
    return np.square(x).sum(1)


def rosenbrock(x: Array) -> Array:
    a, b = x[:, :-1], x[:, 1:]
    return (100 * np.square(b - a**2) + np.square(1 - a)).sum(1)


def rastrigin(x: Array) -> Array:
    return (np.square(x) - 10 * np.cos(2 * np.pi * x) + 10).sum(1)


FUNCTIONS = {
    "sphere": Function(sphere, -100, 100),
    "rosenbrock": Function(rosenbrock, -30, 30),
    "rastrigin": Function(rastrigin, -5.12, 5.12),
}
OURS = ("sade", "shade")


def ours(name: str, function: Function, start: Array, generations: int, seed: int) -> float:
    """The best value an evolver of nslab finds."""
    evolver = CLASSIC[name]
    assert isinstance(evolver, AdaptiveDE)
    state = evolver.init(
        Population.of(torch.from_numpy(start)), torch.from_numpy(function.values(start))
    )
    for g in range(generations):
        trials = evolver.ask(state, generator(seed, "evolve", g))
        x = state.population.rows[state.population.spare[trials.targets]].numpy()
        state = evolver.tell(state, trials, torch.from_numpy(function.values(x)))
    return float(state.fitness.min())


def scipys(function: Function, start: Array, generations: int, seed: int) -> float:
    """The best value scipy finds."""
    evaluations = 0

    def values(x: Array) -> Array:
        nonlocal evaluations
        evaluations += x.shape[1]
        return function.values(x.T)

    found = differential_evolution(
        values,
        [(function.low, function.high)] * start.shape[1],
        init=start,
        maxiter=generations,
        tol=0,
        polish=False,
        vectorized=True,
        updating="deferred",
        seed=np.random.default_rng(stream_seed(seed, "scipy")),
    )
    if evaluations != (generations + 1) * len(start):
        expected = (generations + 1) * len(start)
        raise RuntimeError(
            f"scipy took {evaluations} evaluations, not {expected}: the comparison would be unfair"
        )
    return float(found.fun)


def rank_test(a: Array, b: Array) -> float:
    """Two-sided p value of the Wilcoxon signed-rank test; 1 if all pairs are equal."""
    return float(wilcoxon(a, b).pvalue) if (a != b).any() else 1.0


def main() -> None:
    parser = argparse.ArgumentParser(description="SADE and SHADE against scipy on functions.")
    parser.add_argument("--n-seeds", type=int, default=20)
    parser.add_argument("--members", type=int, default=60)
    parser.add_argument("--generations", type=int, default=1000)
    parser.add_argument("--variables", type=int, default=30)
    parser.add_argument("--json", type=Path, metavar="FILE", help="keep the numbers")
    parser.add_argument("--quick", action="store_true", help="a smoke test; numbers mean nothing")
    args = parser.parse_args()
    seeds, generations = (3, 20) if args.quick else (args.n_seeds, args.generations)
    env, began = machine(), time.perf_counter()
    budget = (generations + 1) * args.members
    print(f"{args.variables} variables, {budget:,} evaluations, {seeds} seeds\n")
    print("function     contender       median        (quartiles)             p against scipy")

    rows: dict[str, dict[str, Any]] = {}
    wins = []
    for name, function in FUNCTIONS.items():
        values: dict[str, list[float]] = {contender: [] for contender in (*OURS, "scipy")}
        for seed in range(seeds):
            share = torch.rand(
                args.members,
                args.variables,
                generator=generator(seed, "start"),
                dtype=torch.float64,
            ).numpy()
            start = function.low + (function.high - function.low) * share
            for contender in OURS:
                values[contender].append(ours(contender, function, start, generations, seed))
            values["scipy"].append(scipys(function, start, generations, seed))
        rows[name] = {}
        theirs = np.array(values["scipy"])
        for contender, found in values.items():
            q1, median, q3 = np.quantile(found, (0.25, 0.5, 0.75)).tolist()
            p = None if contender == "scipy" else rank_test(np.array(found), theirs)
            shown = "" if p is None else f"{p:.2g}"
            print(
                f"{name:12} {contender:10} {median:12.4g}  ({q1:10.4g} to {q3:10.4g})  {shown:>12}"
            )
            rows[name][contender] = {"median": median, "q1": q1, "q3": q3, "p": p, "values": found}
            if p is not None and p < 0.05:
                better = median < float(np.median(theirs))
                wins.append(f"{contender} is {'better' if better else 'worse'} on {name}")
    finish(
        f"Against scipy's default, p < 0.05 over {seeds} seeds: {', '.join(wins) or 'nothing'}.",
        args.json,
        machine=env,
        settings={
            "variables": args.variables,
            "members": args.members,
            "evaluations": budget,
            "seeds": seeds,
            "quick": args.quick,
            "seconds": time.perf_counter() - began,
        },
        functions=rows,
    )


if __name__ == "__main__":
    main()
