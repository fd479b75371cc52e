"""SHOT's labels and loss against references written another way."""

import math

import numpy as np
import pytest
import torch
from scipy.spatial.distance import cdist
from torch import nn

from nslab.adapt.shot import Shot, information_maximisation, pseudo_labels
from nslab.objectives import NS, OBJECTIVES, CrossEntropy
from nslab.types import Batch, DataInfo


def reference_labels(f: np.ndarray, p: np.ndarray, threshold: int = 0) -> np.ndarray:
    """Class by class and image by image, with scipy's cosine distance."""
    f = np.concatenate([f, np.ones((len(f), 1))], 1)
    f = f / np.sqrt((f**2).sum(1, keepdims=True))
    votes = [int((p.argmax(1) == k).sum()) for k in range(p.shape[1])]
    given = [k for k, count in enumerate(votes) if count > threshold]
    soft = {k: sum(p[i, k] * f[i] for i in range(len(f))) / (1e-8 + p[:, k].sum()) for k in given}
    first = [nearest(row, soft) for row in f]
    members = {k: [f[i] for i, label in enumerate(first) if label == k] for k in given}
    hard = {k: sum(rows) / (1e-8 + len(rows)) for k, rows in members.items() if rows}
    return np.array([nearest(row, hard) for row in f])


def nearest(row: np.ndarray, centroids: dict[int, np.ndarray]) -> int:
    """The class of the nearest centroid, the first of equals."""
    distances = [cdist(row[None], c[None], "cosine")[0, 0] for c in centroids.values()]
    return list(centroids)[int(np.argmin(distances))]


@pytest.mark.parametrize("seed", range(40))
@pytest.mark.parametrize("threshold", [0, 1, 3])
def test_pseudo_labels_agree_with_a_reference(seed: int, threshold: int) -> None:
    """Of few and many images, tiny and huge features, sure and even probabilities."""
    draws = np.random.default_rng(seed)
    n, d, k = draws.integers(1, 60), draws.integers(1, 12), draws.integers(2, 8)
    f = draws.normal(size=(n, d)) * 10.0 ** draws.uniform(-4, 4)
    p = draws.dirichlet(np.full(k, 10.0 ** draws.uniform(-1, 1)), size=n)
    if np.bincount(p.argmax(1)).max() <= threshold:
        with pytest.raises(ValueError, match=f"more than {threshold} images"):
            pseudo_labels(torch.from_numpy(f), torch.from_numpy(p), threshold)
        return
    found = pseudo_labels(torch.from_numpy(f), torch.from_numpy(p), threshold)
    assert found.tolist() == reference_labels(f, p, threshold).tolist()


def test_a_class_that_loses_all_its_images_is_not_given() -> None:
    """Class 1 is the likeliest of one image, which lies nearest to the centroid of class 0: in the
    second round it has no centroid, and none of NaN either."""
    f = torch.tensor([[1.0, 0.0], [1.0, 0.01], [1.0, 0.02], [0.0, 1.0]])
    p = torch.tensor([[0.9, 0.1], [0.9, 0.1], [0.45, 0.55], [0.6, 0.4]])
    found = pseudo_labels(f, p)
    assert found.tolist() == reference_labels(f.double().numpy(), p.double().numpy()).tolist()
    one_class = pseudo_labels(f[:3], torch.tensor([[0.9, 0.1], [0.6, 0.4], [0.5, 0.5]]))
    assert one_class.tolist() == [0, 0, 0]


def test_pseudo_labels_refuse_what_they_cannot_use(as_users_call: None) -> None:
    """With a message that says what is wrong."""
    f, p = torch.ones(3, 2), torch.full((3, 2), 0.5)
    with pytest.raises(ValueError, match="both of the same images"):
        pseudo_labels(f[:2], p)
    with pytest.raises(ValueError, match="both of the same images"):
        pseudo_labels(f[:0], p[:0])
    with pytest.raises(ValueError, match="not finite"):
        pseudo_labels(f.mul(torch.inf), p)
    with pytest.raises(ValueError, match="lower threshold"):
        pseudo_labels(f, p, threshold=3)


