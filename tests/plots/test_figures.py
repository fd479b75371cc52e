"""Tables, comparisons and figures: right numbers, the same bytes, provenance inside."""

import json
import math
import os
from functools import partial
from pathlib import Path

import matplotlib as mpl
import pandas as pd
import pytest
import torch
from matplotlib import font_manager
from matplotlib.figure import Figure
from PIL import Image
from process_helpers import at_once

from nslab.analysis import run_tables
from nslab.analysis.paper_tables import compare, readable
from nslab.configs.serialization import decode, encode
from nslab.experiments import experiment
from nslab.objectives import NS
from nslab.papers.tables import paper_table
from nslab.plots import ns as plots
from nslab.plots import style
from nslab.runs import store
from nslab.runs.store import Result
from nslab.system import files
from nslab.system.files import misfits
from nslab.system.provenance import source_digest
from nslab.training.epoch_scores import epoch_scores
from nslab.training.loop import training_set


def result(config: object, accuracy: float, source: str | None = None) -> Result:
    """A finished run with a made-up accuracy."""
    env = {"source": source or source_digest()}
    metrics = {"test_accuracy": accuracy}
    return Result(config.id, encode(config), metrics, [], env)  # type: ignore[attr-defined]


def test_compare_by_hand() -> None:
    """Mean, sample sd and n per row; delta only at the paper's own size; the paired difference to
    the baseline (the control with the same mean weight); rows with ours first, columns without
    anything left out.
    """
    exp = experiment("ns/table7")
    sides = (NS(sigma=0.8), NS(sigma=1.8, rho=0.0))
    paper = [c for c in exp.plan("paper") if c.objective == sides[0]]
    smoke = [c for c in exp.plan("smoke") if c.objective in sides]
    runs = [result(c, a) for c, a in zip(paper, (72.0, 73.0, 71.0), strict=True)]
    runs += [result(c, 50.0 + i, "other") for i, c in enumerate(smoke)]
    table = compare("ns/table7", runs)
    assert list(table.columns) == [
        *("sigma", "method", "paper", "ours", "sd", "n", "preset", "part", "delta", "differs"),
        *("against", "difference", "difference_sd", "difference_n", "core_hours", "note"),
    ]
    assert (table["n"] > 0).tolist() == [True] * 3 + [False] * 6
    at_size = table[table["preset"] == "paper"].iloc[0]
    assert (at_size["sigma"], at_size["paper"], at_size["n"]) == ("0.8", 72.1, 3)
    assert at_size["ours"] == pytest.approx(72.0)
    assert at_size["sd"] == pytest.approx(1.0)
    assert at_size["delta"] == pytest.approx(-0.1)
    small = table[table["preset"] == "smoke"]
    assert list(small["n"]) == [2, 2]
    assert small["delta"].isna().all()
    other = table[table["difference_n"] > 0].iloc[0]
    assert (other["method"], other["preset"], other["against"]) == ("ns_ws", "smoke", "ce_constant")
    assert (other["difference"], other["difference_sd"], other["difference_n"]) == (-1.0, 0.0, 2)
    assert set(small["note"]) == {"made by another version of nslab"}
    nothing = table[table["n"] == 0]
    assert len(nothing) == 6
    assert nothing["ours"].isna().all()
    shown = readable(table)
    assert "72.00 ± 1.00 (n = 3, paper)" in set(shown["ours"])
    assert set(shown.loc[table["n"] == 0, "ours"]) == {""}
    assert set(shown["delta"]) == {"-0.10", ""}
    assert set(shown["minus ce_constant"]) == {"-1.00 ± 0.00 (n = 2)", ""}
    keys = ["sigma", "method"]
    assert list(readable(small).columns) == [*keys, "paper", "ours", "minus ce_constant", "note"]
    assert list(readable(at_size.to_frame().T).columns) == [*keys, "paper", "ours", "delta"]


def test_compare_shows_rows_the_paper_lacks() -> None:
    """Ours alone, paper blank; a single seed has no sd."""
    config = experiment("ns/first").plan("cpu", methods=("ce",))[0]
    table = compare("ns/first", [result(config, 80.0)])
    mine = table[table["network"] == "resnet20"].iloc[0]
    assert math.isnan(mine["paper"])
    assert math.isnan(mine["sd"])
    assert math.isnan(mine["delta"])
    assert (mine["ours"], mine["n"], mine["preset"]) == (80.0, 1, "cpu")
    assert len(table) == len(paper_table("ns/table2")) + 1


