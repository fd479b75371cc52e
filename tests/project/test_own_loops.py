"""Natural Selection in training loops of other people's: batches of any size, wrapped models,
mixed precision, several micro-batches a step."""

import doctest
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from ns_models import images
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

import nslab.objectives.ns
from nslab import NS
from nslab.analysis.run_tables import batches_of
from nslab.configs import TrainConfig
from nslab.datasets import ImageData, load
from nslab.networks import build_network
from nslab.neuroevolution.averaging import Ensemble
from nslab.objectives.competition import group_scores, ns_scores
from nslab.training.loop import evaluate, fit

X, Y = images(33, 3, 16, 16), torch.arange(33) % 10
SETTINGS: list[dict[str, Any]] = [
    {},
    {"grouping": "shuffled"},
    {"grid": (1, 2), "sigma": 2.5, "rho": -1.0},
    {"mode": "train"},
    {"fold_batchnorm": True, "score_dtype": "bfloat16"},
]


def resnet() -> nn.Module:
    """A small network with BatchNorm, in training mode."""
    return build_network("resnet8", (3, 16, 16), 10, 0).train()


class Named(nn.Module):
    """Called as transformers' models are: by the name of the argument, and gives an object."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, *, pixel_values: Tensor) -> SimpleNamespace:
        """An object with logits."""
        return SimpleNamespace(logits=self.net(pixel_values), loss=None)


@pytest.mark.parametrize("fields", SETTINGS)
@pytest.mark.parametrize("parallel", [False, True])
def test_a_last_batch_of_one(fields: dict[str, Any], parallel: bool) -> None:
    """The three lines over an ordinary DataLoader, the network alone or in DataParallel: the sample
    left over weighs sigma + rho, and the epochs go on."""
    model: nn.Module = nn.DataParallel(resnet()) if parallel else resnet()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
    ns = NS(**fields)
    losses, sizes = [], []
    for _ in range(3):
        for x, y in DataLoader(TensorDataset(X, Y), batch_size=8):
            w = ns.weights(model, x, y)
            loss = (w * F.cross_entropy(model(x), y, reduction="none")).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
            sizes.append(len(y))
        assert w.tolist() == pytest.approx([ns.sigma + ns.rho])
    assert sizes == 3 * [8, 8, 8, 8, 1]
    assert sum(losses[10:14]) < sum(losses[:4])
    assert model.training


def test_small_batches_score_one() -> None:
    """Nobody competes: the model is not asked, whatever it is, and no group can be too large."""
    for n in (0, 1, 3):
        for dtype, expected in ((torch.float16, torch.float32), (torch.float64, torch.float64)):
            s = ns_scores(nn.Identity(), X[:n].to(dtype), Y[:n], (2, 2))
            assert s.tolist() == n * [1]
            assert s.dtype == expected
    assert NS(grid=(4, 8)).weights(resnet(), X[:31], Y[:31]).tolist() == pytest.approx(31 * [1.7])


@pytest.fixture(scope="module")
def digits() -> ImageData:
    """321 training images: five batches of 64, and one image left."""
    whole = load("digits")
    arrays = whole.arrays._replace(
        train_x=whole.arrays.train_x[:321], train_y=whole.arrays.train_y[:321]
    )
    return type(whole)(whole.name, whole.dataset, arrays)


def test_fit_with_one_image_left(digits: ImageData) -> None:
    """It is left out of the epoch, as ``min_batch`` says: nothing else than before."""
    config = TrainConfig(network="resnet8", epochs=1, batch_size=64, objective=NS())
    row = fit(config, data=digits, show=False).metrics
    assert row["weight_mean"] == pytest.approx(1.7, rel=1e-4)
    assert NS().build(digits.info).min_batch == 4


def test_a_forward_of_ones_own() -> None:
    """For a model with another signature; modes and buffers stay as they were all the same."""
    model = Named(resnet())
    before = {name: t.clone() for name, t in model.state_dict().items()}
    w = NS().weights(model, X, Y, forward=lambda x: model(pixel_values=x))
    assert torch.equal(w, NS().weights(model.net, X, Y))
    assert model.net.training
    assert all(torch.equal(t, before[name]) for name, t in model.state_dict().items())
    with pytest.raises(ValueError, match="not both"):
        NS(fold_batchnorm=True).weights(model, X, Y, forward=model.net)


def test_evaluation_and_ensembles_of_wrapped_models(digits: ImageData) -> None:
    """They too take the logits out of what a model returns."""

    class Positional(Named):
        def forward(self, x: Tensor) -> SimpleNamespace:
            return super().forward(pixel_values=x)

    wrapped = Positional(build_network("mlp", (1, 32, 32), 10, 0)).eval()
    loader = batches_of(digits, 64, 0)
    found, expected = (evaluate(net, loader, 10).packed() for net in (wrapped, wrapped.net))
    assert torch.equal(found, expected)
    x = next(loader.epoch(0)).x
    assert torch.equal(Ensemble([wrapped] * 2)(x), Ensemble([wrapped.net] * 2)(x))


def test_transformers() -> None:
    """The real thing, where it is installed: a tiny ViT with random weights."""
    transformers = pytest.importorskip("transformers")
    config = transformers.ViTConfig(
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
        image_size=16,
        patch_size=8,
        num_labels=10,
    )
    model = transformers.ViTForImageClassification(config).train()
    w = NS().weights(model, X, Y)
    (w * F.cross_entropy(model(X).logits, Y, reduction="none")).mean().backward()
    assert torch.equal(w, NS().weights(model, X, Y, forward=lambda x: model(pixel_values=x)))
    assert model.training


def test_inference_mode_around_weights() -> None:
    """Weights are constants of a later backward pass; a folded copy made there can be refreshed
    outside."""
    model = resnet()
    for ns in (NS(), NS(grouping="shuffled"), NS(fold_batchnorm=True), NS(mode="train")):
        for n in (1, 33):
            with torch.inference_mode():
                w = ns.weights(model, X[:n].clone(), Y[:n])
            assert not w.is_inference()
            assert not w.requires_grad
            model.zero_grad()
            (w * F.cross_entropy(model(X[:n]), Y[:n], reduction="none")).mean().backward()
            assert all(p.grad is not None for p in model.parameters())
            ns.weights(model, X[:n], Y[:n])


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_gradient_scaling_with_accumulation(dtype: torch.dtype) -> None:
    """Four micro-batches a step, the last of one sample: the gradients are those of the weighted
    losses without a scale, and every parameter has one."""
    made = []
    for scale in (1.0, 1024.0):
        model = resnet()
        scaler = torch.amp.GradScaler("cpu", init_scale=scale)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
        for x, y in DataLoader(TensorDataset(X[:25], Y[:25]), batch_size=8):
            with torch.autocast("cpu", dtype=dtype):
                w = NS().weights(model, x, y)
                loss = (w * F.cross_entropy(model(x), y, reduction="none")).sum() / 25
            assert w.dtype == torch.float32
            assert w.mean().item() == pytest.approx(1.7, rel=1e-4)
            scaler.scale(loss).backward()
        scaler.unscale_(optimizer)
        made.append([p.grad for p in model.parameters()])
        scaler.step(optimizer)
        scaler.update()
    for one, other in zip(*made, strict=True):
        assert one is not None
        assert one.abs().max() > 0
        torch.testing.assert_close(one, other, rtol=0.05, atol=2e-3 * one.abs().max().item())


def test_a_composite_without_numbers_is_a_tie() -> None:
    """NaN, +inf, or no class left at all: scores of 1 there, the other groups unchanged."""
    logits = torch.randn(4, 10, generator=torch.Generator().manual_seed(0))
    expected = group_scores(logits, Y[:16])
    logits[0, 3], logits[1, 0], logits[2] = torch.nan, torch.inf, -torch.inf
    found = group_scores(logits, Y[:16])
    assert found[:12].tolist() == 12 * [1]
    assert torch.equal(found[12:], expected[12:])


def test_a_masked_class_loses() -> None:
    """A sample whose class the model masks has a score of 0, unless all of its group are masked."""
    logits = torch.zeros(2, 10)
    logits[:, 8:] = -torch.inf
    scores = group_scores(logits, torch.tensor([0, 1, 2, 8, 8, 9, 8, 8]))
    torch.testing.assert_close(scores, torch.tensor([4 / 3, 4 / 3, 4 / 3, 0, 1, 1, 1, 1]))


def test_example() -> None:
    """The example of the docstring."""
    ran = doctest.testmod(nslab.objectives.ns)
    assert ran.attempted >= 5
    assert not ran.failed
