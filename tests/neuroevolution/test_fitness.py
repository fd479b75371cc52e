"""Fitness: plain forward passes by hand, what BatchNorm does by policy, loop, vmap, processes."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Literal

import pytest
import torch
import torch.nn.functional as F
from network_helpers import equal, images, state
from process_helpers import distributed
from torch import Tensor, nn

from nslab.evolve.population import Population
from nslab.networks import build_network
from nslab.neuroevolution.averaging import update_batchnorm
from nslab.neuroevolution.fitness import Fitness, Scorer
from nslab.neuroevolution.options import EvolveOptions
from nslab.neuroevolution.parameter_vector import Extras, ParameterLayout

POLICIES = ("inherit", "recalibrate", "parent")
X, Y = images(24, 2, 6, 6), torch.arange(24) % 5
CALIBRATION = [images(8, 2, 6, 6, seed=s) for s in (1, 2)]


def small(seed: int, momentum: float | None = 0.1) -> nn.Module:
    """A network with BatchNorm and dropout, some steps away from its start."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = nn.Sequential(
            nn.Conv2d(2, 4, 3),
            nn.BatchNorm2d(4, momentum=momentum),
            nn.ReLU(),
            nn.Flatten(),
            nn.Dropout(0.5),
            nn.Linear(64, 8),
            nn.ReLU(),
            nn.Linear(8, 5),
        )
        model[1].running_mean.uniform_(-1, 1)
        model[1].running_var.uniform_(0.5, 2)
        model[1].num_batches_tracked.fill_(seed)
    return model


def evolving(models: list[nn.Module]) -> tuple[ParameterLayout, Population, Extras]:
    """Members from networks; every trial is its parent with genes a little larger."""
    layout = ParameterLayout.of(models[0])
    population = Population.of(torch.stack([layout.vector(m) for m in models]))
    population.rows[population.spare] = population.rows[population.members] * 1.25 + 0.01
    return layout, population, Extras.of(models[0], layout, models)


def as_networks(layout: ParameterLayout, population: Population, extras: Extras) -> list[nn.Module]:
    """Members, then trials, as networks of their own, with the buffers of their parents."""
    made = []
    for rows in (population.members, population.spare):
        for i, row in enumerate(rows.tolist()):
            model = small(99)
            layout.write(population.rows[row], model)
            extras.write(model, i, int(population.members[i]))
            made.append(model)
    return made


def by_hand(model: nn.Module, policy: str) -> float:
    """What one network scores, its buffers changed as the policy says."""
    model.eval()
    if policy == "recalibrate":
        update_batchnorm(model, CALIBRATION)
    if policy == "inherit":
        model[1].train()
    with torch.no_grad():
        return float(F.cross_entropy(model(X), Y))


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("momentum", [0.1, None])
def test_policies(policy: Any, momentum: float | None) -> None:
    """Fitness and statistics of members and trials are those of separate networks; after selection
    a winner has its trial's statistics and a loser its parent's; the model is left alone."""
    models = [small(i, momentum) for i in range(3)]
    layout, population, extras = evolving(models)
    model = small(7, momentum).train()
    before, rows = state(model), population.rows.clone()
    networks = as_networks(layout, population, extras)
    for network in networks:
        network[1].momentum = momentum
    parents = Extras.from_state(
        {"heads": extras.heads, "buffers": {k: t.clone() for k, t in extras.buffers.items()}}
    )
    fitness = Fitness(model, layout, EvolveOptions(policy=policy))
    targets = torch.tensor([2, 0])
    trials = fitness(population, extras, X, Y, targets, calibration=CALIBRATION)
    assert trials.dtype == torch.float64
    expected = [by_hand(networks[3 + i], policy) for i in (2, 0)]
    # computed in float32, whatever the type of the sum
    torch.testing.assert_close(trials, torch.tensor(expected).double(), rtol=1e-6, atol=0)
    for i in range(3):  # nothing but the trials' statistics has moved
        assert equal(extras.views(i, i), parents.views(i, i))
    won = torch.tensor([True, False, False])
    after = population.accept(won)
    for i, source in enumerate((networks[3], models[1], models[2])):
        layout.write(after.member(i), model)
        extras.write(model, i, int(after.members[i]))
        for name, value in source.named_buffers():
            torch.testing.assert_close(model.get_buffer(name), value)
        assert torch.equal(model[7].weight, models[i][7].weight)
    moved = [
        not torch.equal(extras.buffers["1.running_mean"][r], models[0][1].running_mean)
        for r in (0, 3)
    ]
    assert moved == [False, policy != "parent"]
    model.load_state_dict(before)
    members = fitness(population, extras, X, Y, calibration=CALIBRATION)
    expected = [by_hand(network, policy) for network in networks[:3]]
    torch.testing.assert_close(members, torch.tensor(expected).double(), rtol=1e-6, atol=0)
    for i in range(3):
        for name, value in networks[i].named_buffers():
            torch.testing.assert_close(extras.views(i, i)[name], value)
    assert equal(state(model), before)
    assert all(m.training for m in model.modules())
    assert model[1].momentum == momentum
    assert torch.equal(population.rows, rows)


