"""``NS.loss`` in one call, and soft labels: wrapped models, precisions, batches of other kinds."""

from types import SimpleNamespace
from typing import Any

import pytest
import torch
import torch.distributed as dist
import torch.nn.functional as F
from ns_models import images
from text_models import classifier_of, texts_of, tokenizer_of
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from nslab.networks import build_network
from nslab.objectives import ANL, GCE, LOW, NS, OBJECTIVES, Joined, Mixup
from nslab.objectives.competition import group_scores, ns_scores
from nslab.types import Batch, DataInfo
from nslab.workbench.own_objects import objective_of

X, Y = images(19, 3, 16, 16), torch.arange(19) % 10
SOFT = torch.randn(19, 10, generator=torch.Generator().manual_seed(1)).softmax(1)


def resnet() -> nn.Module:
    """A small network with BatchNorm, in training mode."""
    return build_network("resnet8", (3, 16, 16), 10, 0).train()


@pytest.fixture
def alone(tmp_path: Any) -> Any:
    """A group of this process alone."""
    dist.init_process_group("gloo", init_method=f"file://{tmp_path}/meet", rank=0, world_size=1)
    yield
    dist.destroy_process_group()


def step(model: nn.Module, loss: Tensor) -> list[Tensor]:
    """Gradients of a loss, then the buffers."""
    loss.backward()
    return [*(p.grad for p in model.parameters()), *model.buffers()]  # type: ignore[list-item]


def test_it_is_the_three_lines() -> None:
    """Loss, gradients and buffers to the bit, and one update of BatchNorm's statistics."""
    ns, one, three = NS(base=GCE()), resnet(), resnet()
    loss, logits = ns.loss(one, X, Y, return_outputs=True)
    w = ns.weights(three, X, Y)
    outputs = three(X)
    expected = (w * GCE().loss(outputs, Y)).mean()
    assert torch.equal(loss, expected)
    assert torch.equal(logits, outputs)
    for a, b in zip(step(one, loss), step(three, expected), strict=True):
        assert torch.equal(a, b)
    assert int(one.bn1.num_batches_tracked) == 1
    assert one.training


@pytest.mark.parametrize("key", [k for k in OBJECTIVES if k != "ns"])
def test_it_is_what_a_run_descends(key: str) -> None:
    """For every base that is a loss per sample; the others say what to write instead."""
    base, model = OBJECTIVES[key](), resnet().eval()
    batch = Batch(X, Y, torch.arange(19))
    objective = NS(base=base).build(DataInfo.of(Y, 10))
    if hasattr(base, "loss"):
        found = NS(base=base).loss(model, X, Y, reduction="none")
        assert torch.equal(found, objective(model, batch).loss)
        return
    with pytest.raises(ValueError, match=r"use objective = ns\.build"):
        NS(base=base).loss(model, X, Y)
    assert objective(model, batch).total().isfinite()


def test_the_penalty_of_a_base_is_apart() -> None:
    """A loss per sample has none; added by hand the total is that of a run."""
    base, model = ANL(), resnet().eval()
    scored = NS(base=base).build(DataInfo.of(Y, 10))(model, Batch(X, Y, torch.arange(19)))
    found = NS(base=base).loss(model, X, Y) + base.penalty(model)
    torch.testing.assert_close(found, scored.total())


def test_wrapped_models(alone: None) -> None:
    """In DataParallel and DistributedDataParallel, compiled, and under autocast: the same."""
    ns = NS(grid=(1, 2), sigma=2.5, rho=-1.0)
    expected = step(model := resnet(), ns.loss(model, X, Y))
    compiled = torch.compile(inner := resnet(), backend="eager")
    wrapped = {
        "parallel": nn.DataParallel(resnet()),
        "distributed": DistributedDataParallel(resnet()),
        "compiled": compiled,
    }
    for name, model in wrapped.items():
        net = inner if name == "compiled" else model.module
        for a, b in zip(step(net, ns.loss(model, X, Y)), expected, strict=True):
            torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-6, msg=name)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss, logits = ns.loss(resnet(), X, Y, return_outputs=True)
    assert loss.dtype == torch.float32
    assert logits.dtype == torch.bfloat16


def test_models_called_in_another_way() -> None:
    """By keywords, with an object as their output, which is handed on whole."""

    class Named(nn.Module):
        def __init__(self, net: nn.Module) -> None:
            super().__init__()
            self.net = net

        def forward(self, *, pixel_values: Tensor) -> SimpleNamespace:
            return SimpleNamespace(logits=self.net(pixel_values))

    model = Named(resnet())
    loss, outputs = NS().loss(
        model, X, Y, forward=lambda x: model(pixel_values=x), return_outputs=True
    )
    assert torch.equal(loss, NS().loss(resnet(), X, Y))
    assert isinstance(outputs, SimpleNamespace)


