"""Figures of paired differences: what the frame cuts is said, and so is what intervals show."""

import pandas as pd
import pytest
from matplotlib.figure import Figure

from nslab.plots import claims as claim_figures
from nslab.plots import comparison
from nslab.plots.differences import _intervals

ARROW = "arrow: the interval goes on"
LINE = {"dataset": "imdb", "n": 3, "t": 1.0, "p": 0.5, "effect": 0.5}


def lines(*found: tuple[float, float, float]) -> pd.DataFrame:
    """Differences of that mean, standard deviation and half-width of the interval."""
    return pd.DataFrame(
        {**LINE, "method": f"m{k}", "mean": mean, "sd": sd, "low": mean - half, "high": mean + half}
        for k, (mean, sd, half) in enumerate(found)
    )


def legend_of(figure: Figure) -> list[str]:
    return [text.get_text() for legend in figure.legends for text in legend.get_texts()]


def test_intervals_of_three_seeds_are_drawn_whole_and_arrows_are_named() -> None:
    """Where the means are small beside the intervals; those of two seeds, nine sd wide, are cut."""
    three = comparison.forest(lines((0.04, 0.3, 0.75), (-0.16, 0.17, 0.43)), "IMDB")
    assert three.axes[0].get_xlim()[1] > 0.79
    assert ARROW not in legend_of(three)
    two = lines((0.04, 0.3, 2.7), (-0.16, 0.17, 0.3))
    assert ARROW in legend_of(comparison.forest(two, "IMDB"))
    runs = pd.DataFrame({"method": ["ce", "m0", "m1"], "seed": 1, "value": [90.0, 91.0, 92.0]})
    assert ARROW in legend_of(comparison.paired_comparison(runs, two, "ce", "mine"))


@pytest.mark.parametrize(
    ("counts", "said"),
    [
        ((4, 0, 0), "all four 95 % intervals contain 0"),
        ((2, 2, 0), "both 95 % intervals are above 0"),
        ((5, 1, 1), "of five 95 % intervals, one is above 0, one is below 0 and three contain it"),
        ((12, 0, 1), "of 12 95 % intervals, one is below 0 and 11 contain it"),
        ((1, 0, 0), "the one 95 % interval contains 0"),
        ((0, 0, 0), "there are no intervals"),
    ],
)
def test_the_title_says_what_the_intervals_show(counts: tuple[int, int, int], said: str) -> None:
    assert _intervals(*counts) == said


def test_of_few_intervals_none_is_counted_that_is_not_there() -> None:
    """One seed has no interval, and contains nothing."""
    table = pd.concat([lines((0.1, 0.1, 0.3)), lines((0.2, float("nan"), float("nan")))])
    title = comparison.forest(table, "IMDB").get_suptitle()
    assert title.startswith(
        "2 of 2 differences to CE are above 0 on average; the one 95 % interval"
    )


def test_claims_far_out_have_an_arrow_that_is_named() -> None:
    about = {"kind": "control", "against": "ce", "preset": "cpu", "verdict": "contradicted"}
    table = pd.DataFrame([{"claim": "c", "unit": "points", "printed": 1.0, "n": 3, **about}])
    near, far = (table.assign(effect=e, low=e - 1, high=e + 1) for e in (-2.0, -30.0))
    assert "arrow: further out" not in legend_of(claim_figures.claims_forest(near))
    assert "arrow: further out" in legend_of(claim_figures.claims_forest(far))
