"""The ingredients of differential evolution: tables of F, strategies and children; figures."""

import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import torch.nn.functional as F
from matplotlib.figure import Figure
from torch import Tensor, nn

from nslab.analysis import de_ingredients
from nslab.analysis.de_ingredients import Children
from nslab.evolve import EVOLVERS, AdaptiveDE
from nslab.neuroevolution.parameter_vector import ParameterLayout
from nslab.plots import de_ingredients as plots
from nslab.plots import style

FULL = EVOLVERS["sa-shade-tri-ensin"]
assert isinstance(FULL, AdaptiveDE)
NAMES = FULL.strategies


def test_sinusoids_as_the_paper_writes_them() -> None:
    """Scaled to 0 .. 0.2; at the frequency 1/2 constant at whole generations, and only there."""
    table = de_ingredients.sinusoids((0.5, 0.3), FULL)
    for row in table.itertuples():
        angle, g = 2 * math.pi * row.frequency * row.g, row.g
        falling = 0.5 * (math.sin(angle + math.pi) * (10 - g) / 10 + 1)
        rising = 0.5 * (math.sin(angle) * g / 10 + 1)
        wanted = {"decreasing": falling, "increasing": rising}[str(row.kind)]
        assert row.f == pytest.approx(0.2 * wanted)
        assert row.whole == float(g).is_integer()
    half = table[table["frequency"] == 0.5]
    assert half.loc[half["whole"], "f"].to_numpy() == pytest.approx(0.1)
    assert half.loc[~half["whole"], "f"].std() > 0.02
    assert table["g"].min() == 1
    assert table["g"].max() == 10


def test_drawn_factors() -> None:
    """Both laws in (0, 0.2]; the normal one has a tenth of the range as sd, the other one tails."""
    table = de_ingredients.drawn_factors(FULL, 5000, 0)
    assert table["f"].between(0, 0.2, inclusive="right").all()
    normal, cauchy = (table.loc[table["law"] == law, "f"] for law in ("normal", "cauchy"))
    assert normal.std() == pytest.approx(0.02, rel=0.05)
    assert (normal == 0.2).mean() < 0.001
    assert 0.05 < (cauchy == 0.2).mean() < 0.09


def test_archived_by_hand() -> None:
    """Weighted Lehmer means, written one after the other, from the first again after the last."""
    cells = de_ingredients.archived(
        [([0.1, 0.2], [1.0, 3.0]), ([], []), ([0.15], [0.01]), ([0.05], [2.0])], 2, 0.3
    )
    lehmer = (0.01 + 3 * 0.04) / (0.1 + 3 * 0.2)
    wanted = [[0.3, 0.3], [lehmer, 0.3], [lehmer, 0.3], [lehmer, 0.15], [0.05, 0.15]]
    np.testing.assert_allclose(cells, wanted)


def test_rivalry() -> None:
    """Uniform until H generations; then the better one leads, and the lead changes."""
    rates = [dict(zip(NAMES, row, strict=True)) for row in np.eye(5)[[2, 4]] * 0.8 + 0.1]
    table = de_ingredients.rivalry_table(rates, 20, 200, 5, 0)
    wide = table.pivot_table(index="generation", columns="strategy", values="probability")
    assert wide.sum(axis=1).to_numpy() == pytest.approx(1)
    assert wide.loc[:4].to_numpy() == pytest.approx(0.2)
    assert wide.loc[20].idxmax() == NAMES[2]
    assert wide.loc[40].idxmax() == NAMES[4]
    assert list(table.loc[table["strategy"] == NAMES[2], "rate"].unique()) == [0.9, 0.1]


