"""What Natural Selection adds to a training step: time and memory over plain cross-entropy.

Every variant trains its own copy of one network on the same batch: forward pass, loss, backward
pass, SGD step. ``naive`` is what the paper's text says, written down plainly. Rows that end in
``_nchw`` keep images and network contiguous instead of channels-last and are compared with
cross-entropy in that layout; ``ce_again`` shows by how much two equal steps differ.
"""

import argparse
import os
import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from naive import Naive
from paired import finish, interleaved, machine, ratio
from torch import Tensor

from nslab.networks import NETWORKS, build_network
from nslab.networks.modes import scoring
from nslab.objectives import NS, CrossEntropy
from nslab.objectives.ns import composite, group_scores, ns_weights
from nslab.types import Batch, DataInfo, Objective

SHAPE, CLASSES = (3, 32, 32), 10
LIMIT = 10  # percent more time than cross-entropy that this project allows
MEMORY_STEPS = 5
# Shares of an epoch of 26.24 s, CIFAR-10 with ResNet-110 (the paper's Tables XII and XIII).
PAPER = {"compositing": 0.14 / 26.24, "scoring forward": 2.31 / 26.24}


def objectives(rows: int, cols: int, labels: Tensor) -> dict[str, Objective]:
    """The variants by name."""
    info, grid, naive = DataInfo.of(labels, CLASSES), (rows, cols), Naive(rows, cols)
    ce = CrossEntropy().build(info)
    return {
        "ce": ce,
        "ce_again": ce,
        "ns": NS(grid).build(info),
        "ns_folded": NS(grid, fold_batchnorm=True).build(info),
        "ns_bf16": NS(grid, score_dtype="bfloat16").build(info),
        "ns_folded_bf16": NS(grid, fold_batchnorm=True, score_dtype="bfloat16").build(info),
        "naive": naive,
        "ce_nchw": ce,
        "naive_nchw": naive,
    }


def base(name: str) -> str:
    """The variant that this one is compared with."""
    return "ce_nchw" if name.endswith("_nchw") else "ce"


class Step:
    """A network, its optimizer and a batch: call it to train one step."""

    def __init__(self, args: argparse.Namespace, name: str) -> None:
        layout = torch.contiguous_format if base(name) == "ce_nchw" else torch.channels_last
        draws = torch.Generator().manual_seed(0)
        x = torch.randn(args.batch, *SHAPE, generator=draws).to(memory_format=layout)
        y = torch.randint(CLASSES, (args.batch,), generator=draws)
        self.objective = objectives(args.rows, args.cols, y)[name]
        index = torch.arange(args.batch, device=args.device)
        self.batch = Batch(x.to(args.device), y.to(args.device), index)
        model = build_network(args.network, SHAPE, CLASSES, seed=0).to(memory_format=layout)
        self.model = model.to(args.device).train()
        self.optimizer = torch.optim.SGD(
            self.model.parameters(), lr=0.01, momentum=0.9, weight_decay=5e-4
        )

    def __call__(self) -> None:
        total = self.objective(self.model, self.batch).total()
        self.optimizer.zero_grad()
        total.backward()
        self.optimizer.step()

    def score(self, composites: Tensor) -> Tensor:
        """The scoring pass alone."""
        with torch.no_grad(), scoring(self.model) as net:
            return net(composites)


def peak(args: argparse.Namespace, name: str) -> int:
    """Most bytes in use during the first steps: of this process, or on the device."""
    step = Step(args, name)
    for _ in range(MEMORY_STEPS):
        step()
    if args.device != "cpu":
        return torch.cuda.max_memory_allocated(args.device)
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def peaks(names: list[str]) -> dict[str, float]:
    """Peak memory in MiB of processes that run one variant each.

    To be called before this process grows: a child's peak counts from its parent's size.
    """
    # glibc gives large freed blocks back at once instead of guessing: else equal runs differ.
    env = os.environ | {"MALLOC_MMAP_THRESHOLD_": "131072"}
    run = [sys.executable, *sys.argv, "--peak"]
    return {name: int(subprocess.check_output([*run, name], env=env)) / 2**20 for name in names}


