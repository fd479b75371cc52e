"""Folded and 16-bit copies: right for every model, or refused."""

import gc
import weakref
from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from network_helpers import equal, images, state, train
from torch import Tensor, nn

from nslab.networks import build_network
from nslab.networks.batchnorm_folding import FoldedCopy, foldable, folded_copy
from nslab.networks.modes import scoring
from nslab.networks.resnet_cifar import ResNetCifar


class Between(nn.Module):
    """BatchNorm whose input is read elsewhere too."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, 7, 3), nn.BatchNorm2d(7)

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv(x)
        return (self.norm(y) + y).mean((2, 3))


class Twice(nn.Module):
    """The same layer and the same BatchNorm, called twice."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, 3, 3, padding=1), nn.BatchNorm2d(3)
        self.head = nn.Linear(3, 7)

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm(self.conv(self.norm(self.conv(x))))
        return self.head(y.mean((2, 3)))


class FunctionalDropout(nn.Module):
    """Dropout as a function, told the mode by the module."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(3, 7)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(F.dropout(x.mean((2, 3)), 0.5, self.training))


class Keyword(nn.Module):
    """BatchNorm called with its input's name."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, 7, 3), nn.BatchNorm2d(7)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(input=self.conv(x)).mean((2, 3))


class Tied(nn.Module):
    """Two layers that share their weights, each with a BatchNorm of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two = nn.Linear(7, 7), nn.Linear(7, 7)
        self.two.weight = self.one.weight
        self.stem, self.a, self.b = nn.Linear(3, 7), nn.BatchNorm1d(7), nn.BatchNorm1d(7)

    def forward(self, x: Tensor) -> Tensor:
        return self.b(self.two(self.a(self.one(self.stem(x.mean((2, 3)))))))


class ReadWeights(nn.Module):
    """The weights of a layer with BatchNorm are read elsewhere too."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(7, 7, 1), nn.BatchNorm2d(7)
        self.stem = nn.Conv2d(3, 7, 3)

    def forward(self, x: Tensor) -> Tensor:
        y = self.stem(x)
        return (self.norm(self.conv(y)) + F.conv2d(y, self.conv.weight)).mean((2, 3))


class Tokens(nn.Module):
    """BatchNorm over tokens, as many as the linear layer before it has outputs."""

    def __init__(self) -> None:
        super().__init__()
        self.linear, self.norm = nn.Linear(16 * 16, 3), nn.BatchNorm1d(3)
        self.head = nn.Linear(3, 7)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.norm(self.linear(x.flatten(2))).mean(2))


class PlainTensor(nn.Module):
    """A tensor that is neither parameter nor buffer."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, 7, 3), nn.BatchNorm2d(7)
        self.scale = torch.tensor(2.0)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(self.conv(x) * self.scale).mean((2, 3))


class BufferMath(nn.Module):
    """Computes with a buffer alone, which changes in training."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, 7, 3), nn.BatchNorm2d(7)

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm(self.conv(x)).mean((2, 3))
        return y * (1 + self.norm.running_var.mean())


class Choosing(nn.Module):
    """Control flow that depends on data."""

    def forward(self, x: Tensor) -> Tensor:
        return x if x.sum() > 0 else -x


class Standardised(nn.Conv2d):
    """A convolution that computes its weights anew in each pass."""

    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(x, self.weight - self.weight.mean(), self.bias)


def sequential(*layers: nn.Module) -> nn.Module:
    """Layers between 3 channels and 7 logits."""
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.LazyLinear(7))


# Models and how many BatchNorms are folded (None: any number would be right).
MODELS: dict[str, tuple[Callable[[], nn.Module], int | None]] = {
    "resnet8": (lambda: build_network("resnet8", (3, 16, 16), 7, 0), 7),
    "resnet14b": (lambda: build_network("resnet14b", (3, 16, 16), 7, 0), 15),
    "lenet5": (lambda: build_network("lenet5", (3, 16, 16), 7, 0), 0),
    "bias": (lambda: sequential(nn.Conv2d(3, 4, 3, bias=True), nn.BatchNorm2d(4)), 1),
    "no bias": (lambda: sequential(nn.Conv2d(3, 4, 3, bias=False), nn.BatchNorm2d(4)), 1),
    "not affine": (lambda: sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4, affine=False)), 1),
    "not affine, no bias": (
        lambda: sequential(nn.Conv2d(3, 4, 3, bias=False), nn.BatchNorm2d(4, affine=False)),
        1,
    ),
    "no statistics": (
        lambda: sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4, track_running_stats=False)),
        0,
    ),
    "groups, stride": (
        lambda: sequential(nn.Conv2d(3, 6, 3, stride=2, groups=3), nn.BatchNorm2d(6, eps=0.1)),
        1,
    ),
    "average of all": (lambda: sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4, momentum=None)), 1),
    "linear": (
        lambda: nn.Sequential(nn.Flatten(), nn.Linear(768, 7, bias=False), nn.BatchNorm1d(7)),
        None,
    ),
    "conv1d": (
        lambda: nn.Sequential(
            nn.Flatten(2), nn.Conv1d(3, 4, 5), nn.BatchNorm1d(4), nn.Flatten(), nn.LazyLinear(7)
        ),
        1,
    ),
    "first": (lambda: sequential(nn.BatchNorm2d(3), nn.Conv2d(3, 4, 3)), 0),
    "behind relu": (lambda: sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.BatchNorm2d(4)), 0),
    "two in a row": (
        lambda: sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.BatchNorm2d(4)),
        1,
    ),
    "dropout": (
        lambda: sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Dropout(0.5), nn.Dropout2d()),
        1,
    ),
    "read elsewhere": (Between, 0),
    "called twice": (Twice, 0),
}


