"""Texts of like length in one batch, in an order that stays random."""

import itertools
from typing import Any

import numpy as np
import pytest
import torch
from text_helpers import text_data

from nslab.datasets import ImageData
from nslab.datasets.batch_order import BatchOrder
from nslab.datasets.batches import make_batches
from nslab.datasets.text_batches import WINDOW, TextBatches

CPU = torch.device("cpu")
SIZE = 3


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> ImageData:
    """160 training texts of 1 to 16 words: three windows of 16 batches of 3, and 16 more."""
    return text_data(tmp_path_factory.mktemp("texts"), 200)


def batches(data: ImageData, **options: Any) -> TextBatches:
    """Batches of its training texts."""
    given = {"batch_size": SIZE, "seed": 5} | options
    x, y = data.arrays.train_x, data.arrays.train_y
    made = make_batches(x, y, data.dataset, CPU, **given)
    assert isinstance(made, TextBatches)
    return made


def test_texts_of_like_length_meet(data: ImageData) -> None:
    """Inside each window of the plain order: by length into batches, which are shuffled."""
    made, n = batches(data), len(data.arrays.train_y)
    plain = BatchOrder(made.y, SIZE, 5).order(2).tolist()
    order = made.order(2).tolist()
    assert sorted(order) == list(range(n))
    length = [int((row != 0).sum()) for row in data.arrays.train_x]
    whole = n // SIZE * SIZE
    assert order[whole:] == plain[whole:], "what fills no batch stays"
    shuffled = 0
    for start in range(0, whole, WINDOW * SIZE):
        window = slice(start, min(start + WINDOW * SIZE, whole))
        assert sorted(order[window]) == sorted(plain[window])
        found = [order[i : i + SIZE] for i in range(window.start, window.stop, SIZE)]
        spans = [(min(length[i] for i in b), max(length[i] for i in b)) for b in found]
        ranked = sorted(spans)
        assert all(a[1] <= b[0] for a, b in itertools.pairwise(ranked))
        shuffled += spans != ranked
    assert shuffled > 1
    assert batches(data).order(2).tolist() == order
    assert batches(data, seed=6).order(2).tolist() != order


def test_less_padding(data: ImageData) -> None:
    """Of the places of all batches fewer are padding than in the plain order."""
    pads = {}
    for bucketed in (True, False):
        made = batches(data, bucketed=bucketed)
        rows = [row for batch in made.epoch(0) for row in batch.x]
        pads[bucketed] = sum(int((row == 0).sum()) for row in rows)
        assert sum(len(row) for row in rows) - pads[bucketed] == (data.arrays.train_x != 0).sum()
    assert pads[True] < 0.5 * pads[False]
    assert (
        batches(data, bucketed=False).order(1).tolist()
        == BatchOrder(made.y, 3, 5).order(1).tolist()
    )


def test_a_batch_is_as_wide_as_its_longest_text(data: ImageData) -> None:
    """Ids are whole numbers of 8 bytes; of several ranks all have the width of the whole batch."""
    alone = list(batches(data, batch_size=12).epoch(0))
    shares = [list(batches(data, batch_size=12, rank=r, world=4).epoch(0)) for r in range(4)]
    for batch, *parts in zip(alone, *shares, strict=True):
        whole = torch.from_numpy(data.arrays.train_x)[batch.index].long()
        width = int((whole != 0).sum(1).max())
        assert torch.equal(batch.x, whole[:, :width])
        assert batch.x.dtype == torch.int64
        assert {part.x.shape[1] for part in parts} == {width}


def test_groups_are_random(data: ImageData) -> None:
    """Inside a batch texts do not stand by length: who competes with whom is by chance."""
    made = batches(data, batch_size=24)
    steps = []
    for epoch in range(6):
        for batch in list(made.epoch(epoch))[:-1]:
            lengths = (batch.x != 0).sum(1)
            steps.append((lengths[1:] - lengths[:-1]).sign())
    signs = torch.cat(steps).tolist()
    up, down = signs.count(1), signs.count(-1)
    assert abs(up - down) < 4 * np.sqrt(up + down)


def test_an_empty_text_is_padding(data: ImageData) -> None:
    """A batch has a column at least."""
    x = np.zeros((4, 5), np.int16)
    made = make_batches(x, np.zeros(4, np.int64), data.dataset, CPU, batch_size=2)
    assert [batch.x.shape for batch in made.in_order()] == [(2, 1), (2, 1)]
    assert [batch.x.shape for batch in made.epoch(0)] == [(2, 1), (2, 1)]


@pytest.mark.usefixtures("as_users_call")
def test_texts_are_not_augmented(data: ImageData) -> None:
    """Nor decoded."""
    with pytest.raises(ValueError, match="augment is 'crop', which is for images"):
        batches(data, augment="crop")
    with pytest.raises(ValueError, match="decoding is 'reduced'"):
        batches(data, decoding="reduced")
