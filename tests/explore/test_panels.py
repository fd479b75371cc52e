"""Panels: the numbers they show are the library's.

How they look and feel in a browser is tested in tests/browser.
"""

import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from nslab import explore
from nslab.analysis import run_tables
from nslab.explore.competition.figure import score_spread
from nslab.explore.competition.panel import competitions
from nslab.explore.evolution import stepwise
from nslab.explore.losses import panel as losses
from nslab.explore.results import panel as results
from nslab.explore.training.stepwise import Watched, train_stepwise, untrained
from nslab.explore.ui import small_runs
from nslab.explore.ui.tasks import UiThread, Worker
from nslab.neuroevolution import evolve
from nslab.objectives import GCE, CrossEntropy, Focal
from nslab.training.loop import fit


def test_labels_keep_their_distance_and_order() -> None:
    """As near to their values as that allows."""
    values = np.array([0.0, 0.01, 3.0, 0.0])
    placed = score_spread(values, 0.2)
    assert list(np.argsort(placed, kind="stable")) == list(np.argsort(values, kind="stable"))
    assert np.diff(np.sort(placed)).min() >= 0.2 - 1e-9
    assert placed[2] == pytest.approx(3.0)
    assert score_spread(np.array([2.0, 1.0]), 0.2) == pytest.approx([2.0, 1.0])


@pytest.mark.slow
def test_the_competition_is_the_library_s() -> None:
    """q and scores of a group as `analysis.compete` has them; sliders only weigh."""
    panel = explore.Competition(epochs=2)
    found = panel.competitions
    assert found is not None
    batch, model = panel.batch, panel.models[1]
    assert batch is not None
    one = run_tables.compete(model, batch, (2, 2))
    assert torch.allclose(found.q[1, 0], one.q, atol=1e-6)
    assert torch.allclose(found.scores[1, 0], one.scores, atol=1e-5)
    assert torch.allclose(competitions([model], batch, (1, 2)).scores.mean(), torch.tensor(1.0))
    assert panel.parameters["epoch"] == 2  # the trained network, once it is there
    before = panel.view.canvas.image.value
    panel.sigma.value, panel.rho.value = 0.5, -1.0
    assert bytes(panel.view.canvas.image.value) != bytes(before)
    assert list(panel.view.line.get_ydata()) == [0.5, 0.5 - 4]
    assert "mean weight σ + ρ = -0.50" in panel.status.text
    panel.grid.value = (3, 3)
    assert len(panel.view.points) == 9
    panel.dataset.options = [*panel.dataset.options, "nothing"]
    with pytest.raises(KeyError):
        panel.dataset.value = "nothing"