def test_unknown_tables_are_refused() -> None:
    """With the list of those there are."""
    with pytest.raises(ValueError, match="unknown table 'ns/table99': did you mean"):
        paper_table("ns/table99")
    with pytest.raises(ValueError, match="unknown experiment"):
        compare("ns/table99", [])


def test_paper_preset_is_the_papers_setting() -> None:
    """ResNet-110 with 1,730,714 parameters, 164 epochs, SGD .1, steps at 81 and 122, 3 seeds."""
    configs = experiment("ns/table7").plan("paper")
    assert {c.seed for c in configs} == {2024, 2025, 2026}
    c = configs[0]
    assert (c.dataset, c.network, c.epochs, c.batch_size) == ("cifar100", "resnet110b", 164, 128)
    rates = [c.lr_at(e, 1) for e in (0, 80, 81, 121, 122, 163)]
    assert rates == pytest.approx([0.1, 0.1, 0.01, 0.01, 0.001, 0.001])


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> list[Result]:
    """Two seeds of each method, very short."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NSLAB_HOME", str(tmp_path_factory.mktemp("runs")))
        plan = experiment("ns/first").plan("smoke", network="lenet5", epochs=2, seeds=(1, 2))
        return store.run_all(plan, show=False)


def test_a_matplotlibrc_of_ones_own_changes_nothing(tmp_path: Path) -> None:
    """Sizes, fonts, colours and TeX of the user's configuration: the bytes are the same."""
    odd = {"savefig.bbox": "tight", "savefig.transparent": True, "font.size": 31}
    odd |= {"text.usetex": True, "axes.grid": True, "lines.linewidth": 9, "savefig.pad_inches": 3}
    written = []
    for number, rc in enumerate(({}, odd)):
        with mpl.rc_context(rc):
            style.apply()
            figure = Figure(figsize=(3, 2))
            figure.subplots().plot([1, 2], [3, 1], label="a_b")
            figure.axes[0].set_title("x_1 & 50 %")
            with pytest.MonkeyPatch.context() as patch:
                patch.setenv("NSLAB_FIGURES", str(tmp_path / str(number)))
                written.append(style.save(figure, "f", "smoke").read_bytes())
    assert written[0] == written[1]


def figures(runs: list[Result]) -> dict[str, Figure]:
    """One of each kind."""
    style.apply()
    ws = next(r for r in runs if run_tables.run_columns(r)["method"] == "ns_ws")
    model = run_tables.trained_model(ws)
    batch = run_tables.first_batch("digits_16", 64, 0)
    scores = run_tables.score_table(model, "digits_16", (2, 2), 0)
    classes = list("0123456789")
    return {
        "images": plots.images(batch.x[:16], [str(k) for k in batch.y.tolist()]),
        "competition": plots.competition(run_tables.compete(model, batch, (2, 3)), classes),
        "weights": plots.weight_curves(run_tables.simulated_scores(400, 4, 0), 1.5, 0.5, "nothing"),
        "curves": plots.training_curves(run_tables.history_table(runs), "digits"),
        "classes": plots.class_accuracy(run_tables.class_table(runs), "digits"),
        "scores": plots.score_distribution(scores, 4, "digits"),
    }