def made(name: str) -> nn.Module:
    """A model of the table whose lazy layers have their sizes, drawn from a stream of its own."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(len(name))
        model = MODELS[name][0]()
        model(images(2, 3, 16, 16))
    return model


@pytest.mark.parametrize("name", sorted(MODELS))
def test_folded_copy(name: str) -> None:
    """Equal to the model in evaluation mode, folded where it can be; the model is not touched."""
    model, x = made(name), images(14, 3, 16, 16)
    train(model, x)
    modes = {key: module.training for key, module in model.named_modules()}
    before = state(model)
    folded = FoldedCopy(model)
    folded.refresh()
    found = folded(x)
    assert MODELS[name][1] in (None, len(folded.folds))
    assert {key: module.training for key, module in model.named_modules()} == modes
    assert equal(state(model), before)
    assert not found.requires_grad
    assert torch.equal(folded(x), found)
    with scoring(model) as net, torch.no_grad():
        expected = net(x)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
    kinds = (nn.BatchNorm1d, nn.BatchNorm2d)
    left, there = (
        sum(isinstance(module, kinds) for module in net.modules()) for net in (folded.net, model)
    )
    assert left == there - len(folded.folds), "a folded BatchNorm is gone"


@pytest.mark.parametrize("name", ["resnet8", "bias", "read elsewhere"])
@pytest.mark.parametrize("fold", [True, False])
def test_folded_copy_follows_the_model(name: str, fold: bool) -> None:
    """It keeps what it took over until the next refresh, however far the model has gone."""
    model, x = made(name), images(14, 3, 16, 16)
    folded = FoldedCopy(model, fold=fold)
    folded.refresh()
    old = folded(x)
    for step in range(3):
        train(model, x + step)
        assert torch.equal(folded(x), old)
        folded.refresh()
        with scoring(model) as net, torch.no_grad():
            expected = net(x)
        old = folded(x)
        torch.testing.assert_close(old, expected, rtol=1e-4, atol=1e-5)
        loaded = {key: value.clone() for key, value in model.state_dict().items()}
    train(model, x)
    model.load_state_dict(loaded)
    folded.refresh()
    assert torch.equal(folded(x), old), "a loaded state counts as well"


def test_folding_in_double_precision() -> None:
    """The algebra is exact: in double precision nothing but rounding is left."""
    model = train(ResNetCifar((3, 16, 16), 7, depth=14, option="B").double(), images(14).double())
    folded = FoldedCopy(model)
    folded.refresh()
    x = images(9, seed=3).double()
    torch.testing.assert_close(folded(x), model.eval()(x).detach(), rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("fold", [True, False])
@pytest.mark.parametrize(("dtype", "bits"), [(torch.bfloat16, 8), (torch.float16, 11)])
def test_copy_in_16_bits(fold: bool, dtype: torch.dtype, bits: int) -> None:
    """Near the model's logits as the precision allows, further off than float32; it follows."""
    model, x = train(build_network("resnet8", (3, 16, 16), 7, 0), images(14, 3, 16, 16)), images(28)
    copied = FoldedCopy(model, dtype, fold=fold)
    for _ in range(2):
        copied.refresh()
        found = copied(x)
        assert found.dtype == dtype
        with scoring(model) as net, torch.no_grad():
            expected = net(x)
        error = (found.float() - expected).abs().max() / expected.abs().max()
        assert 2.0**-20 < error < 16 * 2.0**-bits
        train(model, x[:14])
    assert all(p.dtype == torch.float32 for p in model.parameters())


def test_frozen_and_training_parts_give_one_copy() -> None:
    """A copy evaluates, whatever modes the parts of the model are in when it is made."""
    model, x = train(build_network("resnet8", (3, 16, 16), 7, 0), images(14, 3, 16, 16)), images(4)
    outputs = []
    for freeze in (False, True):
        model.train()
        if freeze:
            model.bn1.eval()
        folded = FoldedCopy(model)
        folded.refresh()
        outputs.append(folded(x))
    assert torch.equal(*outputs)


