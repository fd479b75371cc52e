"""Rivals made of several networks: averages by hand, soups on made-up scores, votes, mutations."""

import math
from collections.abc import Mapping

import pytest
import torch
from network_helpers import equal, images, state, train
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from nslab.networks import build_network
from nslab.neuroevolution.averaging import (
    Ensemble,
    average,
    fge_collects,
    fge_lr,
    greedy_soup,
    sparse_mutation,
    update_batchnorm,
)


def test_average_by_hand() -> None:
    """Means of floats in their own type, whole numbers of the first, the states left alone."""
    one = {"w": torch.tensor([1.0, 4.0]), "n": torch.tensor(5), "h": torch.tensor([1.0]).bfloat16()}
    two = {"w": torch.tensor([2.0, 8.0]), "n": torch.tensor(9), "h": torch.tensor([2.0]).bfloat16()}
    three = {
        "w": torch.tensor([6.0, 0.0]),
        "n": torch.tensor(7),
        "h": torch.tensor([6.0]).bfloat16(),
    }
    mean = average([one, two, three])
    assert mean["w"].tolist() == [3.0, 4.0]
    assert mean["n"] == 5
    assert mean["h"] == 3
    assert [t.dtype for t in mean.values()] == [torch.float32, torch.int64, torch.bfloat16]
    mean["w"].zero_()
    assert one["w"].tolist() == [1.0, 4.0]
    # a sum in float32 would lose the small one
    many = [{"w": torch.tensor([v])} for v in (2.0**25, 1.0, -(2.0**25), 3.0)]
    assert average(many)["w"].item() == 1.0
    assert equal(average([one]), one)


def test_average_is_that_of_torch() -> None:
    """Parameters and buffers as ``AveragedModel`` has them after each network in turn."""
    models = [train(build_network("resnet8", (3, 32, 32), 10, s), images(8)) for s in range(3)]
    swa = AveragedModel(models[0], use_buffers=True)
    for model in models:
        swa.update_parameters(model)
    mean = average([m.state_dict() for m in models])
    for name, value in swa.module.state_dict().items():
        if value.is_floating_point():
            torch.testing.assert_close(mean[name], value)
    blank = build_network("resnet8", (3, 32, 32), 10, 9)
    blank.load_state_dict(mean)


def test_averages_that_are_refused() -> None:
    """Nothing, other names, other shapes."""
    w = {"w": torch.zeros(2)}
    for bad, message in (
        ([], "at least one"),
        ([w, {"v": torch.zeros(2)}], "0 and 1 belong to different"),
        ([w, w, {"w": torch.zeros(3)}], "0 and 2 belong to different"),
    ):
        with pytest.raises(ValueError, match=message):
            average(bad)


def test_update_batchnorm() -> None:
    """Statistics are the means over the batches, by hand for a first layer; dropout is off; modes
    and momentum come back; without batches, or after an error, nothing has changed."""
    norm = nn.BatchNorm1d(3, momentum=0.3)
    second = nn.BatchNorm1d(3)
    model = nn.Sequential(norm, nn.Dropout(0.9), second, nn.Linear(3, 2)).train()
    model[3].eval()
    gen = torch.Generator().manual_seed(0)
    batches = [torch.randn(16, 3, generator=gen) * k + k for k in (1, 2, 3)]
    random = torch.get_rng_state()
    update_batchnorm(model, ((x, "label") for x in batches))
    assert torch.equal(torch.get_rng_state(), random)
    torch.testing.assert_close(norm.running_mean, torch.stack([x.mean(0) for x in batches]).mean(0))
    torch.testing.assert_close(norm.running_var, torch.stack([x.var(0) for x in batches]).mean(0))
    torch.testing.assert_close(second.running_var, torch.full((3,), 16 / 15), rtol=1e-4, atol=0)
    assert (norm.momentum, norm.num_batches_tracked.item()) == (0.3, 3)
    assert [m.training for m in model] == [True, True, True, False]
    before = state(model)
    with pytest.raises(ValueError, match="no batches"):
        update_batchnorm(model, [])
    with pytest.raises(RuntimeError):
        update_batchnorm(model, [batches[0], torch.zeros(4, 7)])
    assert equal(state(model), before)
    assert (norm.momentum, second.momentum) == (0.3, 0.1)
    assert [m.training for m in model] == [True, True, True, False]
    update_batchnorm(nn.Linear(2, 2), [])


def soup_of(values: list[float], score: dict[float, float]) -> tuple[tuple[int, ...], float, float]:
    """A greedy soup of one-number states, scored by a table of the mean."""
    seen: list[float] = []

    def look(given: Mapping[str, Tensor]) -> float:
        seen.append(round(given["w"].item(), 4))
        return score.get(seen[-1], math.nan)

    soup = greedy_soup([{"w": torch.tensor(v)} for v in values], look)
    assert seen[: len(values)] == values
    assert len(seen) == 2 * len(values) - 1
    return soup.chosen, soup.state["w"].item(), soup.score