@pytest.mark.parametrize("policy", POLICIES)
def test_next_generation(policy: Any) -> None:
    """A trial starts from the statistics of whoever is the member by then, not from what earlier
    trials left in its row; heads stay with their members. By both ways, where there are two."""
    layout, population, extras = evolving([small(i) for i in range(3)])
    fitness = Fitness(small(0), layout, EvolveOptions(policy=policy), mode="loop")
    fitness(population, extras, X, Y, torch.arange(3), calibration=CALIBRATION)
    population = population.accept(torch.tensor([True, False, True]))
    networks = as_networks(layout, population, extras)
    ways = [fitness]
    if policy == "parent":
        ways.append(Fitness(small(0), layout, EvolveOptions(policy=policy), mode="vmap"))
    for targets, which in ((torch.tensor([2, 1]), (5, 4)), (None, (0, 1, 2))):
        expected = torch.tensor([by_hand(networks[i], policy) for i in which]).double()
        for way in ways:
            extras.buffers["1.running_mean"][population.spare] = 77.0
            got = way(population, extras, X, Y, targets, calibration=CALIBRATION)
            torch.testing.assert_close(got, expected, rtol=1e-6, atol=0)
        rows = population.members if targets is None else population.spare[targets]
        for i, row in zip(which, rows.tolist(), strict=True):
            for name, value in networks[i].named_buffers():
                torch.testing.assert_close(extras.buffers[name][row], value)


def test_recalibration_heals() -> None:
    """Statistics that are not finite do not stay so."""
    layout, population, extras = evolving([small(0)])
    for name in ("1.running_mean", "1.running_var"):
        extras.buffers[name][:] = torch.nan
    fitness = Fitness(small(0), layout, EvolveOptions(policy="recalibrate"))
    expected = by_hand(small(0), "recalibrate")
    got = fitness(population, extras, X, Y, calibration=CALIBRATION)
    assert got.item() == pytest.approx(expected)


@pytest.mark.parametrize("policy", POLICIES)
def test_microbatches(policy: Any) -> None:
    """The mean over the batch is exact where BatchNorm does not normalise with it; where it does,
    every part, as even as can be, is a batch of its own."""
    layout, population, extras = evolving([small(0)])
    whole = Fitness(small(1), layout, EvolveOptions(policy=policy))(
        population, extras, X, Y, calibration=CALIBRATION
    )
    layout, population, extras = evolving([small(0)])
    network = small(0).eval()
    parts = Fitness(small(1), layout, EvolveOptions(policy=policy, microbatch=10))
    got = parts(population, extras, X, Y, calibration=CALIBRATION)
    if policy != "inherit":
        torch.testing.assert_close(got, whole, rtol=1e-6, atol=0)
        return
    network[1].train()
    with torch.no_grad():
        losses = [F.cross_entropy(network(X[i : i + 8]), Y[i : i + 8]) for i in (0, 8, 16)]
    torch.testing.assert_close(got, torch.stack(losses).double().mean()[None])
    assert torch.equal(extras.buffers["1.running_mean"][0], network[1].running_mean)
    assert extras.buffers["1.num_batches_tracked"].tolist() == [3, 0]


