"""What every objective must do: a new entry of OBJECTIVES is bound by these without a new test."""

import dataclasses
import io
import math
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.models.inception import InceptionOutputs

from nslab.configs import TrainConfig
from nslab.configs.serialization import decode, encode
from nslab.networks import logits as logits_module
from nslab.objectives import NS, OBJECTIVES, SETTINGS, CrossEntropy, Reweighted, Weighted
from nslab.objectives.weighted import PlainLoss, restore_state, state_of
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
    """Gradient descent on one batch, an epoch of its own, finds the labels."""
    torch.manual_seed(0)
    b = batch()
    model = nn.Sequential(nn.Flatten(), nn.Linear(192, 64), nn.ReLU(), nn.Linear(64, K))
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    objective = config.build(dataclasses.replace(INFO, num_samples=B))
    for epoch in range(100):
        optimizer.zero_grad()
        objective(model, dataclasses.replace(b, epoch=epoch)).total().backward()
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


WRAPPINGS = {
    "object": lambda z: SimpleNamespace(loss=None, logits=z),
    "dict": lambda z: {"hidden": z[:, :2], "logits": z},
    "tuple": lambda z: (z, z[:, :2]),
    "list": lambda z: [z],
    "inception": lambda z: InceptionOutputs(z, z[:, :2]),
}


class Wrapped(nn.Module):
    """Gives the logits of another network inside of something."""

    def __init__(self, net: nn.Module, wrapping: str) -> None:
        super().__init__()
        self.net, self.wrapping = net, wrapping

    def forward(self, x: Tensor) -> Any:
        return WRAPPINGS[self.wrapping](self.net(x))


@pytest.mark.parametrize("wrapping", WRAPPINGS)
def test_logits_inside_of_an_object(config: ObjectiveConfig, wrapping: str) -> None:
    """Models may return an object or dict with logits, or a tuple that begins with them."""
    net = Images().eval()
    plain = config.build(INFO)(net, batch())
    scored = config.build(INFO)(Wrapped(net, wrapping), batch())
    assert torch.equal(scored.loss, plain.loss)
    assert torch.equal(scored.logits, plain.logits)


LABELS = {
    "ignored": lambda y: torch.where(torch.arange(len(y)) == 3, -100, y),
    "negative": lambda y: torch.where(torch.arange(len(y)) == 3, -1, y),
    "beyond": lambda y: torch.where(torch.arange(len(y)) == 3, K, y),
    "column": lambda y: y[:, None],
    "one-hot": lambda y: F.one_hot(y, K),
    "soft": lambda y: 0.9 * F.one_hot(y, K).float() + 0.1 / K,
    "float": lambda y: y.float(),
    "bool": lambda y: y > 4,
    "too few": lambda y: y[:-1],
    "too many": lambda y: torch.cat([y, y[:1]]),
    "one": lambda y: y[0],
    "no tensor": lambda y: y.tolist(),
    "elsewhere": lambda y: y.to("meta"),
}


@pytest.mark.usefixtures("as_users_call")
@pytest.mark.parametrize("kind", LABELS)
def test_labels_that_are_none_are_refused(config: ObjectiveConfig, kind: str) -> None:
    """By the same sentence everywhere: nothing is ignored, rounded or averaged in silence. A loss
    that is called takes soft labels (`test_criteria`), a run does not."""
    y: Any = LABELS[kind](batch().y)
    for made in (config, NS(base=config)):
        with pytest.raises(ValueError, match=r"^labels "):
            made.build(INFO)(Images(), dataclasses.replace(batch(), y=y))
    if isinstance(config, PlainLoss):
        for call in (config.loss, *([] if kind == "soft" else [config, config.criterion()])):
            with pytest.raises(ValueError, match=r"^labels "):
                call(torch.randn(B, K), y)


