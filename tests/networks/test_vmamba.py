"""VMamba: the selective scan against its definition, the four directions, initial values."""

import math

import pytest
import torch
import torch.nn.functional as F
from network_helpers import images
from torch import Tensor, nn

from nslab.networks import build_network, vmamba
from nslab.networks.batchnorm_folding import FoldedCopy
from nslab.networks.selective_scan import (
    linear_recurrence,
    selective_scan,
    selective_scan_reference,
)
from nslab.networks.vmamba import SS2D, VMamba, VSSBlock, cross_merge, cross_scan


def arguments(
    length: int, states: int, scale: float = 1.0, dtype: torch.dtype = torch.float64
) -> list[Tensor]:
    """x, dt, A, B, C, D of two sequences, two groups, three channels; dt spans e^+-9 ``scale``."""
    draws = torch.Generator().manual_seed(length)

    def draw(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=draws, dtype=torch.float64).to(dtype)

    x, dt = draw(2, length, 2, 3), torch.exp(3 * draw(2, length, 2, 3)) * scale
    A, D = -torch.exp(draw(2, 3, states)), draw(2, 3)
    return [x, dt, A, draw(2, length, 2, states), draw(2, length, 2, states), D]


def small(seed: int = 0, **changes: object) -> VMamba:
    """A network of the same parts with few channels."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return VMamba((3, 36, 36), 7, **{"depths": (1, 2), "channels": 32, **changes})


@pytest.mark.parametrize("scale", [1e-12, 1e-3, 1.0, 1e3, 1e12])
@pytest.mark.parametrize("states", [1, 3])
def test_scan_is_the_recurrence(states: int, scale: float) -> None:
    """Values and gradients, whether the state hardly decays, is forgotten at once, or both."""
    for length in (1, 2, 3, 5, 7, 12, 49, 64, 97):
        given = arguments(length, states, scale)
        results = []
        for scan in (selective_scan, selective_scan_reference):
            leaves = [value.clone().requires_grad_() for value in given]
            y = scan(*leaves)
            weight = torch.linspace(-1, 2, y.numel(), dtype=y.dtype).view_as(y).cos()
            results.append([y, *torch.autograd.grad((weight * y).sum(), leaves)])
        for found, expected in zip(*results, strict=True):
            assert torch.isfinite(found).all()
            unit = expected.abs().max().clamp(min=1e-300)
            torch.testing.assert_close(found / unit, expected / unit, rtol=0, atol=1e-12)


def test_scan_by_hand() -> None:
    """dt ln 2 = 1, so the state halves each step: h = 3, 3.5, 4.75 and y = 2 h + 10 x."""
    x = torch.tensor([3.0, 2.0, 3.0]).view(1, 3, 1, 1) * math.log(2)
    dt, ones = torch.full_like(x, 1 / math.log(2)), torch.ones_like(x)
    A, D = torch.full((1, 1, 1), -(math.log(2) ** 2)), torch.full((1, 1), 10 / math.log(2))
    expected = 2 * torch.tensor([3.0, 3.5, 4.75]) + 10 * torch.tensor([3.0, 2.0, 3.0])
    for scan in (selective_scan, selective_scan_reference):
        torch.testing.assert_close(scan(x, dt, A, ones, 2 * ones, D).flatten(), expected)


@pytest.mark.parametrize("length", [1, 2, 6, 7])
def test_gradients_of_the_recurrence(length: int) -> None:
    """First and second, by finite differences, also where a coefficient is zero."""
    draws = torch.Generator().manual_seed(0)
    a, b = (torch.randn(2, length, 2, generator=draws, dtype=torch.float64) for _ in "ab")
    a[0, length // 2] = 0
    leaves = a.requires_grad_(), b.requires_grad_()
    assert torch.autograd.gradcheck(linear_recurrence, leaves)
    assert torch.autograd.gradgradcheck(linear_recurrence, leaves)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_scan_in_32_bits(dtype: torch.dtype) -> None:
    """Inputs of 16 bits are scanned in 32; only the result is rounded."""
    given = arguments(64, 1, 1e-2, dtype)
    for scan in (selective_scan, selective_scan_reference):
        exact = scan(*(value.double() for value in given))
        with torch.autocast("cpu", torch.bfloat16):
            found = scan(*given)
        assert found.dtype == dtype
        bits = 2 * torch.finfo(dtype).eps
        torch.testing.assert_close(found.double(), exact, rtol=bits, atol=1e-5)


def test_directions_by_hand() -> None:
    """Rows, columns, and both backwards; merging sums what belongs to a pixel."""
    x = torch.arange(6.0).view(1, 2, 3, 1)  # 0 1 2 / 3 4 5
    orders = [[0, 1, 2, 3, 4, 5], [0, 3, 1, 4, 2, 5], [5, 4, 3, 2, 1, 0], [5, 2, 4, 1, 3, 0]]
    xs = cross_scan(x)
    assert xs[0, :, :, 0].T.tolist() == orders
    assert torch.equal(cross_merge(xs, 2, 3), 4 * x)
    scaled = xs * torch.tensor([1.0, 10.0, 100.0, 1000.0]).view(4, 1)
    assert torch.equal(cross_merge(scaled, 2, 3), 1111 * x)


def test_ss2d_written_out() -> None:
    """Each direction on its own: pixel after pixel, channel after channel."""
    h, w, d, n = 2, 3, 20, 2
    layer = SS2D(d, n).double()
    assert layer.rank == 2
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.copy_(
                torch.randn(parameter.shape, generator=torch.Generator().manual_seed(d))
            )
    x = images(1, h, w, d).double()
    u = F.conv2d(
        (x @ layer.in_proj.weight.T).permute(0, 3, 1, 2), layer.conv.weight, None, 1, 1, 1, d
    )
    u = (u * torch.sigmoid(u))[0]
    rows = [(i, j) for i in range(h) for j in range(w)]
    columns = [(i, j) for j in range(w) for i in range(h)]
    total = torch.zeros(h, w, d, dtype=torch.float64)
    for k, order in enumerate((rows, columns, rows[::-1], columns[::-1])):
        state = torch.zeros(d, n, dtype=torch.float64)
        for i, j in order:
            pixel = u[:, i, j]
            low, B, C = (layer.x_proj[k] @ pixel).split((2, n, n))
            dt = torch.log1p(torch.exp(layer.dt_proj[k] @ low + layer.dt_bias[k]))
            for c in range(d):
                decay = torch.exp(-dt[c] * torch.exp(layer.A_log[k, c]))
                state[c] = decay * state[c] + dt[c] * pixel[c] * B
                total[i, j, c] += state[c] @ C + layer.D[k, c] * pixel[c]
    mean, var = total.mean(-1, keepdim=True), total.var(-1, keepdim=True, correction=0)
    normed = (total - mean) / (var + 1e-5).sqrt() * layer.norm.weight + layer.norm.bias
    torch.testing.assert_close(layer(x)[0], normed @ layer.out_proj.weight.T, rtol=1e-9, atol=1e-9)


def test_initial_values() -> None:
    """A is -1, -2, ...; D is 1; dt lies in [0.001, 0.1]; linear layers are narrow, without bias."""
    layer = SS2D(8, states=3)
    torch.testing.assert_close(torch.exp(layer.A_log), torch.tensor([1.0, 2, 3]).expand(4, 8, 3))
    for module in build_network("vmamba_t", (3, 32, 32), 7, 0).modules():
        if isinstance(module, SS2D):
            channels = module.D.shape[1]
            assert module.rank == channels // 16
            dt = F.softplus(module.dt_bias)
            assert dt.min() > 0.00099
            assert dt.max() < 0.101
            assert abs(dt.log().mean() - math.log(0.01)) < 0.3, "log-uniform"
            assert module.D.eq(1).all()
            assert module.A_log.eq(0).all()
            bound = module.rank**-0.5
            assert 0.99 * bound < module.dt_proj.abs().max() <= bound
        if isinstance(module, nn.Linear):
            assert abs(module.weight.std().item() - 0.02) < 1e-3
            assert module.bias is None or module.bias.eq(0).all()


def test_stochastic_depth() -> None:
    """Shares from 0 to 0.2 over 14 blocks; each image loses its own, in training only."""
    with torch.device("meta"):
        model = VMamba((3, 32, 32), 7)
    blocks = [module for module in model.modules() if isinstance(module, VSSBlock)]
    assert [len([b for b in blocks if len(b.norm1.weight) == d]) for d in (96, 192, 384, 768)] == [
        *(2, 2, 8, 2)
    ]
    torch.testing.assert_close(
        torch.tensor([block.drop.p for block in blocks]), torch.linspace(0, 0.2, 14)
    )
    x = images(1, 3, 36, 36).expand(2, -1, -1, -1)
    one, two = small(depths=(1, 1), drop=1.0), small(depths=(1, 1), drop=1.0)
    nn.init.ones_(two.features[-1].mlp[0].weight)
    assert torch.equal(one(x), two(x)), "the last of two blocks is always dropped"
    assert not torch.equal(one.eval()(x), two.eval()(x))
    torch.manual_seed(0)
    net = small(drop=0.5)
    assert any(not torch.equal(*net(x)) for _ in range(8)), "each image draws its own"
    assert torch.equal(net.eval()(x), net(x))


@pytest.mark.parametrize("sides", [(1, 1), (2, 31), (32, 32), (33, 47), (224, 224)])
def test_any_image(sides: tuple[int, int]) -> None:
    """Sides are halved and rounded up, whatever they are."""
    with torch.device("meta"):
        assert VMamba((2, *sides), 7)(torch.empty(2, 2, *sides)).shape == (2, 7)


def test_autocast(monkeypatch: pytest.MonkeyPatch) -> None:
    """With 16-bit layers the logits are near those of 32 bits, and dt is not rounded to 16."""
    model, x = small().eval(), images(2, 3, 36, 36)
    seen = []

    def watched(*given: Tensor) -> Tensor:
        seen.append(given[1].dtype)
        return selective_scan(*given)

    with torch.no_grad():
        expected = model(x)
        monkeypatch.setattr(vmamba, "selective_scan", watched)
        with torch.autocast("cpu", torch.bfloat16):
            found = model(x)
    assert set(seen) == {torch.float32}
    assert 0 < (found.float() - expected).abs().max() < 0.05 * expected.abs().max()


@pytest.mark.parametrize("dtype", [None, torch.bfloat16])
def test_scoring_copy(dtype: torch.dtype | None) -> None:
    """Traced with the scan as one call; nothing to fold."""
    model, x = small(), images(5, 3, 36, 36)
    folded = FoldedCopy(model, dtype)
    folded.refresh()
    with torch.no_grad():
        expected = model.eval()(x)
    assert not folded.folds
    unit, allowed = expected.abs().max(), 0.05 if dtype else 1e-5
    torch.testing.assert_close(folded(x).float() / unit, expected / unit, rtol=0, atol=allowed)


@pytest.mark.slow
def test_compiled() -> None:
    """In one graph, with the same logits and gradients."""
    model, x = small(depths=(1,)).eval(), images(2, 3, 20, 24)
    grads = []
    for net in (model, torch.compile(model, backend="aot_eager", fullgraph=True)):
        model.zero_grad()
        net(x).square().sum().backward()
        grads.append([p.grad.clone() for p in model.parameters()])
    for found, expected in zip(*grads, strict=True):
        torch.testing.assert_close(found, expected)