@pytest.mark.slow
def test_same_inputs_same_bytes(
    runs: list[Result], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Drawn twice from scratch: PNG, SVG and JSON are the same to the byte, provenance inside."""
    made = []
    for attempt in ("a", "b"):
        monkeypatch.setenv("NSLAB_HOME", str(tmp_path / attempt))
        for name, figure in figures(runs).items():
            png = style.save(figure, name, "smoke", runs=runs, parameters={"n": 1})
            assert png.exists()
        folder = tmp_path / attempt / "figures" / "smoke"
        made.append({file.name: file.read_bytes() for file in sorted(folder.glob("[!.]*"))})
    assert len(made[0]) == 18
    assert made[0] == made[1]
    with Image.open(tmp_path / "a/figures/smoke/curves.png") as picture:
        info = json.loads(picture.info["nslab"])
    assert info["runs"] == sorted({run.id for run in runs})
    assert info["parameters"] == {"n": 1}
    sidecar = json.loads((tmp_path / "a/figures/smoke/curves.json").read_text())
    assert set(sidecar) >= {"commit", "dirty", "source", "versions", "made"}
    assert sidecar["made"][runs[0].id]["device"]


def drawing(who: int) -> None:
    """A figure of one of several who draw under the same name."""
    figure = Figure()
    figure.subplots().plot(range(3 + 100 * who))
    style.save(figure, "same", "smoke", parameters={"who": who})


def belongs(folder: Path) -> bool:
    """Whether a figure's three files are of one drawing."""
    about = json.loads((folder / "same.json").read_text())
    with Image.open(folder / "same.png") as picture:
        inside = json.loads(picture.info["nslab"])
    return not misfits(folder, about["sha256"]) and inside["parameters"] == about["parameters"]


@pytest.mark.process
def test_drawn_by_two_at_once(tmp_path: Path) -> None:
    """PNG, SVG and JSON are of one of the two."""
    style.apply()
    for _ in range(5):
        assert at_once([partial(drawing, who) for who in range(2)]) == [None, None]
        assert belongs(tmp_path / "figures/smoke")


@pytest.mark.parametrize("stop", [1, 2, 3])
def test_killed_while_files_are_replaced(
    stop: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The JSON tells which are not of its figure; drawn again, they are."""
    drawing(0)
    replaced, count = os.replace, [stop]

    def stopping(source: Path, target: Path) -> None:
        count[0] -= 1
        if count[0] == 0:
            raise KeyboardInterrupt
        replaced(source, target)

    with monkeypatch.context() as patch:
        patch.setattr(files.os, "replace", stopping)
        with pytest.raises(KeyboardInterrupt):
            drawing(1)
    folder = tmp_path / "figures/smoke"
    odd = misfits(folder, json.loads((folder / "same.json").read_text())["sha256"])
    assert odd == ["same.png", "same.svg"][: stop - 1]
    drawing(1)
    assert belongs(folder)


def test_figures_are_labelled(runs: list[Result]) -> None:
    """Axes with data have labels; the font is the one that ships with matplotlib."""
    for name, figure in figures(runs).items():
        plain = [a for a in figure.get_axes() if not a.images]
        assert plain or name == "images"
        for axes in plain:
            assert axes.get_xlabel(), name
            assert axes.get_ylabel() or name == "competition", name
    assert "DejaVuSans" in font_manager.findfont(font_manager.FontProperties(family=["sans-serif"]))


@pytest.mark.slow
def test_scores_of_a_training_epoch_are_those_that_trained(runs: list[Result]) -> None:
    """NS-WS weighs by 0.7 + s, so the sd of an epoch's scores is that of the weights the run logged
    for it; the final network's scores differ. Cross-entropy can be scored on the side."""
    done = next(r for r in runs if run_tables.run_columns(r)["method"] == "ns_ws")
    config = decode(done.config)
    for epoch, row in ((1, done.history[0]), (0, done.history[-1])):
        table = epoch_scores(config, (2, 2), epoch)
        left = len(training_set(config).arrays.train_y) % 4  # of the last batch: s = 1
        assert table["score"].mean() == pytest.approx(1, abs=1e-5)
        logged = row["weight_sd"] ** 2 * (len(table) + left) / len(table)
        assert table["score"].var(ddof=0) == pytest.approx(logged, rel=1e-4)
    final = run_tables.score_table(run_tables.trained_model(done), "digits_16", (2, 2), config.seed)
    assert abs(final["score"].std() - table["score"].std()) > 1e-3
    assert list(table["class"].cat.categories) == list("0123456789")
    plain = next(r for r in runs if run_tables.run_columns(r)["method"] == "ce")
    assert len(epoch_scores(decode(plain.config), (2, 2), 1)) == len(table)
    with pytest.raises(ValueError, match="no epoch 3 in a training of 2"):
        epoch_scores(config, (2, 2), 3)


def test_score_table_and_competition(runs: list[Result]) -> None:
    """Every sample of whole groups once; means of 1; classes in their order."""
    model = run_tables.trained_model(runs[0])
    table = run_tables.score_table(model, "digits_16", (2, 2), 3)
    assert len(table) == 1292
    assert table["score"].mean() == pytest.approx(1, abs=1e-5)
    assert list(table["class"].cat.categories) == list("0123456789")
    group = run_tables.compete(model, run_tables.first_batch("digits_16", 8, 0), (1, 2))
    torch.testing.assert_close(group.scores, 2 * group.q / group.q.sum(), rtol=1e-4, atol=1e-6)
    assert group.stitched.shape == (1, 16, 32)
    history = run_tables.history_table(runs)
    assert isinstance(history, pd.DataFrame)
    assert set(history["epoch"]) == {1, 2}
    assert len(run_tables.class_table(runs)) == 60
