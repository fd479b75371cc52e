"""Which classes are taken for which: counts, tables, figures."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from image_helpers import images

import nslab
from nslab.analysis.confusion import Confusion, confusion
from nslab.analysis.run_tables import trained_model
from nslab.datasets import load
from nslab.datasets.batches import make_batches
from nslab.plots.confusion import LEGIBLE, confusion_matrix
from nslab.runs.results import Result
from nslab.workbench.class_reports import confusions, worst_classes

__all__ = ["images"]  # a fixture

FOUND = Confusion(("a", "b", "c"), np.array([[5, 3, 2], [0, 0, 0], [1, 0, 9]]))


def test_tables_of_classes() -> None:
    """By hand; a class without images, and one that nothing is taken for, are nan."""
    table = FOUND.per_class
    assert table["class"].tolist() == ["a", "b", "c"]
    assert table["images"].tolist() == [10, 0, 10]
    assert table["accuracy"].tolist()[::2] == [50, 90]
    assert np.isnan(table["accuracy"][1])
    assert table["precision"].tolist() == pytest.approx([500 / 6, 0, 900 / 11])
    assert table["taken_for"].tolist() == ["b", "", "a"]
    assert table["share"].tolist()[::2] == [30, 10]
    pairs = FOUND.pairs()
    assert pairs.to_numpy().tolist() == [["a", "b", 3, 30], ["a", "c", 2, 20], ["c", "a", 1, 10]]
    assert len(FOUND.pairs(2)) == 2
    perfect = Confusion(("a", "b"), np.eye(2, dtype=np.int64))
    assert list(perfect.pairs().columns) == ["class", "taken_for", "images", "share"]
    assert perfect.pairs().empty


def test_a_runs_confusion(images: Path) -> None:
    """Of the test images, by the weights it kept; summed over seeds; accuracy is the run's."""
    settings = {"epochs": 1, "batch_size": 8, "image_size": 16, "lr": 0.01}
    configs = [nslab.TrainConfig(f"folder:{images}", "mlp", seed=s, **settings) for s in (1, 2)]
    results = nslab.run_all(configs, show=False)
    both = [confusion([result]) for result in results]
    for found, result in zip(both, results, strict=True):
        assert found.classes == ("blue", "green", "red")
        assert found.counts.sum() == 6
        assert found.per_class["accuracy"].tolist() == pytest.approx(
            result.metrics["per_class_accuracy"]
        )
    assert np.array_equal(confusion(results).counts, both[0].counts + both[1].counts)
    assert confusion(results).networks == 2
    model, data = trained_model(results[0]), load(configs[0].dataset, image_size=16)
    whole = make_batches(data.arrays.test_x, data.arrays.test_y, data.dataset,
                         torch.device("cpu"), batch_size=9)  # fmt: skip
    (batch,) = whole.in_order()
    with torch.no_grad():
        said = model(batch.x).argmax(1)
    for y, k in zip(batch.y.tolist(), said.tolist(), strict=True):
        both[0].counts[y, k] -= 1
    assert not both[0].counts.any()
    frozen = Result(results[0].id, results[0].config, results[0].metrics, [], {}, origin="frozen")
    with pytest.raises(FileNotFoundError, match="is frozen"):
        confusion([frozen])
    with pytest.raises(ValueError, match="needs runs on one data set"):
        confusion([])
    text = worst_classes(results)
    assert len(text) == 1
    assert "blue" in text[0]
    assert "up to 2 seeds" in text[0]
    written = confusions([*results, frozen], "ns/first", "smoke")
    assert "is frozen" in written[0]
    (line,) = confusions(results, "ns/first", "smoke")
    file = Path(line.splitlines()[1].rpartition(": ")[2])
    assert file.exists()
    assert file.name.startswith("confusion_ns_first_colours")
    assert worst_classes([]) == ["no run has accuracies of its classes"]
    assert confusions([], "ns/first", "smoke") == ["no run is finished"]


def test_figures() -> None:
    """A matrix while its names are legible, then the most confused pairs; odd classes too."""
    figure = confusion_matrix(FOUND, "a run")
    axes = figure.axes[0]
    assert figure.get_suptitle() == "a run, n = 1 network"
    assert [t.get_text() for t in axes.get_yticklabels()] == ["a", "b", "c"]
    assert {t.get_text() for t in axes.texts} >= {"50", "30", "90"}
    rng = np.random.default_rng(0)
    for number in (LEGIBLE, LEGIBLE + 1, 200):
        names = tuple(f"a class with a rather long name {k}" for k in range(number))
        found = Confusion(names, rng.integers(0, 9, (number, number)), 3)
        figure = confusion_matrix(found, "runs")
        assert ("taken for another" in figure.axes[0].get_ylabel()) == (number > LEGIBLE)
        assert max(figure.get_size_inches()) < 15
        figure.canvas.draw()
    names = tuple(map(str, range(40)))
    confusion_matrix(Confusion(names, np.eye(40, dtype=np.int64)), "perfect").canvas.draw()


def test_comparisons_of_methods_know_classes() -> None:
    """Tables and figures of one's own comparison."""
    torch.manual_seed(0)
    x, y = torch.rand(60, 1, 8, 8), torch.arange(60) % 3
    found = nslab.compare_methods(
        "mlp", (x, y), (x, y), seeds=2, epochs=1, batch_size=16, show=False
    )
    assert list(found.per_class.columns) == ["ce", "ns"]
    assert len(found.per_class) == 3
    assert found.per_class["ns"].mean() == pytest.approx(found.table["accuracy"][1])
    assert found.confusion("ce").counts.sum() == 120
    assert "n = 2 networks" in found.confusion_figure("ce").get_suptitle()
    with pytest.raises(ValueError, match="unknown method 'nss': did you mean ns"):
        found.confusion("nss")


def test_runs_that_differ_in_a_setting_are_not_one_line() -> None:
    """Two groupings of one method are told apart, seeds of one are not."""
    from nslab.objectives import NS
    from nslab.workbench.class_reports import by_line

    plain = nslab.TrainConfig("digits", "mlp", epochs=1, train_size=200)
    configs = [
        dataclasses.replace(plain, objective=objective, seed=seed)
        for objective in (NS((1, 2)), NS((2, 2)), plain.objective)
        for seed in (1, 2)
    ]
    lines = by_line(nslab.run_all(configs, show=False))
    assert [len(runs) for runs in lines.values()] == [2, 2, 2]
    assert ("digits", "mlp", "ns_ws", "NS(grid=(1, 2))") in lines
    assert ("digits", "mlp", "ce") in lines
    (text,) = worst_classes([run for runs in lines.values() for run in runs])
    assert "ns_ws, NS(grid=(1, 2))" in text
