"""Texts of a run: the tokenizer that its training texts make, and all of its texts as tokens."""

import functools
from collections.abc import Mapping
from typing import Any

from nslab.configs.train import TrainConfig
from nslab.datasets import ImageData, load
from nslab.datasets.text_sets import present
from nslab.datasets.tokenization import Tokenization, Tokenizer


def tokenized(config: TrainConfig, data: ImageData | None = None) -> tuple[Tokenizer, ImageData]:
    """The training set of a run on texts as tokens, and what made them: a vocabulary is that of the
    texts that are trained on, after some were held out or left away. Made once in a process, unless
    ``data`` are given."""
    assert config.tokenization is not None
    if data is not None:
        return _tokenized(data, variant_of(config), config.tokenization)
    digest, variant = present(config.dataset)[1].digest, variant_of(config)
    return _kept(config.dataset, digest, tuple(variant.items()), config.tokenization)


def variant_of(config: TrainConfig) -> dict[str, Any]:
    """What `ImageData.variant` makes of a data set for a run."""
    fields = ("imbalance", "noise", "noise_rate", "hold_out", "train_size")
    return {name: getattr(config, name) for name in fields}


@functools.lru_cache(maxsize=4)
def _kept(
    name: str, digest: str, variant: tuple, tokenization: Tokenization
) -> tuple[Tokenizer, ImageData]:
    return _tokenized(load(name), dict(variant), tokenization)


def _tokenized(
    data: ImageData, variant: Mapping[str, Any], tokenization: Tokenization
) -> tuple[Tokenizer, ImageData]:
    data = data.variant(**variant)
    tokenizer = tokenization.tokenizer(data.arrays.train_x.tolist())
    return tokenizer, data.tokenized(tokenizer)
