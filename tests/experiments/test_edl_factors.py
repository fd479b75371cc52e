"""EDL's log feature and log margin, varied separately: the runs, their tables and figure."""

import dataclasses
import math
from pathlib import Path

import pandas as pd
import pytest

from nslab.analysis import edl
from nslab.configs import TrainConfig
from nslab.configs.loss_search import losses_of
from nslab.configs.serialization import encode
from nslab.experiments.edl import classification, recipe
from nslab.experiments.edl_factors import feature_by_margin, feature_margin_row
from nslab.lossnet import LossForm
from nslab.objectives import EDL
from nslab.plots import edl as plots
from nslab.plots import style
from nslab.runs.store import Result

GAIN = {("p", "order"): 0.0, ("p", "log"): 6.0, ("log p", "order"): 1.0, ("log p", "log"): 5.0}


def test_factors_vary_one_at_a_time() -> None:
    """Feature and margin in all four combinations and nothing else, on the same evolution seeds and
    the same trainings; cross-entropy once a training; `recipe`'s ``order`` is one of the cells."""
    configs = feature_by_margin("cpu")
    assert len({c.id for c in configs}) == len(configs) == 5 * (4 * 4 + 1)
    losses = {loss for c in configs for loss in losses_of(c)}
    cells = {(loss.form.log_feature, loss.margin, loss.seed) for loss in losses}
    assert len(cells) == len(losses) == 2 * 2 * 4
    alike = {dataclasses.replace(loss, form=LossForm(), margin="order", seed=0) for loss in losses}
    assert len(alike) == 1
    assert recipe("order") in losses
    assert {dataclasses.replace(c, objective=EDL(), seed=0) for c in configs} == {
        dataclasses.replace(classification("smoke")[0], objective=EDL(), seed=0, keep_last=0)
    }


def made_up(config: TrainConfig) -> Result:
    """A finished run: CE 98; a loss 90, and more by its cell, its evolution (0 to 3, more with the
    order alone), and its training (0 to 4, minus the mean of these)."""
    about, accuracy = feature_margin_row(config), 98.0
    if about["feature"] != "CE":
        evolution = int(about["evolution"]) - 2024
        cell = (str(about["feature"]), str(about["margin"]))
        accuracy = 90 + GAIN[cell] + evolution * (2 if cell[1] == "order" else 1)
    accuracy += config.seed - 2026
    return Result(config.id, encode(config), {"test_accuracy": accuracy}, [], {})


@pytest.fixture
def table() -> pd.DataFrame:
    """Of made-up runs."""
    return edl.factor_table([made_up(c) for c in feature_by_margin("cpu")])


def test_spread_is_over_evolutions(table: pd.DataFrame) -> None:
    """Trainings are averaged first: sixteen losses and cross-entropy. By hand: evolutions 0, 2, 4
    and 6 points above 90 in the cell of p and order, so 5 below cross-entropy, sd sqrt(20 / 3)."""
    assert len(table) == 17
    assert set(table["n"]) == {5}
    cells = edl.factor_cells(table).set_index(["feature", "margin"])
    assert len(cells) == 4
    assert set(cells["n"]) == {4}
    literal = cells.loc[("p", "order")]
    assert (literal["accuracy"], literal["mean"]) == (93.0, -5.0)
    assert literal["sd"] == pytest.approx(math.sqrt(20 / 3))
    assert literal["high"] + 5 == pytest.approx(3.182446 * literal["sd"] / 2, rel=1e-6)
    assert cells.loc[("log p", "log"), "accuracy"] == 96.5


def test_effects_by_hand(table: pd.DataFrame) -> None:
    """Margin: (6 + 4) / 2 less the 0 to 3 that order alone gains by evolution; feature: (1 - 1) / 2
    in every evolution; interaction: 4 - 6, the same in every evolution."""
    effects = edl.factor_effects(table)
    assert effects["mean"].to_dict() == {
        "log margin": pytest.approx(3.5),
        "log feature": pytest.approx(0.0),
        "interaction": pytest.approx(-2.0),
    }
    assert effects.loc["log margin", "sd"] == pytest.approx(math.sqrt(5 / 3))
    assert effects.loc["log margin", "low"] == pytest.approx(3.5 - 3.182446 * math.sqrt(5 / 12))
    said = edl.factor_finding(effects)
    assert said.startswith("Only the log margin has a clear effect:")
    assert "log margin +3.5 points (+1.4 to +5.6), log feature +0.0 points" in said
    none = effects.assign(low=-1.0, high=1.0)
    assert edl.factor_finding(none).startswith("No clear effect of either:")
    both = effects.assign(low=0.5, high=1.0)
    assert edl.factor_finding(both).startswith("Margin and feature both have a clear")


def test_figure(table: pd.DataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Labelled, titled with the finding, the same to the byte."""
    style.apply()
    made = []
    for name in ("a", "b"):
        monkeypatch.setenv("NSLAB_HOME", str(tmp_path / name))
        figure = plots.accuracy_by_factor(table, "Only the log margin")
        made.append(style.save(figure, "factors", "smoke").read_bytes())
    (axes,) = figure.get_axes()
    assert axes.get_xlabel()
    assert axes.get_ylabel()
    assert figure.get_suptitle() == "Only the log margin"
    assert axes.get_legend().get_title().get_text() == "4 evolutions a cell, 5 trainings each"
    assert made[0] == made[1]