def network(seed: int) -> nn.Module:
    """A small classifier."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return nn.Sequential(nn.Linear(5, 7), nn.Tanh(), nn.Linear(7, 3))


def children_of(
    cr: float = 0.4, draws: int = 6
) -> tuple[Children, list[nn.Module], tuple[Tensor, Tensor]]:
    """Children among seven networks."""
    gen = torch.Generator().manual_seed(0)
    batch = torch.randn(40, 5, generator=gen), torch.randint(3, (40,), generator=gen)
    parents = [network(seed) for seed in range(7)]
    layout = ParameterLayout.of(parents[0])
    found = de_ingredients.offspring_losses(
        network(99), layout, parents, batch, NAMES, draws=draws, f=0.5, cr=cr, seed=1
    )
    return found, parents, batch


def test_children_by_hand() -> None:
    """Losses are those of networks with these genes and the target's last layer."""
    found, parents, (x, y) = children_of()
    with torch.no_grad():
        losses = [float(F.cross_entropy(parent(x), y)) for parent in parents]
    assert found.losses.tolist() == pytest.approx(losses, rel=1e-5)
    assert sorted(losses).index(losses[found.target]) == 3  # the median of seven
    layout = ParameterLayout.of(parents[0])
    for name in NAMES:
        child = network(99)
        child.load_state_dict(parents[found.target].state_dict())
        layout.write(layout.vector(parents[found.target]) + found.changes[name], child)
        with torch.no_grad():
            wanted = float(F.cross_entropy(child(x), y))
        table = found.table
        mine = table[(table["strategy"] == name) & (table["kind"] == "mutant")]
        assert len(mine) == 6
        assert float(mine["loss"].iloc[0]) == pytest.approx(wanted, rel=1e-5)
    assert len(found.table) == 2 * 6 * 5


def test_children_without_crossover_is_the_target() -> None:
    """Cr = 0: trials are their parent again; and the same seed gives the same children."""
    found, _, _ = children_of(cr=0.0)
    trials = found.table.loc[found.table["kind"] == "trial", "loss"]
    assert trials.to_numpy() == pytest.approx(float(found.losses[found.target]))
    pd.testing.assert_frame_equal(found.table, children_of(cr=0.0)[0].table)


def figures() -> dict[str, Figure]:
    """One of each kind."""
    style.apply()
    waves, drawn = (
        de_ingredients.sinusoids((0.5, 0.25), FULL),
        de_ingredients.drawn_factors(FULL, 500, 0),
    )
    successes = [([0.1, 0.2], [1.0, 3.0]), ([0.15], [1.0])]
    rates = [dict.fromkeys(NAMES, 0.3)]
    found, parents, _ = children_of()
    genes = [ParameterLayout.of(parents[0]).vector(parent).detach() for parent in parents[:2]]
    steps = np.arange(1, 7)
    history = pd.DataFrame({"step": steps, "mean": 2 / steps, "best": 1 / steps, "wins": 7 - steps})
    return {
        "factors": plots.sources_of_f(waves, drawn, FULL.f_range, 5.0),
        "archive": plots.archive(
            successes[0], {"mean": 0.15, "Lehmer": 0.18}, de_ingredients.archived(successes, 3, 0.1)
        ),
        "rivalry": plots.rivalry(de_ingredients.rivalry_table(rates, 8, 20, 5, 0), 5),
        "children": plots.children(found, "title"),
        "genes": plots.genes({"neighbours": genes[1] - genes[0]}, found.changes, "title"),
        "losses": plots.offspring(history.assign(batch=[0, 0, 0, 1, 1, 1]), 7, "title"),
    }


def test_same_inputs_same_bytes_and_labels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Drawn twice from scratch: the same to the byte. All axes are labelled."""
    made = []
    for attempt in ("a", "b"):
        monkeypatch.setenv("NSLAB_HOME", str(tmp_path / attempt))
        for name, figure in figures().items():
            style.save(figure, name, "smoke", parameters={"n": 1})
            for axes in figure.get_axes():
                assert axes.get_ylabel(), name
        folder = tmp_path / attempt / "figures" / "smoke"
        made.append({file.name: file.read_bytes() for file in sorted(folder.glob("[!.]*"))})
    assert len(made[0]) == 18
    assert made[0] == made[1]


def test_children_leaves_hopeless_parents_out_of_view() -> None:
    """One failed parent does not squeeze the children into a line."""
    style.apply()
    found = children_of()[0]
    worse = found.losses.clone()
    worse[int(worse.argmax())] = 1e6
    figure = plots.children(Children(found.table, worse, found.target, found.changes), "title")
    left, right = figure.get_axes()
    assert left.get_ylim()[1] < 10
    trials = found.table.loc[found.table["kind"] == "trial", "loss"]
    assert right.get_ylim()[0] < trials.min()
    assert right.get_ylim()[1] > trials.max()
