"""Texts that compete: how a group is joined into one row, and what of it is lost."""

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
        composites: the words of the joined row, by the way of joining.
        owners: whose each token of that row is, by number in the group; -1: padding.
    """

    labels: tuple[str, ...]
    texts: tuple[str, ...]
    composites: dict[str, str]
    owners: dict[str, list[int]]


def joined_texts(config: TrainConfig, grid: Grid = (2, 2), *, losing: bool = False) -> JoinedTexts:
    """The first group of a training, joined in both ways; with ``losing`` the first of its first
    epoch of which literal joining loses a text, if there is one. ``ValueError`` for a network that
    brings its own tokenizer, whose pieces of words are not shown."""
    tokenizer, data = tokenized(config)
    if not isinstance(tokenizer, WordTokenizer):
        raise ValueError(f"{config.network} does not read words")
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
    """Whose each token of a joined row is: the group's texts are joined with their numbers in the
    place of their tokens."""
    places = torch.arange(1, len(x) + 1)[:, None]
    numbers = TokenInfo(info.length, len(x) + 1, pad=0)
    return (row_of(Joined(numbers, way), (x != info.pad) * places, grid) - 1).tolist()


def row_of(joined: Joined, x: Int[Tensor, "m l"], grid: Grid) -> Int[Tensor, " w"]:
    """The row that a group is joined into."""
    made = joined(x, grid)
    assert isinstance(made, Tensor)
    return made[0]


def lost_texts(configs: Sequence[TrainConfig], grid: Grid = (2, 2)) -> pd.DataFrame:
    """A line per run and way of joining: ``texts_lost``, the share of the texts of an epoch that
    leave no word in their composite, and ``words_kept``, the share of all words, in percent;
    ``words``: mean number of words of a text as the network reads it."""
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
