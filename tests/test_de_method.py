"""How differential evolution is shown: what is drawn is what the operators do."""

import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import torch.nn.functional as F
from matplotlib.figure import Figure
from torch import Tensor, nn

from nslab import landscapes
from nslab.evolve import CLASSIC, EVOLVERS, AdaptiveDE
from nslab.evolve.flat import Layout
from nslab.evolve.operators import mutate
from nslab.landscapes import Brood, Sketch
from nslab.plots import de_method as plots
from nslab.plots import style

FULL = EVOLVERS["sa-shade-tri-ensin"]
assert isinstance(FULL, AdaptiveDE)
NAMES = FULL.strategies


def sketched(seed: int = 3, target: int = 4, cr: float = 0.5) -> tuple[Tensor, list[Sketch]]:
    """A population of twelve, and a member's mutants with F = 0.6."""
    x = landscapes.settlers(12, seed)
    return x, landscapes.sketches("two_valleys", x, target, NAMES, 0.6, cr, seed)


def test_landscapes_by_hand() -> None:
    """Values at a few places, the lowest point, and losses above 0 for the trigonometric shares."""
    x = torch.tensor([[2.0, 1.5], [-2.0, -1.5], [0.0, 0.0]], dtype=torch.float64)
    two = landscapes.two_valleys(x)
    far = 1.8 * math.exp(-8 - 3) + 2.6 * 0
    assert float(two[0]) == pytest.approx(3 - 2.6 - far + 0.05 * 6.25)
    assert float(two[1]) == pytest.approx(3 - 1.8 - 2.6 * math.exp(-16 / 3 - 6) + 0.05 * 6.25)
    assert float(landscapes.ripples(x)[2]) == 0
    assert float(landscapes.ripples(x)[0]) == pytest.approx((4 + 2.25) / 8 + 0.5)
    for name in landscapes.LANDSCAPES:
        axis, loss = landscapes.plane(name, 81)
        assert (loss >= 0).all()
        a, b = torch.tensor([axis[50], axis[20]]), loss[20, 50]  # columns: first coordinate
        assert float(landscapes.LANDSCAPES[name](a)) == pytest.approx(float(b))


def test_sketches_are_the_operators() -> None:
    """Start plus steps, the operator's linear combination and the mutant bred are one point."""
    for seed in range(5):
        x, made = sketched(seed)
        losses = landscapes.two_valleys(x)
        picks = torch.tensor([[made[2].used[f"r{j}"] for j in range(1, 6)]])
        first = made[3].steps[0]
        k = torch.tensor([first.factor], dtype=torch.float64)
        for sketch in made:
            f = torch.tensor([0.6], dtype=torch.float64)
            target = torch.tensor([4])
            wanted = mutate(sketch.strategy, x, losses, target, picks, f, k=k)[0]
            torch.testing.assert_close(sketch.mutant, wanted)
            summed = sketch.start + sum(step.vector for step in sketch.steps)
            torch.testing.assert_close(summed, wanted)
            assert set(sketch.used) <= {"i", "best", "r1", "r2", "r3", "r4", "r5"}
        assert made[1].used["i"] == 4
        assert made[1].used["best"] == int(losses.argmin())


def test_trials_are_crossed_and_judged() -> None:
    """A trial has its parent's or its mutant's genes; it survives if it is better."""
    outcomes, taken = set(), set()
    for seed in range(10):
        x, made = sketched(seed)
        before = float(landscapes.two_valleys(x)[4])
        for sketch in made:
            mask = sketch.trial != x[4]
            torch.testing.assert_close(
                sketch.trial, torch.where(mask, sketch.mutant, x[4]), rtol=0, atol=0
            )
            assert sketch.loss == pytest.approx(float(landscapes.two_valleys(sketch.trial)))
            assert sketch.survives == (sketch.loss < before)
            outcomes.add(sketch.survives)
            taken.add(tuple(mask.tolist()))
    assert outcomes == {True, False}
    assert len(taken) == 4
    _, whole = sketched(cr=1.0)
    assert all(torch.equal(sketch.trial, sketch.mutant) for sketch in whole)


