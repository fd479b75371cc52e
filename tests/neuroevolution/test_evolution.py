"""The evolution of networks: it improves, it resumes to the bit, it refuses what cannot be."""

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from evolution_helpers import Net, data, equal, exact_data, exact_parents, parents
from torch import nn

from nslab.evolve import EVOLVERS
from nslab.evolve.population import Population
from nslab.neuroevolution.evolution import CHECKPOINT, Evolved, evolve
from nslab.neuroevolution.history import diversity
from nslab.neuroevolution.options import EvolveOptions

OPTIONS = EvolveOptions(batches=3, generations=4)
STILL = replace(OPTIONS, policy="parent")
PLAIN: dict[str, Any] = {"show": False, "seed": 5}


@pytest.mark.parametrize("key", EVOLVERS)
def test_improves_on_every_batch(key: str) -> None:
    """Within a batch the best and the mean never get worse, and something wins."""
    evolved = evolve(Net(), parents(), data, EVOLVERS[key], STILL, **PLAIN)
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
    evolved = evolve(model, parents(), data, EVOLVERS["sade+shade"], STILL, **PLAIN)
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
    whole = evolve(Net(), parents(), data, EVOLVERS[key], OPTIONS, **PLAIN)
    calls = []

    def stop(evolved: Evolved) -> dict[str, Any]:
        calls.append(len(evolved.history))
        if len(calls) % 2 == 0:
            raise KeyboardInterrupt
        return {}

    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            evolve(
                Net(),
                parents(),
                data,
                EVOLVERS[key],
                OPTIONS,
                folder=tmp_path,
                on_batch=stop,
                **PLAIN,
            )
    resumed = evolve(Net(), parents(), data, EVOLVERS[key], OPTIONS, folder=tmp_path, **PLAIN)
    assert calls == [4, 8, 8, 12]
    assert equal(whole, resumed)
    again = evolve(Net(), parents(), data, EVOLVERS[key], OPTIONS, folder=tmp_path, **PLAIN)
    assert equal(whole, again)


@pytest.mark.parametrize(
    ("key", "best"),
    [
        ("sa-shade-tri-ensin", [1.1287509053945541, 1.128660025075078, 1.128660025075078]),
        ("pso-constriction", [1.109311580657959] * 3),
    ],
)
def test_resumes_what_the_first_version_began(tmp_path: Path, key: str, best: list[float]) -> None:
    """Checkpoints that version 0.1.0 wrote after the first of two batches: evolution goes on from
    them, not from the start, and ends as it would have there."""
    name = "pso" if key.startswith("pso") else "de"
    folder = Path(__file__).parents[1] / "helpers"
    shutil.copy(folder / f"evolution-0.1.0-{name}.pt", tmp_path / CHECKPOINT)
    options, batches = EvolveOptions(batches=2, generations=3), []
    plain: dict[str, Any] = {"seed": 5, "show": False}
    resumed = evolve(
        Net(),
        exact_parents(),
        exact_data,
        EVOLVERS[key],
        options,
        folder=tmp_path,
        on_batch=lambda e: batches.append(e.history[-1]["batch"]) or {},
        **plain,
    )
    assert batches == [1]
    assert [row["best"] for row in resumed.history[:3]] == best
    assert resumed.history[2]["diversity"] == 1
    whole = evolve(Net(), exact_parents(), exact_data, EVOLVERS[key], options, **plain)
    for name in ("best", "mean", "wins"):
        rows = [[row[name] for row in e.history] for e in (resumed, whole)]
        assert rows[0] == pytest.approx(rows[1], rel=1e-4)
    torch.testing.assert_close(resumed.state.population.x(), whole.state.population.x())


def test_what_a_row_says() -> None:
    """Counts by strategy add up; numbers of ``on_batch`` join the batch's last row."""
    evolver = EVOLVERS["sa-shade-tri-ensin"]
    evolved = evolve(
        Net(), parents(), data, evolver, OPTIONS, on_batch=lambda e: {"seen": 1.5}, **PLAIN
    )
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
        evolve(Net(), parents(4), data, evolver, OPTIONS, **PLAIN)
    with pytest.raises(ValueError, match="is missing"):
        evolve(Net(), [nn.Linear(2, 2).state_dict()] * 8, data, evolver, OPTIONS, **PLAIN)
    broken = parents()
    for model in broken:
        nn.init.constant_(model.first.weight, torch.nan)
    with pytest.raises(ValueError, match="no member has a finite loss"):
        evolve(Net(), broken, data, evolver, OPTIONS, **PLAIN)
    evolve(Net(), parents(), data, evolver, OPTIONS, folder=tmp_path, **PLAIN)
    with pytest.raises(ValueError, match="another folder"):
        evolve(
            Net(), parents(), data, replace(evolver, history=4), OPTIONS, folder=tmp_path, **PLAIN
        )


def test_half_a_file_is_set_aside(tmp_path: Path) -> None:
    """The evolution begins afresh, and the file is kept."""
    evolver = EVOLVERS["de"]
    whole = evolve(Net(), parents(), data, evolver, OPTIONS, folder=tmp_path, **PLAIN)
    (tmp_path / CHECKPOINT).write_bytes(b"half a file")
    with pytest.warns(UserWarning, match="cut short.*starts again: it is kept as"):
        again = evolve(Net(), parents(), data, evolver, OPTIONS, folder=tmp_path, **PLAIN)
    assert torch.equal(again.state.fitness, whole.state.fitness)


def test_a_parent_that_failed_is_replaced() -> None:
    """One parent of nan does not spread: its trials win as soon as they are finite."""
    ill = parents()
    nn.init.constant_(ill[3].first.weight, torch.nan)
    evolved = evolve(Net(), ill, data, replace(EVOLVERS["de"], cr=1.0), STILL, **PLAIN)
    assert evolved.state.fitness.isfinite().all()
    assert evolved.state.population.x().isfinite().all()


def test_diversity_by_hand() -> None:
    """Mean distance of all pairs, also where the members lie far from the origin."""
    x = torch.randn(5, 3000, generator=torch.Generator().manual_seed(0)) + 1000
    expected = torch.pdist(x.double()).mean()
    assert diversity(Population.of(x)) == pytest.approx(float(expected), rel=1e-6)
    assert diversity(Population.of(x[:1])) == 0