def main() -> None:
    parser = argparse.ArgumentParser(description="Cost of Natural Selection in a training step.")
    parser.add_argument("--network", default="resnet20", choices=NETWORKS, metavar="NAME")
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--rows", type=int, default=2)
    parser.add_argument("--cols", type=int, default=2)
    parser.add_argument("--steps", type=int, default=60, help="timed steps of each variant")
    # A thread that waits for another spins, and that counts as CPU time: one measures best.
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument("--json", type=Path, metavar="FILE", help="keep the numbers")
    parser.add_argument("--quick", action="store_true", help="a smoke test; numbers mean nothing")
    parser.add_argument("--peak", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.quick:
        args.network, args.batch, args.steps = "resnet8", 4 * args.rows * args.cols, 2
    if args.batch % (args.rows * args.cols):
        parser.error("the batch must be a multiple of rows * cols, or the naive way fails")
    torch.set_num_threads(args.threads)
    if args.peak:
        print(peak(args, args.peak))
        return

    grid = args.rows, args.cols
    names = list(objectives(*grid, torch.zeros(1, dtype=torch.long)))
    memory = peaks(["ce", "ns"] if args.quick else names)
    env = machine(args.device)
    print(f"{args.network}, batch {args.batch}, grid {grid}, {args.steps} rounds\n")
    steps = {name: Step(args, name) for name in names}
    ns, x, y = steps["ns"], steps["ns"].batch.x, steps["ns"].batch.y
    composites = composite(x, grid)
    logits = ns.score(composites)
    parts: dict[str, Callable[[], object]] = {
        "compositing": lambda: composite(x, grid),
        "scoring forward": lambda: ns.score(composites),
        "scores and weights": lambda: ns_weights(group_scores(logits, y), 0.7, 1.0),
    }
    interleaved(steps, 2, args.device)  # warm up
    times = interleaved({**steps, **parts}, args.steps, args.device)

    print("variant         CPU ms  CPU time / ce         wall time / ce        extra MiB")
    rows: dict[str, dict[str, Any]] = {}
    for name in names:
        mine, other = times[name], times[base(name)]
        cpu, wall = ratio(mine.cpu, other.cpu), ratio(mine.wall, other.wall)
        ms = 1000 * float(np.median(mine.cpu))
        extra = memory[name] - memory[base(name)] if name in memory else None
        shown = "-" if extra is None else f"{extra:+.1f}"
        print(f"{name:14} {ms:7.1f}  {cpu}  {wall}  {shown:>9}")
        ratios = {"cpu_ratio": cpu._asdict(), "wall_ratio": wall._asdict()}
        rows[name] = {"base": base(name), "cpu_ms": ms, "extra_mib": extra, **ratios}
    peak_of = "resident set (ru_maxrss)" if args.device == "cpu" else "device memory"
    print(f"ratios: median (quartiles) over rounds; memory: peak {peak_of} in {MEMORY_STEPS} steps")

    which = "cpu" if args.device == "cpu" else "wall"  # a CPU's clock does not see a GPU's work
    seconds = {name: getattr(t, which) for name, t in times.items()}
    shares = {name: ratio(seconds[name], seconds["ns"]) for name in parts}
    print(f"\nshare of an NS step in {which} time (the paper's, CIFAR-10 with ResNet-110)")
    for name, share in shares.items():
        paper = f"({100 * PAPER[name]:.1f} %)" if name in PAPER else ""
        print(f"{name:18} {100 * share.median:6.2f} % {paper}")

    more = {n: 100 * (rows[n][f"{which}_ratio"]["median"] - 1) for n in ("ns", "naive")}
    finish(
        f"NS costs {more['ns']:+.1f} % {which.replace('cpu', 'CPU')} time (limit of the project: "
        f"+{LIMIT} %), the naive way {more['naive']:+.1f} %.",
        args.json,
        machine=env,
        settings={k: v for k, v in vars(args).items() if k not in ("json", "peak")},
        variants=rows,
        shares={name: share._asdict() for name, share in shares.items()},
    )


if __name__ == "__main__":
    main()
