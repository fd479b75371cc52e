"""Words and their ids, against a reference that counts by hand."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nslab.datasets.tokenization import (
    MIN_COUNT,
    PAD,
    UNKNOWN,
    VOCABULARY,
    Tokenization,
    Tokenizer,
    WordTokenizer,
    padded,
    words_of,
)
from nslab.types import TokenInfo

texts = st.lists(
    st.lists(st.sampled_from(["a", "b", "B", "it's", "7", "é"]), max_size=8).map(" ".join),
    max_size=12,
)


def by_hand(texts: list[str], size: int, fewest: int) -> dict[str, int]:
    """Ids of words: repeatedly the commonest of those left, the first of the alphabet at a tie."""
    counts: dict[str, int] = {}
    for text in texts:
        for word in text.lower().split():
            counts[word] = counts.get(word, 0) + 1
    ids: dict[str, int] = {}
    while counts and len(ids) + 2 < size:
        most = max(counts.values())
        word = min(word for word, count in counts.items() if count == most)
        if counts.pop(word) >= fewest:
            ids[word] = len(ids) + 2
    return ids


@given(texts, st.integers(0, 9), st.integers(1, 3), st.integers(1, 5))
def test_vocabulary_and_ids(texts: list[str], size: int, fewest: int, length: int) -> None:
    """The commonest words by rank; rows are cut, unknown words are 1, nothing is padding."""
    made = WordTokenizer.of(texts, length, size, fewest)
    ids = by_hand(texts, size, fewest)
    assert made.ids == ids
    assert isinstance(made, Tokenizer)
    rows = made.encode([*texts, "never seen"])
    for row, text in zip(rows, [*texts, "never seen"], strict=True):
        assert row.tolist() == [ids.get(word, 1) for word in text.lower().split()][:length]
    assert made.info == TokenInfo(length, size, PAD)
    assert all(max(row, default=0) < max(size, 2) for row in rows)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("A good, good film.<br /><br>See it!", "a good good film see it"),
        ("Don't; it’s 'quoted' -- rock'n'roll", "don't it’s quoted rock'n'roll"),
        ("3.5 stars_and e-mail ÉCLAIR", "3 5 stars and e mail éclair"),
        ("_ *** \n\t", ""),
        ("Wall St. Bears (Reuters) #39;s", "wall st bears reuters 39 s"),
    ],
)
def test_words(text: str, words: str) -> None:
    """Lower case, no punctuation, no line breaks of HTML; apostrophes inside of words stay."""
    assert words_of(text) == words.split()


def test_rows_are_padded() -> None:
    """On the right, by the id that the tokens have for it, in two bytes where these suffice."""
    rows = [np.array([4, 5, 6]), np.array([], int), np.array([7])]
    for vocabulary, kind in ((2**15, np.int16), (2**15 + 1, np.int32)):
        made = padded(rows, TokenInfo(3, vocabulary, pad=9))
        assert made.dtype == kind
        assert made.tolist() == [[4, 5, 6], [9, 9, 9], [7, 9, 9]]
    assert padded([np.array([2**15 - 1])], TokenInfo(1, 2**15)).item() == 2**15 - 1
    assert padded([], TokenInfo(3, 10)).shape == (0, 3)
    with pytest.raises(ValueError, match="3 tokens do not fit into rows of 2"):
        padded(rows, TokenInfo(2, 10))


def test_a_run_says_how() -> None:
    """The value of a config makes the tokenizer, and knows the form of rows before."""
    how = Tokenization(length=4, vocabulary=6, min_count=2, network="textcnn")
    made = how.tokenizer(["a a b", "b c"])
    assert made == WordTokenizer(("a", "b"), 4, 6)
    assert how.info == made.info
    assert (UNKNOWN, VOCABULARY, MIN_COUNT) == (1, 20_000, 2)
