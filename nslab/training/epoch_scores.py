"""Natural-selection scores as they occur while a network trains."""

import math

import pandas as pd
import torch
from torch import Tensor, nn

from nslab.configs.train import TrainConfig
from nslab.networks import build_network
from nslab.objectives.competition import ns_scores
from nslab.objectives.composites import Grid
from nslab.objectives.weighted import Reweighted
from nslab.rng import stream_seed
from nslab.training.epoch import train_epoch
from nslab.training.loop import dropout_stream, training_set
from nslab.training.setup import make_accelerator, make_loaders, prepared
from nslab.training.starts import start_weights
from nslab.types import Batch, Logits, PerSample


def epoch_scores(config: TrainConfig, grid: Grid, epoch: int = 0) -> pd.DataFrame:
    """Class and score of every training sample in its batch of one epoch (from 1; 0: the last),
    with images augmented and the network changing from step to step [NS Fig. 3].

    The training is repeated up to that epoch, since nothing is kept of what happens inside an
    epoch. It gives the same network, because scoring draws no random numbers and changes no buffer.
    Samples left over at the end of a batch that is not a multiple of the group are not scored.
    Raises ``ValueError`` for an epoch that the training does not have.

    NOTE: the paper takes "one training epoch as an example" and does not say which.
    """
    last = epoch or config.epochs
    if not 1 <= last <= config.epochs:
        raise ValueError(
            f"there is no epoch {epoch} in a training of {config.epochs}: give 1 to "
            f"{config.epochs}, or 0 for the last"
        )
    data, m = training_set(config), math.prod(grid)
    names = list(data.dataset.classes)
    accelerator = make_accelerator(config)
    objective = config.objective.build(data.info)
    loader, *_ = make_loaders(config, data, objective, accelerator)
    shape, classes = data.dataset.shape, data.dataset.layout.num_classes
    model = start_weights(build_network(config.network, shape, classes, config.seed), config)
    if config.channels_last:
        model = model.to(memory_format=torch.channels_last)
    net, optimizer = prepared(config, model, accelerator)
    seen: list[tuple[Tensor, Tensor]] = []

    def score(model: nn.Module, batch: Batch, logits: Logits | None) -> PerSample:
        if whole := len(batch.y) - len(batch.y) % m:
            scores = ns_scores(model, batch.x[:whole], batch.y[:whole], grid)
            seen.append((batch.y[:whole].cpu(), scores.cpu()))
        return torch.ones_like(batch.y, dtype=torch.float32)  # weights that change nothing

    with dropout_stream(accelerator.device):
        for e in range(last):
            torch.manual_seed(stream_seed(config.seed, "dropout", e, accelerator.process_index))
            wrapped = Reweighted(objective, score) if e + 1 == last else objective
            train_epoch(config, net, wrapped, loader, optimizer, accelerator, e)
    y, scores = (torch.cat(parts) for parts in zip(*seen, strict=True))
    table = pd.DataFrame({"class": [names[k] for k in y.tolist()], "score": scores.tolist()})
    return table.astype({"class": pd.CategoricalDtype(names, ordered=True)})