def test_greedy_soup_on_made_up_scores() -> None:
    """Sorted by score; added if strictly better; the mean runs over those chosen alone."""
    # order 1 (0.9), 2 (0.8), 0 (0.7): with 2 better, with 0 as good as before and so left out
    alone = {1.0: 0.7, 4.0: 0.9, 6.0: 0.8}
    assert soup_of([1.0, 4.0, 6.0], alone | {5.0: 0.95, 3.6667: 0.95}) == ((1, 2), 5.0, 0.95)
    # 2 makes it worse and is left out, so 0 is tried with 1 alone
    assert soup_of([1.0, 4.0, 6.0], alone | {5.0: 0.85, 2.5: 0.92}) == ((1, 0), 2.5, 0.92)
    # nobody helps
    assert soup_of([1.0, 4.0, 6.0], alone | {5.0: 0.1, 2.5: 0.9}) == ((1,), 4.0, 0.9)
    # all help
    assert soup_of([1.0, 4.0, 6.0], alone | {5.0: 0.91, 3.6667: 0.92})[0] == (1, 2, 0)
    # equal scores: the earlier first; a network without a score comes last and never helps
    assert soup_of([1.0, 4.0, 6.0], {4.0: 0.5, 6.0: 0.5, 5.0: 0.6})[0] == (1, 2)
    assert soup_of([3.0], {3.0: 0.2}) == ((0,), 3.0, 0.2)
    with pytest.raises(ValueError, match="at least one"):
        greedy_soup([], lambda s: 0.0)


class Fixed(nn.Module):
    """Gives the same logits to every sample."""

    def __init__(self, logits: list[float], dtype: torch.dtype = torch.float32) -> None:
        super().__init__()
        self.register_buffer("logits", torch.tensor(logits).to(dtype))

    def forward(self, x: Tensor) -> Tensor:
        return self.logits.expand(len(x), -1)


def test_ensemble_means_probabilities() -> None:
    """(0.9, 0.1) and (0.2, 0.8) vote (0.55, 0.45), which no mean of logits gives; extreme logits
    keep their small probabilities."""
    p = [[0.9, 0.1], [0.2, 0.8]]
    ensemble = Ensemble([Fixed([math.log(v) for v in row]) for row in p])
    torch.testing.assert_close(ensemble(torch.zeros(3, 1)).exp(), torch.tensor([[0.55, 0.45]] * 3))
    far = Ensemble([Fixed([80.0, -80.0]), Fixed([80.0, -80.0], torch.bfloat16)])(torch.zeros(1, 1))
    torch.testing.assert_close(far, torch.tensor([[0.0, -160.0]]))
    models = [build_network("mlp", (1, 8, 8), 10, s) for s in range(3)]
    x = images(5, 1, 8, 8)
    votes = torch.stack([m(x).softmax(1) for m in models]).mean(0)
    torch.testing.assert_close(Ensemble(models)(x).softmax(1), votes)
    assert not any(m.training for m in Ensemble(models).eval().models)
    with pytest.raises(ValueError, match="at least one"):
        Ensemble([])


def test_fge_schedule() -> None:
    """Two cycles of four steps by hand: down to lr2, where networks are collected, and up."""
    rates = [fge_lr(i, 4, 0.05, 0.01) for i in range(8)]
    assert rates == pytest.approx([0.03, 0.01, 0.03, 0.05] * 2)
    assert [i for i in range(8) if fge_collects(i, 4)] == [1, 5]
    lowest = min(range(10), key=lambda i: fge_lr(i, 10, 0.05, 0.01))
    assert [i for i in range(10) if fge_collects(i, 10)] == [lowest]
    for bad in (0, 3):
        with pytest.raises(ValueError, match="even number"):
            fge_lr(0, bad, 0.1, 0.01)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
def test_sparse_mutation(dtype: torch.dtype) -> None:
    """A share ``density`` of the genes moves, normally with deviation sigma; the same generator
    state gives the same child, and the parent stays."""
    parent = torch.zeros(20_000, dtype=dtype)
    child = sparse_mutation(parent, 0.5, 0.1, torch.Generator().manual_seed(1))
    again = sparse_mutation(parent, 0.5, 0.1, torch.Generator().manual_seed(1))
    assert torch.equal(child, again)
    assert child.dtype == dtype
    assert not parent.any()
    moved = child[child != 0].double()
    assert len(moved) == pytest.approx(2000, abs=5 * math.sqrt(20_000 * 0.09))
    assert moved.std().item() == pytest.approx(0.5, rel=0.08)
    assert moved.mean().item() == pytest.approx(0, abs=0.06)
    gen = torch.Generator().manual_seed(2)
    assert not sparse_mutation(parent, 0.5, 0.0, gen).any()
    assert (sparse_mutation(parent, 0.5, 1.0, gen) != 0).all()
    with pytest.raises(ValueError, match=r"\[0, 1\]"):
        sparse_mutation(parent, 0.5, 1.5, gen)
