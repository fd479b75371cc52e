"""Initial populations: the runs whose weights form them. They differ by epoch, by cycle of the
learning rate, by seed, or by hyper-parameters.

Source: the DE paper, sections 3, 3.3 and 4.2.
"""

import dataclasses
from typing import Literal

from nslab.configs.schedules import Triangular
from nslab.configs.train import Parent, TrainConfig
from nslab.objectives import LabelSmoothing, Mixup, SmoothTopK


def last_epochs(config: TrainConfig, size: int) -> list[Parent]:
    """The last ``size`` epochs of one run, oldest first.

    With ``config.start`` this is continued training, as of the paper's pretrained networks, which
    are trained for "ps partial epochs" more; ``config.epoch_parts`` cuts passes into such parts.
    """
    kept = dataclasses.replace(config, keep_last=size)
    return [Parent(kept, epoch) for epoch in range(-size, 0)]


def cyclic(config: TrainConfig, size: int) -> list[Parent]:
    """Fast geometric ensembling: networks at the minima of a cyclic learning rate, oldest first
    (Garipov et al. 2018).

    Raises ``ValueError`` for another schedule than `Triangular`.
    """
    schedule = config.schedule
    if not isinstance(schedule, Triangular):
        raise ValueError(
            f"a cyclic population needs schedule=Triangular(...) of its base, not {schedule!r}"
        )
    epochs = schedule.cycle // 2 + (size - 1) * schedule.cycle
    kept = dataclasses.replace(config, epochs=epochs, keep_last=epochs)
    return [Parent(kept, epoch) for epoch in schedule.minima(epochs)]


def init_rs(config: TrainConfig, size: int) -> list[Parent]:
    """Init-RS: runs that differ by their seeds.

    Member i of a population of seed s has seed 1000 s + i, so populations do not share members.
    """
    return [Parent(config.with_seed(1000 * config.seed + i)) for i in range(size)]


def init_hp(
    config: TrainConfig, size: int, smoothed: Literal["labels", "top_k"] = "labels"
) -> list[Parent]:
    """Init-HP: runs that differ by learning rate, weight decay, mixup and smoothed loss.

    NOTE: the paper names these four and gives no values. Here member i has learning rate times
    1, 1/2, 2 and weight decay times 1, 2, 1/2 in turn (nine pairs before one repeats), and
    ``config.objective``, mixup 0.2, a smoothed loss, or both, in turn. Seeds differ too.

    NOTE: for the "smoothed loss" the paper cites Berrada et al. 2018, a smooth top-k loss, and
    trains with TIMM, whose ``--smoothing`` smooths labels; ``smoothed`` offers both, labels (by
    0.1) by default. For mixup it cites snapshot ensembles (Huang et al. 2017), which are not mixup.
    """
    loss = LabelSmoothing(0.1) if smoothed == "labels" else SmoothTopK()
    objectives = (config.objective, Mixup(0.2), loss, Mixup(0.2, loss))
    return [
        Parent(
            dataclasses.replace(
                config,
                lr=config.lr * (1, 0.5, 2)[i % 3],
                weight_decay=config.weight_decay * (1, 2, 0.5)[i // 3 % 3],
                objective=objectives[i % 4],
                seed=1000 * config.seed + i,
            )
        )
        for i in range(size)
    ]
