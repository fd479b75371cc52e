"""Short texts whose words reveal their class, and data sets of them."""

import csv
from pathlib import Path

import numpy as np

from nslab.datasets import ImageData, load
from nslab.datasets.tokenization import WordTokenizer

TOPICS = {"animals": "cat dog mouse horse", "food": "bread soup apple rice", "sky": "sun moon star"}
COMMON = ["the", "a", "of", "and", "some", "very", "old", "new", "small", "with"]


def rows(n: int, seed: int = 0) -> list[tuple[str, str]]:
    """Labels and texts of 1 to 20 words, about two thirds of which belong to the class."""
    draws, made = np.random.default_rng(seed), []
    for k in range(n):
        label = list(TOPICS)[k % len(TOPICS)]
        own = TOPICS[label].split()
        words = [str(draws.choice(own if draws.random() < 2 / 3 else COMMON)) for _ in range(20)]
        made.append((label, " ".join(words[: draws.integers(1, 21)])))
    return made


def write_csv(file: Path, table: list[tuple[str, ...]], header: tuple[str, ...] = ()) -> Path:
    """Write a CSV file with the columns of ``header``, by default label and text."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("w", newline="", encoding="utf-8") as out:
        csv.writer(out).writerows([header or ("label", "text"), *table])
    return file


def text_data(folder: Path, n: int = 60, length: int = 16) -> ImageData:
    """A data set of such texts as tokens; one in five is tested on."""
    data = load(f"csv:{write_csv(folder / 'texts.csv', rows(n))}")
    return data.tokenized(WordTokenizer.of(data.arrays.train_x.tolist(), length, vocabulary=30))
