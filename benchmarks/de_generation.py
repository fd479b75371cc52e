"""One generation of differential evolution, rand/1/bin, against the limit of memory bandwidth.

The limit is the time of 4 reads and 1 write of a population, at the speed at which the same process
copies one. No loss is evaluated: winners are drawn at random. ``compiled`` and ``plain`` are
`nslab.evolve` with and without a compiler; ``naive`` is the usual version in five lines; evosax and
EvoX take part if they are installed. Peak memory is that of a fresh process, minus what torch and
an optimizer take.

Small populations are bred in plain torch until compiling would have paid off: ``--genes 62006`` (as
many as LeNet-5 has) reports after how many generations that is, and when it is done.
"""

import argparse
import importlib
import importlib.util
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from paired import finish, interleaved, machine, ratio

from nslab.evolve import breeding
from nslab.evolve.breeding import Terms, breed
from nslab.evolve.operators import draw_picks
from nslab.evolve.population import Population
from nslab.system.timing import Quartiles, resident_peak

F, CR = 0.5, 0.3
GOALS = {"compiled": 2.0, "plain": 15.0}  # in multiples of the limit
SMALL, SMALL_GOAL = 2**20, 4.0  # for fewer genes than SMALL, the goal of the compiled version
MEMORY_GOAL = 2.3  # in populations
NEVER = 2**62  # more genes than any population has: never compile
DEFAULT_FROM, DEFAULT_AFTER = breeding.COMPILE_FROM, breeding.COMPILE_AFTER
Step = Callable[[], object]


def ours(members: int, genes: int, compile_from: int) -> Step:
    """Generations by nslab, with `breed` and `accept`."""
    every, gen = torch.arange(members), torch.Generator().manual_seed(0)
    rows = torch.empty(2 * members, genes).normal_(generator=gen)
    population = Population(rows, every, every + members)
    weights, cr = torch.tensor([1, F, -F]).expand(members, 3), torch.full((members,), CR)

    def step() -> None:
        nonlocal population
        breeding.COMPILE_FROM = breeding.COMPILE_AFTER = compile_from
        terms = Terms(draw_picks(members, every, 3, gen), weights)
        breed(population, terms, cr, int(torch.randint(2**31, (), generator=gen)), every)
        population = population.accept(torch.rand(members, generator=gen) < 0.5)

    return step


def naive(members: int, genes: int) -> Step:
    """Generations in whole-population operations."""
    gen = torch.Generator().manual_seed(0)
    x = torch.empty(members, genes).normal_(generator=gen)

    def step() -> None:
        nonlocal x
        a, b, c = draw_picks(members, torch.arange(members), 3, gen).unbind(1)
        mutants = x[a] + F * (x[b] - x[c])
        trials = torch.where(torch.rand(members, genes, generator=gen) < CR, mutants, x)
        won = torch.rand(members, 1, generator=gen) < 0.5
        x = torch.where(won, trials, x)

    return step


def evosax(members: int, genes: int) -> Step:
    """Generations by evosax (JAX), compiled."""
    jax, algorithms = map(importlib.import_module, ("jax", "evosax.algorithms"))
    key, fitness = jax.random.key(0), jax.numpy.ones(members)
    de = algorithms.DifferentialEvolution(members, jax.numpy.zeros(genes))
    values = {"elitism": False, "crossover_rate": CR, "differential_weight": F}
    params = de.default_params.replace(**values)
    state = de.init(key, jax.random.normal(key, (members, genes)), fitness, params)

    def step() -> None:
        nonlocal state, key
        key = jax.random.fold_in(key, 1)
        trials, state = de.ask(key, state, params)
        won = jax.random.uniform(key, (members,)) < 0.5
        state, _ = de.tell(key, trials, state.fitness + jax.numpy.where(won, -1, 1), state, params)
        jax.block_until_ready(state)

    return step


def evox(members: int, genes: int) -> Step:
    """Generations by EvoX (PyTorch)."""
    bounds = torch.full((genes,), -9.0), torch.full((genes,), 9.0)
    settings = {"differential_weight": F, "cross_probability": CR}
    de = importlib.import_module("evox.algorithms").DE(members, *bounds, **settings)
    de.evaluate = lambda x: torch.rand(members)
    de.init_step()
    return lambda: de.step()


CONTENDERS: dict[str, Callable[[int, int], Step]] = {
    "compiled": lambda members, genes: ours(members, genes, 0),
    "plain": lambda members, genes: ours(members, genes, NEVER),
    "naive": naive,
    "evosax": evosax,
    "evox": evox,
}


def copying(members: int, genes: int) -> Step:
    """Copy a population: one read and one write."""
    rows = torch.ones(2 * members, genes)
    return lambda: rows[members:].copy_(rows[:members])


def compiling(step: Step, caches: bool) -> float:
    """CPU seconds of a first generation, compilers included; without ``caches`` as for the first
    time on a machine."""
    if not caches:
        os.environ["TORCHINDUCTOR_FORCE_DISABLE_CACHES"] = "1"  # read when inductor is imported
    before = os.times()
    step()
    os.environ.pop("TORCHINDUCTOR_FORCE_DISABLE_CACHES", None)
    return sum(os.times()[:4]) - sum(before[:4])


def installed(name: str) -> bool:
    """Whether a contender can take part."""
    return name not in ("evosax", "evox") or importlib.util.find_spec(name) is not None


