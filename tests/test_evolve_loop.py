"""The evolution of networks: it improves, it resumes to the bit, it refuses what cannot be."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nslab.evolve import EVOLVERS
from nslab.evolve.loop import CHECKPOINT, Evolved, evolve
from nslab.evolve.population import Population
from nslab.evolve.record import diversity

PLAIN = {"batches": 3, "generations": 4, "show": False, "seed": 5}


class Net(nn.Module):
    """A small classifier with BatchNorm."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(6, 12)
        self.norm = nn.BatchNorm1d(12)
        self.head = nn.Linear(12, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.norm(self.first(x)).relu())


def data(k: int, n: int = 96) -> tuple[Tensor, Tensor]:
    """Batch k: three classes that a line tells apart, mostly."""
    gen = torch.Generator().manual_seed(100 + k)
    x = torch.randn(n, 6, generator=gen)
    return x, (x[:, :3] + 0.3 * torch.randn(n, 3, generator=gen)).argmax(1)


def parents(count: int = 8) -> list[nn.Module]:
    """Networks after a little training, each a bit longer."""
    torch.manual_seed(0)
    model = Net()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    found = []
    for k in range(count):
        for _ in range(3):
            x, y = data(50 + k)
            optimizer.zero_grad()
            F.cross_entropy(model(x), y).backward()
            optimizer.step()
        found.append(Net())
        found[-1].load_state_dict(model.state_dict())
    return found


def equal(a: Evolved, b: Evolved) -> bool:
    """The same members, statistics and history, to the bit."""
    same = torch.equal(a.state.population.x(), b.state.population.x())
    for x, y in zip(a.extras.buffers.values(), b.extras.buffers.values(), strict=True):
        rows = [e.state.population.members for e in (a, b)]
        same &= torch.equal(x[rows[0]], y[rows[1]])
    return same and a.history == b.history and torch.equal(a.state.fitness, b.state.fitness)


@pytest.mark.parametrize("key", EVOLVERS)
def test_improves_on_every_batch(key: str) -> None:
    """Within a batch the best and the mean never get worse, and something wins."""
    evolved = evolve(Net(), parents(), data, EVOLVERS[key], policy="parent", **PLAIN)
    assert len(evolved.history) == 12
    for k in range(3):
        rows = [row for row in evolved.history if row["batch"] == k]
        for name in ("best", "mean"):
            values = [row[name] for row in rows]
            assert values == sorted(values, reverse=True)
    assert sum(row["wins"] for row in evolved.history) > 0


def test_the_best_network_is_what_was_scored() -> None:
    """Its loss on the last batch is the fitness; the form it was made from stays as it was."""
    model = Net()
    before = {k: v.clone() for k, v in model.state_dict().items()}
    evolved = evolve(model, parents(), data, EVOLVERS["sade+shade"], policy="parent", **PLAIN)
    x, y = data(2)
    with torch.no_grad():
        losses = [float(F.cross_entropy(evolved.network(i)(x), y)) for i in range(8)]
    assert losses == pytest.approx(evolved.state.fitness.tolist(), rel=1e-5)
    assert evolved.best == min(range(8), key=losses.__getitem__)
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())
    heads = {tuple(p.head.weight.flatten().tolist()) for p in parents()}
    assert tuple(evolved.network().head.weight.flatten().tolist()) in heads


@pytest.mark.parametrize("key", ["sa-shade-tri-ensin", "pso-constriction"])
def test_resumes_to_the_bit(tmp_path: Path, key: str) -> None:
    """Interrupted after every batch; BatchNorm learns meanwhile."""
    whole = evolve(Net(), parents(), data, EVOLVERS[key], **PLAIN)
    calls = []

    def stop(evolved: Evolved) -> dict[str, Any]:
        calls.append(len(evolved.history))
        if len(calls) % 2 == 0:
            raise KeyboardInterrupt
        return {}

    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            evolve(Net(), parents(), data, EVOLVERS[key], folder=tmp_path, on_batch=stop, **PLAIN)
    resumed = evolve(Net(), parents(), data, EVOLVERS[key], folder=tmp_path, **PLAIN)
    assert calls == [4, 8, 8, 12]
    assert equal(whole, resumed)
    again = evolve(Net(), parents(), data, EVOLVERS[key], folder=tmp_path, **PLAIN)
    assert equal(whole, again)


def test_what_a_row_says() -> None:
    """Counts by strategy add up; numbers of ``on_batch`` join the batch's last row."""
    evolver = EVOLVERS["sa-shade-tri-ensin"]
    evolved = evolve(Net(), parents(), data, evolver, on_batch=lambda e: {"seen": 1.5}, **PLAIN)
    for row in evolved.history:
        assert sum(row["strategy_asked"]) == 8
        assert sum(row["strategy_wins"]) == row["wins"] <= row["asked"] <= 8
        assert sum(row["strategy_probability"]) == pytest.approx(1)
        assert len(row["f"]) == len(row["cr"]) == 5
        assert ("seen" in row) == (row["generation"] == 3)


def test_refusals(tmp_path: Path) -> None:
    """Too few parents, another network's weights, nothing finite, and somebody else's folder."""
    evolver = EVOLVERS["sa-shade-tri-ensin"]
    with pytest.raises(ValueError, match="at least 6 parents, not 4"):
        evolve(Net(), parents(4), data, evolver, **PLAIN)
    with pytest.raises(ValueError, match="is missing"):
        evolve(Net(), [nn.Linear(2, 2).state_dict()] * 8, data, evolver, **PLAIN)
    broken = parents()
    for model in broken:
        nn.init.constant_(model.first.weight, torch.nan)
    with pytest.raises(ValueError, match="no member has a finite loss"):
        evolve(Net(), broken, data, evolver, **PLAIN)
    evolve(Net(), parents(), data, evolver, folder=tmp_path, **PLAIN)
    with pytest.raises(ValueError, match="another folder"):
        evolve(Net(), parents(), data, replace(evolver, history=4), folder=tmp_path, **PLAIN)
    (tmp_path / CHECKPOINT).write_bytes(b"half a file")
    with pytest.raises(ValueError, match="cannot be read"):
        evolve(Net(), parents(), data, evolver, folder=tmp_path, **PLAIN)


def test_a_parent_that_failed_is_replaced() -> None:
    """One parent of nan does not spread: its trials win as soon as they are finite."""
    ill = parents()
    nn.init.constant_(ill[3].first.weight, torch.nan)
    evolved = evolve(Net(), ill, data, replace(EVOLVERS["de"], cr=1.0), policy="parent", **PLAIN)
    assert evolved.state.fitness.isfinite().all()
    assert evolved.state.population.x().isfinite().all()


def test_diversity_by_hand() -> None:
    """Mean distance of all pairs, also where the members lie far from the origin."""
    x = torch.randn(5, 3000, generator=torch.Generator().manual_seed(0)) + 1000
    expected = torch.pdist(x.double()).mean()
    assert diversity(Population.of(x)) == pytest.approx(float(expected), rel=1e-6)
    assert diversity(Population.of(x[:1])) == 0