def test_a_copy_shares_no_memory_with_the_model() -> None:
    """Writing into the copy does nothing to the model."""
    model = build_network("resnet8", (3, 16, 16), 7, 0)
    folded, before = FoldedCopy(model), state(model)
    folded.refresh()
    for value in (*folded.net.parameters(), *folded.net.buffers()):
        value.zero_()
    assert equal(state(model), before)


def test_memory_layout_is_kept() -> None:
    """A channels-last model is copied as one, and gives a channels-last model's speed."""
    model = build_network("resnet8", (3, 16, 16), 7, 0).to(memory_format=torch.channels_last)
    folded = FoldedCopy(model)
    folded.refresh()
    kernels = [m.weight for m in folded.net.modules() if isinstance(m, nn.Conv2d)]
    assert kernels
    assert all(k.is_contiguous(memory_format=torch.channels_last) for k in kernels)


def test_foldable_pairs() -> None:
    """In a traced ResNet-8 with projections every BatchNorm belongs to the layer before it."""
    net = torch.fx.symbolic_trace(build_network("resnet8b", (3, 16, 16), 7, 0))
    pairs = {str(norm.target): str(layer.target) for norm, layer in foldable(net)}
    expected = {"bn1": "conv1"}
    for stage in range(3):
        name = f"stages.{stage}.0"
        expected |= {f"{name}.bn{i}": f"{name}.conv{i}" for i in (1, 2)}
        expected |= {f"{name}.shortcut.1": f"{name}.shortcut.0"} if stage else {}
    assert pairs == expected


def test_data_dependent_control_flow_is_refused() -> None:
    """``ValueError`` that names the model and says how to do without a copy."""
    for model in (Choosing(), nn.Sequential(nn.Conv2d(3, 3, 1), Choosing())):
        with pytest.raises(ValueError, match=rf"{type(model).__name__}.*fold_batchnorm=False"):
            FoldedCopy(model)


class Hidden(nn.Module):
    """A layer that shares its weights with one that is never called."""

    def __init__(self) -> None:
        super().__init__()
        self.idle, self.head = nn.Linear(3, 7), nn.Linear(3, 7)
        self.head.weight = self.idle.weight

    def forward(self, x: Tensor) -> Tensor:
        return self.head(x.mean((2, 3)))


def normed(layer: nn.Module) -> nn.Module:
    """A layer from 3 to 7 channels with BatchNorm, averaged to logits."""
    return nn.Sequential(layer, nn.BatchNorm2d(7), nn.AdaptiveAvgPool2d(1), nn.Flatten())


def agrees(model: nn.Module) -> None:
    """A copy made of the model in training mode evaluates as the model does, now and later."""
    x = images(14, 3, 16, 16)
    folded = FoldedCopy(train(model, x))
    for _ in range(2):
        folded.refresh()
        with scoring(model) as net, torch.no_grad():
            expected = net(x)
        torch.testing.assert_close(folded(x), expected, rtol=1e-4, atol=1e-5)
        train(model, x)


def test_copy_of_a_model_that_asks_for_its_mode() -> None:
    """``F.dropout(x, p, self.training)`` is off in the copy, as in evaluation mode."""
    agrees(FunctionalDropout())


UNUSUAL: dict[str, Callable[[], nn.Module]] = {
    "keyword": Keyword,
    "tied": Tied,
    "tied to an idle layer": Hidden,
    "weights read elsewhere": ReadWeights,
    "tokens": Tokens,
    "plain tensor": PlainTensor,
    "weights computed": lambda: normed(Standardised(3, 7, 3)),
    "buffer computed": BufferMath,
    "weight norm": lambda: normed(nn.utils.parametrizations.weight_norm(nn.Conv2d(3, 7, 3))),
    "spectral norm": lambda: normed(nn.utils.parametrizations.spectral_norm(nn.Conv2d(3, 7, 3))),
}


@pytest.mark.parametrize("name", UNUSUAL)
def test_unusual_models_are_copied_right_or_refused(name: str) -> None:
    """A copy that cannot be right is refused with advice; a wrong one would score in silence."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = UNUSUAL[name]()
    refusal = ""
    try:
        FoldedCopy(model)
    except ValueError as error:
        refusal = str(error)
    if refusal:
        assert "fold_batchnorm=False" in refusal
    else:
        agrees(model)


def test_copies_are_kept_until_the_network_changes() -> None:
    """One copy per network; another when a layer is replaced; gone with the network."""
    model = build_network("resnet8", (3, 16, 16), 10, 0).eval()
    x = images(2, 3, 16, 16)
    first = folded_copy(model, None, True)
    assert folded_copy(model, None, True) is first
    model.head = nn.Linear(64, 4)
    second = folded_copy(model, None, True)
    assert second is not first
    torch.testing.assert_close(second(x), model(x), rtol=1e-4, atol=1e-5)
    gone = weakref.ref(model)
    del model, first, second
    gc.collect()
    assert gone() is None