def test_training_in_steps_is_training() -> None:
    """The same batches in the same order as `fit`: the same accuracy, epoch by epoch."""
    config = small_runs.small("digits", "mlp", 2, 7)
    notes: list[dict] = []
    probe = untrained(config, (2, 2))
    watched = Watched(CrossEntropy().build(probe.data.info))
    worker = Worker(
        UiThread(print),
        lambda w: train_stepwise(w, config, probe, watched),
        notes.extend,
        lambda: None,
    )
    worker.advance(1000)
    tests = [note["test"] for note in notes if "test" in note]
    assert tests == [row["test_accuracy"] for row in fit(config, show=False).history]
    losses_seen = [note["loss"] for note in notes if "loss" in note]
    assert len(losses_seen) == 2 * -(-1294 // 64)
    assert notes[0]["scores"].mean() == pytest.approx(1.0, abs=1e-5)


@pytest.mark.slow
def test_sigma_and_rho_act_on_the_next_batch() -> None:
    """While other settings wait for a reset."""
    panel = explore.Training(epochs=2)
    panel.advance(1)
    assert panel.status.text.startswith("paused: epoch")
    assert panel.lr.disabled
    assert not panel.sigma.disabled
    panel.sigma.value, panel.rho.value = 2.0, 0.0
    time.sleep(0.25)  # weights are looked at a few times a second
    panel.advance(1)
    assert float(panel.view.weights[-64:].mean()) == pytest.approx(2.0)
    panel.runner.reset.click()
    assert panel.status.text == "ready: untrained"
    assert not panel.lr.disabled
    panel.objective.value = "ce"
    assert panel.sigma.disabled
    panel.lr.value = 1.0
    panel.batch_size.value = 16
    panel.advance(3)
    assert panel.parameters["steps"] == 3


@pytest.mark.slow
def test_evolution_in_steps_is_evolution() -> None:
    """Generation by generation what `evolve` writes down of the same parents and batches."""
    panel = explore.Evolution(generations=12, seed=3)
    panel.advance(12)
    origin = panel.origin
    assert origin is not None
    config = origin.config
    states = [model.state_dict() for model in small_runs.after_epochs(config.base)][-config.size :]
    evolved = evolve(
        origin.setup.model,
        states,
        origin.setup.batches.nth,
        config.method,  # type: ignore[arg-type]
        replace(config, batches=2),
        seed=3,
        mode="loop",
        show=False,
    )
    rows = [moment.row for moment in panel.course[1:]]
    expected = [
        {k: v for k, v in row.items() if k not in ("batch", "generation")}
        for row in evolved.history[:12]
    ]
    assert rows == expected
    assert panel.generation.value == 12
    assert panel.runner.state == "done"
    panel.generation.value = 3
    assert panel.parameters["generation"] == 3


@pytest.mark.slow
def test_the_slice_goes_through_the_population() -> None:
    """Coordinates are those of the plane, losses those of the networks there."""
    config = explore.Evolution(seed=3).config
    states = [model.state_dict() for model in small_runs.after_epochs(config.base)]
    origin = stepwise.prepare_evolution(config, states)
    plane = origin.slice
    point = torch.tensor([[0.3, -0.2]], dtype=torch.float64)
    assert torch.allclose(plane.project(plane.centre + point @ plane.basis), point)
    middle = len(plane.places) // 2
    layout_loss = plane.losses[middle, middle]  # at the mean
    x = plane.centre.float()[None]
    batch = origin.setup.batches.nth(0)
    own = origin.fitness(stepwise.Population.of(x), origin.extras, batch.x[:256], batch.y[:256])
    assert float(layout_loss) == pytest.approx(float(own[0]), rel=1e-4)
    assert (plane.project(origin.parents).abs() < plane.places[-1]).all()


def test_curves_of_losses() -> None:
    """Against the formulas: -log p, its gradient, GCE's relative gradient p^q."""
    p, value, slope = losses.curve(CrossEntropy().loss, 5)
    assert torch.allclose(value, -p.log())
    assert torch.allclose(slope, torch.ones_like(p))
    p, value, slope = losses.curve(GCE(0.5).loss, 5)
    assert torch.allclose(value, (1 - p**0.5) / 0.5)
    assert torch.allclose(slope, p**0.5)


def test_the_triangle() -> None:
    """The label's corner is right, the middle is 1, outside there is nothing."""
    heat = losses.triangle(Focal(2.0).loss)
    height, width = heat.shape
    assert heat[-1].nan_to_num(9).min() == pytest.approx(0.0, abs=1e-6)  # p_y = 1
    assert float(heat[round(height / 3), width // 2]) == pytest.approx(1.0, abs=0.05)
    assert heat[-1, 0].isnan()
    assert heat[0].isfinite().all()
    assert losses.triangle(None).isnan().all()


def test_the_evolved_loss_is_as_steep_as_cross_entropy() -> None:
    """At even predictions, whether it was shipped or is evolved now; sliders move the others."""
    panel = explore.Losses(classes=7, generations=3)
    for source in ("shipped: p, order", "evolve now: p"):
        panel.source.value = source
        p, _, slope = losses.curve(panel.losses(7)["evolved"], 7)
        assert float(np.interp(1 / 7, p, slope)) == pytest.approx(1.0, abs=1e-3)
    assert len(panel.runs) == 1
    panel.gamma.value = 0.0
    focal = panel.view.values["focal"].get_ydata()
    assert np.allclose(focal, panel.view.values["CE"].get_ydata())
    panel.other.value = "sce"
    assert panel.view.named.get_text() == "SCE"


@pytest.mark.slow
def test_results_filter_and_compare(tmp_path: Path) -> None:
    """Runs of the store and frozen ones, each once; the paper's numbers beside them."""
    panel = explore.Results("ns/table5")
    frozen_only = len(panel.table)
    assert frozen_only > 50
    assert panel.table["run"].is_unique
    assert len(panel.runs) >= 9
    assert "71.2" in panel.compared.widget.value
    panel.filters["method"].value = "ns_lf"
    assert [run.config["seed"] for run in panel.runs][:3] == [2024, 2025, 2026]
    panel.epoch.value = 1
    first = [run.history[0]["test_accuracy"] for run in panel.runs]
    assert sorted(panel.view.rows[0][1].get_xdata()) == pytest.approx(sorted(first))
    panel.experiment.value = "all"
    assert panel.filters["method"].value == "ns_lf"
    with pytest.raises(ValueError, match="unknown experiment with a finished run 'ns/nothing'"):
        explore.Results("ns/nothing")


@pytest.mark.slow
def test_rows_are_named_by_what_differs() -> None:
    """Of one method, the settings."""
    panel = explore.Results("de/table2")
    names = results.labels(panel._of_experiment(), "de/table2")
    assert len(set(names)) > 3
    assert all("cifar10" not in name for name in names)  # what all share says nothing


@pytest.mark.slow
def test_headless_a_panel_is_a_figure_that_is_kept(tmp_path: Path) -> None:
    """With its parameters inside; another panel of its kind takes its place."""
    first = explore.Training(epochs=2)
    explore.show(first, "smoke", steps=2)
    worker = first.runner.worker
    assert worker is not None
    kept = tmp_path / "figures/smoke/explorer_training.json"
    assert '"steps": 2' in kept.read_text()
    explore.show(explore.Training(epochs=2), "smoke")
    assert worker._thread is not None
    worker._thread.join(5)
    assert not worker._thread.is_alive()
