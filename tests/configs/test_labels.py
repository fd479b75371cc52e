"""One name and one colour for everything that is shown; a run in a few words."""

import dataclasses

import pytest
import seaborn as sns
from matplotlib.colors import to_hex

from nslab.configs import labels
from nslab.configs.labels import LABELS, colour_of, label, paper_name_of, short_repr, text_of
from nslab.configs.methods import EVOLUTION_METHODS
from nslab.experiments import EXPERIMENTS
from nslab.objectives import NS, OBJECTIVES
from nslab.system.content_names import parse_content_name


def test_colours_are_the_palettes() -> None:
    """Of the colour-blind safe palette, all ten, but what others are compared with is dark grey."""
    palette = [to_hex(colour) for colour in sns.color_palette("colorblind")]
    names = ("BLUE", "ORANGE", "GREEN", "RED", "PURPLE", "BROWN", "PINK", "GREY", "YELLOW", "SKY")
    assert [getattr(labels, name) for name in names] == palette
    assert {shown.colour for shown in LABELS.values()} <= {*palette, labels.BASELINE_COLOUR, ""}


def test_every_method_has_a_label() -> None:
    """Of the papers: each objective, but the classes that stand for several, and each method of the
    DE paper."""
    several, ours = {"asymmetric", "ns", "edl"}, {"mixup", "smooth_top_k"}
    known = {key for key in OBJECTIVES if not parse_content_name(key)}  # others are somebody's own
    assert {*known, *EVOLUTION_METHODS} - {*LABELS} == several | ours


def test_what_has_no_label_goes_by_its_key(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the kind before a colon; one line in the table changes that everywhere."""
    assert (text_of("mine"), text_of("search:mine"), paper_name_of("mine")) == ("mine",) * 3
    assert (colour_of("mine"), colour_of("mine", "red")) == (labels.OTHER_COLOUR, "red")
    monkeypatch.setitem(LABELS, "mine", labels.Label("my method", "#000000", "theirs"))
    shown = text_of("mine"), colour_of("mine", "red"), paper_name_of("mine")
    assert shown == ("my method", "#000000", "theirs")


@dataclasses.dataclass(frozen=True)
class Plain:
    """A config that says nothing about itself."""

    objective: NS = dataclasses.field(default_factory=NS)
    seed: int = 3


class Speaking(Plain):
    """One that does."""

    def label(self) -> str:
        """In its own words."""
        return "mine, seed 3"

    def columns(self) -> dict[str, str | int | float]:
        """Its own columns."""
        return {"method": "mine", "depth": 4, "seed": self.seed}


def test_runs_of_a_config_of_ones_own() -> None:
    """By its own words, or as it would be written."""
    assert label(Plain(NS(sigma=2.0))) == "Plain(objective=NS(sigma=2.0))"
    assert labels.columns(Plain()) == {"method": "Plain()", "seed": 3}
    assert label(Speaking()) == "mine, seed 3"
    assert labels.columns(Speaking()) == {"method": "mine", "depth": 4, "seed": 3}


def test_runs_of_ours() -> None:
    """One of each kind, as in log names since version 0.1.0."""
    first = {name: EXPERIMENTS[name].plan("smoke") for name in ("ns/first", "edl/pretraining")}
    assert label(first["ns/first"][1]) == "digits_16 resnet8 NS(), seed 2024"
    assert label(first["edl/pretraining"][1]) == ("equivariant loss, ES(generations=20), seed 2024")
    evolved = EXPERIMENTS["de/table2"].plan("smoke", seeds=(7,))
    assert label(evolved[-1]) == "digits_16 resnet8 6 x init_hp: sa-shade-tri-ensin, seed 7"
    assert labels.columns(evolved[-1]) == {
        "dataset": "digits_16",
        "network": "resnet8",
        "method": "sa_shade_tri_ensin",
        "initialization": "init_hp",
        "seed": 7,
    }
    assert short_repr(3.5) == "3.5"