def test_vmap_agrees_and_automatic_choice_is_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    """Both ways give the same; the automatic one measures once per shape and keeps its choice."""
    models = [small(i) for i in range(4)]
    layout, population, extras = evolving(models)
    loop, vmap = (
        Fitness(models[0], layout, EvolveOptions(policy="parent"), mode=m) for m in ("loop", "vmap")
    )
    for targets in (None, torch.tensor([3, 1])):
        one, other = (f(population, extras, X, Y, targets) for f in (loop, vmap))
        torch.testing.assert_close(one, other, rtol=1e-5, atol=0)
    measured: list[int] = []

    def measure(self: Scorer, owners: Tensor, rows: Tensor) -> bool:
        measured.append(len(rows))
        return real(self, owners, rows)

    real = Scorer.vmap_is_faster
    monkeypatch.setattr(Scorer, "vmap_is_faster", measure)
    auto = Fitness(models[0], layout, EvolveOptions(policy="parent", microbatch=20))
    for _ in range(2):
        torch.testing.assert_close(auto(population, extras, X, Y), loop(population, extras, X, Y))
        auto(population, extras, X, Y, torch.tensor([1, 2]))
        auto(population, extras, X[:8], Y[:8])
    assert measured == [4, 2, 4]
    again = Fitness(models[0], layout, EvolveOptions(policy="parent"))
    again.load_state_dict(auto.state_dict())
    again(population, extras, X, Y)
    assert measured == [4, 2, 4]
    learning = Fitness(models[0], layout)
    learning(population, extras, X, Y)
    assert measured == [4, 2, 4]
    assert not learning.chosen


class Wrapped(nn.Module):
    """Gives its logits as transformers' models do."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, x: Tensor) -> SimpleNamespace:
        """An object with logits."""
        return SimpleNamespace(logits=self.net(x))


@pytest.mark.parametrize("mode", ["loop", "vmap"])
def test_logits_inside_of_an_object(mode: Literal["loop", "vmap"]) -> None:
    """The same fitness as of the network itself."""
    x, y = torch.randn(20, 4), torch.randint(0, 3, (20,))
    losses = []
    for model in (net := nn.Sequential(nn.Linear(4, 5), nn.Linear(5, 3)), Wrapped(net)):
        layout = ParameterLayout.of(model)
        population = Population.of(torch.stack([layout.vector(model)] * 2))
        extras = Extras.of(model, layout, [model] * 2)
        losses.append(Fitness(model, layout, mode=mode)(population, extras, x, y))
    assert torch.equal(losses[0], losses[1])


class Awkward(nn.Module):
    """What vmap cannot do: Python that looks at numbers."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(3, 3), nn.Linear(3, 2)

    def forward(self, x: Tensor) -> Tensor:
        h = self.a(x)
        return self.b(h if h.sum() > 0 else -h)


def test_automatic_choice_where_vmap_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    """It loops, and so it does with slow networks, without trying."""
    layout, population, extras = evolving([Awkward(), Awkward()])
    fitness = Fitness(Awkward(), layout)
    x, y = torch.randn(4, 3), torch.tensor([0, 1, 0, 1])
    assert fitness(population, extras, x, y).isfinite().all()
    assert set(fitness.chosen.values()) == {"loop"}
    monkeypatch.setattr("nslab.neuroevolution.fitness.SLOW", 0.0)
    monkeypatch.setattr(Scorer, "vmap", None)
    layout, population, extras = evolving([small(0), small(1)])
    slow = Fitness(small(0), layout, EvolveOptions(policy="parent"))
    slow(population, extras, X, Y)
    assert set(slow.chosen.values()) == {"loop"}


