"""Predictions of a network in the course of its training, from the weights kept after each epoch.

NOTE: they are made on the first images of a run's training set with the weights after an epoch (0:
the initial network), in evaluation mode and without augmentation. ``mode="train"`` augments images
and computes batch statistics as in training. That is closer to the predictions that the loss was
computed on, although in training the weights change from batch to batch.
"""

from collections.abc import Sequence
from typing import Literal

import numpy as np
import torch

from nslab.configs import TrainConfig
from nslab.configs.labels import label
from nslab.configs.serialization import decode
from nslab.datasets.batches import make_batches
from nslab.lossnet.synthetic_predictions import Predictions
from nslab.networks import build_network
from nslab.networks.logits import logits_of
from nslab.networks.modes import scoring
from nslab.rng import stream_seed
from nslab.runs.store import Result
from nslab.system.distributed import process_group
from nslab.training.checkpoint import load_weights, weights_file
from nslab.training.loop import dropout_stream, training_set
from nslab.training.starts import start_weights

OutputMode = Literal["eval", "train"]


def softmax_outputs(
    result: Result, n: int, epochs: Sequence[int] | None = None, mode: OutputMode = "eval"
) -> dict[int, Predictions]:
    """Predictions (float64) on the first n training images after each epoch; 0: before training.

    ``epochs``: which; all if None. Raises as `epochs_of` does.
    """
    chosen, config = epochs_of(result, epochs), decode(result.config)
    data, device = training_set(config), process_group().device
    images, labels = data.arrays.train_x[:n], data.arrays.train_y[:n]
    loader = make_batches(
        images,
        labels,
        data.dataset,
        device,
        batch_size=config.batch_size,
        seed=config.seed,
        augment=config.augment if mode == "train" else "none",
    )
    shape, classes = data.dataset.shape, data.dataset.layout.num_classes
    made = {}
    for epoch in chosen:
        net = build_network(config.network, shape, classes, config.seed)
        if epoch and result.folder:
            load_weights(net, result.folder, epoch)
        else:
            start_weights(net, config)
        batches = loader.epoch(epoch) if mode == "train" else loader.in_order()
        with torch.no_grad(), dropout_stream(device), scoring(net.to(device), mode):
            torch.manual_seed(stream_seed(config.seed, "predictions", epoch))
            parts = [
                (logits_of(net(batch.x)).double().softmax(-1).cpu(), batch.y.cpu())
                for batch in batches
            ]
        made[epoch] = Predictions(*(torch.cat(part) for part in zip(*parts, strict=True)))
    return made


def epochs_of(result: Result, epochs: Sequence[int] | None = None) -> list[int]:
    """The chosen ``epochs`` of a training, sorted; all if None. The weights of each must be here.

    Raises ``FileNotFoundError`` if they are not, ``ValueError`` for epochs that the training did
    not have, and for a run that is not a training.
    """
    config = decode(result.config)
    if not isinstance(config, TrainConfig):
        raise ValueError(f"run {result.id} is not a training: {label(config)}; leave it out")
    if result.folder is None:
        raise FileNotFoundError(
            f"run {result.id} is frozen: its numbers are here, its weights are not. "
            "nslab.run(config, weights=True) computes it again to have them"
        )
    last = int(result.metrics["epochs"])
    chosen = list(range(last + 1)) if epochs is None else sorted(set(epochs))
    if odd := [epoch for epoch in chosen if not 0 <= epoch <= last]:
        raise ValueError(f"run {result.id} has epochs 0 to {last}, not {odd[0]}")
    gone = [e for e in chosen if e and not weights_file(result.folder, e).exists()]
    if gone:
        raise FileNotFoundError(
            f"the weights of run {result.id} after epoch {gone[0]} are not here: it kept its last "
            f"{config.keep_last} of {last} epochs. Look at those alone (epochs=...), or train with "
            f"keep_last={config.epochs}; if files were removed, nslab.run(config, force=True) "
            "makes them again"
        )
    return chosen


def spread_epochs(last: int, number: int = 7) -> list[int]:
    """About ``number`` epochs from 0 to the last, in geometric progression."""
    return sorted({0, *np.geomspace(1, last, max(2, number - 1)).round().astype(int).tolist()})