@pytest.mark.parametrize("seed", [3, 4, 7])
def test_what_is_drawn(seed: int) -> None:
    """The points and arrows in the panels are those of the sketches."""
    style.apply()
    x, made = sketched(seed, cr=0.8)
    figure = plots.mutations(landscapes.plane("two_valleys", 21), x, 4, made, "")
    panels = figure.get_axes()
    assert len(panels) == 6
    for axes, sketch in zip(panels, made, strict=False):
        drawn = np.array([line.get_xydata()[-1] for line in axes.lines])
        for point in (sketch.mutant, *(x[i] for i in sketch.used.values())):
            assert np.isclose(drawn, point.numpy()).all(1).any()
        arrows = [text for text in axes.texts if not text.get_text()]
        assert len(arrows) == len(sketch.steps)
        np.testing.assert_allclose(arrows[-1].xy, sketch.mutant)
        np.testing.assert_allclose(arrows[0].xyann, sketch.start)
        named = {name for text in axes.texts for name in text.get_text().split(" = ")}
        assert set(sketch.used) <= named
    for axes in panels:  # also what lies outside the landscape shown
        inside = [abs(value) < axes.get_xlim()[1] for k in made for value in k.mutant.tolist()]
        assert all(inside)
    rings = [line for line in panels[5].lines if line.get_markersize() == 15]
    assert len(rings) == sum(sketch.survives for sketch in made)


@pytest.mark.parametrize("name", landscapes.LANDSCAPES)
def test_settle(name: str) -> None:
    """Losses are those of the members, nobody gets worse, and who was never replaced stays."""
    evolver = CLASSIC["sa-shade-tri-ensin"]
    assert isinstance(evolver, AdaptiveDE)
    x = landscapes.settlers(15, 1)
    course = landscapes.settle(evolver, name, x, 12, 1)
    torch.testing.assert_close(course.losses, landscapes.LANDSCAPES[name](course.x))
    assert torch.equal(course.x[0], x)
    assert (course.losses.diff(dim=0) <= 0).all()
    assert course.losses[-1].mean() < 0.7 * course.losses[0].mean()
    same = (course.x == x).all(2)
    assert torch.equal(same, course.strategy < 0)
    assert set(course.strategy.unique().tolist()) >= {-1, 0, 1, 2, 3, 4} - {0}


def test_sinusoids_as_the_paper_writes_them() -> None:
    """Scaled to 0 .. 0.2; at the frequency 1/2 constant at whole generations, and only there."""
    table = landscapes.sinusoids((0.5, 0.3), FULL)
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
    table = landscapes.drawn_factors(FULL, 5000, 0)
    assert table["f"].between(0, 0.2, inclusive="right").all()
    normal, cauchy = (table.loc[table["law"] == law, "f"] for law in ("normal", "cauchy"))
    assert normal.std() == pytest.approx(0.02, rel=0.05)
    assert (normal == 0.2).mean() < 0.001
    assert 0.05 < (cauchy == 0.2).mean() < 0.09


def test_archived_by_hand() -> None:
    """Weighted Lehmer means, written one after the other, from the first again after the last."""
    cells = landscapes.archived(
        [([0.1, 0.2], [1.0, 3.0]), ([], []), ([0.15], [0.01]), ([0.05], [2.0])], 2, 0.3
    )
    lehmer = (0.01 + 3 * 0.04) / (0.1 + 3 * 0.2)
    wanted = [[0.3, 0.3], [lehmer, 0.3], [lehmer, 0.3], [lehmer, 0.15], [0.05, 0.15]]
    np.testing.assert_allclose(cells, wanted)


def test_rivalry() -> None:
    """Uniform until H generations; then the better one leads, and the lead changes."""
    rates = [dict(zip(NAMES, row, strict=True)) for row in np.eye(5)[[2, 4]] * 0.8 + 0.1]
    table = landscapes.rivalry(rates, 20, 200, 5, 0)
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


def broods(cr: float = 0.4, draws: int = 6) -> tuple[Brood, list[nn.Module], tuple[Tensor, Tensor]]:
    """Children among seven networks."""
    gen = torch.Generator().manual_seed(0)
    batch = torch.randn(40, 5, generator=gen), torch.randint(3, (40,), generator=gen)
    parents = [network(seed) for seed in range(7)]
    layout = Layout.of(parents[0])
    found = landscapes.brood(
        network(99), layout, parents, batch, NAMES, draws=draws, f=0.5, cr=cr, seed=1
    )
    return found, parents, batch


