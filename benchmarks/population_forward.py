"""Cost of scoring a population: the mean cross-entropy of every member on one batch.

The limit is the same number of plain forward passes of one network, in parts that fit the caches,
without copying weights or computing losses; evaluating networks together (vmap) may beat it.
``loop``, ``vmap`` and ``auto`` are `nslab.neuroevolution.fitness` with fixed BatchNorm statistics;
``inherit`` is the default of `evolve`, which updates them. ``deepcopy`` loads each member's state
dict into a fresh copy of the network, ``vector`` copies its vector into one network, ``stock vmap``
is `torch.func` as in its documentation, on members stacked beforehand; evosax and EvoX, if
installed, score in their own ways. All but ``inherit`` must find the same losses, or the benchmark
fails.
"""

import argparse
import copy
import importlib
import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
import torch.nn.functional as F
from paired import finish, interleaved, machine, ratio
from torch import Tensor, nn
from torch.func import functional_call, stack_module_state, vmap
from torch.nn.utils import parameters_to_vector, vector_to_parameters

from nslab.evolve.population import Population
from nslab.networks import build_network
from nslab.neuroevolution.fitness import IN_CACHE, Fitness
from nslab.neuroevolution.options import EvolveOptions
from nslab.neuroevolution.parameter_vector import Extras, ParameterLayout, batchnorms

Case = tuple[str, tuple[int, int, int], int]  # network, shape of an image, batch
Score = Callable[[], Tensor]

SECONDS = 5  # run at least so long, even if --rounds take less
TOLERANCE = 1e-3  # largest relative difference of losses
GREY, COLOUR = (1, 28, 28), (3, 32, 32)
CASES: dict[str, Case] = {
    "lenet5-64": ("lenet5", GREY, 64),
    "lenet5-1000": ("lenet5", GREY, 1000),
    "resnet20-128": ("resnet20", COLOUR, 128),
    "mlp-64": ("mlp", GREY, 64),
}
QUICK: dict[str, Case] = {
    "lenet5-64": ("lenet5", GREY, 64),
    "resnet8-8": ("resnet8", COLOUR, 8),
    "mlp-64": ("mlp", GREY, 64),
}
WAYS: tuple[Literal["loop", "vmap", "auto"], ...] = ("loop", "vmap", "auto")


class LeftOut(Exception):
    """Raised for a contender that cannot take part; the message says why."""


@dataclass(frozen=True)
class Problem:
    """Networks of one form in evaluation mode, and the batch they are scored on."""

    networks: list[nn.Module]
    x: Tensor
    y: Tensor

    @classmethod
    def of(cls, case: Case, members: int, device: str) -> "Problem":
        """A problem with random images; every network has seen them once in training mode, so that
        each has its own BatchNorm statistics."""
        name, shape, batch = case
        gen = torch.Generator().manual_seed(0)
        x = torch.randn(batch, *shape, generator=gen)
        if shape == COLOUR:  # channels-last, as from nslab's loader; grey images in torch's strides
            x = x.to(device, memory_format=torch.channels_last)
        x = x.to(device)
        y = torch.randint(10, (batch,), generator=gen).to(device)
        networks = [build_network(name, shape, 10, seed).to(device) for seed in range(members)]
        with torch.no_grad():
            for network in networks:
                network.train()(x)
        return cls([network.eval() for network in networks], x, y)

    @property
    def contiguous(self) -> Tensor:
        """The images in the layout that is fastest for batched convolutions."""
        return self.x.clone(memory_format=torch.contiguous_format)

    def loss(self, logits: Tensor) -> Tensor:
        """Mean cross-entropy."""
        return F.cross_entropy(logits, self.y)


def limit(problem: Problem) -> Score:
    """Plain forward passes."""
    network = copy.deepcopy(problem.networks[0]).to(memory_format=torch.channels_last)

    @torch.no_grad()
    def score() -> Tensor:
        parts = problem.x.split(IN_CACHE if problem.x.device.type == "cpu" else len(problem.x))
        return [network(part) for _ in problem.networks for part in parts][-1]

    return score


def fitnesses(problem: Problem) -> dict[str, Fitness]:
    """The modes of `Fitness`, and ``inherit`` if the network has BatchNorm."""
    network = problem.networks[0]
    layout = ParameterLayout.of(network)
    ways = {way: Fitness(network, layout, EvolveOptions(policy="parent"), mode=way) for way in WAYS}
    return ways | ({"inherit": Fitness(network, layout)} if batchnorms(network) else {})


def ours(problem: Problem, fitness: Fitness) -> Score:
    """`Fitness` of the members of a population."""
    networks, layout = problem.networks, fitness.layout
    population = Population.of(torch.stack([layout.vector(network) for network in networks]))
    extras = Extras.of(networks[0], layout, networks)
    return partial(fitness, population, extras, problem.x, problem.y)


