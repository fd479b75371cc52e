"""Natural Selection against hand-worked numbers, independent references and its properties."""

import itertools
import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

import nslab
from nslab.networks import build_network
from nslab.objectives import NS
from nslab.objectives.ns import (
    composite,
    group_scores,
    ns_scores,
    ns_weights,
    shuffled_order,
    stitch,
)
from nslab.types import Batch, DataInfo

GRIDS = list(itertools.product((1, 2, 3, 4), (1, 2, 3, 4)))


class Constant(nn.Module):
    """Gives the same logits whatever it sees."""

    def __init__(self, logits: Tensor) -> None:
        super().__init__()
        self.logits = nn.Parameter(logits)

    def forward(self, x: Tensor) -> Tensor:
        return self.logits.expand(len(x), -1)


class Mean(nn.Module):
    """Logits are linear in the mean colour: simple enough to work out by hand."""

    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        self.weight = nn.Parameter(weight)

    def forward(self, x: Tensor) -> Tensor:
        return x.mean((2, 3)) @ self.weight.to(x.dtype)


def images(n: int, c: int = 3, h: int = 8, w: int = 8, seed: int = 0) -> Tensor:
    """Random images."""
    return torch.randn(n, c, h, w, generator=torch.Generator().manual_seed(seed))


def reference_scores(logits: np.ndarray, y: np.ndarray, m: int) -> np.ndarray:
    """Eq. 5 to 7 for each group in extended precision, the way the paper writes them."""
    z = logits.astype(np.longdouble)
    p = np.exp(z - z.max(1, keepdims=True))
    p /= p.sum(1, keepdims=True)
    out = np.empty(len(y))
    for g in range(len(z)):
        q = [p[g, y[g * m + i]] for i in range(m)]
        for i in range(m):
            out[g * m + i] = m * q[i] / sum(q)
    return out


def test_stitch_places_images_row_by_row() -> None:
    """Eq. 3 on four 1x1 and on six 2x3 images, written out."""
    x = torch.arange(4.0).view(4, 1, 1, 1)
    assert stitch(x, (2, 2)).tolist() == [[[[0, 1], [2, 3]]]]
    assert stitch(x, (1, 2)).tolist() == [[[[0, 1]]], [[[2, 3]]]]
    assert stitch(x, (4, 1)).tolist() == [[[[0], [1], [2], [3]]]]
    x = images(6, 2, 2, 3)
    tall = stitch(x, (3, 2))
    for i in range(6):
        r, c = divmod(i, 2)
        assert torch.equal(tall[0, :, 2 * r : 2 * r + 2, 3 * c : 3 * c + 3], x[i])


@pytest.mark.parametrize("grid", GRIDS)
@pytest.mark.parametrize("size", [(24, 24), (12, 24), (32, 32), (7, 9), (28, 28)])
def test_composite_is_the_resized_stitch(grid: tuple[int, int], size: tuple[int, int]) -> None:
    """The fast path equals stitch-then-resize, in both memory layouts, wherever it is taken."""
    x = images(2 * math.prod(grid), 3, *size).double()
    plain = F.interpolate(stitch(x, grid), size, mode="bilinear", align_corners=False)
    torch.testing.assert_close(composite(x, grid), plain, rtol=0, atol=1e-12)
    last = x.to(memory_format=torch.channels_last)
    made = composite(last, grid)
    torch.testing.assert_close(made, plain, rtol=0, atol=1e-12)
    assert made.is_contiguous(memory_format=torch.channels_last)


def test_composite_by_hand() -> None:
    """Two 2x2 images side by side: each pair of columns becomes its mean."""
    x = torch.tensor([[[[1.0, 3.0], [5.0, 7.0]]], [[[10.0, 20.0], [30.0, 50.0]]]])
    assert composite(x, (1, 2)).tolist() == [[[[2.0, 15.0], [6.0, 40.0]]]]


