"""Batches: every sample once, cropped and flipped as drawn, the same however many ranks share."""

import itertools
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from nslab.datasets import DATASETS, Dataset, MissingDataset, is_text
from nslab.datasets.arrays import Arrays, Layout
from nslab.datasets.loader import Augment, Loader
from nslab.rng import generator
from nslab.types import Batch

SHAPES = [(5, 7, 3), (7, 5, 1), (8, 8, 1), (6, 6, 3), (1, 1, 2)]  # height, width, channels


def dataset(channels: int, mean: float = 0.0, std: float = 1.0) -> Dataset:
    """A data set of which a loader needs mean and sd alone; as they are, pixels become x / 255."""

    def fetch(folder: object, name: str) -> Arrays:
        raise MissingDataset(name)

    layout = Layout(1, 1, (1, 1, channels), 1)
    return Dataset(layout, (mean,) * channels, (std,) * channels, ("only",), fetch)


def samples(n: int, shape: tuple[int, int, int], seed: int = 0) -> tuple[Tensor, Tensor]:
    """Random images without a black pixel, so that a frame shows, and labels that are places."""
    gen = torch.Generator().manual_seed(seed)
    x = torch.randint(1, 256, (n, *shape), generator=gen, dtype=torch.uint8)
    return x, torch.arange(n)


def loader(n: int, shape: tuple[int, int, int] = (2, 2, 1), **options: Any) -> Loader:
    """A loader of random images."""
    x, y = samples(n, shape)
    return Loader(x, y, dataset(shape[2]), **{"batch_size": 4, **options})


def pixels(batch: Batch) -> np.ndarray:
    """The bytes a batch was made of: (samples, height, width, channels)."""
    levels = batch.x.permute(0, 2, 3, 1).double().numpy() * 255
    assert np.abs(levels - levels.round()).max() < 1e-3
    return levels.round().astype(np.uint8)


def joined(batches: list[Batch], part: str) -> Tensor:
    """One part of batches, end to end."""
    return torch.cat([getattr(batch, part) for batch in batches])


def window(image: np.ndarray, top: int, left: int, pad: int, mirrored: bool) -> np.ndarray:
    """The part of an image in a black frame that starts at (top, left), pixel by pixel."""
    height, width, channels = image.shape
    out = np.zeros_like(image)
    for i, j in itertools.product(range(height), range(width)):
        row, column = top + i - pad, left + j - pad
        if 0 <= row < height and 0 <= column < width:
            out[i, width - 1 - j if mirrored else j] = image[row, column]
    assert out.shape == (height, width, channels)
    return out


# --- order -------------------------------------------------------------------------------------


