"""Networks: sizes, shapes, seeds."""

import itertools
import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from network_helpers import RESNETS, images, size, state, train
from torch import Tensor, nn

from nslab.networks import build_network
from nslab.networks.lenet import lenet1, lenet5
from nslab.networks.perceptron import mlp
from nslab.networks.resnet_cifar import ResNetCifar, shortcut_a


@pytest.mark.parametrize(
    ("name", "shape", "classes", "expected"),
    [
        ("lenet1", (1, 28, 28), 10, 3_246),
        ("lenet1", (3, 32, 32), 10, 4_526),
        ("lenet5", (1, 28, 28), 10, 61_706),
        ("lenet5", (1, 32, 32), 10, 61_706),
        ("lenet5", (3, 32, 32), 10, 62_006),
        ("lenet5", (3, 32, 32), 100, 69_656),
        ("mlp", (1, 32, 32), 10, 1024 * 64 + 64 + 64 * 10 + 10),
        ("rnn", (1, 28, 28), 10, 4 * 64 * (28 + 64 + 2) + 650),
    ],
)
def test_parameters(name: str, shape: tuple[int, int, int], classes: int, expected: int) -> None:
    """As published, or worked out by hand."""
    assert size(build_network(name, shape, classes, 0)) == expected


@pytest.mark.parametrize(("depth", "counts"), sorted(RESNETS.items()))
def test_resnet_parameters(depth: int, counts: tuple[int, int]) -> None:
    """Both shortcuts; a hundred classes add 90 rows of 64 weights and a bias."""
    for suffix, expected in zip(("", "b"), counts, strict=True):
        name = f"resnet{depth}{suffix}"
        assert size(build_network(name, (3, 32, 32), 10, 0)) == expected
        assert size(build_network(name, (3, 32, 32), 100, 0)) == expected + 5_850


@given(
    widths=st.lists(st.integers(1, 9), max_size=3).map(tuple),
    shape=st.tuples(st.integers(1, 3), st.integers(1, 5), st.integers(1, 5)),
)
@settings(deadline=None, max_examples=25)
def test_mlp(widths: tuple[int, ...], shape: tuple[int, int, int]) -> None:
    """Its logits are those of matrix products written out, for any widths, also none."""
    model = mlp(shape, 4, hidden=widths)
    x = images(3, *shape)
    h = x.reshape(3, -1)
    layers = [m for m in model if isinstance(m, nn.Linear)]
    for i, layer in enumerate(layers):
        h = h @ layer.weight.T + layer.bias
        h = h.clamp(min=0) if i < len(layers) - 1 else h
    assert [layer.out_features for layer in layers] == [*widths, 4]
    torch.testing.assert_close(model(x), h)


def test_rnn_reads_rows() -> None:
    """Row by row from the top, all channels of a row at once, by the gates written out."""
    model = build_network("rnn", (2, 5, 3), 4, 0)
    weights = state(model)
    x = images(6, 2, 5, 3)
    h = c = torch.zeros(6, 64)
    for row in range(5):
        inputs = torch.cat([x[:, 0, row], x[:, 1, row]], 1)
        gates = inputs @ weights["lstm.weight_ih_l0"].T + weights["lstm.bias_ih_l0"]
        gates = gates + h @ weights["lstm.weight_hh_l0"].T + weights["lstm.bias_hh_l0"]
        enter, forget, new, leave = gates.split(64, 1)
        c = forget.sigmoid() * c + enter.sigmoid() * new.tanh()
        h = leave.sigmoid() * c.tanh()
    expected = h @ weights["head.weight"].T + weights["head.bias"]
    torch.testing.assert_close(model(x), expected)


def test_lenet1_smallest_images() -> None:
    """16 pixels a side work, and any rectangle above; 15 do not."""
    assert lenet1((1, 16, 16), 3)(images(2, 1, 16, 16)).shape == (2, 3)
    assert lenet1((2, 33, 17), 3)(images(2, 2, 33, 17)).shape == (2, 3)
    for shape in ((1, 15, 32), (1, 32, 15), (3, 1, 1)):
        with pytest.raises(ValueError, match="at least 16 x 16"):
            lenet1(shape, 3)