def test_composite_antialias_differs_and_smooths() -> None:
    """antialias=True is torch's own smoothing, not the paper's resize."""
    x = images(16, 1, 32, 32)
    smooth = F.interpolate(
        stitch(x, (4, 4)), (32, 32), mode="bilinear", align_corners=False, antialias=True
    )
    torch.testing.assert_close(composite(x, (4, 4), antialias=True), smooth)
    assert (composite(x, (4, 4)) - smooth).abs().max() > 0.5


def test_scores_by_hand() -> None:
    """Eq. 4 to 7 with p = (.1, .2, .3, .4) for every composite."""
    model = Constant(torch.log(torch.tensor([0.1, 0.2, 0.3, 0.4])))
    y = torch.tensor([0, 1, 2, 3, 3, 3, 3, 3])
    s = ns_scores(model, images(8), y, (2, 2))
    torch.testing.assert_close(s, torch.tensor([0.4, 0.8, 1.2, 1.6, 1, 1, 1, 1]))
    pairs = ns_scores(model, images(8), y, (1, 2))
    torch.testing.assert_close(pairs[:4], torch.tensor([2 / 3, 4 / 3, 6 / 7, 8 / 7]))


def test_weights_by_hand() -> None:
    """Eq. 8 for both strategies, unclamped unless asked."""
    s = torch.tensor([0.4, 0.8, 1.2, 3.6])
    torch.testing.assert_close(ns_weights(s, 0.7, 1.0), torch.tensor([1.1, 1.5, 1.9, 4.3]))
    torch.testing.assert_close(ns_weights(s, 1.5, -1.0), torch.tensor([1.1, 0.7, 0.3, -2.1]))
    torch.testing.assert_close(ns_weights(s, 1.5, -1.0, 0.0), torch.tensor([1.1, 0.7, 0.3, 0.0]))


@pytest.mark.parametrize("scale", [0.0, 1.0, 80.0, 1e4])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_scores_in_the_hard_range(scale: float, dtype: torch.dtype) -> None:
    """Extended-precision reference; logits up to 1e4 make every q of a group underflow."""
    gen = torch.Generator().manual_seed(1)
    logits = (torch.rand(64, 10, generator=gen) * 2 - 1).double() * scale
    logits = logits.to(dtype)
    y = torch.randint(0, 10, (256,), generator=gen)
    scores = group_scores(logits, y)
    assert torch.isfinite(scores).all()
    if scale <= 80:
        expected = reference_scores(logits.double().numpy(), y.numpy(), 4)
        rtol, atol = (1e-12, 1e-12) if dtype == torch.float64 else (2e-5, 6e-6)
        np.testing.assert_allclose(scores.double().numpy(), expected, rtol=rtol, atol=atol)


def test_underflowing_group_still_has_a_winner() -> None:
    """q = e^-1000, e^-1001: the naive sum is 0/0, the score is not."""
    logits = torch.tensor([[0.0, -1000.0, -1001.0]])
    s = group_scores(logits, torch.tensor([1, 2]))
    expected = 2 / (1 + math.exp(-1))
    torch.testing.assert_close(s, torch.tensor([expected, 2 - expected]))
    assert logits.softmax(-1)[0, 1:].sum() == 0
    nobody = torch.tensor([[0.0, -math.inf, -math.inf]])
    assert group_scores(nobody, torch.tensor([1, 2])).tolist() == [1.0, 1.0]


