"""What every objective must do: a new entry of OBJECTIVES is bound by these without a new test."""

import dataclasses
import math

import pytest
import torch
from torch import Tensor, nn

from nslab.experiments.codec import decode, encode
from nslab.objectives import OBJECTIVES, CrossEntropy, Weighted
from nslab.types import Batch, DataInfo, Objective, ObjectiveConfig, Scored

B, K = 24, 10
INFO = DataInfo(K, 240, torch.full((K,), 24))


class Images(nn.Module):
    """A small network with BatchNorm and Dropout."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3, padding=1)
        self.norm = nn.BatchNorm2d(8)
        self.drop = nn.Dropout(0.1)
        self.head = nn.Linear(8, K)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.drop(self.norm(self.conv(x)).relu().mean((2, 3))))


class Logits(nn.Module):
    """Gives logits that a test chose: sample i's are row i of a parameter. Composites of any kind
    get the mean row."""

    def __init__(self, logits: Tensor) -> None:
        super().__init__()
        self.logits = nn.Parameter(logits)

    def forward(self, x: Tensor) -> Tensor:
        if len(x) == len(self.logits):
            return self.logits + 0 * x.sum().to(self.logits.dtype)
        return self.logits.mean(0).expand(len(x), -1)


def batch(seed: int = 0, epoch: int = 0) -> Batch:
    """A batch of random images."""
    gen = torch.Generator().manual_seed(seed)
    x = torch.randn(B, 3, 8, 8, generator=gen)
    return Batch(x, torch.randint(0, K, (B,), generator=gen), torch.arange(B), epoch)


@pytest.fixture(params=OBJECTIVES)
def config(request: pytest.FixtureRequest) -> ObjectiveConfig:
    """Each objective with its defaults."""
    return OBJECTIVES[request.param]()


@pytest.fixture
def objective(config: ObjectiveConfig) -> Objective:
    """The same, built."""
    return config.build(INFO)


def test_config_is_a_documented_value(config: ObjectiveConfig) -> None:
    """Frozen, equal to its copy, hashable, written to JSON and read back, with a docstring."""
    assert dataclasses.is_dataclass(config)
    assert type(config).__doc__
    assert config == dataclasses.replace(config)  # type: ignore[type-var]
    assert hash(config) == hash(dataclasses.replace(config))  # type: ignore[type-var]
    assert decode(encode(config)) == config
    for field in dataclasses.fields(config):
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(config, field.name, None)


def test_scores_a_batch(objective: Objective) -> None:
    """One finite loss per sample, the model's logits, constant weights, gradients everywhere."""
    model = Images().train()
    scored = objective(model, batch())
    assert isinstance(scored, Scored)
    assert scored.loss.shape == (B,)
    assert scored.loss.dtype == torch.float32
    assert scored.logits.shape == (B, K)
    assert torch.isfinite(scored.loss).all()
    assert scored.weight is None or not scored.weight.requires_grad
    scored.total().backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert torch.isfinite(parameter.grad).all(), name
    assert model.training


def test_learns(config: ObjectiveConfig) -> None:
    """Plain gradient descent on one batch finds the labels."""
    torch.manual_seed(0)
    b = batch()
    model = nn.Sequential(nn.Flatten(), nn.Linear(192, 64), nn.ReLU(), nn.Linear(64, K))
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    objective = config.build(dataclasses.replace(INFO, num_samples=B))
    for _ in range(60):
        optimizer.zero_grad()
        objective(model, b).total().backward()
        optimizer.step()
    assert (model(b.x).argmax(1) == b.y).float().mean() > 0.9


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
@pytest.mark.parametrize("kind", ["uniform", "right", "wrong", "random"])
def test_hard_logits(config: ObjectiveConfig, kind: str, dtype: torch.dtype) -> None:
    """Uniform, exactly one-hot (right or wrong) and random logits of ±80: all finite."""
    b = batch()
    one_hot = nn.functional.one_hot(b.y, K).double()
    random = torch.randn(B, K, generator=torch.Generator().manual_seed(1)).double()
    logits = {
        "uniform": torch.zeros(B, K).double(),
        "right": 160 * one_hot - 80,
        "wrong": 160 * one_hot.roll(1, 1) - 80,
        "random": 80 * random.tanh(),
    }[kind].to(dtype)
    model = Logits(logits)
    scored = config.build(INFO)(model, b)
    assert torch.isfinite(scored.loss).all()
    assert scored.loss.dtype == (torch.float64 if dtype == torch.float64 else torch.float32)
    scored.total().backward()
    assert torch.isfinite(model.logits.grad).all()


def test_says_the_same_twice(config: ObjectiveConfig) -> None:
    """Two objects of one config, in evaluation mode, agree to the bit."""
    model = Images().eval()
    first, second = (config.build(INFO)(model, batch()) for _ in range(2))
    assert torch.equal(first.loss, second.loss)


def test_smallest_batch(objective: Objective) -> None:
    """A batch of ``min_batch`` is enough."""
    b, n = batch(), objective.min_batch
    small = Batch(b.x[:n], b.y[:n], b.index[:n])
    model = Images().eval()
    assert objective(model, small).loss.shape == (n,)


def test_leaves_the_batch_alone(objective: Objective) -> None:
    """Inputs are not changed in place."""
    b = batch()
    x, y = b.x.clone(), b.y.clone()
    objective(Images(), b).total().backward()
    assert torch.equal(b.x, x)
    assert torch.equal(b.y, y)


def test_cross_entropy_by_hand() -> None:
    """-log p of the label for p = (1/2, 1/4, 1/4)."""
    logits = torch.log(torch.tensor([[0.5, 0.25, 0.25]])).repeat(3, 1)
    b = Batch(torch.zeros(3, 1), torch.tensor([0, 1, 2]), torch.arange(3))
    info = DataInfo(3, 3, torch.ones(3).long())
    scored = OBJECTIVES["ce"]().build(info)(Logits(logits), b)
    expected = torch.tensor([math.log(2), math.log(4), math.log(4)])
    torch.testing.assert_close(scored.loss, expected)
    torch.testing.assert_close(scored.total(), expected.mean())
    penalised = dataclasses.replace(scored, penalty=torch.tensor(2.0))
    torch.testing.assert_close(penalised.total(), expected.mean() + 2)


def test_weights_may_come_before_or_after_the_forward_pass() -> None:
    """``weigh`` gets the logits, without gradient, or None if it runs before."""
    seen: list[Tensor | None] = []

    def weigh(model: nn.Module, b: Batch, logits: Tensor | None) -> Tensor:
        seen.append(logits)
        return torch.arange(B).float()

    for before in (False, True):
        scored = Weighted(weigh=weigh, before=before)(Images(), batch())
        assert torch.equal(scored.weight, torch.arange(B).float())
        plain = CrossEntropy().loss(scored.logits, batch().y)
        torch.testing.assert_close(scored.loss, plain * torch.arange(B))
    assert seen[0] is not None
    assert not seen[0].requires_grad
    assert seen[1] is None
