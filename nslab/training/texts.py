"""Texts of a run: the tokenizer built from its training texts, and texts as its network reads them.

A vocabulary is saved with the weights that were trained with it, so that a network can be tested
and used where its training texts are missing.
"""

import dataclasses
import functools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from nslab.configs.train import TrainConfig
from nslab.datasets import Dataset, ImageData, load
from nslab.datasets.text_sets import all_to_test_on, present
from nslab.datasets.tokenization import Tokenization, Tokenizer, WordTokenizer
from nslab.system.content_names import content_of, short_name
from nslab.system.encoder_files import is_encoder
from nslab.system.files import write_text
from nslab.system.seals import sealed_json, unsealed_json

VOCABULARY = "vocabulary.json"  # beside the weights


def tokenized(config: TrainConfig, data: ImageData | None = None) -> tuple[Tokenizer, ImageData]:
    """The tokenizer of a run on texts, and its data as tokens. A vocabulary is built from the
    texts that are trained on, without those that are held out or left out. Without ``data``, the
    result is computed once per process."""
    assert config.tokenization is not None
    if data is not None:
        return _tokenized(data, variant_of(config), config.tokenization)
    digest, variant = present(config.dataset)[1].digest, variant_of(config)
    return _kept(config.dataset, digest, tuple(variant.items()), config.tokenization)


def variant_of(config: TrainConfig) -> dict[str, Any]:
    """The arguments of `ImageData.variant` for a run's training set."""
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


def save_vocabulary(config: TrainConfig, folder: Path, data: ImageData | None = None) -> None:
    """Save the vocabulary of a run beside its weights. Runs on images, and networks with a
    tokenizer of their own, have none. ``data``: the training data, if not loaded by name."""
    if config.tokenization and isinstance(tokenizer := tokenized(config, data)[0], WordTokenizer):
        write_text(folder / VOCABULARY, sealed_json({"words": tokenizer.words}))


def tokenizer_of(config: TrainConfig, folder: Path | None = None) -> Tokenizer:
    """The tokenizer of a run, from the vocabulary in ``folder`` if there is one, else built again
    from its training texts.

    Raises ``ValueError`` for a damaged file, `MissingDataset` if the texts are missing.
    """
    assert config.tokenization is not None
    if is_encoder(config.network):
        return config.tokenization.tokenizer(())
    file = folder / VOCABULARY if folder else None
    if file is None or not file.exists():
        return tokenized(config)[0]
    try:
        words = tuple(map(str, unsealed_json(file.read_bytes())[0]["words"]))
    except (ValueError, LookupError, TypeError) as error:
        raise ValueError(f"{file} is damaged ({error}): remove it, and it is made again") from None
    return WordTokenizer(words, config.text_length, config.vocabulary)


def texts_to_test_on(
    config: TrainConfig,
    dataset: str,
    folder: Path | None = None,
    *,
    about: Dataset | None = None,
    tokens: bool = True,
) -> ImageData:
    """The test texts of a data set as the network of a run reads them, labelled with its classes.
    Of a file without separate test texts all are used, unless the network was trained on it.

    Args:
        config: the run whose network is tested.
        dataset: name of the data set.
        folder: of the network's run.
        about: describes the run's data set, for when that may be missing.
        tokens: False leaves the texts as they are.

    Raises ``ValueError`` for classes that are not the network's.
    """
    data, about = load(dataset), about or config.about
    whole = all_to_test_on(data.name) and content_of(data.name) != content_of(config.dataset)
    splits = ("test", "train") if whole else ("test",)
    arrays = data.arrays
    x, y = (np.concatenate([getattr(arrays, f"{s}_{part}") for s in splits]) for part in "xy")
    places = class_indices(data.dataset.classes, about.classes, short_name(dataset))
    arrays = arrays._replace(train_x=x[:0], train_y=y[:0], test_x=x, test_y=places[y])
    about = dataclasses.replace(about, tokens=None)
    data = dataclasses.replace(data, dataset=about, arrays=arrays)
    return data.tokenized(tokenizer_of(config, folder)) if tokens else data


def class_indices(names: Sequence[str], classes: Sequence[str], what: str) -> np.ndarray:
    """The index of each name among a network's classes. Names are matched exactly, or without
    regard to case where that is unambiguous. Names that are just the numbers from 0 are taken as
    indices, unless the classes are numbers, too. Raises ``ValueError`` for any others.

    >>> class_indices(["good", "Bad"], ["bad", "good"], "reviews")
    array([1, 0])
    >>> class_indices("01", "ab", "reviews")
    array([0, 1])
    """
    for form in (str, str.casefold):
        places = {form(name): k for k, name in enumerate(classes)}
        asked = [form(name) for name in names]
        unique = len(places) == len(classes) and len({*asked}) == len(asked)
        if unique and all(name in places for name in asked):
            return np.array([places[name] for name in asked], dtype=np.int64)
    numbers = list(names) == [str(k) for k in range(len(names))] and len(names) <= len(classes)
    if numbers and not all(name.isdecimal() for name in classes):
        return np.arange(len(names))
    raise ValueError(
        f"{what} has the classes {', '.join(names[:5])}, the network has learned "
        f"{', '.join(classes[:5])}: name them alike, or number them from 0 in that order"
    )