@given(
    seed=st.integers(0, 10**6),
    grid=st.sampled_from(GRIDS),
    groups=st.integers(1, 3),
    rest=st.integers(0, 15),
    scale=st.floats(0.01, 50),
)
@settings(deadline=None, max_examples=60)
def test_properties(seed: int, grid: tuple[int, int], groups: int, rest: int, scale: float) -> None:
    """Scores lie in [0, m], a group's sum to m, the remainder scores 1, weights average right."""
    m = math.prod(grid)
    b = m * groups + rest % m
    x = images(b, 3, 8, 8, seed)
    gen = torch.Generator().manual_seed(seed)
    model = Mean(scale * torch.randn(3, 5, generator=gen))
    y = torch.randint(0, 5, (b,), generator=gen)
    s = ns_scores(model, x, y, grid)
    assert ((s >= 0) & (s <= m * (1 + 1e-6))).all()
    torch.testing.assert_close(
        s[: m * groups].view(groups, m).sum(1), torch.full((groups,), 1.0 * m)
    )
    assert (s[m * groups :] == 1).all()
    for sigma, rho in ((0.7, 1.0), (2.5, -1.0)):
        mean = ns_weights(s, sigma, rho).mean()
        torch.testing.assert_close(mean, torch.tensor(sigma + rho), rtol=1e-4, atol=1e-5)


@given(seed=st.integers(0, 10**6), order=st.permutations(range(4)))
@settings(deadline=None, max_examples=30)
def test_permuting_a_group_permutes_its_scores(seed: int, order: list[int]) -> None:
    """For a network that reads the composite as a whole (its mean), places do not matter."""
    gen = torch.Generator().manual_seed(seed)
    x, y = images(4, seed=seed), torch.randint(0, 5, (4,), generator=gen)
    model = Mean(torch.randn(3, 5, generator=gen))
    s = ns_scores(model, x, y, (2, 2))
    torch.testing.assert_close(ns_scores(model, x[order], y[order], (2, 2)), s[order])


def test_identical_samples_score_one() -> None:
    """Same image and label: nobody wins."""
    model = build_network("lenet5", (3, 32, 32), 10, 0)
    x, y = images(1, 3, 32, 32).expand(8, -1, -1, -1), torch.full((8,), 3)
    torch.testing.assert_close(ns_scores(model, x, y, (2, 2)), torch.ones(8))


@pytest.mark.parametrize("mode", ["eval", "train"])
def test_model_is_left_as_found(mode: str) -> None:
    """Buffers, modes and gradients do not change; random state does only through Dropout."""
    model = build_network("resnet8", (3, 16, 16), 10, 0)
    model.train()
    model.bn1.eval()
    model(images(8, 3, 16, 16))
    before = {name: t.clone() for name, t in model.state_dict().items()}
    modes = [module.training for module in model.modules()]
    w = NS(mode=mode).weights(model, images(10, 3, 16, 16), torch.arange(10))
    assert not w.requires_grad
    assert all(torch.equal(t, before[name]) for name, t in model.state_dict().items())
    assert [module.training for module in model.modules()] == modes
    assert all(p.grad is None for p in model.parameters())


def test_one_statistics_update_per_step() -> None:
    """A training step with NS updates BatchNorm once, with the real batch alone."""
    x, y = images(16, 3, 16, 16), torch.arange(16) % 10
    seen = []
    for config in (nslab.CrossEntropy(), NS(), NS(mode="train"), NS(fold_batchnorm=True)):
        model = build_network("resnet8", (3, 16, 16), 10, 0).train()
        objective = config.build(DataInfo(10, 16, torch.ones(10).long()))
        objective(model, Batch(x, y, torch.arange(16))).total().backward()
        assert all(int(b) == 1 for n, b in model.named_buffers() if n.endswith("tracked"))
        seen.append([b.clone() for n, b in model.named_buffers() if n.endswith("running_mean")])
    for other in seen[1:]:
        assert all(torch.equal(a, b) for a, b in zip(seen[0], other, strict=True))


def test_gradient_is_that_of_constant_weights() -> None:
    """No gradient flows through the scores: the update is the weighted loss's alone."""
    x, y = images(12, 3, 32, 32), torch.arange(12) % 10
    model = build_network("lenet5", (3, 32, 32), 10, 0)
    objective = NS(sigma=1.5, rho=-1.0).build(DataInfo(10, 12, torch.ones(10).long()))
    scored = objective(model, Batch(x, y, torch.arange(12)))
    scored.total().backward()
    got = [p.grad.clone() for p in model.parameters()]
    model.zero_grad()
    w = NS(sigma=1.5, rho=-1.0).weights(model, x, y)
    torch.testing.assert_close(w, scored.weight)
    (w * F.cross_entropy(model(x), y, reduction="none")).mean().backward()
    for mine, p in zip(got, model.parameters(), strict=True):
        torch.testing.assert_close(mine, p.grad)