@given(
    n=st.integers(1, 60),
    batch=st.integers(1, 70),
    epoch=st.integers(0, 5),
    augment=st.sampled_from(["none", "crop", "crop_flip"]),
)
@settings(deadline=None, max_examples=50)
def test_every_sample_once_an_epoch(n: int, batch: int, epoch: int, augment: Augment) -> None:
    """In batches of the asked size and a shorter last one; labels and images go with the index."""
    x, y = samples(n, (2, 3, 1))
    batches = list(Loader(x, y, dataset(1), batch_size=batch, augment=augment).epoch(epoch))
    index = joined(batches, "index")
    assert sorted(index.tolist()) == list(range(n))
    assert torch.equal(joined(batches, "y"), y[index])
    assert [len(b.y) for b in batches] == [batch] * (n // batch) + [n % batch] * (n % batch > 0)
    assert all(b.epoch == epoch for b in batches)
    if augment == "none":
        for b in batches:
            assert np.array_equal(pixels(b), x[b.index].numpy())


def test_order_depends_on_seed_and_epoch_alone() -> None:
    """Not on batch size, augmentation or the epochs before; other seeds and epochs differ."""
    orders = {
        (seed, epoch): tuple(joined(list(loader(30, seed=seed).epoch(epoch)), "index").tolist())
        for seed in (0, 1, 2)
        for epoch in (0, 1, 2)
    }
    assert len(set(orders.values())) == 9
    assert tuple(range(30)) not in orders.values()
    used = loader(30, seed=1, batch_size=7, augment="crop_flip")
    for epoch in (2, 0, 2):
        found = joined(list(used.epoch(epoch)), "index").tolist()
        assert tuple(found) == orders[1, epoch]


@pytest.mark.slow
def test_shuffling_is_fair() -> None:
    """Over many epochs each sample comes at each place about equally often (chi-square)."""
    places, made = np.zeros((6, 6)), loader(6, (1, 1, 1))
    for epoch in range(1200):
        places[np.arange(6), joined(list(made.epoch(epoch)), "index").numpy()] += 1
    statistic = ((places - 200) ** 2 / 200).sum()
    assert statistic < 25 + 5 * np.sqrt(2 * 25)


def test_same_batches_again_without_the_global_generator() -> None:
    """The same loader twice and a new one agree to the bit; torch's own state is not touched."""
    torch.manual_seed(3)
    state = torch.get_rng_state()
    options = {"shape": (5, 7, 3), "augment": "crop_flip", "seed": 5}
    first = loader(20, **options)
    made = [list(first.epoch(1)), list(first.epoch(1)), list(loader(20, **options).epoch(1))]
    assert torch.equal(torch.get_rng_state(), state)
    for other in made[1:]:
        for a, b in zip(made[0], other, strict=True):
            assert torch.equal(a.x, b.x)
            assert torch.equal(a.index, b.index)
    next_epoch = joined(list(first.epoch(2)), "x")
    assert not torch.equal(joined(made[0], "x"), next_epoch)


def test_images_are_not_changed() -> None:
    """A loader reads the data set and leaves it as it was."""
    x, y = samples(10, (4, 4, 3))
    before = x.clone()
    for augment in ("none", "crop_flip"):
        made = Loader(x, y, dataset(3), batch_size=4, augment=augment)
        for batch in [*made.epoch(0), *made.in_order()]:
            batch.x.zero_()
    assert torch.equal(x, before)


# --- augmentation ------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("augment", ["none", "crop", "crop_flip"])
@pytest.mark.parametrize("pad", [0, 1, 4])
def test_crop_and_flip_as_drawn(shape: tuple[int, int, int], augment: Augment, pad: int) -> None:
    """Each image is the window that its place in the named streams says, cut pixel by pixel."""
    n, seed, epoch = 23, 7, 3
    x, y = samples(n, shape)
    made = Loader(x, y, dataset(shape[2]), batch_size=5, seed=seed, augment=augment, pad=pad)
    pad = 0 if augment == "none" else pad
    order = torch.randperm(n, generator=generator(seed, "order", epoch)).tolist()
    draws = generator(seed, "augment", epoch)
    top, left = torch.randint(0, 2 * pad + 1, (2, n), generator=draws).tolist()
    mirrored = [u < 0.5 and augment == "crop_flip" for u in torch.rand(n, generator=draws).tolist()]
    batches = list(made.epoch(epoch))
    assert joined(batches, "index").tolist() == order
    found = np.concatenate([pixels(batch) for batch in batches])
    for i, sample in enumerate(order):
        expected = window(x[sample].numpy(), top[i], left[i], pad, mirrored[i])
        assert np.array_equal(found[i], expected)


def test_every_window_comes_equally_often() -> None:
    """Search each image among all windows of its original: 25 places x 2 sides, all alike."""
    x, y = samples(60, (6, 5, 1))
    made = Loader(x, y, dataset(1), batch_size=60, augment="crop_flip", pad=2)
    choices = list(itertools.product(range(5), range(5), (False, True)))
    table = {
        (i, window(image, *choice[:2], 2, choice[2]).tobytes()): choice
        for i, image in enumerate(x.numpy())
        for choice in choices
    }
    assert len(table) == 60 * 50, "all windows of an image differ"
    counts = dict.fromkeys(choices, 0)
    for epoch in range(50):
        (batch,) = made.epoch(epoch)
        for i, image in zip(batch.index.tolist(), pixels(batch), strict=True):
            counts[table[i, image.tobytes()]] += 1
    expected = 60 * 50 / 50
    statistic = sum((count - expected) ** 2 / expected for count in counts.values())
    assert statistic < 49 + 5 * np.sqrt(2 * 49)


# --- normalisation and layout ------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(name for name in DATASETS if not is_text(name)))
@pytest.mark.parametrize("channels_last", [True, False])
def test_normalisation(name: str, channels_last: bool) -> None:
    """All 256 grey levels become (x / 255 - mean) / sd, to a millionth of double precision."""
    data = DATASETS[name]
    channels = data.shape[0]
    x = torch.arange(256, dtype=torch.uint8).view(16, 4, 4, 1).repeat(1, 1, 1, channels)
    x = (x + torch.arange(channels, dtype=torch.uint8) * 85).contiguous()
    y = torch.zeros(16, dtype=torch.long)
    made = Loader(x, y, data, batch_size=16, channels_last=channels_last)
    (batch,) = made.in_order()
    mean, std = (np.array(values, dtype=np.float64) for values in (data.mean, data.std))
    expected = (x.numpy().astype(np.float64) / 255 - mean) / std
    assert batch.x.dtype == torch.float32
    found = batch.x.double().permute(0, 2, 3, 1).numpy()
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("augment", ["none", "crop_flip"])
def test_memory_layout(augment: Augment) -> None:
    """Channels last or first as asked, with the same numbers."""
    last, first = (
        loader(8, (5, 7, 3), augment=augment, channels_last=choice) for choice in (True, False)
    )
    pairs = [*zip(last.epoch(0), first.epoch(0), strict=True)]
    pairs += zip(last.in_order(), first.in_order(), strict=True)
    assert len(pairs) == 4
    for a, b in pairs:
        assert a.x.stride() == (5 * 7 * 3, 1, 7 * 3, 3)
        assert a.x.is_contiguous(memory_format=torch.channels_last)
        assert b.x.stride() == (3 * 5 * 7, 5 * 7, 7, 1)
        assert torch.equal(a.x, b.x)


# --- evaluation --------------------------------------------------------------------------------


@pytest.mark.parametrize("augment", ["none", "crop_flip"])
@pytest.mark.parametrize("n", [1, 3, 4, 17])
def test_evaluation_is_in_order(n: int, augment: Augment) -> None:
    """Every sample, none twice, in order and as it is, also from a loader that augments."""
    x, _ = samples(n, (5, 7, 3))
    batches = list(loader(n, (5, 7, 3), augment=augment).in_order())
    assert joined(batches, "index").tolist() == list(range(n))
    assert joined(batches, "y").tolist() == list(range(n))
    assert np.array_equal(np.concatenate([pixels(batch) for batch in batches]), x.numpy())
    assert [len(batch.y) for batch in batches] == [4] * (n // 4) + [n % 4] * (n % 4 > 0)


@given(n=st.integers(5, 40), world=st.integers(1, 5), share=st.integers(1, 4))
@settings(deadline=None, max_examples=40)
def test_sharded_evaluation(n: int, world: int, share: int) -> None:
    """Together the ranks see every sample once, whatever is left over; no rank has two more."""
    sizes = []
    seen: list[int] = []
    for rank in range(world):
        made = loader(n, (1, 1, 1), rank=rank, world=world, batch_size=share * world)
        batches = list(made.in_order())
        index = joined(batches, "index")
        assert index.tolist() == sorted(index.tolist())
        assert all(len(batch.y) <= share for batch in batches)
        assert torch.equal(joined(batches, "y"), index)
        sizes.append(len(index))
        seen += index.tolist()
    assert sorted(seen) == list(range(n))
    assert max(sizes) - min(sizes) <= 1


# --- ranks -------------------------------------------------------------------------------------


@given(
    n=st.integers(5, 60),
    share=st.integers(1, 6),
    world=st.integers(1, 5),
    epoch=st.integers(0, 3),
)
@settings(deadline=None, max_examples=40)
def test_shares_make_up_the_single_process_batch(
    n: int, share: int, world: int, epoch: int
) -> None:
    """End to end, the ranks' shares are the batch that one process alone sees, to the bit.

    Only a last batch that the ranks cannot divide evenly loses its last few samples.
    """
    options: dict[str, Any] = {
        "shape": (3, 4, 3),
        "augment": "crop_flip",
        "seed": 9,
        "batch_size": share * world,
    }
    alone = list(loader(n, **options).epoch(epoch))
    ranks = [list(loader(n, **options, rank=r, world=world).epoch(epoch)) for r in range(world)]
    lost = n % (share * world) % world
    assert sum(len(batch.y) for rank in ranks for batch in rank) == n - lost
    for i, shares in enumerate(zip(*ranks, strict=True)):
        assert len({len(batch.y) for batch in shares}) == 1
        size = sum(len(batch.y) for batch in shares)
        assert size == len(alone[i].y) - (lost if size < share * world else 0)
        for part in ("x", "y", "index"):
            together = joined(list(shares), part)
            assert torch.equal(together, getattr(alone[i], part)[:size])


@given(
    n=st.integers(1, 60),
    share=st.integers(1, 12),
    world=st.integers(1, 5),
    min_batch=st.integers(1, 12),
)
@settings(deadline=None, max_examples=200)
def test_ragged_last_batch(n: int, share: int, world: int, min_batch: int) -> None:
    """``len`` counts what comes; a share is full, or the last and neither empty nor too small."""
    options = {"batch_size": share * world, "world": world, "min_batch": min_batch}
    if min(share, n // world) < min_batch:
        with pytest.raises(ValueError, match="fewer than the"):
            loader(n, (1, 1, 1), **options)
        return
    for rank in range(world):
        made = loader(n, (1, 1, 1), rank=rank, **options)
        sizes = [len(batch.y) for batch in made.epoch(0)]
        assert len(made) == len(sizes) > 0
        left = n - (n // (share * world)) * share * world
        last = left // world
        kept = [last] if last >= min_batch else []
        assert sizes == [share] * (n // (share * world)) + kept


# --- errors ------------------------------------------------------------------------------------


@pytest.mark.usefixtures("as_users_call")
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batch_size": 0}, "batch_size 0 is not a positive multiple of 1 ranks"),
        ({"batch_size": -4}, "batch_size -4 is not a positive multiple"),
        ({"batch_size": 5, "world": 2}, "batch_size 5 is not a positive multiple of 2 ranks"),
        ({"batch_size": 3, "min_batch": 4}, "3 samples per batch and rank are fewer than the 4"),
        ({"batch_size": 6, "world": 2, "min_batch": 4}, "3 samples per batch and rank"),
        ({"batch_size": 64, "min_batch": 11}, "10 samples per batch and rank"),
        ({"batch_size": 64, "world": 16}, "0 samples per batch and rank"),
        ({"augment": "flip"}, "augment is 'flip', not one of none, crop, crop_flip"),
    ],
)
def test_impossible_batches_are_refused(options: dict[str, Any], message: str) -> None:
    """When the loader is made, saying what to change."""
    with pytest.raises(ValueError, match=message):
        loader(10, **options)
