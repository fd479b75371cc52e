"""Competing texts: how a group of texts is joined into one row, and how much of it is lost."""

from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any, Literal, get_args

import pandas as pd
import torch
from jaxtyping import Int
from torch import Tensor

from nslab.configs import TrainConfig
from nslab.configs.labels import columns
from nslab.datasets.batches import make_batches
from nslab.datasets.tokenization import WordTokenizer
from nslab.objectives.composites import Grid
from nslab.objectives.joined_texts import Joined
from nslab.training.texts import tokenized
from nslab.types import Batch, Row, TokenInfo

Way = Literal["tiled", "literal"]
WAYS: tuple[Way, ...] = get_args(Way)


@dataclass(frozen=True)
class JoinedTexts:
    """A group of texts and the rows that it is joined into.

    Attributes:
        labels, texts: class and words of each text.
        composites: way of joining -> words of the joined row.
        owners: way of joining -> for each token of that row, the number of the text in the group
            that it comes from; -1 for padding.
    """

    labels: tuple[str, ...]
    texts: tuple[str, ...]
    composites: dict[str, str]
    owners: dict[str, list[int]]


def joined_texts(config: TrainConfig, grid: Grid = (2, 2), *, losing: bool = False) -> JoinedTexts:
    """The first group of a training, joined in both ways. With ``losing``, the first group of its
    first epoch that loses a text by literal joining, if there is one. Raises ``ValueError`` for a
    network with its own tokenizer, whose word pieces cannot be shown."""
    tokenizer, data = tokenized(config)
    if not isinstance(tokenizer, WordTokenizer):
        raise ValueError(
            f"{config.network} reads word pieces, which cannot be shown: use a network that reads "
            "words, such as textcnn"
        )
    info = tokenizer.info
    x, y = _group(config, info, grid, losing)
    made = {way: row_of(Joined(info, way), x, grid) for way in WAYS}
    return JoinedTexts(
        tuple(data.dataset.classes[k] for k in y.tolist()),
        tuple(tokenizer.decode(row.tolist()) for row in x),
        {way: tokenizer.decode(row.tolist()) for way, row in made.items()},
        {way: owners(x, info, grid, way) for way in WAYS},
    )


def _group(
    config: TrainConfig, info: TokenInfo, grid: Grid, losing: bool
) -> tuple[Int[Tensor, "m l"], Int[Tensor, " m"]]:
    """Tokens and labels of the first group, or of the first that loses a text."""
    m, joined = grid[0] * grid[1], Joined(info, "literal")
    batches = _batches(config)
    for batch in batches if losing else ():
        for k in range(0, len(batch.y) - m + 1, m):
            x = batch.x[k : k + m]
            if joined.lost(x, grid).any():
                return x, batch.y[k : k + m]
    return batches[0].x[:m], batches[0].y[:m]


def owners(x: Int[Tensor, "m l"], info: TokenInfo, grid: Grid, way: Way) -> list[int]:
    """For each token of a joined row, the number of its text, or -1: the group is joined with the
    texts' numbers in place of their tokens."""
    places = torch.arange(1, len(x) + 1)[:, None]
    numbers = TokenInfo(info.length, len(x) + 1, pad=0)
    return (row_of(Joined(numbers, way), (x != info.pad) * places, grid) - 1).tolist()


def row_of(joined: Joined, x: Int[Tensor, "m l"], grid: Grid) -> Int[Tensor, " w"]:
    """The row that a group is joined into."""
    made = joined(x, grid)
    assert isinstance(made, Tensor)
    return made[0]


def lost_texts(configs: Sequence[TrainConfig], grid: Grid = (2, 2)) -> pd.DataFrame:
    """A line per run and way of joining: ``texts_lost``, the percentage of an epoch's texts that
    leave no word in their composite; ``words_kept``, the percentage of all words that are kept;
    ``words``, the mean number of words in a text as the network reads it."""
    lines = []
    for config in configs:
        info = tokenized(config)[0].info
        for way in WAYS:
            joined, m = Joined(info, way), grid[0] * grid[1]
            lost = texts = kept = words = 0
            for batch in _batches(config):
                x = batch.x[: len(batch.y) // m * m]
                gone, made = joined.lost(x, grid), joined(x, grid)
                assert isinstance(made, Tensor)
                lost += int(gone.sum())
                kept += int((made != info.pad).sum())
                texts += len(x)
                words += int((x != info.pad).sum())
            shares = {"texts_lost": 100 * lost / texts, "words_kept": 100 * kept / words}
            about: Row = {
                "dataset": columns(config)["dataset"],
                "length": info.length,
                "joined": way,
            }
            lines.append(about | {"words": words / texts} | shares | {"run": config.id})
    return pd.DataFrame(lines)


def _batches(config: TrainConfig) -> list[Batch]:
    """The batches of a training's first epoch."""
    _, data = tokenized(config)
    arrays, cpu = data.arrays, torch.device("cpu")
    options: dict[str, Any] = {
        "batch_size": config.batch_size,
        "seed": config.seed,
        "sampler": config.sampler,
    }
    made = make_batches(arrays.train_x, arrays.train_y, data.dataset, cpu, **options)
    with closing(made):
        return list(made.epoch(0))
