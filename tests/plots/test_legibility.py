"""Every kind of figure can be read at the width of a page, and what cannot is found."""

import importlib
import pkgutil
import typing
from collections.abc import Callable

import figure_examples
import pandas as pd
import pytest
from matplotlib.figure import Figure

from nslab import plots
from nslab.plots import style
from nslab.plots.legibility import PAGE, faults, texts
from nslab.plots.style import FURTHER, method_colour, method_colours

GROUPS = ("compared", "of_ns", "of_evolution", "of_losses")


@pytest.mark.parametrize("group", GROUPS)
def test_every_figure_can_be_read(group: str) -> None:
    """No wider than the page, no small or cut text, nothing that overlaps, a legend for lines."""
    style.apply()
    made: dict[str, Figure] = getattr(figure_examples, group)()
    odd = {name: said for name, figure in made.items() if (said := faults(figure))}
    assert odd == {}
    sizes = {text.get_fontsize() for figure in made.values() for text in written(figure)}
    assert sizes == {style.TEXT, style.TITLE}


def written(figure: Figure) -> list:
    """All texts that are to be seen."""
    return list(texts(figure))


def test_every_kind_has_an_example() -> None:
    """Whoever adds a figure adds one here."""
    kinds = set()
    for module in pkgutil.iter_modules(plots.__path__):
        for name, found in vars(importlib.import_module(f"nslab.plots.{module.name}")).items():
            ours = getattr(found, "__module__", "").startswith("nslab.plots")
            if ours and not name.startswith("_") and not isinstance(found, type):
                kinds |= {name} if returns_figure(found) else set()
    made = {name for group in GROUPS for name in getattr(figure_examples, group)()}
    assert kinds - {"page"} <= made


def returns_figure(function: Callable[..., object]) -> bool:
    """Whether it says so."""
    try:
        return typing.get_type_hints(function).get("return") is Figure
    except NameError:
        return False


def test_what_is_wrong_is_found() -> None:
    """Each fault by itself, and none in a good figure."""
    style.apply()

    def drawn(width: float = 5.0) -> tuple[Figure, typing.Any]:
        figure = Figure(figsize=(width, 3), layout="constrained")
        return figure, figure.subplots()

    figure, axes = drawn()
    axes.plot([1, 2], [1, 2], "-", [1, 2], [2, 1], "--")
    assert faults(figure) == ["no legend for the lines above ''"]
    axes.legend(["one", "two"])
    assert faults(figure) == []
    figure, _ = drawn(PAGE + 1)
    assert faults(figure) == [f"wider than the page: {PAGE + 1} inches"]
    figure, axes = drawn()
    axes.set_title("small", fontsize=5)
    assert faults(figure) == ["text of 6.9 pixels: 'small'"]
    figure, axes = drawn()
    figure.suptitle("a title that is far too long for its figure " * 3)
    assert [fault.partition(":")[0] for fault in faults(figure)] == ["cut off by the edge"]
    figure, axes = drawn()
    axes.set_xticks(range(9), ["a long label"] * 9)
    assert faults(figure) == ["tick labels overlap: 'a long label', 'a long label'"]
    figure = Figure(figsize=(5, 3), layout="constrained")
    for panel in figure.subplots(1, 2):
        panel.set_title("a title as wide as both of the panels together")
    assert "titles overlap" in " ".join(faults(figure))


def test_a_method_has_one_colour() -> None:
    """By key, by name, whatever else a figure shows; unknown ones are told apart."""
    assert (
        method_colour("ns_lf") == method_colour("NS-LF") == method_colours(["ns_lf", "b"])["ns_lf"]
    )
    assert method_colour("ce") != method_colour("ns_ws") != method_colour("ns_lf")
    unknown = [f"method {k}" for k in range(len(FURTHER))]
    assert sorted(method_colours(unknown).values()) == sorted(FURTHER)
    table = pd.DataFrame({"method": ["mine"] * 2 + ["ce"] * 2, "seed": [1, 2] * 2})
    table = table.assign(value=[90.0, 91.0, 92.0, 95.0])
    figure = plots.comparison.methods(table, "title")  # type: ignore[attr-defined]
    assert figure.axes[0].lines[0].get_color() == method_colour("mine")
