"""Cost of the search for a loss network: scoring candidates on pairs, and a whole pretraining.

All contenders score the same candidates by the same objective on the same pairs. ``nslab`` is
`nslab.lossnet`; ``vmap`` is `torch.func` on a plain module; ``evotorch`` is a vectorized evotorch
problem of it; ``evosax`` (JAX) is compiled for all candidates at once, ``evosax map`` for four at a
time, which fit into a cache. Pairs are drawn beforehand and stay the same, since JAX would compile
again for each number of them. A generation is ask, evaluation and tell, by nslab's `ES`, evotorch's
SNES or evosax's SimpleES, which is compiled as a whole. All must find the same losses and
objectives, or the benchmark fails. One default pretraining is compared with training steps of a
ResNet-20.
"""

import argparse
import importlib.util
import os
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from edl_others import Contender, Problem, evolution, evosax, evotorch, vmap
from paired import finish, interleaved, machine, ratio

from nslab.configs.loss_search import LossSearchConfig
from nslab.experiments.edl import recipe
from nslab.lossnet import LossForm, pretrain
from nslab.lossnet.ranking import pair_losses
from nslab.lossnet.search import Consistency
from nslab.networks import build_network
from nslab.system.timing import Seconds, Times

CASES: dict[str, LossSearchConfig] = {
    "order": recipe("order"),
    "order, log p": replace(recipe("order"), form=LossForm(log_feature=True)),
    "log": recipe("log"),
}
TOLERANCE = 1e-4  # see `check`
REPEATS = 3  # parts of the rounds, whose medians show how much a median varies
FASTEST = 4  # candidates at a time; the fastest of 1, 4 and 33
BATCH, EPOCH = 128, 391  # images of a training step, steps of an epoch of CIFAR-10
CLOCKS = ("cpu", "wall")
Rows = dict[str, dict[str, Any] | None]


def nslab(problem: Problem) -> Contender:
    """nslab itself; like the others it gets the pairs in its own form beforehand."""
    form, w = problem.config.form, problem.w
    score = Consistency.of(form, problem.pairs, problem.config.margin)
    losses = partial(pair_losses, form, w, score.pairs)
    return Contender(losses, partial(score, w), evolution(problem, score))


CONTENDERS: dict[str, Callable[[Problem], Contender]] = {
    "nslab": nslab,
    "vmap": vmap,
    "evotorch": evotorch,
    "evosax": evosax,
    "evosax map": partial(evosax, at_once=FASTEST),
}
OTHERS = tuple(CONTENDERS)[1:]
PARTS = ("fitness", "generation")


def installed(name: str) -> bool:
    """Whether a contender can take part."""
    package = name.split()[0]
    return package in ("nslab", "vmap") or importlib.util.find_spec(package) is not None


def check(contenders: dict[str, Contender]) -> float:
    """The largest difference from nslab, of objectives, and of losses relative to a candidate's
    largest; ``RuntimeError`` if it exceeds ``TOLERANCE``."""
    losses, fitness = torch.cat(contenders["nslab"].losses(), 1), contenders["nslab"].fitness()
    worst = 0.0
    for name, contender in contenders.items():
        theirs = torch.cat(contender.losses(), 1)
        apart = ((theirs - losses).abs() / losses.abs().amax(1, keepdim=True)).max()
        difference = float(torch.maximum(apart, (contender.fitness() - fitness).abs().max()))
        if not difference < TOLERANCE:
            raise RuntimeError(f"losses by {name} differ from those of nslab by {difference}")
        worst = max(worst, difference)
    return worst


def faster(theirs: Seconds, ours: Seconds) -> dict[str, Any]:
    """How many times as fast ours is: quartiles over all rounds, and medians of parts of them."""
    parts = zip(np.array_split(theirs, REPEATS), np.array_split(ours, REPEATS), strict=True)
    return ratio(theirs, ours)._asdict() | {"repeats": [ratio(*part).median for part in parts]}