def peak(name: str, members: int, genes: int) -> int:
    """Peak memory in bytes that two generations add in this process."""
    torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))]).step()  # imports a part of the compiler
    before = resident_peak()
    step = CONTENDERS[name](members, genes)
    step()
    step()
    return resident_peak() - before


def peak_of_child(name: str, args: argparse.Namespace) -> float:
    """`peak` in a fresh process, in multiples of a population's size."""
    sizes = [f"--{key}={getattr(args, key)}" for key in ("members", "genes", "threads")]
    paths = os.pathsep.join(path for path in sys.path if path)
    done = subprocess.run(
        [sys.executable, "-P", __file__, f"--peak={name}", *sizes],
        env=os.environ | {"PYTHONPATH": paths},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"measuring the memory of {name} failed:\n{done.stderr[-2000:]}")
    return int(done.stdout.split()[-1]) / (4 * args.members * args.genes)


Rows = dict[str, dict[str, Any] | None]


def table(names: list[str], args: argparse.Namespace) -> tuple[float, Rows, str]:
    """Measure all contenders and print a line for each.

    Returns the limit in ms, the lines (None for those that did not take part), and a sentence on
    when compiling pays off.
    """
    steps = {name: CONTENDERS[name](args.members, args.genes) for name in names}
    steps["limit"] = copying(args.members, args.genes)
    seconds = compiling(steps["compiled"], args.quick) if "compiled" in steps else 0.0
    interleaved(steps, 2)  # warm up
    if breeding.UNCOMPILABLE and "compiled" in steps:
        del steps["compiled"]
    times = interleaved(steps, args.rounds)
    limit, cpu = 2.5 * times["limit"].wall, 2.5 * times["limit"].cpu
    heads = "wall time / limit         CPU time / limit          peak / population"
    print(f"contender         ms  {heads}")
    limit_ms = 1000 * float(np.median(limit))
    print(f"{'limit':12} {limit_ms:7.2f}  1")
    rows: Rows = {}
    for name in CONTENDERS:
        if name not in times:
            why = "left out" if installed(name) else "not installed"
            print(f"{name:12} {'no compiler' if name in names else why}")
            rows[name] = None
            continue
        ms, slower = 1000 * float(np.median(times[name].wall)), ratio(times[name].wall, limit)
        cost = ratio(times[name].cpu, cpu)
        memory = peak_of_child(name, args)
        print(f"{name:12} {ms:7.2f}  {slower!s:24}  {cost!s:24}  {memory:.2f}")
        ratios = {"ratio": slower._asdict(), "cpu_ratio": cost._asdict()}
        rows[name] = {"ms": ms, "peak": memory, **ratios}
    print("ratios: median (quartiles) over rounds")
    pays = ""
    if rows["compiled"] and rows["plain"]:
        saved = float(np.median(times["plain"].cpu - times["compiled"].cpu))
        wait = -(-DEFAULT_AFTER // (args.members * args.genes))
        at_once = args.members * args.genes >= DEFAULT_FROM
        pays = (
            f" Compiling took {seconds:.1f} s of CPU time, "
            + (f"made up for by {seconds / saved:,.0f} generations; " if saved > 0 else "")
            + ("it is done at once." if at_once else f"it is done after {wait:,}.")
        )
    return limit_ms, rows, pays


def main() -> None:
    parser = argparse.ArgumentParser(description="Cost of a generation of DE/rand/1/bin.")
    parser.add_argument("--members", type=int, default=10)
    parser.add_argument("--genes", type=int, default=11_700_000, help="as many as ResNet-18 has")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--only", nargs="+", choices=CONTENDERS, help="leave the others out")
    parser.add_argument("--json", type=Path, metavar="FILE", help="keep the numbers")
    parser.add_argument("--quick", action="store_true", help="a smoke test; numbers mean nothing")
    parser.add_argument("--peak", choices=CONTENDERS, help=argparse.SUPPRESS)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    if args.peak:
        print(peak(args.peak, args.members, args.genes))
        return
    if args.quick:
        args.members, args.genes, args.rounds = 5, 20_000, 2
    env = machine()
    print(f"{args.members} members of {args.genes:,} genes, float32, {args.rounds} rounds\n")
    names = [name for name in args.only or CONTENDERS if installed(name)]
    limit, rows, pays = table(names, args)
    goals = GOALS | ({"compiled": SMALL_GOAL} if args.genes < SMALL else {})

    def told(name: str) -> str:
        row = rows[name]
        goal = f" (goal: {goals[name]:g})" if name in goals else ""
        if row is None:
            return f"{name}: not measured{goal}"
        wall, cost = (Quartiles(**row[key]).median for key in ("ratio", "cpu_ratio"))
        return f"{name}: {wall:.2f}, CPU time {cost:.2f}{goal}"

    compiled = rows["compiled"]
    memory = "not measured" if compiled is None else f"{compiled['peak']:.2f} populations"
    finish(
        f"Times the limit of memory: {'; '.join(map(told, ('compiled', 'plain', 'naive')))}; "
        f"peak memory, compiled: {memory} (goal: {MEMORY_GOAL:g})." + pays,
        args.json,
        machine=env,
        settings={k: v for k, v in vars(args).items() if k not in ("json", "peak")},
        limit_ms=limit,
        contenders=rows,
    )


if __name__ == "__main__":
    main()
