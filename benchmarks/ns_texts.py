"""What Natural Selection adds to a training step on texts: time over plain cross-entropy.

Inputs are random token ids, networks have random weights: Kim's TextCNN, and a transformers encoder
of MiniLM's size (6 layers of width 384). ``ce_again`` shows by how much two identical steps differ;
``joining`` is the time of making the composites, relative to that of a step.
"""

import argparse
import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from paired import finish, interleaved, machine, ratio
from torch import nn

from nslab import NS, Batch, CrossEntropy, DataInfo
from nslab.networks import build_network
from nslab.networks.text_encoders import TextEncoder, imported_transformers
from nslab.objectives import Joined
from nslab.types import ObjectiveConfig, TokenInfo

SIZES = {"textcnn": (64, 64), "encoder": (32, 64)}  # texts of a batch, tokens of a text
WORDS = TokenInfo(64, 20_000)
PIECES = TokenInfo(64, 30_522, 0, 101, 102)


def network_of(name: str, small: bool) -> tuple[nn.Module, TokenInfo]:
    """A network with random weights, and its vocabulary and special tokens."""
    if name == "textcnn":
        return build_network("textcnn_64" if small else "textcnn", (64, 20_000), 4, 0), WORDS
    config = imported_transformers("the encoder").BertConfig(
        num_labels=4,
        hidden_size=32 if small else 384,
        num_hidden_layers=1 if small else 6,
        num_attention_heads=2 if small else 12,
        intermediate_size=64 if small else 1536,
    )
    model = imported_transformers("the encoder").BertForSequenceClassification(config)
    return TextEncoder(model, PIECES.pad), PIECES


def batch_of(tokens: TokenInfo, texts: int) -> Batch:
    """Random texts of half to all of the greatest length."""
    draws = torch.Generator().manual_seed(0)
    x = torch.randint(1000, tokens.vocabulary, (texts, tokens.length), generator=draws)
    sizes = torch.randint(tokens.length // 2, tokens.length, (texts,), generator=draws)
    places = torch.arange(tokens.length)
    if tokens.begin is not None:
        x[:, 0] = tokens.begin
    if tokens.end is not None:
        x[places == sizes[:, None]] = tokens.end
    x[places > sizes[:, None]] = tokens.pad
    return Batch(x, torch.arange(texts) % 4, torch.arange(texts))


def step_of(
    model: nn.Module, objective: ObjectiveConfig, info: DataInfo, batch: Batch
) -> Callable[[], None]:
    """One training step by AdamW."""
    scored = objective.build(info)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-5)

    def step() -> None:
        optimizer.zero_grad()
        scored(model, batch).total().backward()
        optimizer.step()

    return step


def compared(name: str, rounds: int, small: bool) -> dict[str, Any]:
    """Time of a network's step with each objective, relative to that with cross-entropy."""
    tokens = network_of(name, small)[1]
    batch = batch_of(tokens, 8 if small else SIZES[name][0])
    info = dataclasses.replace(DataInfo.of(batch.y, 4), tokens=tokens)
    ns = NS(grid=(2, 2), sigma=2.5, rho=-1.0, compose="tiled")
    ways: dict[str, ObjectiveConfig] = {
        "ce": CrossEntropy(),
        "ce_again": CrossEntropy(),
        "ns_tiled": ns,
        "ns_literal": dataclasses.replace(ns, compose="literal"),
    }
    steps: dict[str, Callable[[], object]] = {
        way: step_of(network_of(name, small)[0].train(), objective, info, batch)
        for way, objective in ways.items()
    }
    joined = Joined(tokens)
    steps["joining"] = lambda: joined(batch.x, (2, 2))
    interleaved(steps, 1)
    times = interleaved(steps, rounds)
    print(f"{name}: CPU time / ce         wall time / ce")
    rows = {}
    for way, mine in times.items():
        cpu, wall = (ratio(getattr(mine, c), getattr(times["ce"], c)) for c in ("cpu", "wall"))
        print(f"{way:11} {cpu}  {wall}")
        rows[way] = {"cpu_ratio": cpu._asdict(), "wall_ratio": wall._asdict()}
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description="Cost of Natural Selection on texts.")
    parser.add_argument("--steps", type=int, default=20, help="timed steps of each way")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--networks", nargs="+", choices=SIZES, default=list(SIZES))
    parser.add_argument("--json", type=Path, metavar="FILE", help="keep the numbers")
    parser.add_argument("--quick", action="store_true", help="a smoke test; numbers mean nothing")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    env = machine()
    steps = 2 if args.quick else args.steps
    results = {name: compared(name, steps, args.quick) for name in args.networks}
    more = [
        f"{100 * (rows['ns_tiled']['cpu_ratio']['median'] - 1):+.1f} % ({name})"
        for name, rows in results.items()
    ]
    finish(
        f"NS on texts costs {' and '.join(more)} CPU time of a step.",
        args.json,
        machine=env,
        settings={k: v for k, v in vars(args).items() if k != "json"},
        networks=results,
    )


if __name__ == "__main__":
    main()
