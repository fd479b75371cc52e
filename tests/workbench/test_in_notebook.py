"""What a notebook shows and passes on."""

import json
from typing import Any

import matplotlib.pyplot as plt
import pytest
from matplotlib.figure import Figure

import nslab
from nslab.workbench import in_notebook
from nslab.workbench.in_notebook import PAGE_WIDTH, Notebook


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What is displayed, with its metadata."""
    found: list[Any] = []
    monkeypatch.setattr(
        in_notebook, "display", lambda data, raw, metadata: found.append((data, metadata))
    )
    return found


def drawn(width: float) -> Figure:
    figure, axes = plt.subplots(figsize=(width, 3))
    axes.set_title("two\nlines")
    plt.close(figure)
    return figure


@pytest.mark.parametrize(("inches", "pixels"), [(4.0, 400), (8.4, 840), (14.0, PAGE_WIDTH)])
def test_a_figure_is_no_wider_than_the_page(shown: list[Any], inches: float, pixels: int) -> None:
    nb = Notebook("smoke", seed=7)
    path = nb.show(drawn(inches), "one")
    ((data, metadata),) = shown
    assert metadata["image/png"] == {"width": pixels, "alt": "two lines"}
    assert f"width: {pixels}px" in data["text/html"]
    assert json.loads(path.with_suffix(".json").read_text())["parameters"] == {"seed": 7}


def test_words_stand_for_a_figure_wherever_it_is_not_seen(shown: list[Any]) -> None:
    Notebook("smoke").show(drawn(4), "one", alt='a "b" <c>')
    ((data, metadata),) = shown
    assert 'alt="a &quot;b&quot; &lt;c&gt;"' in data["text/html"]
    assert data["text/plain"] == '[figure] a "b" <c>'
    assert metadata["image/png"]["alt"] == 'a "b" <c>'


def test_a_plan_has_the_parameters_that_its_experiment_takes() -> None:
    nb = Notebook("smoke", n_seeds=2, epochs=3, methods=["ce"], sigma=0.5)
    assert {(run.seed, run.epochs) for run in nb.plan("ns/first")} == {(2024, 3), (2025, 3)}
    assert [run.seed for run in nb.plan("ns/first", seeds=nb.seeds[:1])] == [2024]
    assert {run.seed for run in Notebook("smoke", seed=7).plan("ns/first")} == {7}


def test_what_is_empty_is_the_presets_own() -> None:
    own = Notebook("smoke", n_seeds=0, epochs=0, methods=[]).plan("ns/first")
    assert own == Notebook("smoke").plan("ns/first", seeds=()) != []
    with pytest.raises(ValueError, match="methods"):
        Notebook("smoke", methods=["cee"]).plan("ns/first")


def test_a_comparison_shows_ours_and_folds_the_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    """The rows with a number of ours, then a line behind which the others of the table are."""
    found: list[Any] = []
    monkeypatch.setattr(in_notebook, "display", lambda data, **_: found.append(data))
    nb = Notebook("cpu")
    frozen = nslab.finished(nb.plan("ns/first", seeds=(), methods=("ce", "ns_ws")))
    table = nb.compare("ns/first", frozen)
    ours, rest = (data["text/html"] for data in found)
    assert ours.count("<tr>") == 1 + (table["n"] > 0).sum() == 3
    assert "ours − CE" in ours
    assert "minus ce" not in ours
    assert rest.startswith("<details><summary>16 more rows of the paper")
    assert rest.count("<tr>") == 1 + (table["n"] == 0).sum()


def test_runs_are_counted_by_where_they_come_from(monkeypatch: pytest.MonkeyPatch) -> None:
    found: list[Any] = []
    monkeypatch.setattr(in_notebook, "display", found.append)
    monkeypatch.setattr(in_notebook, "clear_output", lambda **_: found.clear())
    nb = Notebook("cpu")
    results = nb.run(nb.plan("ns/first", seeds=(), methods=("ce", "ns_ws")))
    assert {result.origin for result in results} == {"frozen"}
    assert [said.data for said in found] == ["2 runs: 0 computed now, 2 looked up."]


def test_what_smoke_runs_show_is_no_claim() -> None:
    assert "supports no claim" in Notebook("smoke").caveat
    assert Notebook("paper").caveat == ""
