"""Tokenizers: texts as rows of token ids.

A `Tokenization` holds a run's settings; with the training texts it makes a `Tokenizer`. Ids are
padded on the right, and rows are cut at the length that the run sets.
"""

import functools
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Protocol, runtime_checkable

import numpy as np

from nslab.datasets.pretrained_tokenizer import PretrainedTokenizer
from nslab.system.encoder_files import is_encoder
from nslab.types import TokenInfo

PAD, UNKNOWN = 0, 1  # ids of padding and of words that are not in the vocabulary
RESERVED = 2  # ids before that of the first word
VOCABULARY, MIN_COUNT = 20_000, 2  # defaults of a run
_BREAK = re.compile(r"<br\s*/?>", re.IGNORECASE)
_WORD = re.compile(r"[^\W_]+(?:['’][^\W_]+)*")


@runtime_checkable
class Tokenizer(Protocol):
    """Maps texts to token ids."""

    @property
    def info(self) -> TokenInfo: ...

    def encode(self, texts: Sequence[str]) -> list[np.ndarray]:
        """Ids of each text (integers, not padded), cut at ``info.length``."""
        ...


@dataclass(frozen=True)
class Tokenization:
    """How the texts of a run become tokens.

    Attributes:
        length: most tokens of a text; longer texts are cut.
        vocabulary: most ids, those of padding and unknown words included.
        min_count: how often a word must occur in the training texts to get an id.
        network: name of the run's network; a pretrained encoder has its own tokenizer.
    """

    length: int
    vocabulary: int
    min_count: int
    network: str

    @property
    def info(self) -> TokenInfo:
        """Length, vocabulary and special tokens, known before any text is read."""
        if is_encoder(self.network):
            return PretrainedTokenizer(self.network, self.length).info
        return TokenInfo(self.length, self.vocabulary, PAD)

    def tokenizer(self, texts: Sequence[str]) -> Tokenizer:
        """The tokenizer for a training set of these texts."""
        if is_encoder(self.network):
            return PretrainedTokenizer(self.network, self.length)
        return WordTokenizer.of(texts, self.length, self.vocabulary, self.min_count)


@dataclass(frozen=True)
class WordTokenizer:
    """Words in lower case, without punctuation; the id of a word is its rank in the vocabulary + 2.

    Attributes:
        words: the vocabulary, most frequent words first; word k (from 0) has id k + 2.
        length: most words of a text.
        size: most ids; there are fewer if the training texts have fewer words.

    >>> tokenizer = WordTokenizer.of(["The cat's mat.", "the mat"], length=3, vocabulary=4)
    >>> tokenizer.words, tokenizer.encode(["A mat, the MAT and more", ""])
    (('mat', 'the'), [array([1, 2, 3], dtype=int32), array([], dtype=int32)])
    """

    words: tuple[str, ...]
    length: int
    size: int

    @classmethod
    def of(
        cls, texts: Iterable[str], length: int, vocabulary: int, min_count: int = 1
    ) -> "WordTokenizer":
        """A tokenizer for the most frequent words of some texts; equally frequent ones come in
        alphabetical order. ``vocabulary`` is the most ids, ``min_count`` as in `Tokenization`."""
        counts = Counter(chain.from_iterable(map(words_of, texts)))
        known = [(-count, word) for word, count in counts.items() if count >= min_count]
        common = sorted(known)[: max(0, vocabulary - RESERVED)]
        return cls(tuple(word for _, word in common), length, vocabulary)

    @property
    def info(self) -> TokenInfo:
        """Padding has id 0; there are no tokens for the beginning and end of a text."""
        return TokenInfo(self.length, self.size, PAD)

    @functools.cached_property
    def ids(self) -> dict[str, int]:
        """The id of each known word."""
        return {word: k for k, word in enumerate(self.words, RESERVED)}

    def encode(self, texts: Sequence[str]) -> list[np.ndarray]:
        """Ids of the first words of each text; 1 for a word that is not in the vocabulary."""
        ids, length = self.ids, self.length
        return [
            np.array([ids.get(word, UNKNOWN) for word in words_of(text)[:length]], np.int32)
            for text in texts
        ]

    def decode(self, ids: Sequence[int]) -> str:
        """The words of a row; padding is left out, an unknown word is shown as …

        >>> WordTokenizer(("a", "cat"), 4, 4).decode([2, 1, 3, 0])
        'a … cat'
        """
        known = ("", "…", *self.words)
        return " ".join(known[k] for k in ids if k != PAD)


def words_of(text: str) -> list[str]:
    """The words of a text in lower case: letters and digits, apostrophes inside; HTML line breaks
    and punctuation are dropped.

    >>> words_of("It isn't<br />bad: 7/10!")
    ['it', "isn't", 'bad', '7', '10']
    """
    return _WORD.findall(_BREAK.sub(" ", text).lower())


def padded(ids: Sequence[np.ndarray], info: TokenInfo) -> np.ndarray:
    """Rows of equal length, padded on the right: (n, length), int16 or, for large vocabularies,
    int32. Raises ``ValueError`` for more tokens than ``info.length``.

    >>> padded([np.array([5, 6]), np.array([], int)], TokenInfo(length=3, vocabulary=10))
    array([[5, 6, 0],
           [0, 0, 0]], dtype=int16)
    """
    kind = np.int16 if info.vocabulary <= np.iinfo(np.int16).max + 1 else np.int32
    rows = np.full((len(ids), info.length), info.pad, kind)
    lengths = np.fromiter(map(len, ids), np.int64, len(ids))
    if len(ids) and lengths.max() > info.length:
        raise ValueError(f"{lengths.max()} tokens do not fit into rows of {info.length}")
    if len(ids):
        rows[np.arange(info.length) < lengths[:, None]] = np.concatenate(ids)
    return rows