@torch.no_grad()
def table(name: str, rounds: int) -> dict[str, Any]:
    """Print and return a line per contender; None for those that did not take part."""
    problem = Problem.of(CASES[name])
    contenders = {k: build(problem) for k, build in CONTENDERS.items() if installed(k)}
    worst = check(contenders)
    number = sum(len(group.worse) for group in problem.pairs)
    print(f"\n{name}: {len(problem.w)} candidates, {number} pairs, differences up to {worst:.0e}")
    rows: Rows = dict.fromkeys(CONTENDERS)
    for part in PARTS:
        steps = {k: getattr(contender, part) for k, contender in contenders.items()}
        interleaved(steps, 2)
        times: dict[str, Times] = interleaved(steps, rounds)
        print(f"{part:12}  10^6 pairs/s  nslab's speed / its own: CPU time    wall time")
        for k in CONTENDERS:
            if k not in times:
                print(f"{k:12}  not installed")
                continue
            speed = len(problem.w) * number / float(np.median(times[k].cpu))
            cpu, wall = (faster(getattr(times[k], c), getattr(times["nslab"], c)) for c in CLOCKS)
            spread = f"{min(cpu['repeats']):.2f}-{max(cpu['repeats']):.2f}"
            print(
                f"{k:12}  {speed / 1e6:12.2f}  {cpu['median']:5.2f} ({spread} in {REPEATS} parts)"
                f"  {wall['median']:5.2f}"
            )
            rows[k] = (rows[k] or {"compiling_s": contenders[k].compiling}) | {
                part: {"per_cpu_s": speed, "cpu_ratio": cpu, "wall_ratio": wall}
            }
    for k, contender in contenders.items():
        if contender.compiling:
            print(f"{k}: before, compiling took {contender.compiling:.1f} s of CPU time")
    return {"difference": worst, "pairs": number, "contenders": rows}


def pretraining(generations: int, steps: int) -> dict[str, Any]:
    """The time of a pretraining, in seconds and in training steps of a ResNet-20."""
    network = build_network("resnet20", (3, 32, 32), 10, 0).to(memory_format=torch.channels_last)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1, momentum=0.9)
    x = torch.randn(BATCH, 3, 32, 32).to(memory_format=torch.channels_last)
    y = torch.arange(BATCH) % 10

    def training() -> None:
        for _ in range(steps):
            optimizer.zero_grad()
            F.cross_entropy(network(x), y).backward()
            optimizer.step()

    training()
    ours = partial(pretrain, LossForm(), generations=generations)
    times = interleaved({"ours": ours, "training": training}, REPEATS)
    result: dict[str, Any] = {"generations": generations}
    for clock in CLOCKS:
        mine, step = (getattr(times[k], clock) for k in ("ours", "training"))
        result[clock] = {"seconds": mine.tolist(), "steps": faster(mine, step / steps)}
    return result


def told(name: str, rows: Rows) -> str:
    """The finding for a case: how many times as fast as the others nslab is, by CPU time."""
    shown = []
    for k in OTHERS:
        if (row := rows[k]) is not None:
            alone, whole = (row[part]["cpu_ratio"]["median"] for part in PARTS)
            shown.append(f"{k} {alone:.2f} ({whole:.2f})")
    return f"{name}: {', '.join(shown)}"


def confine(threads: int) -> None:
    """Limit torch to so many threads, and the process (hence JAX) to so many cores."""
    torch.set_num_threads(threads)
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:threads])


def main() -> None:
    parser = argparse.ArgumentParser(description="Cost of the search for a loss network.")
    parser.add_argument("--cases", nargs="+", choices=CASES, default=list(CASES))
    parser.add_argument("--rounds", type=int, default=60)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--json", type=Path, metavar="FILE", help="keep the numbers")
    parser.add_argument("--quick", action="store_true", help="a smoke test; numbers mean nothing")
    args = parser.parse_args()
    if args.rounds < REPEATS:
        parser.error(f"--rounds must be at least {REPEATS}, not {args.rounds}")
    if args.quick:
        args.cases, args.rounds = ["order", "log"], REPEATS
    confine(args.threads)
    env = machine()
    results = {case: table(case, args.rounds) for case in args.cases}
    whole = pretraining(2, 1) if args.quick else pretraining(100, 10)
    seconds = {clock: float(np.median(whole[clock]["seconds"])) for clock in CLOCKS}
    print(
        f"\na pretraining of {whole['generations']} generations: {seconds['wall']:.1f} s, "
        f"{seconds['cpu']:.1f} s of CPU time"
    )
    steps = whole["wall"]["steps"]["median"]
    finish(
        "nslab's speed / the others', evaluation alone (whole generation), CPU time: "
        + "; ".join(told(name, result["contenders"]) for name, result in results.items())
        + f". A pretraining takes as long as {steps:.3g} training steps of a ResNet-20 "
        f"({100 * steps / EPOCH:.2g} % of an epoch of CIFAR-10).",
        args.json,
        machine=env,
        settings={k: v for k, v in vars(args).items() if k != "json"},
        cases=results,
        pretraining=whole,
    )


if __name__ == "__main__":
    main()