def deepcopy(problem: Problem) -> Score:
    """For every member, a copy of the network that loads its state dict."""
    states = [network.state_dict() for network in problem.networks]

    @torch.no_grad()
    def score() -> Tensor:
        losses = []
        for state in states:
            network = copy.deepcopy(problem.networks[0])
            network.load_state_dict(state)
            losses.append(problem.loss(network.eval()(problem.x)))
        return torch.stack(losses)

    return score


def vector(problem: Problem) -> Score:
    """One network, into which each member's parameters (a vector) and buffers are copied."""
    network = copy.deepcopy(problem.networks[0])
    vectors = [parameters_to_vector(n.parameters()).detach() for n in problem.networks]
    buffers = [dict(n.named_buffers()) for n in problem.networks]

    @torch.no_grad()
    def score() -> Tensor:
        losses = []
        for genes, statistics in zip(vectors, buffers, strict=True):
            vector_to_parameters(genes, network.parameters())
            if statistics:
                network.load_state_dict(statistics, strict=False)
            losses.append(problem.loss(network(problem.x)))
        return torch.stack(losses)

    return score


def stock_vmap(problem: Problem) -> Score:
    """`torch.func` on stacked parameters and buffers."""
    parameters, buffers = stack_module_state(problem.networks)
    network, x = copy.deepcopy(problem.networks[0]).to("meta"), problem.contiguous

    def one(parameters: dict[str, Tensor], buffers: dict[str, Tensor]) -> Tensor:
        return problem.loss(functional_call(network, (parameters, buffers), (x,)))

    @torch.no_grad()
    def score() -> Tensor:
        return vmap(one)(parameters, buffers)

    return score


def evox(problem: Problem) -> Score:
    """EvoX's supervised learning problem (PyTorch), with its vectors and our buffers."""
    require("evox")
    learning = importlib.import_module("evox.problems.neuroevolution.supervised_learning")
    networks, batches = problem.networks, [(problem.contiguous, problem.y)]
    task = learning.SupervisedLearningProblem(
        networks[0],
        batches,
        nn.CrossEntropyLoss(reduction="none"),
        n_batch_per_eval=-1,
        pop_size=len(networks),
        device=problem.x.device,
    )
    convert = importlib.import_module("evox.utils").ParamsAndVector(networks[0])
    rows = torch.stack([convert.to_vector(dict(n.named_parameters())).detach() for n in networks])
    _, buffers = stack_module_state(networks)

    @torch.no_grad()
    def score() -> Tensor:
        return task.evaluate(convert(rows) | buffers)

    return score


def evosax(problem: Problem) -> Score:
    """evosax's image classification problem (JAX), compiled; for the MLP only."""
    require("evosax")
    jax = importlib.import_module("jax")
    kinds = importlib.import_module("evosax.problems.networks")
    tasks = importlib.import_module("evosax.problems.vision.torchvision")
    layers = [layer for layer in problem.networks[0].children() if isinstance(layer, nn.Linear)]
    forms = [nn.Flatten, *(kind for _ in layers[1:] for kind in (nn.Linear, nn.ReLU)), nn.Linear]
    if [type(layer) for layer in problem.networks[0].children()] != forms:
        raise LeftOut("has no such network")

    def array(t: Tensor) -> Any:
        return jax.numpy.asarray(t.detach().cpu().numpy())

    task = object.__new__(tasks.TorchVisionProblem)  # its constructor downloads a data set
    sizes = [layer.out_features for layer in layers]
    same: Callable[..., Any] = kinds.identity_output_fn
    task.network = kinds.MLP(sizes, activation=jax.nn.relu, output_fn=same)
    task.batch_size = len(problem.y)
    task.image_train, task.target_train = array(problem.x.flatten(1)), array(problem.y)
    parameters, _ = stack_module_state(problem.networks)
    names = [name for name, _ in problem.networks[0].named_parameters()]
    dense = {
        f"Dense_{i}": {"kernel": array(parameters[w].mT), "bias": array(parameters[b])}
        for i, (w, b) in enumerate(zip(names[::2], names[1::2], strict=True))
    }
    key = jax.random.key(0)
    state = task.init(key)

    def score() -> Tensor:
        losses, _, _ = task.eval(key, {"params": dense}, state)
        return torch.from_numpy(np.array(losses))  # waits until it is computed

    return score


def require(package: str) -> None:
    """Raise `LeftOut` if a package is not installed."""
    if importlib.util.find_spec(package) is None:
        raise LeftOut("not installed")


