"""Texts for the predictions of a trained network, and their tokens."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
from torch import Tensor

from nslab.configs import TrainConfig
from nslab.datasets import Dataset, is_text
from nslab.datasets.loader import on_device
from nslab.datasets.text_batches import TextBatches
from nslab.datasets.text_files import has_texts, in_order, read_table
from nslab.datasets.text_sets import OWN, PREFIX
from nslab.datasets.tokenization import padded
from nslab.system.content_names import parse_content_name
from nslab.system.distributed import process_group
from nslab.training.texts import class_indices, texts_to_test_on, tokenizer_of

TEXT = "text:"


def texts_in(data: str, training: TrainConfig, about: Dataset) -> tuple[list[str], list[str]]:
    """Texts, and for each the name of its class, or "" if it has no label.

    ``data``: ``text:WORDS``, the text itself; ``csv:PATH``, a file with a column ``text`` and
    perhaps a column ``label``; or the name or the folder of a data set of texts, of which the test
    texts are taken. ``about``: the data of the training. Raises ``ValueError`` for anything else.
    """
    if data.startswith(TEXT):
        if not (words := data.removeprefix(TEXT).strip()):
            raise ValueError("text: has no words: write them after it, in quotes")
        return [words], [""]
    if not is_text(data):
        raise ValueError(f"predictions need texts, csv:PATH or text:WORDS, not {data!r}")
    classes = about.classes
    place = Path(data.removeprefix(PREFIX)).expanduser()
    if (
        not data.startswith(PREFIX)
        or parse_content_name(data)
        or not place.is_file()
        or has_texts(place)
    ):
        found = texts_to_test_on(training, data, about=about, tokens=False)
        return found.arrays.test_x.tolist(), [classes[k] for k in found.arrays.test_y]
    texts, labels = read_table(place.name, place.read_bytes(), OWN, labelled=False)
    if not texts:
        raise ValueError(f"{place} has no texts: give it a line for each, below its columns' names")
    names = in_order({*labels} - {""})
    try:
        places = dict(zip(names, class_indices(names, classes, data).tolist(), strict=True))
    except ValueError:  # they are other names, or there are none
        return texts, labels
    return texts, [classes[places[label]] if label else "" for label in labels]


def token_batches(
    training: TrainConfig, about: Dataset, texts: list[str], folder: Path | None, size: int
) -> Iterator[Tensor]:
    """Batches of texts as the network's tokens, on the device; ``folder``: that of its run, which
    has the vocabulary; ``size``: texts per batch."""
    tokenizer, device = tokenizer_of(training, folder), process_group().device
    about = replace(about, tokens=tokenizer.info)
    x, y = padded(tokenizer.encode(texts), tokenizer.info), np.zeros(len(texts), np.int64)
    loader = TextBatches(*on_device(x, y, device), about, batch_size=size)
    yield from (batch.x for batch in loader.in_order())
