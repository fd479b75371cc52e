"""EDL as an objective, the losses that come with the package, and pretraining as a run."""

import dataclasses
import json
import pickle
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch

import nslab
from nslab.analysis.run_tables import trained_model
from nslab.configs.loss_search import LossSearchConfig, losses_of
from nslab.configs.serialization import decode, encode
from nslab.configs.train import TrainConfig
from nslab.evolve.es import ES
from nslab.experiments.edl import (
    EDL_LOSSES,
    classification,
    loss_name,
    pretraining,
    ranking_transfer,
    recipe,
)
from nslab.lossnet import LossForm, LossNet, Regimes, Shipped
from nslab.lossnet.ranking import pair_losses, ranking_accuracy
from nslab.lossnet.search import HeldOut
from nslab.lossnet.synthetic_predictions import draw_pairs
from nslab.objectives import EDL, NS
from nslab.objectives.weighted import cross_entropy
from nslab.rng import generator
from nslab.runs import store
from nslab.types import DataInfo

SHIPPED = ("log", "order")
SMALL = LossSearchConfig(
    LossForm(hidden=3), ES(4, 2, generations=2), generations=2, pairs=32, held_out=64, rays=8
)


@pytest.fixture(params=SHIPPED)
def shipped(request: pytest.FixtureRequest) -> EDL:
    """EDL with each loss of the package."""
    return EDL(Shipped(request.param))


def test_three_lines() -> None:
    """In a loop of one's own it is cross-entropy's replacement: a scalar whose descent fits."""
    gen = generator(0, "loop")
    x, y = torch.randn(60, 5, generator=gen), torch.arange(60) % 4
    x[:, :4] += 3 * torch.nn.functional.one_hot(y, 4)
    model = torch.nn.Linear(5, 4)
    torch.nn.init.zeros_(model.weight)
    step = torch.optim.SGD(model.parameters(), lr=0.1)
    before = nslab.EDL()(model(x), y)
    assert before.shape == ()
    for _ in range(30):
        loss = nslab.EDL()(model(x), y)
        step.zero_grad()
        loss.backward()
        step.step()
    assert loss < before / 2
    assert (model(x).argmax(1) == y).float().mean() > 0.9


def test_as_steep_as_cross_entropy_where_nothing_is_known(shipped: EDL) -> None:
    """At even predictions the gradient is cross-entropy's, for any number of classes."""
    for k in (2, 10, 1000):
        gradients = []
        for loss in (shipped.loss, cross_entropy):
            z = torch.zeros(3, k, requires_grad=True)
            (g,) = torch.autograd.grad(loss(z, torch.tensor([0, 1, 1])).sum(), z)
            gradients.append(g)
        torch.testing.assert_close(*gradients, rtol=1e-3, atol=1e-7)
    plain = dataclasses.replace(shipped, scale="evolved")
    z, y = torch.tensor([[0.0, 1.0, 2.0]]), torch.tensor([1])
    torch.testing.assert_close(plain.loss(z, y), shipped.source.net()(z, y))
    assert not torch.allclose(plain.loss(z, y), shipped.loss(z, y))


@pytest.mark.parametrize("k", [2, 10, 1000])
@pytest.mark.parametrize("size", [0.0, 1.0, 1e4])
def test_finite_wherever_logits_are(shipped: EDL, k: int, size: float) -> None:
    """Losses and gradients, float32 and under bfloat16's autocast; zero where certain and right."""
    y = torch.arange(16) % k
    z = size * torch.randn(16, k, generator=generator(k, "z")).sign()
    z[0] = -size
    z[0, y[0]] = size
    for autocast in (False, True):
        logits = z.clone().requires_grad_()
        with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
            given = torch.nn.functional.linear(logits, torch.eye(k)) if autocast else logits
            loss = shipped.loss(given, y)
            loss.sum().backward()
        assert loss.dtype == torch.float32
        assert loss.isfinite().all()
        assert logits.grad is not None
        assert logits.grad.isfinite().all()
        assert size < 1e4 or loss[0] == 0


def test_shipped_losses_rank_and_say_where_they_come_from(shipped: EDL) -> None:
    """Better than 99 % of unseen pairs in order, up to the classes they learned from; provenance
    names config, versions and a clean commit; the config is our recipe."""
    name = shipped.source.name
    net, origin = shipped.source.net(), shipped.source.provenance()
    regimes = Regimes(classes=(2, 10, 20))
    pairs = draw_pairs(regimes, 3000, generator(7, "other pairs"))
    assert ranking_accuracy(*pair_losses(net.form, net.w[None], pairs))[0] > 0.99
    assert decode(origin["config"]) == recipe(name)
    assert origin["env"]["commit"]
    assert not origin["env"]["dirty"]
    assert origin["env"]["versions"]["torch"]


def test_shipped_losses_measure_what_their_provenance_says(shipped: EDL) -> None:
    """On the held-out pairs of their evolution, to rounding: file and numbers belong together.
    Evolved again elsewhere, rounding could take other turns, so that is not asked for."""
    net, origin = shipped.source.net(), shipped.source.provenance()
    config = decode(origin["config"])
    unseen = HeldOut.of(
        config.form, config.regimes, config.margin, config.held_out, config.rays, config.seed
    )
    again = unseen.measure(net.w)
    for name, value in origin["metrics"].items():
        assert again[name] == pytest.approx(value, rel=1e-3, abs=2e-3), name
    start = dataclasses.replace(config, generations=0).evolve()
    assert start.metrics["ranking_accuracy"] < again["ranking_accuracy"] - 0.1