@pytest.mark.usefixtures("as_users_call")
@pytest.mark.parametrize("kind", ["ignored", "beyond"])
def test_no_label_is_ignored_where_values_are_not_looked_at(
    config: ObjectiveConfig, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on an accelerator and in a compiled step: torch's own assertions remain."""
    monkeypatch.setattr(logits_module, "can_read_values", lambda values: False)
    with pytest.raises((IndexError, RuntimeError)):
        config.build(INFO)(Images(), dataclasses.replace(batch(), y=LABELS[kind](batch().y)))


@pytest.mark.usefixtures("as_users_call")
@pytest.mark.parametrize("dtype", [torch.int32, torch.int16, torch.uint8])
def test_labels_of_any_whole_type(config: ObjectiveConfig, dtype: torch.dtype) -> None:
    """The same as of int64, which torch's own losses insist on."""
    model, b = Images().eval(), batch()
    expected = config.build(INFO)(model, b).loss
    found = config.build(INFO)(model, dataclasses.replace(b, y=b.y.to(dtype))).loss
    assert torch.equal(found, expected)


def test_a_single_class_is_refused(config: ObjectiveConfig) -> None:
    """A binary classifier of one logit tells nothing: every p would be 1."""
    y = torch.zeros(B).long()
    with pytest.raises(ValueError, match="single class"):
        config.build(INFO)(Logits(torch.zeros(B, 1)), dataclasses.replace(batch(), y=y))


def test_masked_classes(config: ObjectiveConfig) -> None:
    """A logit of -inf: p is 0 and all is finite, or the loss says that it cannot have it. The
    label of a masked class is refused."""
    b = dataclasses.replace(batch(), y=batch().y % 7)
    logits = torch.randn(B, K, generator=torch.Generator().manual_seed(3))
    logits[:, 8:] = -torch.inf
    for made in (config, *(setting.objective for setting in settings_of(config))):
        model = Logits(logits.clone())
        try:
            scored = made.build(INFO)(model, b)
        except ValueError as refusal:
            if "masked, its logit is -inf" not in str(refusal):
                raise
            continue
        assert torch.isfinite(scored.loss).all()
        scored.loss.mean().backward()
        assert torch.isfinite(model.logits.grad).all()
        y = torch.where(torch.arange(B) == 3, 8, b.y)
        with pytest.raises(ValueError, match="masked"):
            made.build(INFO)(Logits(logits.clone()), dataclasses.replace(b, y=y))


def settings_of(config: ObjectiveConfig) -> list[Any]:
    """What sources recommend for an objective."""
    return [
        s for key, cls in OBJECTIVES.items() if cls is type(config) for s in SETTINGS[key].values()
    ]


class OneBad(Images):
    """Gives NaN for the second of six composites."""

    def forward(self, x: Tensor) -> Tensor:
        logits = super().forward(x)
        if len(x) == B // 4:
            logits[1, 5] = torch.nan
        return logits


def test_one_composite_without_a_verdict(config: ObjectiveConfig) -> None:
    """Its samples have the mean weight; all others are weighed as ever."""
    good, bad = Images().eval(), OneBad().eval()
    bad.load_state_dict(good.state_dict())
    objective = NS(base=config).build(INFO)
    inner, found = config.build(INFO)(bad, batch()), objective(bad, batch())
    w = NS().weights(good, batch().x, batch().y)
    w[4:8] = 1.7
    assert found.weight is not None
    torch.testing.assert_close(found.weight, w if inner.weight is None else w * inner.weight)
    assert torch.isfinite(found.loss).all()


@pytest.mark.parametrize("n", [1, 3, 5])
def test_small_batches_under_natural_selection(config: ObjectiveConfig, n: int) -> None:
    """Whoever has nobody to compete with weighs sigma + rho, in a batch of one too."""
    b, model = batch(), Images().eval()
    small = Batch(b.x[:n], b.y[:n], b.index[:n])
    plain, both = config.build(INFO)(model, small), NS(base=config).build(INFO)(model, small)
    alone = slice(n - n % 4, n)
    torch.testing.assert_close(both.loss[alone], 1.7 * plain.loss[alone])


def test_natural_selection_on_top(config: ObjectiveConfig) -> None:
    """NS weighs any objective: losses and weights times sigma + rho s, the penalty as it was."""
    ns = NS(base=config)
    assert decode(encode(ns)) == ns
    model = Images().eval()
    plain, both = config.build(INFO)(model, batch()), ns.build(INFO)(model, batch())
    w = ns.weights(model, batch().x, batch().y)
    torch.testing.assert_close(both.loss, w * plain.loss)
    torch.testing.assert_close(both.weight, w if plain.weight is None else w * plain.weight)
    assert (both.penalty is None) == (plain.penalty is None)


def test_plain_losses_in_a_loop_of_ones_own(config: ObjectiveConfig) -> None:
    """A loss per sample can be called like torch's own: the mean, and what ``build`` makes of it
    (penalties apart, which need the model)."""
    if not isinstance(config, PlainLoss):
        pytest.skip("no plain loss: it needs the model, the batch or a memory")
    logits = torch.randn(B, K, generator=torch.Generator().manual_seed(2))
    scored = config.build(INFO)(nn.Identity(), dataclasses.replace(batch(), x=logits))
    torch.testing.assert_close(config(logits, batch().y), scored.loss.mean())


def test_memory_is_handed_on(config: ObjectiveConfig) -> None:
    """What an objective remembers survives torch.save, alone and under NS; a copy that recalls it
    goes on just the same."""
    for made in (config, NS(base=config)):
        first, second = made.build(INFO), made.build(INFO)
        model = Images().train()
        for seed in range(3):
            first(model, batch(seed))
        file = io.BytesIO()
        torch.save(state_of(first), file)
        file.seek(0)
        restore_state(second, torch.load(file, weights_only=True))
        model.eval()
        assert torch.equal(first(model, batch(9)).loss, second(model, batch(9)).loss)
        torch.testing.assert_close(state_of(first), state_of(second))


def test_wrong_fields_are_refused(config: ObjectiveConfig, as_users_call: None) -> None:
    """Text for a number, nan and infinity: an error that names class and field."""
    for field in dataclasses.fields(config):
        if not isinstance(getattr(config, field.name), float):
            continue
        for bad in ("a lot", math.nan, math.inf, None):
            if bad is None and field.default is None:
                continue
            with pytest.raises((TypeError, ValueError), match=field.name):
                dataclasses.replace(config, **{field.name: bad})  # type: ignore[type-var]


@pytest.mark.parametrize("key", OBJECTIVES)
def test_recommended_settings(key: str) -> None:
    """Every objective lists what its sources recommend, each with its source; what else of a
    training they ask for are fields of a config."""
    settings = SETTINGS[key]
    for name, setting in settings.items():
        assert type(setting.objective) is OBJECTIVES[key], name
        assert setting.source, name
        TrainConfig(objective=setting.objective, **setting.training)
    assert not settings or {"cifar10", "cifar100"} <= set(settings)


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


def test_weights_come_after_or_before_the_forward_pass() -> None:
    """``Weighted`` hands the logits on, without gradient; ``Reweighted`` runs before there are any,
    and multiplies what the inner objective says."""
    seen: list[Tensor | None] = []

    def weigh(model: nn.Module, b: Batch, logits: Tensor | None) -> Tensor:
        seen.append(logits)
        return torch.arange(B).float()

    after = Weighted(weigh=weigh)
    for objective, power in ((after, 1), (Reweighted(after, weigh, 7), 2)):
        scored = objective(Images(), batch())
        assert torch.equal(scored.weight, torch.arange(B).float() ** power)
        plain = CrossEntropy().loss(scored.logits, batch().y)
        torch.testing.assert_close(scored.loss, plain * torch.arange(B) ** power)
    assert Reweighted(after, weigh, 7).min_batch == 7
    assert [logits is None for logits in seen] == [False, True, False]
    assert not seen[0].requires_grad


def test_a_network_that_has_diverged_is_not_taken_for_a_masked_one() -> None:
    """Where logits overflow to -inf the loss is infinite, which training tells."""
    y = torch.tensor([0, 1])
    diverged = torch.tensor([[-torch.inf, 1e30, 0.0], [2e30, 1e30, 0.0]])
    assert not CrossEntropy().loss(diverged, y).isfinite().all()
    masked = torch.tensor([[-torch.inf, 3.0, 0.0], [2.0, 1.0, 0.0]])
    with pytest.raises(ValueError, match="masked, its logit is -inf"):
        CrossEntropy().loss(masked, y)