def test_a_batch_of_a_tokenizer() -> None:
    """A mapping, for a model of transformers: the three lines, and its whole output."""
    pytest.importorskip("transformers", reason="pip install transformers")
    tokenizer, model = tokenizer_of("bert", 32), classifier_of("bert", 32).train()
    texts, labels = texts_of(9)
    inputs, y = tokenizer(texts, padding=True, return_tensors="pt"), torch.tensor(labels)
    ns = NS(sigma=2.5, rho=-1, compose=Joined.of(tokenizer, 32))
    torch.manual_seed(0)
    loss, outputs = ns.loss(model, inputs, y, return_outputs=True)
    torch.manual_seed(0)
    w = ns.weights(model, inputs, y)
    each = F.cross_entropy(model(**inputs).logits, y, reduction="none")
    torch.testing.assert_close(loss, (w * each).mean())
    assert outputs.logits.shape == (9, model.config.num_labels)


def test_a_loss_of_a_model_is_none_per_sample() -> None:
    """NS has a method ``loss``, and is no base of mixup's for all that; methods of compared runs
    take it as before."""
    with pytest.raises(TypeError, match="which NS is not"):
        Mixup(base=NS())  # type: ignore[arg-type]
    assert objective_of(NS()) == NS()


@pytest.mark.usefixtures("as_users_call")
def test_an_unknown_reduction_is_refused() -> None:
    """Before the base is looked at, and before any work."""
    with pytest.raises(ValueError, match="unknown reduction"):
        NS(base=LOW()).loss(resnet(), X, Y, reduction="average")  # type: ignore[arg-type]


def test_scores_of_soft_labels() -> None:
    """q is the probability of a class drawn from the label: a formula in float64, and the paper's
    scores of one-hot labels, to the bit."""
    logits = 3 * torch.randn(4, 10, generator=torch.Generator().manual_seed(2))
    q = (logits.double().softmax(1).repeat_interleave(4, 0) * SOFT[:16].double()).sum(1)
    expected = (4 * q.view(4, 4) / q.view(4, 4).sum(1, keepdim=True)).flatten()
    torch.testing.assert_close(group_scores(logits, SOFT[:16]), expected.float())
    one_hot = F.one_hot(Y[:16], 10)
    for z in (logits, 80 * logits.sign(), logits.bfloat16()):
        for dtype in (torch.float32, torch.bfloat16):
            found = group_scores(z, one_hot.to(dtype))
            assert torch.equal(found, group_scores(z, Y[:16]))
    logits[0, 3] = torch.nan
    assert group_scores(logits, SOFT[:16])[:4].tolist() == 4 * [1]


@pytest.mark.parametrize("fields", [{}, {"grouping": "shuffled"}, {"fold_batchnorm": True}])
def test_weights_of_soft_labels(fields: dict[str, Any]) -> None:
    """Of a batch with three samples left over, whose weight is the mean."""
    order = torch.randperm(19, generator=torch.Generator().manual_seed(3))
    for y in (SOFT, F.one_hot(Y, 10).float()):
        w = NS(**fields).weights(resnet(), X, y, order)
        assert w[order[16:]].tolist() == pytest.approx(3 * [1.7])
        assert w.mean().item() == pytest.approx(1.7, rel=1e-5)
    assert torch.equal(w, NS(**fields).weights(resnet(), X, Y, order))
    loss = NS(**fields).loss(resnet(), X, SOFT, order)
    w = NS(**fields).weights(resnet(), X, SOFT, order)
    expected = w * F.cross_entropy(resnet()(X), SOFT, reduction="none")
    torch.testing.assert_close(loss, expected.mean())


@pytest.mark.usefixtures("as_users_call")
def test_soft_labels_of_other_classes_are_refused() -> None:
    """And floats that are no probabilities, before the model is asked."""
    with pytest.raises(ValueError, match="each of 19 samples and 10 classes"):
        ns_scores(resnet(), X, SOFT[:, 1:] / SOFT[:, 1:].sum(1, keepdim=True), (2, 2))
    with pytest.raises(ValueError, match="at least 0, with a sum of 1"):
        ns_scores(nn.Identity(), X, 3 * SOFT, (2, 2))
    with pytest.raises(ValueError, match="each of 19 samples"):
        NS().loss(resnet(), X, SOFT[:5])
