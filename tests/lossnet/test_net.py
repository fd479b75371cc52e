"""The loss network against its formula written one class at a time, at the hard points."""

import dataclasses

import numpy as np
import pytest
import torch
from torch import Tensor

from nslab.lossnet import LossForm, LossNet
from nslab.objectives.weighted import cross_entropy
from nslab.rng import generator

STEP = np.longdouble("1e-60")
FORMS = {
    "equivariant": LossForm(),
    "equivariant log": LossForm(log_feature=True),
    "pairs": LossForm("pairs", hidden=5),
    "pairs log": LossForm("pairs", log_feature=True),
    "flat": LossForm("flat", hidden=7, classes=10),
    "flat log": LossForm("flat", log_feature=True, classes=10),
}
FREE = {name: form for name, form in FORMS.items() if form.kind != "flat"}


def net(form: LossForm, seed: int = 0) -> LossNet:
    """A network whose weights are twice as large as the first ones of an evolution."""
    return LossNet(form, 2 * form.initial(1, generator(seed, "net"))[0])


def phi(w: np.ndarray, h: int, inputs: list) -> np.ndarray:
    """A hidden layer of tanh on numbers or arrays of numbers, each a list entry."""
    n = len(inputs)
    into, bias, out = w[: n * h].reshape(n, h), w[n * h : (n + 1) * h], w[(n + 1) * h :]
    total = 0
    for unit in range(h):
        pre = bias[unit] + sum(into[i, unit] * inputs[i] for i in range(n))
        total = total + out[unit] * np.tanh(pre)
    return total


def value(form: LossForm, w: np.ndarray, p: np.ndarray, y: int) -> np.ndarray:
    """The sum that a form stands for, of one prediction p of shape (k,), without the offset."""
    small, k = np.longdouble("1e-4"), len(p)
    low, high = np.log(small), np.log(1 + small)
    logs = 2 * (np.log(p + small) - low) / (high - low) - 1
    f = [2 * p - 1] + ([logs] if form.log_feature else [])
    if form.kind == "equivariant":
        side = np.where(np.arange(k) == y, 1.0, -1.0)
        return phi(w, form.hidden, [*f, side]).sum()
    if form.kind == "pairs":
        others = np.arange(k) != y
        inputs = [np.full(k - 1, v[y]) for v in f] + [v[others] for v in f]
        return phi(w, form.hidden, inputs).sum()
    onehot = np.eye(k)[y]
    inputs = [(v[j] + 1) / 2 for j in range(k) for v in f]
    return phi(w, form.hidden, [*inputs, *onehot])


def reference(n: LossNet, z: Tensor, y: Tensor, directions: int) -> tuple[np.ndarray, np.ndarray]:
    """Losses, and derivatives along the first logits by the complex step, in extended precision."""
    w = n.w.numpy().astype(np.longdouble)
    losses, gradients = [], []
    for row, label in zip(z.numpy().astype(np.longdouble), y.tolist(), strict=True):
        corner = value(n.form, w, np.eye(len(row), dtype=np.longdouble)[label], label)
        slopes = []
        for j in range(directions):
            moved = row.astype(np.clongdouble)
            moved[j] += 1j * STEP
            e = np.exp(moved - row.max())
            loss = value(n.form, w, e / e.sum(), label) - corner
            slopes.append(loss.imag / STEP)
        losses.append(loss.real)
        gradients.append(slopes)
    return np.array(losses, float), np.array(gradients, float)


def hard_logits(k: int) -> tuple[Tensor, Tensor]:
    """Even, one-hot right and wrong at +-1e4, two classes on a par, nearly sure, random."""
    gen = generator(k, "logits")
    y = torch.randint(k, (9,), generator=gen)
    z = torch.randn(9, k, generator=gen)
    z[0] = 0
    z[1:4] = -1e4
    z[1, y[1]], z[2, y[2] - 1], z[3, y[3]] = 1e4, 1e4, 1e4
    z[3, y[3] - 1] = 1e4
    z[4, y[4]], z[5, y[5] - 1] = 15, 15
    z[6] *= 80
    return z, y


@pytest.mark.parametrize(
    ("name", "k"),
    # For a flat network of 1000 classes the reference would take a minute.
    [(name, k) for name in FORMS for k in (2, 10, 100, 1000) if k < 1000 or name in FREE],
)
def test_against_the_formula(name: str, k: int) -> None:
    """Losses and gradients through softmax, float32 and float64, K from 2 to 1000."""
    form = FORMS[name]
    form = dataclasses.replace(form, classes=k) if form.kind == "flat" else form
    n, (z, y), directions = net(form), hard_logits(k), min(k, 4)
    losses, gradients = reference(n, z, y, directions)
    for dtype, rtol, atol in ((torch.float64, 1e-9, 1e-11), (torch.float32, 5e-5, 1e-5)):
        leaf = z.to(dtype).requires_grad_()
        ours = n(leaf, y)
        assert ours.dtype == dtype
        (gradient,) = torch.autograd.grad(ours.sum(), leaf)
        np.testing.assert_allclose(ours.detach().numpy(), losses, rtol, atol)
        np.testing.assert_allclose(gradient[:, :directions].numpy(), gradients, 10 * rtol, atol)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("name", FORMS)
def test_sixteen_bits(name: str, dtype: torch.dtype) -> None:
    """Logits of 16 bits, under autocast too, give what their float32 copies give."""
    n, (z, y) = net(FORMS[name]), hard_logits(10)
    z = z.to(dtype).requires_grad_()
    with torch.autocast("cpu", torch.bfloat16):
        loss = n(z, y)
    assert loss.dtype == torch.float32
    torch.testing.assert_close(loss, n(z.detach().float(), y))
    loss.sum().backward()
    assert z.grad is not None
    assert z.grad.isfinite().all()