ALTERNATIVES: dict[str, Callable[[Problem], Score]] = {
    "deepcopy": deepcopy,
    "vector": vector,
    "stock vmap": stock_vmap,
    "evox": evox,
    "evosax": evosax,
}
Rows = dict[str, dict[str, Any] | None]


def contenders(
    problem: Problem, ways: dict[str, Fitness]
) -> tuple[dict[str, Score], dict[str, str]]:
    """The contenders that take part, and name -> reason for the others."""
    found = {"limit": limit(problem)} | {name: ours(problem, way) for name, way in ways.items()}
    missing = {} if "inherit" in found else {"inherit": "as auto: nothing learns"}
    for name, build in ALTERNATIVES.items():
        try:
            found[name] = build(problem)
        except LeftOut as why:
            missing[name] = str(why)
    return found, missing


def check(scores: dict[str, Score]) -> float:
    """The largest relative difference of losses; ``RuntimeError`` if it exceeds ``TOLERANCE``."""
    exact = scores["loop"]()
    worst = 0.0
    for name, score in scores.items():
        if name in ("limit", "inherit"):
            continue
        difference = float((score().cpu().double() / exact - 1).abs().max())
        if not difference < TOLERANCE:
            raise RuntimeError(f"losses by {name} differ from those of the loop by {difference}")
        worst = max(worst, difference)
    return worst


def table(case: str, args: argparse.Namespace) -> dict[str, Any]:
    """Print and return a line per contender; None for those that did not take part."""
    network, shape, batch = (QUICK | CASES)[case]
    problem = Problem.of((network, shape, batch), args.members, args.device)
    ways = fitnesses(problem)
    scores, missing = contenders(problem, ways)
    worst = check(scores)
    warm = interleaved(scores, 2, args.device)
    enough = 0 if args.quick else int(SECONDS / sum(float(t.wall[-1]) for t in warm.values()))
    rounds = max(args.rounds, min(enough, 100))
    times = interleaved(scores, rounds, args.device)
    (chosen,) = ways["auto"].chosen.values()
    print(f"\n{network}, {batch} images of {'x'.join(map(str, shape))}, {rounds} rounds")
    print("contender         ms  wall time / limit         CPU time / limit")
    rows: Rows = {}
    for name in ("limit", *WAYS, "inherit", *ALTERNATIVES):
        if name not in times:
            print(f"{name:12} {missing[name]}")
            rows[name] = None
            continue
        (cpu, wall), ms = times[name], 1000 * float(np.median(times[name].wall))
        ratios = ratio(wall, times["limit"].wall), ratio(cpu, times["limit"].cpu)
        note = f"  chose {chosen}" if name == "auto" else ""
        print(f"{name:12} {ms:7.2f}  {ratios[0]!s:24}  {ratios[1]!s}{note}")
        wall_ratio, cpu_ratio = (r._asdict() for r in ratios)
        rows[name] = {"ms": ms, "wall_ratio": wall_ratio, "cpu_ratio": cpu_ratio}
    return {"rounds": rounds, "chosen": chosen, "difference": worst, "contenders": rows}


def told(case: str, result: dict[str, Any]) -> str:
    """The finding for a case."""
    rows = result["contenders"]
    medians = {k: row["wall_ratio"]["median"] for k, row in rows.items() if row is not None}
    best = min((name for name in ALTERNATIVES if name in medians), key=medians.__getitem__)
    return (
        f"{case} {medians['auto']:.2f} ({result['chosen']}), deepcopy {medians['deepcopy']:.2f}, "
        f"best of the others {medians[best]:.2f} ({best})"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description="Cost of scoring a population of networks.")
    parser.add_argument("--cases", nargs="+", choices=CASES, default=list(CASES))
    parser.add_argument("--members", type=int, default=10)
    parser.add_argument("--rounds", type=int, default=9, help="at least")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument("--json", type=Path, metavar="FILE", help="keep the numbers")
    parser.add_argument("--quick", action="store_true", help="a smoke test; numbers mean nothing")
    args = parser.parse_args()
    if args.device != "cpu" and not torch.cuda.is_available():
        parser.error(f"no device {args.device!r} here: take --device cpu")
    if args.quick:
        args.cases, args.members, args.rounds = list(QUICK), 4, 4
    torch.set_num_threads(args.threads)
    env = machine(args.device)
    print(f"{args.members} members, float32")
    results = {case: table(case, args) for case in args.cases}
    print("ratios: median (quartiles) over rounds")
    finish(
        f"Times the limit, as it comes: {'; '.join(told(*item) for item in results.items())}.",
        args.json,
        machine=env,
        settings={k: v for k, v in vars(args).items() if k != "json"},
        cases=results,
    )


if __name__ == "__main__":
    main()