def test_composes_with_natural_selection() -> None:
    """NS weighs the evolved losses of its samples."""
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(48, 10)).eval()
    x, y = torch.randn(8, 3, 4, 4), torch.arange(8)
    batch = nslab.Batch(x, y, torch.arange(8))
    ns = NS(grid=(1, 2), sigma=2.5, rho=-1.0, base=EDL())
    info = DataInfo(10, 8, torch.ones(10).long())
    scored = ns.build(info)(model, batch)
    expected = ns.weights(model, x, y) * EDL().loss(model(x), y)
    torch.testing.assert_close(scored.loss, expected)


def test_refuses_what_is_no_source_and_too_many_classes(as_users_call: None) -> None:
    """Before any training."""
    for wrong in ("log", Shipped, None):
        with pytest.raises(TypeError, match="EDL: source"):
            EDL(wrong)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="Shipped: name"):
        Shipped("best")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="EDL: scale"):
        EDL(scale="mse")  # type: ignore[arg-type]
    flat = EDL(dataclasses.replace(recipe("flat", 3), generations=0, pairs=8, held_out=8, rays=2))
    with pytest.raises(ValueError, match="of 3 classes cannot score 10"):
        flat.build(DataInfo(10, 10, torch.ones(10).long()))


def test_pretraining_is_a_run(tmp_path: Path) -> None:
    """Computed once, then looked up; the network it keeps is the one EDL trains with."""
    first, again = nslab.run(SMALL, show=False), nslab.run(SMALL, show=False)
    assert (first.origin, again.origin) == ("computed", "stored")
    assert first.metrics == again.metrics
    assert [row["generation"] for row in first.history] == [0, 1, 2]
    assert first.metrics["ranking_accuracy"] == first.history[-1]["ranking_accuracy"]
    assert first.folder is not None
    kept = SMALL.net()
    assert torch.equal(kept.w, SMALL.evolve().net.w)
    about = json.loads((first.folder / "weights.json").read_text())
    assert decode(about["provenance"]["config"]) == SMALL
    with pytest.raises(ValueError, match="has no network: choose a training"):
        trained_model(first)


@pytest.mark.slow
@pytest.mark.parametrize("jobs", [1, 2])
def test_training_evolves_its_loss_first(jobs: int) -> None:
    """The loss is a run of its own, made before, once for all that train with it."""
    configs = [
        TrainConfig(network="mlp", epochs=1, objective=objective, seed=seed)
        for objective in (EDL(SMALL), NS(base=EDL(SMALL)))
        for seed in (0, 1)
    ]
    assert losses_of(configs[2]) == [SMALL]
    results = store.run_all(configs, jobs=jobs, show=False)
    assert len(results) == 4
    assert store.find(SMALL) is not None
    assert store.find(SMALL, weights=True) is not None


def test_a_run_whose_loss_fails_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """The evolution's error is the training's."""

    def broken(self: LossSearchConfig, folder: Path | None = None, *, show: bool = False) -> None:
        raise ValueError("no loss today")

    monkeypatch.setattr(LossSearchConfig, "evolve", broken)
    with pytest.raises(store.RunsFailed, match="no loss today"):
        store.run_all([TrainConfig(objective=EDL(SMALL))], show=False)


def test_config_refuses(as_users_call: None) -> None:
    """Wrong parts and numbers, each by its name."""
    for changes, error, words in (
        ({"form": "flat"}, TypeError, "form must have class LossForm, not 'flat'"),
        ({"search": Regimes()}, TypeError, "search must have class Evolver"),
        ({"pairs": 0}, ValueError, "pairs must be at least 1"),
        ({"generations": -1}, ValueError, "generations must be at least 0"),
        ({"margin": "square"}, TypeError, "margin"),
        ({"seed": "x"}, TypeError, "seed"),
    ):
        with pytest.raises(error, match=words):
            LossSearchConfig(**changes)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="needs at least"):
        LossSearchConfig(search=nslab.EVOLVERS["sa-shade-tri-ensin"], members=3)  # type: ignore[arg-type]


def test_experiments_of_edl() -> None:
    """Every loss by its name, every search beside the others on the same pairs and start."""
    configs = classification("smoke")
    assert len(configs) == 5 * len(EDL_LOSSES)
    assert {loss_name(c.objective) for c in configs} == set(EDL_LOSSES)
    assert {c.keep_last for c in configs} == {30}
    evolutions = pretraining("cpu", seeds=(1, 2))
    assert len({c.id for c in evolutions}) == len(evolutions) == 2 * 2 * 4
    same = [dataclasses.replace(c, search=ES()) for c in evolutions if c.seed == 1]
    assert len({c.id for c in same}) == 2
    assert len(losses_of(ranking_transfer("smoke")[0])) == 1
    assert len({losses_of(c)[0].id for c in ranking_transfer("cpu")}) == 2 * 7 * 3
    for config in (*configs, *evolutions):
        assert decode(encode(config)) == config


@dataclass(frozen=True)
class Mine:
    """A source of one's own: half of cross-entropy's slope at even predictions."""

    def net(self) -> LossNet:
        """The package's loss, halved."""
        return dataclasses.replace(Shipped().net().matched(10), scale=1.0)


def test_a_source_of_ones_own_serves() -> None:
    """Anything with ``net`` that can be hashed."""
    z, y = torch.zeros(2, 10), torch.tensor([0, 1])
    own = EDL(Mine(), scale="evolved").loss(z, y)
    torch.testing.assert_close(own, Mine().net()(z, y))
    assert pickle.loads(pickle.dumps(EDL())) == EDL()  # configs travel to other processes