@pytest.mark.parametrize("mode", ["loop", "vmap"])
def test_bad_networks_lose(mode: Any) -> None:
    """nan and infinity count as +inf; huge but finite losses stay."""
    layout, population, extras = evolving([small(i) for i in range(4)])
    population.rows[0] = torch.nan
    population.rows[1] *= 1e30
    extras.heads["7.weight"][2] *= 1e4
    got = Fitness(small(0), layout, EvolveOptions(policy="parent"), mode=mode)(
        population, extras, X, Y
    )
    assert got[:2].tolist() == [torch.inf] * 2
    assert 1e2 < got[2] < torch.inf
    assert got[3] < 10


@pytest.mark.parametrize(
    ("policy", "mode"), [("inherit", "loop"), ("parent", "loop"), ("parent", "vmap")]
)
def test_bfloat16_populations_and_autocast(policy: Any, mode: Any) -> None:
    """bfloat16 rows score as their float32 values do; mixed precision stays near, its
    cross-entropy in float32."""
    layout, population, extras = evolving([small(0), small(1)])
    half = Population.of(population.x().bfloat16())
    wide = Population.of(half.x().float())
    score = Fitness(small(0), layout, EvolveOptions(policy=policy), mode=mode)
    assert torch.equal(score(half, extras, X, Y), score(wide, extras, X, Y))
    mixed = Fitness(small(0), layout, EvolveOptions(policy=policy, precision="bf16"), mode=mode)
    got, exact = mixed(half, extras, X, Y), score(half, extras, X, Y)
    torch.testing.assert_close(got, exact, rtol=0.02, atol=0)
    assert not torch.equal(got, exact)
    model = small(0).eval()
    layout.write(half.member(0).float(), model)
    model[1].train(policy == "inherit")
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        logits = model(X)
    assert logits.dtype == torch.bfloat16
    if mode == "loop":
        torch.testing.assert_close(got[0], F.cross_entropy(logits.double(), Y), rtol=1e-5, atol=0)


def test_refused(as_users_call: None) -> None:
    """What cannot be computed is said at once."""
    layout, population, extras = evolving([small(0)])
    with pytest.raises(ValueError, match="cannot learn under vmap"):
        Fitness(small(0), layout, mode="vmap")
    with pytest.raises(ValueError, match="microbatch must be at least 1"):
        EvolveOptions(microbatch=0)
    with pytest.raises(ValueError, match=r"model\.float"):
        Fitness(nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2).double()), layout)
    with pytest.raises(ValueError, match="use BatchNorm"):
        Fitness(nn.SyncBatchNorm.convert_sync_batchnorm(small(0)), layout)
    with pytest.raises(ValueError, match="calibration"):
        Fitness(small(0), layout, EvolveOptions(policy="recalibrate"))(population, extras, X, Y)
    with pytest.raises(ValueError, match="give a batch"):
        Fitness(small(0), layout)(population, extras, X[:0], Y[:0])
    none = torch.zeros(0, dtype=torch.int64)
    assert Fitness(small(0), layout)(population, extras, X, Y, none).shape == (0,)