@pytest.mark.parametrize(
    ("options", "tolerance"),
    [
        ({"fold_batchnorm": True}, 1e-4),
        ({"score_dtype": "bfloat16"}, 0.1),
        ({"fold_batchnorm": True, "score_dtype": "bfloat16"}, 0.1),
    ],
)
def test_cheaper_scoring_agrees_with_the_plain_path(options: dict, tolerance: float) -> None:
    """Folded and 16-bit copies give the plain weights up to their precision, step after step."""
    model = build_network("resnet8", (3, 32, 32), 10, 0).to(memory_format=torch.channels_last)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
    objective = NS(**options).build(DataInfo(10, 64, torch.ones(10).long()))
    for step in range(4):
        x = images(64, 3, 32, 32, step).to(memory_format=torch.channels_last)
        batch = Batch(x, torch.arange(64) % 10, torch.arange(64))
        scored = objective(model, batch)
        expected = NS().weights(model, x, batch.y)
        assert scored.weight is not None
        torch.testing.assert_close(scored.weight, expected, rtol=0, atol=tolerance)
        optimizer.zero_grad()
        scored.total().backward()
        optimizer.step()


@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 20, 36), (5, 33, 17)])
def test_any_channels_and_rectangles(shape: tuple[int, int, int]) -> None:
    """Channel counts, rectangles and sizes the grid does not divide."""
    model = build_network("mlp", shape, 7, 0)
    x, y = images(9, *shape), torch.arange(9) % 7
    for grid in ((1, 2), (2, 2), (3, 1), (2, 4)):
        s = ns_scores(model, x, y, grid)
        m = math.prod(grid)
        torch.testing.assert_close(s[:m].sum(), torch.tensor(float(m)))


def test_dropout_is_off_while_scoring() -> None:
    """Scores are the same twice, and the model stays in training mode."""
    model = nn.Sequential(nn.Flatten(), nn.Dropout(0.5), nn.Linear(192, 10)).train()
    x, y = images(8), torch.arange(8)
    assert torch.equal(ns_scores(model, x, y, (2, 2)), ns_scores(model, x, y, (2, 2)))
    assert model.training


def test_under_autocast() -> None:
    """Weights are float32 and near those without autocast."""
    model = build_network("resnet8", (3, 32, 32), 10, 0)
    x, y = images(32, 3, 32, 32), torch.arange(32) % 10
    plain = NS().weights(model, x, y)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        lower = NS().weights(model, x, y)
    assert lower.dtype == torch.float32
    torch.testing.assert_close(lower, plain, rtol=0, atol=0.1)


def test_grouping() -> None:
    """Shuffled groups follow the order; the objective's order depends on samples and epoch only."""
    model = Mean(torch.randn(3, 5))
    x, y = images(10), torch.arange(10) % 5
    order = torch.tensor([3, 1, 4, 5, 9, 2, 6, 8, 7, 0])
    s = ns_scores(model, x, y, (2, 2), order=order)
    torch.testing.assert_close(s[order[:8]], ns_scores(model, x[order[:8]], y[order[:8]], (2, 2)))
    assert (s[order[8:]] == 1).all()
    batches = [Batch(x, y, torch.arange(10) + shift, epoch) for shift in (0, 1) for epoch in (0, 1)]
    orders = [tuple(shuffled_order(batch).tolist()) for batch in batches]
    assert all(sorted(o) == list(range(10)) for o in orders)
    assert len(set(orders)) == 4
    assert orders[0] == tuple(shuffled_order(batches[0]).tolist())
    weights = NS(grouping="shuffled").weights(model, x, y)
    torch.testing.assert_close(weights.mean(), torch.tensor(1.7), rtol=1e-4, atol=1e-5)