def test_brood_by_hand() -> None:
    """Losses are those of networks with these genes and the target's last layer."""
    found, parents, (x, y) = broods()
    with torch.no_grad():
        losses = [float(F.cross_entropy(parent(x), y)) for parent in parents]
    assert found.losses.tolist() == pytest.approx(losses, rel=1e-5)
    assert sorted(losses).index(losses[found.target]) == 3  # the median of seven
    layout = Layout.of(parents[0])
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


def test_brood_without_crossover_is_the_target() -> None:
    """Cr = 0: trials are their parent again; and the same seed gives the same children."""
    found, _, _ = broods(cr=0.0)
    trials = found.table.loc[found.table["kind"] == "trial", "loss"]
    assert trials.to_numpy() == pytest.approx(float(found.losses[found.target]))
    pd.testing.assert_frame_equal(found.table, broods(cr=0.0)[0].table)


def figures() -> dict[str, Figure]:
    """One of each kind."""
    style.apply()
    plane = landscapes.plane("two_valleys", 41)
    x, made = sketched()
    evolver = CLASSIC["sa-shade-tri-ensin"]
    assert isinstance(evolver, AdaptiveDE)
    waves, drawn = landscapes.sinusoids((0.5, 0.25), FULL), landscapes.drawn_factors(FULL, 500, 0)
    successes = [([0.1, 0.2], [1.0, 3.0]), ([0.15], [1.0])]
    rates = [dict.fromkeys(NAMES, 0.3)]
    found, parents, _ = broods()
    genes = [Layout.of(parents[0]).vector(parent).detach() for parent in parents[:2]]
    steps = np.arange(1, 7)
    history = pd.DataFrame({"step": steps, "mean": 2 / steps, "best": 1 / steps, "wins": 7 - steps})
    return {
        "mutations": plots.mutations(plane, x, 4, made, "title"),
        "course": plots.course(
            plane, landscapes.settle(evolver, "two_valleys", x, 4, 0), [0, 4], "title"
        ),
        "factors": plots.factors(waves, drawn, FULL.f_range, 5.0),
        "archive": plots.archive(
            successes[0], {"mean": 0.15, "Lehmer": 0.18}, landscapes.archived(successes, 3, 0.1)
        ),
        "rivalry": plots.rivalry(landscapes.rivalry(rates, 8, 20, 5, 0), 5),
        "brood": plots.brood(found, "title"),
        "genes": plots.genes({"neighbours": genes[1] - genes[0]}, found.changes, "title"),
        "losses": plots.losses(history.assign(batch=[0, 0, 0, 1, 1, 1]), 7, "title"),
    }


def test_same_inputs_same_bytes_and_labels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Drawn twice from scratch: the same to the byte. Outer axes are labelled."""
    made = []
    for attempt in ("a", "b"):
        monkeypatch.setenv("NSLAB_HOME", str(tmp_path / attempt))
        for name, figure in figures().items():
            style.save(figure, name, "smoke", parameters={"n": 1})
            for axes in figure.get_axes():
                inner = name in ("mutations", "course")
                assert inner or axes.get_ylabel(), name
                assert inner or axes.get_xlabel() or axes.get_ylabel(), name
        folder = tmp_path / attempt / "figures" / "smoke"
        made.append({file.name: file.read_bytes() for file in sorted(folder.iterdir())})
    assert len(made[0]) == 24
    assert made[0] == made[1]


def test_brood_leaves_hopeless_parents_out_of_view() -> None:
    """One failed parent does not squeeze the children into a line."""
    style.apply()
    found = broods()[0]
    worse = found.losses.clone()
    worse[int(worse.argmax())] = 1e6
    figure = plots.brood(Brood(found.table, worse, found.target, found.changes), "title")
    left, right = figure.get_axes()
    assert left.get_ylim()[1] < 10
    trials = found.table.loc[found.table["kind"] == "trial", "loss"]
    assert right.get_ylim()[0] < trials.min()
    assert right.get_ylim()[1] > trials.max()