@pytest.mark.parametrize("name", FORMS)
def test_zero_at_the_label(name: str) -> None:
    """Exactly, for every class and candidate; nowhere else, also a hair beside it."""
    form, k = FORMS[name], 10
    w = form.initial(6, generator(1, "w")).float()
    p, y = torch.eye(k), torch.arange(k)
    assert torch.equal(form.losses(w, p, y), torch.zeros(6, k))
    for step in (1e-3, 1e-6, 1e-9):  # in float32 as in float64, however near
        beside = (1 - step) * p.double() + step / k
        exact = form.losses(w.double(), beside, y)
        assert (exact != 0).all()
        assert (exact.abs() < 2e4 * step).all()
        near = form.losses(w, beside.float(), y).double()
        torch.testing.assert_close(near, exact, rtol=1e-2, atol=1e-4 * float(exact.abs().max()))


@pytest.mark.parametrize("name", FORMS)
def test_candidates_at_once(name: str) -> None:
    """Many candidates in one call: each as if alone."""
    form = FORMS[name]
    w = form.initial(5, generator(2, "w"))
    p = torch.rand(30, 10, generator=generator(2, "p"), dtype=torch.float64)
    p, y = p / p.sum(1, keepdim=True), torch.arange(30) % 10
    together = form.losses(w, p, y)
    assert together.shape == (5, 30)
    for i in range(5):
        torch.testing.assert_close(form.losses(w[i : i + 1], p, y)[0], together[i])
    assert (together.std(1) > 1e-3).all()


@pytest.mark.parametrize("name", FREE)
def test_names_of_classes_do_not_matter(name: str) -> None:
    """Classes permuted with their labels: the same loss; a flat network's changes."""
    z, y = torch.randn(20, 10, generator=generator(3, "z")).double(), torch.arange(20) % 10
    order = torch.tensor([3, 1, 4, 0, 5, 9, 2, 6, 8, 7])
    renamed, labels = z[:, order], order.argsort()[y]
    n = net(FREE[name])
    torch.testing.assert_close(n(renamed, labels), n(z, y))
    flat = net(FORMS["flat"])
    assert not torch.allclose(flat(renamed, labels), flat(z, y))


def test_number_of_classes_does_not_matter() -> None:
    """Classes of probability 0 change nothing in the equivariant form, whatever their number."""
    for form in (LossForm(), LossForm(log_feature=True)):
        n, z = net(form), torch.randn(8, 3, generator=generator(4, "z"))
        y = torch.arange(8) % 3
        padded = torch.cat([z, torch.full((8, 97), -1e4)], 1)
        torch.testing.assert_close(n(padded, y), n(z, y))


@pytest.mark.slow
@pytest.mark.parametrize("k", [2, 10, 100, 1000])
@pytest.mark.parametrize("name", FORMS)
def test_matched_to_cross_entropy(name: str, k: int) -> None:
    """At uniform predictions |dl/dz_y| is cross-entropy's, 1 - 1/K; nothing but a factor."""
    form = FORMS[name]
    form = dataclasses.replace(form, classes=k) if form.kind == "flat" else form
    n = net(form)
    matched = n.matched(k)
    y = torch.arange(k)
    z = torch.zeros(k, k, dtype=torch.float64, requires_grad=True)
    slopes = [
        torch.autograd.grad(loss(z, y).sum(), z)[0].diagonal() for loss in (matched, cross_entropy)
    ]
    torch.testing.assert_close(slopes[0].abs().mean(), slopes[1].abs().mean())
    some = torch.randn(5, k, dtype=torch.float64, generator=generator(5, "z"))
    labels = torch.arange(5) % k
    torch.testing.assert_close(matched(some, labels), matched.scale * n(some, labels))
    assert matched.scale > 0
    assert matched.matched(k).scale == pytest.approx(matched.scale)


def test_flat_at_uniform_predictions_cannot_be_matched() -> None:
    """A clear rule where the slope is 0: an error, no division."""
    for w in (torch.zeros(64), torch.zeros(64).index_fill(0, torch.arange(48), 3.0)):
        with pytest.raises(ValueError, match="flat at uniform predictions of 10 classes"):
            LossNet(LossForm(), w).matched(10)


def test_sizes() -> None:
    """A few dozen weights; and what else a form says of itself."""
    assert LossForm().size == 64
    assert LossForm(log_feature=True).size == 80
    assert LossForm("pairs").size == 64
    assert LossForm("flat", classes=10).size == 22 * 16
    assert hash(LossForm()) == hash(LossForm(hidden=16))


def test_refusals(as_users_call: None) -> None:
    """Wrong fields, weights and numbers of classes: errors that say what is wanted."""
    for fields, words in (
        ({"hidden": 0}, "hidden"),
        ({"kind": "flat"}, "needs its number of classes"),
        ({"kind": "flat", "classes": 1}, "needs its number of classes"),
        ({"classes": 10}, "leave classes out"),
    ):
        with pytest.raises(ValueError, match=words):
            LossForm(**fields)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="LossForm: kind"):
        LossForm("round")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="flat loss network of 10 classes cannot score 100"):
        net(FORMS["flat"])(torch.zeros(2, 100), torch.zeros(2).long())
    with pytest.raises(ValueError, match="64 weights"):
        LossNet(LossForm(), torch.zeros(63))
    with pytest.raises(ValueError, match="64 weights"):
        LossForm().losses(torch.zeros(2, 80), torch.eye(3), torch.arange(3))
    with pytest.raises(ValueError, match="finite"):
        LossNet(LossForm(), torch.full((64,), torch.nan))