def test_shuffled_order_is_uniform() -> None:
    """Over many batches every sample lands in every place about equally often (chi-square)."""
    places = np.zeros((8, 8))
    for epoch in range(2000):
        x = torch.zeros(8, 1, 1, 1)
        batch = Batch(x, torch.zeros(8).long(), torch.arange(8) + 8 * (epoch % 7), epoch)
        places[np.arange(8), shuffled_order(batch).numpy()] += 1
    statistic = ((places - 250) ** 2 / 250).sum()
    assert statistic < 49 + 5 * math.sqrt(2 * 49)


def test_three_lines_in_a_loop_of_your_own() -> None:
    """The README's use: nothing else of nslab, and the loss goes down."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(192, 32), nn.ReLU(), nn.Linear(32, 4))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    y = torch.arange(32) % 4
    x = images(32) + 2 * F.one_hot(y, 4).float().repeat(1, 48).view(32, 3, 8, 8)
    losses = []
    ns = nslab.NS(grid=(2, 2), sigma=0.7, rho=+1)
    for _ in range(30):
        w = ns.weights(model, x, y)
        loss = (w * F.cross_entropy(model(x), y, reduction="none")).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.2 * losses[0]


@pytest.mark.usefixtures("as_users_call")
@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"grid": (0, 2)}, "positive whole numbers"),
        ({"grid": (2,)}, "positive whole numbers"),
        ({"grid": (2, 2.0)}, "positive whole numbers"),
        ({"grid": "2x2"}, "positive whole numbers"),
        ({"grid": (2, 16)}, "less than a pixel"),
        ({"grid": (4, 8)}, "smaller than a group of 32"),
        ({"x": torch.zeros(16, 192)}, "float images"),
        ({"x": torch.zeros(16, 3, 8, 8, dtype=torch.uint8)}, "float images"),
        ({"y": torch.zeros(16)}, "whole numbers"),
        ({"y": torch.zeros(15).long()}, "shape"),
        ({"y": torch.full((16,), 5)}, "classes 0 to 4"),
        ({"y": torch.full((16,), -1)}, "classes 0 to 4"),
        ({"model": nn.Flatten(0)}, "logits of shape"),
        ({"model": nn.Identity()}, "logits of shape"),
    ],
)
def test_impossible_input_is_refused(change: dict, message: str) -> None:
    """Each with an error that says what is wrong."""
    model = Mean(torch.zeros(3, 5))
    good = {"model": model, "x": images(16), "y": torch.zeros(16).long(), "grid": (2, 2)}
    if change.get("grid") == (2, 16):
        good |= {"x": images(32, 3, 8, 8), "y": torch.zeros(32).long()}
    with pytest.raises(ValueError, match=message):
        ns_scores(**(good | change))


@pytest.mark.usefixtures("as_users_call")
@pytest.mark.parametrize(
    ("fields", "error"),
    [
        ({"grid": (2, 0)}, ValueError),
        ({"sigma": "0.7"}, TypeError),
        ({"sigma": None}, TypeError),
        ({"rho": math.nan}, ValueError),
        ({"sigma": math.inf}, ValueError),
        ({"rho": True}, TypeError),
        ({"min_weight": "0"}, TypeError),
        ({"grouping": "random"}, ValueError),
        ({"mode": "test"}, ValueError),
        ({"score_dtype": "float8"}, ValueError),
        ({"mode": "train", "fold_batchnorm": True}, ValueError),
    ],
)
def test_wrong_hyperparameters_are_refused(fields: dict, error: type[Exception]) -> None:
    """When the dataclass is made, before any work."""
    with pytest.raises(error, match=r"NS|grid"):
        NS(**fields)


def test_stitch_refuses_part_of_a_grid() -> None:
    """Three images do not fill 2 x 2."""
    with pytest.raises(ValueError, match="3 images do not fill"):
        stitch(images(3), (2, 2))
