"""Natural Selection in use: models, modes, precisions, groupings, and input it refuses."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from ns_models import Mean, images
from torch import nn

import nslab
from nslab.networks import build_network
from nslab.objectives import NS
from nslab.objectives.competition import ns_scores, shuffled_order
from nslab.objectives.composites import stitch
from nslab.types import Batch, DataInfo


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


def test_objective_weighs_as_a_loop_of_ones_own() -> None:
    """Scores come first, from the statistics the network had before this batch."""
    x, y = images(16, 3, 16, 16), torch.arange(16) % 10
    model = build_network("resnet8", (3, 16, 16), 10, 0).train()
    expected = NS().weights(model, x, y)
    objective = NS().build(DataInfo(10, 16, torch.ones(10).long()))
    assert torch.equal(objective(model, Batch(x, y, torch.arange(16))).weight, expected)
    assert not torch.allclose(NS().weights(model, x, y), expected)


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
        expected = NS().weights(model, x, batch.y)
        scored = objective(model, batch)
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
    """Shuffled groups follow the order; the objective's depends on samples, epoch and seed only."""
    model = Mean(torch.randn(3, 5))
    x, y = images(10), torch.arange(10) % 5
    order = torch.tensor([3, 1, 4, 5, 9, 2, 6, 8, 7, 0])
    s = ns_scores(model, x, y, (2, 2), order=order)
    torch.testing.assert_close(s[order[:8]], ns_scores(model, x[order[:8]], y[order[:8]], (2, 2)))
    assert (s[order[8:]] == 1).all()
    batches = [Batch(x, y, torch.arange(10) + shift, epoch) for shift in (0, 1) for epoch in (0, 1)]
    batches.append(replace(batches[0], seed=1))
    orders = [tuple(shuffled_order(batch).tolist()) for batch in batches]
    assert all(sorted(o) == list(range(10)) for o in orders)
    assert len(set(orders)) == 5
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
        ({"x": torch.zeros(16, 192)}, "float images"),
        ({"x": torch.zeros(16, 3, 8, 8, dtype=torch.uint8)}, "float images"),
        ({"y": torch.zeros(16)}, "whole numbers"),
        ({"y": torch.zeros(15).long()}, "shape"),
        ({"y": torch.full((16,), 5)}, "classes 0 to 4"),
        ({"y": torch.full((16,), -1)}, "classes from 0"),
        ({"y": torch.full((16,), -100), "grid": (4, 8)}, "classes from 0"),
        ({"model": nn.Flatten(0)}, "logits must be of shape"),
        ({"model": nn.Identity()}, "logits must be of shape"),
        ({"forward": lambda x: x}, "logits must be of shape"),
        ({"forward": lambda x: {"scores": x}}, "dict with scores, which contains no logits"),
        ({"forward": lambda x: None}, "NoneType, which contains no logits"),
        ({"forward": lambda x: ("a", x)}, "tuple, which contains no logits"),
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