@pytest.mark.parametrize("shape", [(1, 28, 28), (1, 8, 8), (2, 31, 17), (3, 29, 32), (1, 40, 33)])
def test_lenet5_pads_small_images(shape: tuple[int, int, int]) -> None:
    """To 32 pixels a side, with zeros all round: the network of 32 x 32 images then gives the
    same; larger images stay as they are."""
    model, (c, h, w) = lenet5(shape, 3), shape
    x, down, across = images(2, *shape), max(0, (33 - h) // 2), max(0, (33 - w) // 2)
    larger = lenet5((c, h + 2 * down, w + 2 * across), 3)
    larger.load_state_dict(model.state_dict())
    padded = nn.functional.pad(x, (across, across, down, down))
    assert padded.shape[2] >= 32
    assert padded.shape[3] >= 32
    torch.testing.assert_close(model(x), larger(padded))


@given(st.integers(16, 40))
@settings(deadline=None, max_examples=25)
def test_lenet_features_of_any_size(side: int) -> None:
    """The first linear layer fits what the convolutions give, worked out by running them."""
    model = lenet1((1, side, side), 2)
    flat = model[:7](images(1, 1, side, side))
    assert flat.shape[1] == model[7].in_features


@pytest.mark.parametrize(("inputs", "outputs"), [(16, 32), (32, 64), (3, 6), (3, 8), (2, 5)])
@pytest.mark.parametrize("side", [(8, 8), (7, 5), (1, 2)])
def test_option_a_by_hand(inputs: int, outputs: int, side: tuple[int, int]) -> None:
    """Every second pixel from the first, between new channels of zeros, half below, half above."""
    x = images(2, inputs, *side)
    y = shortcut_a(x, outputs)
    h, w = (math.ceil(n / 2) for n in side)
    assert y.shape == (2, outputs, h, w)
    below = (outputs - inputs) // 2
    for c, i, j in itertools.product(range(outputs), range(h), range(w)):
        if below <= c < below + inputs:
            assert torch.equal(y[:, c, i, j], x[:, c - below, 2 * i, 2 * j])
        else:
            assert not y[:, c, i, j].any()


def reference_resnet(weights: dict[str, Tensor], x: Tensor) -> Tensor:
    """He et al.'s network of depth 8, from a state's tensors, in evaluation mode.

    Written with plain arithmetic where torch's layers have it built in.
    """

    def conv(name: str, y: Tensor, stride: int = 1) -> Tensor:
        kernel = weights[f"{name}.weight"]
        return F.conv2d(y, kernel, stride=stride, padding=kernel.shape[-1] // 2)

    def norm(name: str, y: Tensor) -> Tensor:
        mean, var, gain, bias = (
            weights[f"{name}.{part}"].view(1, -1, 1, 1)
            for part in ("running_mean", "running_var", "weight", "bias")
        )
        return (y - mean) / (var + 1e-5).sqrt() * gain + bias

    y = norm("bn1", conv("conv1", x)).clamp(min=0)
    for stage, (inputs, outputs) in enumerate([(16, 16), (16, 32), (32, 64)]):
        name, stride = f"stages.{stage}.0", 1 if inputs == outputs else 2
        inner = norm(f"{name}.bn1", conv(f"{name}.conv1", y, stride)).clamp(min=0)
        inner = norm(f"{name}.bn2", conv(f"{name}.conv2", inner))
        if stride == 1:
            short = y
        elif f"{name}.shortcut.0.weight" in weights:
            short = norm(f"{name}.shortcut.1", conv(f"{name}.shortcut.0", y, 2))
        else:
            zeros = torch.zeros(len(y), (outputs - inputs) // 2, *inner.shape[2:], dtype=y.dtype)
            short = torch.cat([zeros, y[:, :, ::2, ::2], zeros], 1)
        y = (inner + short).clamp(min=0)
    return y.mean((2, 3)) @ weights["head.weight"].T + weights["head.bias"]


@pytest.mark.parametrize("option", ["A", "B"])
def test_resnet_against_a_reference(option: str) -> None:
    """After some training the logits are those of the network written out, in double precision."""
    model = ResNetCifar((3, 20, 12), 7, depth=8, option=option)
    train(model, images(14, 3, 20, 12)).eval().double()
    x = images(5, 3, 20, 12, seed=1).double()
    expected = reference_resnet(state(model), x)
    torch.testing.assert_close(model(x), expected, rtol=1e-10, atol=1e-10)
    assert expected.std() > 1e-3


def test_resnet_initial_weights() -> None:
    """Convolutions start from N(0, 2 / (k k out)), BatchNorm as the identity."""
    model = build_network("resnet56b", (3, 32, 32), 10, 0)
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            k, out, n = module.kernel_size[0], module.out_channels, module.weight.numel()
            sd = math.sqrt(2 / (k * k * out))
            assert abs(module.weight.std().item() / sd - 1) < 4 / math.sqrt(2 * n)
            assert abs(module.weight.mean().item()) < 4 * sd / math.sqrt(n)
        if isinstance(module, nn.BatchNorm2d):
            assert module.weight.eq(1).all()
            assert module.bias.eq(0).all()


def test_resnet_depth() -> None:
    """Depth counts convolutions and the linear layer, shortcuts aside."""
    for depth in (8, 14, 44):
        model = ResNetCifar((3, 32, 32), 10, depth=depth)
        layers = [m for m in model.modules() if isinstance(m, nn.Conv2d | nn.Linear)]
        assert len(layers) == depth
        widths = [m.out_channels for m in layers if isinstance(m, nn.Conv2d)]
        third = (depth - 2) // 3
        assert widths == [16] * (1 + third) + [32] * third + [64] * third


@pytest.mark.parametrize("depth", [-4, 0, 2, 7, 9, 18, 49, 100])
def test_wrong_depth(depth: int) -> None:
    """Refused, saying which there are."""
    with pytest.raises(ValueError, match=rf"depth {depth} is not 6n \+ 2: take 8, 14, 20"):
        ResNetCifar((3, 32, 32), 10, depth=depth)


def test_wrong_names() -> None:
    """Unknown shortcut and unknown network."""
    with pytest.raises(ValueError, match="shortcut option 'C' is neither 'A' nor 'B'"):
        ResNetCifar((3, 32, 32), 10, depth=8, option="C")
    with pytest.raises(ValueError, match="unknown network 'resnet19': did you mean"):
        build_network("resnet19", (3, 32, 32), 10, 0)
