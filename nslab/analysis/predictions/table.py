"""The table of real predictions in the course of training, and of synthetic ones."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import pandas as pd
import torch

from nslab.analysis.predictions.distances import (
    Synthetic,
    coverage,
    divergences,
    drawn,
    mixture_shares,
    synthetic_sample,
)
from nslab.analysis.predictions.features import NamedNumbers, statistics
from nslab.analysis.predictions.losses import behaviour
from nslab.analysis.predictions.outputs import OutputMode, epochs_of, softmax_outputs
from nslab.configs.serialization import decode
from nslab.experiments.edl import loss_name
from nslab.lossnet import Regimes
from nslab.lossnet.synthetic_predictions import Predictions
from nslab.rng import generator
from nslab.runs.store import Result


def prediction_table(
    results: Sequence[Result],
    n: int = 1000,
    epochs: Sequence[int] | None = None,
    regimes: Regimes | None = None,
    *,
    modes: Sequence[OutputMode] = ("eval",),
    seed: int = 0,
    redraws: int = 3,
) -> pd.DataFrame:
    """Lines of four kinds. ``real``: one per run, mode and epoch. ``pooled``: one per run and mode,
    for n predictions from all of these epochs. ``regime``: one per regime of the synthetic
    predictions. ``redraw``: one per further draw of the whole mixture, whose distances are those of
    chance.

    Columns: kind, run, dataset, network, method, seed, mode, epoch, regime, images; `statistics`;
    `divergences` from one synthetic draw of the same size; `coverage`, `mixture_shares`,
    `behaviour`.

    Raises ``ValueError`` if n is below 10 or runs differ in their number of classes; see also
    `epochs_of`.
    """
    if n < 10:
        raise ValueError(f"n is {n}, and must be at least 10 images")
    regimes, configs = regimes or Regimes(), [decode(result.config) for result in results]
    chosen = [epochs_of(result, epochs) for result in results]  # before any work
    layouts = [config.about.layout for config in configs]
    numbers = {layout.num_classes for layout in layouts}
    if len(numbers) != 1:
        raise ValueError(
            f"all runs must have the same number of classes, and theirs are {sorted(numbers)}"
        )
    (k,) = numbers
    n = min(n, *(layout.train for layout in layouts))
    made = synthetic_sample(regimes, n, k, seed)
    lines: list[dict[str, object]] = []
    for result, config, some in zip(results, configs, chosen, strict=True):
        run = {"kind": "real", "run": result.id, "dataset": config.dataset}
        run |= {"network": config.network, "method": loss_name(config.objective)}
        for mode in modes:
            place = {"seed": config.seed, "mode": mode, "regime": ""}
            seen = softmax_outputs(result, n, some, mode)
            for epoch, sample in seen.items():
                found = numbers_of(sample, made, regimes.tie, seed)
                lines.append(run | place | {"epoch": epoch} | found)
            found = numbers_of(
                pooled_predictions(list(seen.values()), n, seed), made, regimes.tie, seed
            )
            lines.append(run | place | {"kind": "pooled"} | found)
    for name in made.regimes:
        alone: dict[str, Any] = dict.fromkeys(regimes.weights, 0.0) | {name: 1.0}
        sample = drawn(dataclasses.replace(regimes, **alone), n, k, seed, name)[0]
        about = {"kind": "regime", "run": "synthetic", "seed": seed, "regime": name}
        lines.append(about | numbers_of(sample, made, regimes.tie, seed))
    for again in range(redraws):
        sample = drawn(regimes, n, k, seed, again)[0]
        about = {"kind": "redraw", "run": "synthetic", "seed": seed, "regime": f"draw {again + 1}"}
        lines.append(about | numbers_of(sample, made, regimes.tie, seed))
    return pd.DataFrame(lines)


def pooled_predictions(samples: Sequence[Predictions], n: int, seed: int) -> Predictions:
    """n predictions drawn at random from those of several epochs."""
    p, y = (torch.cat(part) for part in zip(*samples, strict=True))
    some = torch.randperm(len(y), generator=generator(seed, "pooled"))[:n]
    return Predictions(p[some], y[some])


def numbers_of(sample: Predictions, made: Synthetic, tie: float, seed: int) -> NamedNumbers:
    """All numbers of one set of predictions, and its size as ``images``."""
    return (
        {"images": len(sample.y)}
        | statistics(sample)
        | divergences(sample, made.drawn, seed)
        | coverage(sample, made)
        | mixture_shares(sample, made)
        | behaviour(sample, tie, seed)
    )
