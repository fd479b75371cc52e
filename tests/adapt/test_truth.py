"""Numbers that need the labels, against plain counting."""

import math

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score

from nslab.adapt.truth import Records, auc, class_means, epoch_rows


@pytest.mark.parametrize("seed", range(10))
def test_auc_is_scikit_learns(seed: int) -> None:
    """Also with ties and values that are missing."""
    draws = np.random.default_rng(seed)
    values = draws.integers(0, 6, 50).astype(float)
    right = draws.random(50) < 0.7
    assert auc(values, right) == pytest.approx(roc_auc_score(right, values))
    gaps = np.where(draws.random(50) < 0.2, np.nan, values)
    there = ~np.isnan(gaps)
    assert auc(gaps, right) == pytest.approx(roc_auc_score(right[there], gaps[there]))


def test_auc_of_one_kind_is_undefined() -> None:
    """No right ones, no wrong ones, or none at all."""
    values = np.array([1.0, 2.0])
    assert math.isnan(auc(values, np.array([True, True])))
    assert math.isnan(auc(values, np.array([False, False])))
    assert math.isnan(auc(values * np.nan, np.array([False, True])))


def test_class_means_leave_out_what_is_missing() -> None:
    """A class without a value has none."""
    values, y = np.array([1.0, np.nan, 4.0, 6.0]), np.array([0, 0, 2, 2])
    means = class_means(values, y, 4)
    assert means[0] == 1.0
    assert means[2] == 5.0
    assert math.isnan(means[1])
    assert math.isnan(means[3])


def test_rows_count_as_a_loop_would() -> None:
    """Two epochs, looked at after the second; the first epoch's objective gave no weights."""
    truth = np.array([0, 1, 2, 1]), np.array([2, 0])
    seen = Records([torch.tensor([2, 2], dtype=torch.int16)])
    for labels, weight, tested in (
        ([0, 1, 1, 0], [math.nan] * 4, None),
        ([0, 1, 2, 0], [2.0, 1.0, 3.0, 1.5], [2, 0]),
    ):
        seen.begin(torch.tensor(labels))
        seen.values[-1][0] = torch.tensor([0.9, 0.8, 0.7, 0.95])
        seen.values[-1][1] = torch.tensor(weight)
        seen.tested.append(None if tested is None else torch.tensor(tested, dtype=torch.int16))
    first, second = epoch_rows(seen, truth, 3)
    assert seen.test_accuracy(0, truth[1]) == 50.0
    assert first["pseudo_accuracy"] == 50.0
    assert "test_accuracy" not in first
    assert "auc_weight" not in first
    assert second["pseudo_accuracy"] == 75.0
    assert second["pseudo_class_accuracy"] == [100.0, 50.0, 100.0]
    assert second["class_weight"] == [2.0, 1.25, 3.0]
    assert second["auc_weight"] == pytest.approx(2 / 3)  # 2 and 3 above 1.5, 1 below
    assert second["auc_probability"] == 0.0
    assert second["test_accuracy"] == 100.0
