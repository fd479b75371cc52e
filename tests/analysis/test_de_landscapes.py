"""How differential evolution is shown: what is drawn is what the operators do."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure
from torch import Tensor

from nslab.analysis import de_landscapes
from nslab.analysis.de_landscapes import MutantSketch
from nslab.evolve import CLASSIC, EVOLVERS, AdaptiveDE
from nslab.evolve.operators import mutate
from nslab.plots import de_landscapes as plots
from nslab.plots import style

FULL = EVOLVERS["sa-shade-tri-ensin"]
assert isinstance(FULL, AdaptiveDE)
NAMES = FULL.strategies


def sketched(seed: int = 3, target: int = 4, cr: float = 0.5) -> tuple[Tensor, list[MutantSketch]]:
    """A population of twelve, and a member's mutants with F = 0.6."""
    x = de_landscapes.initial_population(12, seed)
    return x, de_landscapes.sketches("two_valleys", x, target, NAMES, 0.6, cr, seed)


def test_landscapes_by_hand() -> None:
    """Values at a few places, the lowest point, and losses above 0 for the trigonometric shares."""
    x = torch.tensor([[2.0, 1.5], [-2.0, -1.5], [0.0, 0.0]], dtype=torch.float64)
    two = de_landscapes.two_valleys(x)
    far = 1.8 * math.exp(-8 - 3) + 2.6 * 0
    assert float(two[0]) == pytest.approx(3 - 2.6 - far + 0.05 * 6.25)
    assert float(two[1]) == pytest.approx(3 - 1.8 - 2.6 * math.exp(-16 / 3 - 6) + 0.05 * 6.25)
    assert float(de_landscapes.ripples(x)[2]) == 0
    assert float(de_landscapes.ripples(x)[0]) == pytest.approx((4 + 2.25) / 8 + 0.5)
    for name in de_landscapes.LANDSCAPES:
        axis, loss = de_landscapes.plane(name, 81)
        assert (loss >= 0).all()
        a, b = torch.tensor([axis[50], axis[20]]), loss[20, 50]  # columns: first coordinate
        assert float(de_landscapes.LANDSCAPES[name](a)) == pytest.approx(float(b))


def test_sketches_are_the_operators() -> None:
    """Start plus steps, the operator's linear combination and the mutant bred are one point."""
    for seed in range(5):
        x, made = sketched(seed)
        losses = de_landscapes.two_valleys(x)
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
        before = float(de_landscapes.two_valleys(x)[4])
        for sketch in made:
            mask = sketch.trial != x[4]
            torch.testing.assert_close(
                sketch.trial, torch.where(mask, sketch.mutant, x[4]), rtol=0, atol=0
            )
            assert sketch.loss == pytest.approx(float(de_landscapes.two_valleys(sketch.trial)))
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
    figure = plots.mutations(de_landscapes.plane("two_valleys", 21), x, 4, made, "")
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


@pytest.mark.parametrize("name", de_landscapes.LANDSCAPES)
def test_settle(name: str) -> None:
    """Losses are those of the members, nobody gets worse, and who was never replaced stays."""
    evolver = CLASSIC["sa-shade-tri-ensin"]
    assert isinstance(evolver, AdaptiveDE)
    x = de_landscapes.initial_population(15, 1)
    course = de_landscapes.evolve_on(evolver, name, x, 12, 1)
    torch.testing.assert_close(course.losses, de_landscapes.LANDSCAPES[name](course.x))
    assert torch.equal(course.x[0], x)
    assert (course.losses.diff(dim=0) <= 0).all()
    assert course.losses[-1].mean() < 0.7 * course.losses[0].mean()
    same = (course.x == x).all(2)
    assert torch.equal(same, course.strategy < 0)
    assert set(course.strategy.unique().tolist()) >= {-1, 0, 1, 2, 3, 4} - {0}


def figures() -> dict[str, Figure]:
    """One of each kind."""
    style.apply()
    plane = de_landscapes.plane("two_valleys", 41)
    x, made = sketched()
    evolver = CLASSIC["sa-shade-tri-ensin"]
    assert isinstance(evolver, AdaptiveDE)
    course = de_landscapes.evolve_on(evolver, "two_valleys", x, 4, 0)
    return {
        "mutations": plots.mutations(plane, x, 4, made, "title"),
        "course": plots.course(plane, course, [0, 4], "title"),
    }


@pytest.mark.slow
def test_same_inputs_same_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Drawn twice from scratch: the same to the byte."""
    made = []
    for attempt in ("a", "b"):
        monkeypatch.setenv("NSLAB_HOME", str(tmp_path / attempt))
        for name, figure in figures().items():
            style.save(figure, name, "smoke", parameters={"n": 1})
        folder = tmp_path / attempt / "figures" / "smoke"
        made.append({file.name: file.read_bytes() for file in sorted(folder.glob("[!.]*"))})
    assert len(made[0]) == 6
    assert made[0] == made[1]