def test_any_network() -> None:
    """An LSTM, tokens as inputs: members score as they do by themselves."""

    class Text(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embed, self.lstm = nn.Embedding(7, 4), nn.LSTM(4, 6, batch_first=True)
            self.head = nn.Linear(6, 3)

        def forward(self, x: Tensor) -> Tensor:
            return self.head(self.lstm(self.embed(x))[0][:, -1])

    models = [Text(), Text()]
    layout, population, extras = evolving(models)
    x, y = torch.arange(20).view(4, 5) % 7, torch.tensor([0, 1, 2, 0])
    got = Fitness(Text(), layout)(population, extras, x, y)
    expected = torch.stack([F.cross_entropy(m(x), y) for m in models]).detach().double()
    torch.testing.assert_close(got, expected)


def test_grey_images_pass_in_channels_last() -> None:
    """Whatever their strides, with the losses that contiguous networks give; rows stay rows."""
    seen = []

    class Watched(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            seen.append(x.is_contiguous(memory_format=torch.channels_last))
            return x

    models = [
        nn.Sequential(nn.Conv2d(1, 4, 3), Watched(), nn.Flatten(), nn.Linear(64, 5))
        for _ in range(3)
    ]
    layout, population, extras = evolving(models)
    before = population.rows.clone()
    for x in (images(24, 1, 6, 6), images(24, 1, 6, 6).permute(0, 2, 3, 1).permute(0, 3, 1, 2)):
        fitness = Fitness(models[0], layout, mode="loop")(population, extras, x, Y)
        assert all(seen)
        assert len(seen) >= len(models)
        by_hand = [F.cross_entropy(model(x), Y).item() for model in models]
        assert fitness.tolist() == pytest.approx(by_hand, rel=1e-5)
        seen.clear()
    assert torch.equal(population.rows, before)


def test_zoo_network_by_loop_and_vmap() -> None:
    """ResNet-8 in channels_last with statistics at rest."""
    models = [build_network("resnet8", (3, 32, 32), 10, s) for s in range(2)]
    layout, population, extras = evolving(models)
    x, y = images(4).contiguous(memory_format=torch.channels_last), torch.arange(4)
    one, other = (
        Fitness(models[0], layout, EvolveOptions(policy="parent"), mode=m)(population, extras, x, y)
        for m in ("loop", "vmap")
    )
    torch.testing.assert_close(one, other, rtol=1e-5, atol=0)


# Runs here as one process, and in two under torch's launcher.
WORKER = """
import json, sys
from pathlib import Path
import torch
from torch import nn
from nslab.evolve.population import Population
from nslab.neuroevolution.fitness import Fitness
from nslab.neuroevolution.options import EvolveOptions
from nslab.neuroevolution.parameter_vector import Extras, ParameterLayout
from nslab.system.distributed import process_group

def network(seed):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 3))

def measure():
    torch.set_num_threads(1)
    models = [network(seed) for seed in range(5)]
    layout = ParameterLayout.of(models[0])
    found = []
    x, y = torch.randn(32, 6), torch.arange(32) % 3
    for policy, mode in (("inherit", "loop"), ("recalibrate", "loop"), ("parent", "auto")):
        population = Population.of(torch.stack([layout.vector(m) for m in models]))
        population.rows[5:] = population.rows[:5] * 1.25
        extras = Extras.of(models[0], layout, models)
        fitness = Fitness(network(0), layout, EvolveOptions(policy=policy), mode=mode)
        for targets in (None, torch.tensor([4, 0, 2]), torch.tensor([3])):
            scores = fitness(population, extras, x, y, targets, calibration=[x[:16], x[16:]])
            found.append(scores.tolist())
        found.append({name: t.tolist() for name, t in extras.buffers.items()})
        found.append(sorted(fitness.chosen))
    return found

if __name__ == "__main__":
    rank = process_group().process_index
    Path(sys.argv[1], f"{rank}.json").write_text(json.dumps(measure()))
    process_group().destroy_process_group()  # exit with the group alive and gloo may abort
"""


def test_two_processes_agree_with_one(tmp_path: Path) -> None:
    """Fitness and statistics are the same in both, and those of one process; shares are uneven,
    and one target alone leaves the second process nothing to do."""
    script = tmp_path / "worker.py"
    script.write_text(WORKER, encoding="utf-8")
    distributed(script, str(tmp_path))
    first, second = (json.loads((tmp_path / f"{rank}.json").read_text()) for rank in (0, 1))
    assert first == second
    names: dict[str, Any] = {"__name__": "alone"}
    with torch.random.fork_rng(devices=[]):
        exec(WORKER, names)
        alone = json.loads(json.dumps(names["measure"]()))
    exact = 10  # up to where the automatic choice comes in
    assert first[:exact] == alone[:exact]
    for got, expected in zip(first[exact:13], alone[exact:13], strict=True):
        assert got == pytest.approx(expected, rel=1e-5)
    assert first[13] == alone[13]
    assert first[14] == [
        "1 x (32, 6) torch.float32 cpu",
        "2 x (32, 6) torch.float32 cpu",
        "3 x (32, 6) torch.float32 cpu",
    ]
