"""What Natural Selection adds to a training step: time and memory over plain cross-entropy.

A command line for `nslab.analysis.overhead`, on batches of CIFAR-10's shape, with further variants:
``naive`` is a direct implementation of the paper's text. Variants that end in ``_nchw`` keep images
and network contiguous instead of channels-last and are compared with cross-entropy in that layout;
``ce_again`` shows by how much two identical steps differ.
"""

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import torch
from naive import NaiveConfig
from paired import finish, machine, ratio

from nslab.analysis.overhead import (
    MEMORY_STEPS,
    STAGES,
    Overhead,
    OverheadSetting,
    TimedVariant,
    measure,
    variants,
)
from nslab.networks import NETWORKS

LIMIT = 10  # percent more time than cross-entropy that this project allows
# Shares of an epoch of 26.24 s, CIFAR-10 with ResNet-110 (the paper's Tables XII and XIII).
PAPER = {"compositing": 0.14 / 26.24, "scoring forward": 2.31 / 26.24}
PARTS = dict(zip(("compositing", "scoring forward", "scores and weights"), STAGES, strict=True))


def contenders(rows: int, cols: int) -> dict[str, TimedVariant]:
    """The variants by name, for a grid."""
    known = {name.replace("ns_ws", "ns"): v for name, v in variants((rows, cols)).items()}
    ce, naive = known.pop("ce"), NaiveConfig(rows, cols)
    return {
        "ce": ce,
        "ce_again": ce,
        **known,
        "naive": TimedVariant(naive),
        "ce_nchw": TimedVariant(ce.objective, channels_last=False),
        "naive_nchw": TimedVariant(naive, channels_last=False),
    }


def base(name: str) -> str:
    """The variant that this one is compared with."""
    return "ce_nchw" if name.endswith("_nchw") else "ce"


def table(result: Overhead) -> dict[str, dict[str, Any]]:
    """Print and return a line per variant."""
    print("variant         CPU ms  CPU time / ce         wall time / ce        extra MiB")
    rows: dict[str, dict[str, Any]] = {}
    for name, mine in result.steps.items():
        other, memory = result.steps[base(name)], result.memory
        cpu, wall = ratio(mine.cpu, other.cpu), ratio(mine.wall, other.wall)
        ms = 1000 * float(np.median(mine.cpu))
        extra = (memory[name] - memory[base(name)]) / 2**20 if name in memory else None
        shown = "-" if extra is None else f"{extra:+.1f}"
        print(f"{name:14} {ms:7.1f}  {cpu}  {wall}  {shown:>9}")
        ratios = {"cpu_ratio": cpu._asdict(), "wall_ratio": wall._asdict()}
        rows[name] = {"base": base(name), "cpu_ms": ms, "extra_mib": extra, **ratios}
    peak_of = "resident set" if result.setting.device == "cpu" else "device memory"
    print(f"ratios: median (quartiles) over rounds; memory: peak {peak_of} in {MEMORY_STEPS} steps")
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description="Cost of Natural Selection in a training step.")
    parser.add_argument("--network", default="resnet20", choices=NETWORKS, metavar="NAME")
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--rows", type=int, default=2)
    parser.add_argument("--cols", type=int, default=2)
    parser.add_argument("--steps", type=int, default=60, help="timed steps of each variant")
    # Threads that wait for one another spin, which counts as CPU time: one thread is most accurate.
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument("--json", type=Path, metavar="FILE", help="keep the numbers")
    parser.add_argument("--quick", action="store_true", help="a smoke test; numbers mean nothing")
    args = parser.parse_args()
    if args.quick:
        args.network, args.batch, args.steps = "resnet8", 4 * args.rows * args.cols, 2
    grid = args.rows, args.cols
    try:
        setting = OverheadSetting(
            network=args.network,
            batch_size=args.batch,
            grid=grid,
            rounds=args.steps,
            device=args.device,
            threads=args.threads,
            memory_of=("ce", "ns") if args.quick else None,
        )
    except ValueError as error:
        parser.error(str(error))
    torch.set_num_threads(args.threads)
    env = machine(args.device)
    print(f"{args.network}, batch {args.batch}, grid {grid}, {args.steps} rounds\n")
    result = measure(setting, contenders(*grid), stages_of="ns")
    rows = table(result)

    which = setting.clock
    shares = {name: result.ratio(stage, "ns") for name, stage in PARTS.items()}
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
        settings={k: v for k, v in vars(args).items() if k != "json"},
        variants=rows,
        shares={name: share._asdict() for name, share in shares.items()},
    )


if __name__ == "__main__":
    main()
