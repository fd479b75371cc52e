"""Agreement of scores by a folded copy in bfloat16 with those of the network itself.

Each network is trained for some steps on CIFAR-10 (or on random images if that is missing, a harder
test, since their scores differ less); then the same samples are scored both ways. Reported are the
correlation of the scores, the share of groups with the same winner (the sample with the largest
score) and with the same order of all samples, the largest difference, and the time of a fast
scoring pass relative to an exact one. `nslab.objectives.fast_scores.FASTER_NETWORKS` lists the
networks that pass.
"""

import argparse
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from paired import finish, interleaved, machine, ratio
from torch import Tensor

from nslab.datasets import dataset_of, load
from nslab.datasets.loader import Loader
from nslab.datasets.sources import MissingDataset
from nslab.networks import build_network
from nslab.objectives.fast_scores import FASTER_NETWORKS, agreement, fast
from nslab.objectives.ns import NS

IMAGES = dataset_of("cifar10")


def batches(quick: bool, size: int, steps: int, scored: int) -> tuple[Loader, Tensor, Tensor]:
    """Training batches, and samples to score that are not among them."""
    n = size * steps
    try:
        if quick:
            raise MissingDataset("a smoke test needs none")
        arrays = load("cifar10").arrays
        x, y = (torch.from_numpy(np.array(a[: n + scored])) for a in (arrays.train_x,
                                                                     arrays.train_y))  # fmt: skip
    except MissingDataset:
        gen = torch.Generator().manual_seed(0)
        x = torch.randint(0, 256, (n + scored, 32, 32, 3), dtype=torch.uint8, generator=gen)
        y = torch.randint(0, 10, (n + scored,), generator=gen)
    rest = next(Loader(x[n:], y[n:], IMAGES, batch_size=scored).epoch(0))
    return Loader(x[:n], y[:n], IMAGES, batch_size=size), rest.x, rest.y


def proof(name: str, loader: Loader, x: Tensor, y: Tensor, epochs: int) -> dict[str, Any]:
    """Agreement of a network's fast and exact scores after some training, and their times."""
    net = build_network(name, IMAGES.shape, 10, 0).to(memory_format=torch.channels_last)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.02, momentum=0.9, weight_decay=5e-4)
    for epoch in range(epochs):
        for batch in loader.epoch(epoch):
            optimizer.zero_grad()
            F.cross_entropy(net.train()(batch.x), batch.y).backward()
            optimizer.step()
    found = agreement(net, x, y)
    plain, quick = NS(), fast(NS())
    ways = {"plain": partial(plain.weights, net, x, y), "fast": partial(quick.weights, net, x, y)}
    interleaved(ways, 1)
    times = interleaved(ways, 5)
    return {**found._asdict(), "cpu_ratio": ratio(times["fast"].cpu, times["plain"].cpu)._asdict()}


def main() -> None:
    parser = argparse.ArgumentParser(description="Agreement of fast scores with plain ones.")
    parser.add_argument("--networks", nargs="+", default=sorted(FASTER_NETWORKS))
    parser.add_argument("--steps", type=int, default=30, help="of an epoch, of 64 images each")
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--scored", type=int, default=512)
    parser.add_argument("--json", type=Path, metavar="FILE", help="keep the numbers")
    parser.add_argument("--quick", action="store_true", help="a smoke test; numbers mean nothing")
    args = parser.parse_args()
    if args.quick:
        args.networks, args.steps, args.epochs, args.scored = ["lenet5", "resnet8"], 2, 1, 64
    torch.set_num_threads(1)
    env = machine()
    loader, x, y = batches(args.quick, 64, args.steps, args.scored)
    print(
        "network               correlation  same winner  same order  difference  CPU time / plain"
    )
    rows: dict[str, Any] = {}
    for name in args.networks:
        try:
            row = rows[name] = proof(name, loader, x, y, args.epochs)
        except ValueError as error:
            print(f"{name:20} {str(error)[:80]}")
            rows[name] = None
            continue
        print(
            f"{name:20} {row['correlation']:12.5f} {100 * row['winners']:11.1f} % "
            f"{100 * row['orders']:9.1f} % {row['difference']:11.4f} "
            f"{row['cpu_ratio']['median']:10.2f}",
            flush=True,
        )
    measured = {name: row for name, row in rows.items() if row is not None}
    if not measured:
        parser.error("none of these networks could be measured: choose others with --networks")
    worst = min(measured, key=lambda name: measured[name]["correlation"])
    finish(
        f"Fast scores of {len(measured)} networks correlate with plain ones at "
        f"{measured[worst]['correlation']:.5f} ({worst}) or above.",
        args.json,
        machine=env,
        settings={k: v for k, v in vars(args).items() if k != "json"},
        networks=rows,
    )


if __name__ == "__main__":
    main()
