"""Long-tailed and mislabelled training sets: sizes, which samples stay, and which labels turn."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from nslab.datasets import Dataset, ImageData
from nslab.datasets.arrays import Arrays, Layout
from nslab.datasets.variants import long_tail, long_tail_counts, noisy_labels

TOTALS = {  # of long-tailed CIFAR-10 and CIFAR-100 in the literature
    10: {200: 11203, 100: 12406, 50: 13996, 10: 20431},
    100: {200: 9502, 100: 10847, 50: 12608, 10: 19573},
}
SETS = [(k, factor, total) for k, totals in TOTALS.items() for factor, total in totals.items()]


def labels(n: int, classes: int, seed: int = 0) -> Tensor:
    """n labels in random order, as many of each class as can be."""
    order = torch.randperm(n, generator=torch.Generator().manual_seed(seed))
    return (torch.arange(n) % classes)[order]


def fake(train: int = 600, test: int = 200) -> ImageData:
    """A data set of six classes whose images are their own numbers."""

    def fetch(folder: Path, name: str) -> Arrays:
        raise NotImplementedError

    def images(n: int) -> np.ndarray:
        return np.arange(4 * n, dtype=np.uint32).view(np.uint8).reshape(4 * n, 2, 2, 1)[:n]

    arrays = Arrays(
        images(train), labels(train, 6).numpy(), images(test), labels(test, 6, 1).numpy()
    )
    dataset = Dataset(Layout(train, test, (2, 2, 1), 6), (0.5,), (0.5,), tuple("abcdef"), fetch)
    return ImageData("fake", dataset, arrays)


# --- long tails --------------------------------------------------------------------------------


@pytest.mark.parametrize(("classes", "factor", "total"), SETS)
def test_long_tailed_cifar(classes: int, factor: int, total: int) -> None:
    """The sizes that others have; of each class that many samples, none twice."""
    y = labels(50000, classes)
    kept = long_tail(y, classes, factor)
    assert len(kept) == total
    counts = torch.bincount(y[kept], minlength=classes).tolist()
    assert counts == long_tail_counts(50000 // classes, classes, factor)
    assert counts[0] == 50000 // classes
    assert counts[-1] == 50000 // classes // factor
    assert counts == sorted(counts, reverse=True)
    assert (kept.diff() > 0).all()
    assert kept[0] >= 0
    assert kept[-1] < 50000
    assert torch.equal(kept, long_tail(y, classes, factor))


def test_long_tail_by_hand() -> None:
    """1000 samples and a factor of 100 in three classes: 1000, 100, 10."""
    assert long_tail_counts(1000, 3, 100) == [1000, 100, 10]
    assert long_tail_counts(80, 4, 8) == [80, 40, 20, 10]
    assert long_tail_counts(7, 3, 1) == [7, 7, 7]
    assert long_tail_counts(5, 3, 100) == [5, 1, 1]
    assert long_tail_counts(5, 1, 100) == [5]


@given(
    largest=st.integers(1, 300),
    classes=st.integers(1, 20),
    factor=st.floats(1, 1e4),
    seed=st.integers(0, 99),
)
@settings(deadline=None, max_examples=50)
def test_any_long_tail(largest: int, classes: int, factor: float, seed: int) -> None:
    """Every class keeps at least one sample and none grows."""
    y = labels(largest * classes, classes, seed)
    kept = long_tail(y, classes, factor)
    counts = torch.bincount(y[kept], minlength=classes)
    assert counts.min() >= 1
    assert counts[0] == largest
    assert (counts.diff() <= 0).all()
    assert len(set(kept.tolist())) == len(kept)


def test_samples_that_stay_are_a_random_part() -> None:
    """Neither the first nor the last of a class, and the same part for every run."""
    y = torch.arange(6).repeat_interleave(1000)
    kept = long_tail(y, 6, 32)
    for label in range(1, 6):
        place = kept[y[kept] == label].double() - 1000 * label
        assert abs(place.mean() - 500) < 5 * 289 / math.sqrt(len(place))
    state = torch.get_rng_state()
    assert torch.equal(kept, long_tail(y, 6, 32))
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("factor", [0.5, 0, -3, math.nan])
def test_impossible_factor(factor: float) -> None:
    """Below 1 the last class would be the largest."""
    with pytest.raises(ValueError, match="imbalance factor must be at least 1, not"):
        long_tail_counts(100, 10, factor)


# --- wrong labels ------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["symmetric", "pair_flip"])
@pytest.mark.parametrize("rate", [0.0, 0.1, 0.45, 0.8, 1.0])
@pytest.mark.parametrize("classes", [2, 10, 100])
def test_share_of_wrong_labels(kind: str, rate: float, classes: int) -> None:
    """Binomial, in every class alike; valid classes; the same again; labels are not changed."""
    y = labels(20000, classes)
    before = y.clone()
    noisy = noisy_labels(y, classes, kind, rate)
    assert torch.equal(y, before)
    assert noisy.dtype == y.dtype
    assert noisy.min() >= 0
    assert noisy.max() < classes
    wrong = noisy != y
    bound = 5 * math.sqrt(rate * (1 - rate) / 20000)
    assert abs(wrong.double().mean() - rate) <= bound
    for label in range(classes):
        mine = wrong[y == label].double()
        assert abs(mine.mean() - rate) <= bound * math.sqrt(20000 / len(mine))
    assert torch.equal(noisy, noisy_labels(y, classes, kind, rate))


def test_symmetric_noise_is_uniform_over_other_classes() -> None:
    """Chi-square over all pairs of a label and a wrong one."""
    y = labels(45000, 10)
    noisy = noisy_labels(y, 10, "symmetric", 0.8)
    pairs = torch.zeros(10, 10)
    pairs.index_put_((y, noisy), torch.ones(()), accumulate=True)
    wrong = pairs[~torch.eye(10, dtype=torch.bool)]
    statistic = ((wrong - wrong.mean()) ** 2 / wrong.mean()).sum()
    assert statistic < 89 + 5 * math.sqrt(2 * 89)


def test_pair_flip_goes_to_the_next_class() -> None:
    """And from the last to the first."""
    y = labels(5000, 7)
    noisy = noisy_labels(y, 7, "pair_flip", 0.4)
    wrong = noisy != y
    assert torch.equal(noisy[wrong], (y[wrong] + 1) % 7)
    assert set(y[wrong].tolist()) == set(range(7))
    assert torch.equal(noisy_labels(y, 7, "pair_flip", 1.0), (y + 1) % 7)


def test_wrong_labels_are_not_the_same_for_both_kinds() -> None:
    """Each kind has a random stream of its own; a higher rate keeps the wrong ones of a lower."""
    y = labels(2000, 10)
    symmetric, flipped = (
        noisy_labels(y, 10, kind, 0.3) != y for kind in ("symmetric", "pair_flip")
    )
    assert abs((symmetric & flipped).double().mean() - 0.09) < 0.04
    more = noisy_labels(y, 10, "symmetric", 0.5)
    assert torch.equal(noisy_labels(y, 10, "none", 0.0), y)
    assert (more[symmetric] != y[symmetric]).all()


@pytest.mark.parametrize("rate", [-0.1, 1.1, math.nan])
def test_impossible_rate(rate: float) -> None:
    """A share lies between 0 and 1."""
    with pytest.raises(ValueError, match="noise rate must lie between 0 and 1, not"):
        noisy_labels(labels(10, 2), 2, "symmetric", rate)


@pytest.mark.usefixtures("as_users_call")
def test_unknown_noise() -> None:
    """The error lists what there is."""
    with pytest.raises(ValueError, match="'flip', not one of none, symmetric, pair_flip"):
        noisy_labels(labels(10, 2), 2, "flip", 0.1)


# --- data sets ---------------------------------------------------------------------------------


def test_variant_of_a_data_set() -> None:
    """Images keep their labels, or get those of the noise; the tail comes first."""
    whole = fake()
    assert whole.variant().arrays is whole.arrays
    tail = whole.variant(imbalance=10)
    kept = long_tail(torch.tensor(whole.arrays.train_y), 6, 10).numpy()
    np.testing.assert_array_equal(tail.arrays.train_x, whole.arrays.train_x[kept])
    np.testing.assert_array_equal(tail.arrays.train_y, whole.arrays.train_y[kept])
    assert tail.info.num_samples == len(kept)
    assert tail.info.class_counts.tolist() == long_tail_counts(100, 6, 10)

    noisy = whole.variant(noise="pair_flip", noise_rate=0.5)
    np.testing.assert_array_equal(noisy.arrays.train_x, whole.arrays.train_x)
    assert 0.3 < (noisy.arrays.train_y != whole.arrays.train_y).mean() < 0.7

    both = whole.variant(imbalance=10, noise="symmetric", noise_rate=1.0)
    np.testing.assert_array_equal(both.arrays.train_x, tail.arrays.train_x)
    assert (both.arrays.train_y != tail.arrays.train_y).all()


def test_test_sets_stay() -> None:
    """The very arrays, and the original data set is as it was."""
    whole = fake()
    before = whole.arrays.train_y.copy()
    for imbalance, noise, rate in ((10, "none", 0), (1, "symmetric", 0.9), (5, "pair_flip", 0.5)):
        made = whole.variant(imbalance, noise, rate)
        assert made.arrays.test_x is whole.arrays.test_x
        assert made.arrays.test_y is whole.arrays.test_y
        assert made.arrays.train_y.dtype == before.dtype
        assert (made.name, made.dataset) == (whole.name, whole.dataset)
    np.testing.assert_array_equal(whole.arrays.train_y, before)