@pytest.mark.parametrize("scale", [0.0, 1e-3, 1.0, 80.0, 1e4])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_information_maximisation_agrees_with_a_reference(scale: float, dtype: torch.dtype) -> None:
    """Value and gradient, from even predictions to one-hot ones."""
    draws = torch.Generator().manual_seed(3)
    logits = (scale * torch.randn(33, 7, generator=draws, dtype=torch.float64)).to(dtype)
    logits.requires_grad_()
    found = information_maximisation(logits)
    (grad,) = torch.autograd.grad(found, logits)
    p, n, k = logits.detach().double().softmax(1), 33, 7
    mean = [sum(float(p[i, c]) for i in range(n)) / n for c in range(k)]
    single = sum(-float(q) * math.log(float(q) + 1e-5) for q in p.flatten()) / n
    value = single + sum(m * math.log(m + 1e-5) for m in mean)
    assert found.item() == pytest.approx(value, abs=1e-6)
    # d/dp of both terms, then through the softmax
    m = torch.tensor(mean, dtype=torch.float64)
    slope = -((p + 1e-5).log() + p / (p + 1e-5)) / n + ((m + 1e-5).log() + m / (m + 1e-5)) / n
    expected = p * (slope - (p * slope).sum(1, keepdim=True))
    torch.testing.assert_close(grad.double(), expected, rtol=2e-4, atol=3e-7)


def test_sure_and_spread_predictions_are_best() -> None:
    """Between -log K, and 0 where all predictions are alike."""
    spread, alike = 50 * torch.eye(4), 50 * torch.eye(4)[:1].expand(4, -1)
    assert float(information_maximisation(spread)) == pytest.approx(-math.log(4), abs=1e-4)
    assert float(information_maximisation(alike)) == pytest.approx(0, abs=1e-6)
    half = information_maximisation(spread.bfloat16())
    assert half.dtype == torch.float32


@pytest.mark.parametrize("key", OBJECTIVES)
def test_weights_multiply_the_pseudo_label_term_alone(key: str) -> None:
    """The total is 0.3 times the objective's losses, its own penalty, and the information
    maximisation; its weights are told as they are."""
    draws = torch.Generator().manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
    y = torch.arange(12) % 10
    batch = Batch(torch.randn(12, 1, 8, 8, generator=draws), y, torch.arange(12))
    config = OBJECTIVES[key]()
    info = DataInfo.of(y, 10)
    plain, shot = config.build(info)(model, batch), Shot(config.build(info))
    assert shot.min_batch == config.build(info).min_batch
    scored = shot(model, batch)
    torch.testing.assert_close(scored.loss, 0.3 * plain.loss)
    assert (scored.weight is None) == (plain.weight is None)
    if plain.weight is not None and scored.weight is not None:
        torch.testing.assert_close(scored.weight, plain.weight)
    im = information_maximisation(plain.logits)
    penalty = im if plain.penalty is None else im + plain.penalty
    assert scored.total().item() == pytest.approx((0.3 * plain.loss.mean() + penalty).item(), 1e-5)


def test_scores_are_of_the_pseudo_labels() -> None:
    """Eq. 6's label is the batch's, which is the pseudo-label."""
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
    x, y = torch.randn(8, 1, 8, 8), torch.arange(8)
    ns = NS(sigma=0.6)
    batch = Batch(x, y, torch.arange(8))
    weight = Shot(ns.build(DataInfo.of(y, 10)))(model, batch).weight
    assert weight is not None
    torch.testing.assert_close(weight, ns.weights(model, x, y))
    assert Shot(CrossEntropy().build(DataInfo.of(y, 10)))(model, batch).weight is None
