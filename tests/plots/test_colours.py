"""Colours of methods: two that stand in one figure are told apart."""

import pytest

from nslab.configs.labels import BASELINE_COLOUR, OTHER_COLOUR
from nslab.experiments import EXPERIMENTS, PRESETS
from nslab.plots.style import method_colour, method_colours

# of the many methods compared with, and of what they are compared with
SHARED = (OTHER_COLOUR, BASELINE_COLOUR)


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_methods_of_an_experiment_have_colours_of_their_own(name: str) -> None:
    """GCE and NS-LF stand in Table V, for one."""
    exp = EXPERIMENTS[name]
    rows = [exp.row(config) for preset in PRESETS for config in exp.plan(preset)]
    methods = sorted({str(row["method"]) for row in rows if row.get("method")})
    own = [colour for colour in map(method_colour, methods) if colour not in SHARED]
    assert len(own) == len(set(own))


def test_methods_of_two_papers_in_one_figure_are_told_apart() -> None:
    """NS and evolution keep their colours, whatever stands beside them."""
    colours = method_colours(["edl_log", "ns_ws", "sa_shade_tri_ensin", "adam", "edl_order"])
    assert len(set(colours.values())) == 5
    for key in ("ns_ws", "adam"):
        assert colours[key] == method_colour(key)
    assert set(method_colours(["focal", "sce"]).values()) == {OTHER_COLOUR}
