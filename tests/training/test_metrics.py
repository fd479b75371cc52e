"""Accuracy and loss against numpy, in one piece or in many."""

import math

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import top_k_accuracy_score
from torch import Tensor

from nslab.system.paths import papers_dir
from nslab.training.metrics import Tally, corruption_errors, mean_corruption_error


def batch(n: int, classes: int, scale: float = 1.0, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Random logits, no two of a row equal, and labels."""
    gen = torch.Generator().manual_seed(seed)
    places = torch.rand(n, classes, generator=gen).argsort(1).float()
    logits = scale * (places + 0.5 * torch.rand(n, classes, generator=gen) - classes / 2)
    return logits, torch.randint(0, classes, (n,), generator=gen)


def reference(logits: np.ndarray, y: np.ndarray) -> dict[str, float | list[float]]:
    """Sample by sample, the loss in extended precision."""
    classes = logits.shape[1]
    right, seen, losses = [0] * classes, [0] * classes, []
    for row, label in zip(logits.astype(np.longdouble), y.tolist(), strict=True):
        seen[label] += 1
        right[label] += max(range(classes), key=row.__getitem__) == label
        losses.append(row.max() - row[label] + np.log(np.exp(row - row.max()).sum()))
    share = [100 * r / s if s else math.nan for r, s in zip(right, seen, strict=True)]
    return {
        "accuracy": 100 * sum(right) / sum(seen),
        "per_class": share,
        "balanced": sum(share) / classes,
        "mean_loss": float(sum(losses) / len(losses)),
    }


def tallied(logits: Tensor, y: Tensor, cuts: list[int] | None = None) -> Tally:
    """A tally of batches that end at ``cuts``."""
    tally = Tally.empty(logits.shape[1])
    for a, b in zip([0, *(cuts or [])], [*(cuts or []), len(y)], strict=True):
        tally.add(logits[a:b], y[a:b])
    return tally


def check(tally: Tally, logits: Tensor, y: Tensor) -> None:
    """All numbers are the reference's."""
    expected = reference(logits.double().numpy(), y.numpy())
    found = {name: getattr(tally, name) for name in expected}
    assert isinstance(found["accuracy"], float)
    for name, value in expected.items():
        np.testing.assert_allclose(found[name], value, rtol=2e-6, atol=1e-6, err_msg=name)


def test_by_hand() -> None:
    """Three samples of class 0, one right; one of class 1, right; loss of even logits is ln 2."""
    tally = Tally.empty(2)
    tally.add(torch.tensor([[2.0, 1.0], [1.0, 2.0]]), torch.tensor([0, 0]))
    tally.add(torch.tensor([[0.0, 1.0], [0.0, 1.0]]), torch.tensor([0, 1]))
    assert tally.accuracy == 50
    assert tally.per_class == [pytest.approx(100 / 3), 100]
    assert tally.balanced == pytest.approx(200 / 3)
    softplus = math.log(1 + math.e)  # the loss where the other class is ahead by one
    assert tally.mean_loss == pytest.approx((2 * (softplus - 1) + 2 * softplus) / 4, rel=1e-6)
    even = tallied(torch.zeros(3, 2), torch.tensor([0, 1, 1]))
    assert even.mean_loss == pytest.approx(math.log(2), rel=1e-6)


@given(
    n=st.integers(1, 40),
    classes=st.integers(1, 12),
    scale=st.sampled_from([1e-3, 1.0, 30.0, 1e4]),
    seed=st.integers(0, 1000),
    cuts=st.lists(st.integers(0, 40), max_size=3),
)
@settings(deadline=None, max_examples=60)
def test_against_the_reference(
    n: int, classes: int, scale: float, seed: int, cuts: list[int]
) -> None:
    """However the samples are cut into batches, empty ones too; also where softmax underflows."""
    logits, y = batch(n, classes, scale, seed)
    check(tallied(logits, y, sorted(min(cut, n) for cut in cuts)), logits, y)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_other_precisions(dtype: torch.dtype) -> None:
    """Logits of any precision are counted as they are, the loss in at least single precision."""
    logits, y = batch(200, 10)
    logits = logits.to(dtype)
    check(tallied(logits, y), logits, y)


def test_packed_and_unpacked() -> None:
    """One vector and back; vectors of two processes add up to the tally of all samples."""
    logits, y = batch(50, 7)
    whole, one, two = tallied(logits, y), tallied(logits[:20], y[:20]), tallied(logits[20:], y[20:])
    packed = whole.packed()
    assert packed.shape == (16,)
    assert packed.dtype == torch.float64
    back = Tally.unpacked(packed)
    assert back.per_class == whole.per_class
    assert (back.accuracy, back.mean_loss) == (whole.accuracy, whole.mean_loss)
    check(Tally.unpacked(one.packed() + two.packed()), logits, y)
    back.add(logits, y)
    assert torch.equal(whole.packed()[:14] * 2, back.packed()[:14])
    assert whole.seen.sum() == 50, "the tally that was packed is not changed"


def test_top_five_is_sklearns() -> None:
    """The share of samples whose class is among the five likeliest, as scikit-learn counts it."""
    logits, y = batch(300, 12)
    expected = 100 * top_k_accuracy_score(y, logits, k=5, labels=range(12))
    assert 30 < expected < 99
    assert tallied(logits, y, [100]).top5 == pytest.approx(expected, abs=1e-9)
    few, labels = batch(20, 5)
    assert tallied(few, labels).top5 == 100
    assert tallied(torch.full((4, 12), torch.nan), y[:4]).top5 == 0


def test_class_without_samples() -> None:
    """Its accuracy is no number; that of the others and of all samples is right."""
    logits, y = batch(30, 5)
    y[y == 3] = 1
    tally = tallied(logits, y)
    check(tally, logits, y)
    assert [math.isnan(value) for value in tally.per_class] == [False, False, False, True, False]
    assert not math.isnan(tally.accuracy)


def test_nothing_counted() -> None:
    """Empty tallies have no accuracy, and share nothing with one another."""
    one, other = Tally.empty(3), Tally.empty(3)
    assert math.isnan(one.accuracy)
    assert math.isnan(one.mean_loss)
    one.add(torch.eye(3), torch.arange(3))
    assert one.accuracy == 100
    assert not other.packed().any()


def test_counts_stay_exact() -> None:
    """Beyond 2 ** 24, where single precision stops counting."""
    tally = Tally.unpacked(torch.tensor([2.0**24, 2.0**24, 2.0**25, 2.0**25, 1.0, 0.0]).double())
    tally.add(torch.tensor([[1.0, 0.0]]), torch.tensor([0]))
    assert tally.right.tolist() == [2**24 + 1, 2**24]
    assert tally.seen.tolist() == [2**25 + 1, 2**25]


def test_no_graph_is_kept() -> None:
    """Counting under ``no_grad`` leaves numbers, from logits that need gradients too."""
    logits, y = batch(8, 3)
    tally = Tally.empty(3)
    with torch.no_grad():
        tally.add(logits.requires_grad_() * 1, y)
    assert not tally.packed().requires_grad


# --- corruptions -------------------------------------------------------------------------------


def test_corruption_errors_by_hand() -> None:
    """Sums over severities before the ratio, the mean over corruptions after it."""
    baseline = {"fog": [10.0, 30.0], "frost": [50.0, 50.0]}
    errors = {"frost": [20.0, 30.0], "fog": [20.0, 40.0]}
    assert corruption_errors(errors, baseline) == {"fog": 150, "frost": 50}
    assert mean_corruption_error(errors, baseline) == 100
    assert mean_corruption_error(baseline, baseline) == 100
    nothing = {"fog": [0.0, 0.0], "frost": [0.0, 0.0]}
    assert mean_corruption_error(nothing, baseline) == 0


@pytest.mark.parametrize("table", ["S4", "S5", "S6"])
def test_corruption_errors_of_the_paper(table: str) -> None:
    """The printed mCE follow from the printed errors, within their rounding; LeNet-1 trained by
    Adam is the baseline."""

    def rows(name: str, metric: str) -> pd.DataFrame:
        found = pd.read_csv(papers_dir() / "de" / f"table{name}.csv").query("metric == @metric")
        return found.pivot_table("value", "corruption", ["network", "method"])

    errors, printed = rows(table, "error"), rows(table, "mce")
    base = rows("S5" if table == "S6" else table, "error")["lenet1", "adam"].drop("average")
    baseline = {str(name): [value] for name, value in base.items()}
    for model in errors:
        measured = {str(k): [value] for k, value in errors[model].drop("average").items()}
        for name, value in corruption_errors(measured, baseline).items():
            slack = value * (0.05 / measured[name][0] + 0.05 / baseline[name][0]) + 0.5
            assert value == pytest.approx(printed[model][name], abs=slack), (model, name)
        mean = mean_corruption_error(measured, baseline)
        assert mean == pytest.approx(printed[model]["average"], abs=1)
        if (table, *model) == ("S4", "lenet5", "de"):
            assert round(mean) == 65


def test_corruption_errors_that_cannot_be() -> None:
    """Corruptions or severities that one has and the other lacks; nothing; a perfect baseline."""
    with pytest.raises(ValueError, match="same corruptions; only one has fog, snow"):
        corruption_errors({"fog": [1.0]}, {"snow": [1.0]})
    with pytest.raises(ValueError, match="fog at the same severities: the model has 2, the base"):
        corruption_errors({"fog": [1.0, 2.0]}, {"fog": [1.0]})
    with pytest.raises(ValueError, match="baseline makes no error on fog"):
        corruption_errors({"fog": [1.0]}, {"fog": [0.0]})
    with pytest.raises(ValueError, match="no corruption was measured"):
        mean_corruption_error({}, {})
