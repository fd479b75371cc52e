"""What a notebook shows and passes on."""

import json
from typing import Any

import matplotlib.pyplot as plt
import pytest
from matplotlib.figure import Figure

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
