"""Errors on corrupted images and mCE, against loops by hand; what is measured, and on what."""

import dataclasses
import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from nslab.analysis import robustness
from nslab.analysis.paper_tables import compare, readable
from nslab.analysis.run_tables import trained_model
from nslab.configs import EvolveConfig, TrainConfig
from nslab.configs.methods import EVOLUTION_METHODS
from nslab.configs.serialization import encode
from nslab.datasets import DATASETS, ImageData, load
from nslab.datasets.arrays import Arrays
from nslab.datasets.corruption.sets import CORRUPTIONS, corrupted
from nslab.experiments import experiment
from nslab.experiments.de import robustness as tables
from nslab.experiments.de.small_networks import adam, small_run
from nslab.networks import build_network
from nslab.papers.tables import paper_table
from nslab.plots import robustness as plots
from nslab.runs import frozen
from nslab.runs import results as results_module
from nslab.runs.store import Result
from nslab.training.checkpoint import save_weights

TWO = ("impulse_noise", "canny_edges")


def finished(config: TrainConfig | EvolveConfig, folder: Path) -> Result:
    """A run that ended with random weights."""
    base = config if isinstance(config, TrainConfig) else config.base
    data = DATASETS[base.dataset]
    weights = int(config.id, 16) % 1000  # another network a run
    save_weights(build_network(base.network, data.shape, 10, weights), folder / config.id)
    return Result(config.id, encode(config), {}, [], {}, folder=folder / config.id)


@pytest.fixture
def results(tmp_path: Path) -> list[Result]:
    """LeNet-1 by Adam with two seeds, an MLP by Adam, and LeNet-1 by DE."""
    runs = [adam("smoke", "digits", "lenet1", seed) for seed in (1, 2)]
    runs += [adam("smoke", "digits", "mlp", 1)]
    return [finished(c, tmp_path) for c in [*runs, small_run("smoke", runs[0], "de")]]


def error_by_hand(result: Result, x: np.ndarray, y: np.ndarray, network: str, name: str) -> float:
    """Percent of images, one by one, whose largest logit is not their label's."""
    data = DATASETS[name]
    model = build_network(network, data.shape, 10, int(result.id, 16) % 1000).eval()
    mean, std = np.array(data.mean), np.array(data.std)
    wrong = 0
    for image, label in zip(x, y, strict=True):
        pixels = ((image / 255 - mean) / std).transpose(2, 0, 1)[None]
        logits = model(torch.tensor(pixels, dtype=torch.float32))
        wrong += int(logits.argmax()) != label
    return 100 * wrong / len(y)


def test_errors_and_mce_by_hand(results: list[Result]) -> None:
    """Each error image by image; CE in percent of the baseline's mean, mCE their mean."""
    table = robustness.robustness_table(results, TWO, seed=4, images=60)
    x, y = load("digits").arrays.test_x[:60], load("digits").arrays.test_y[:60]
    images = {"clean": x} | {name: corrupted("mnist_c", name, 1, (x, y), seed=4).x for name in TWO}
    names = ["lenet1 adam", "lenet1 adam", "mlp adam", "lenet1 de"]
    by_hand: dict[str, dict[str, list[float]]] = {}
    for result, name in zip(results, names, strict=True):
        for corruption, made in images.items():
            expected = error_by_hand(result, made, y, name.split()[0], "digits")
            line = table[(table["run"] == result.id) & (table["corruption"] == corruption)].iloc[0]
            assert line["error"] == pytest.approx(expected)
            by_hand.setdefault(name, {}).setdefault(corruption, []).append(expected)
    assert table["error"].nunique() > 6  # the networks and corruptions do differ
    assert set(table["origin"]) == {"clean", "generated"}
    assert set(table["images"]) == {60}
    ours = robustness.mce_table(table)
    assert list(ours["network"] + " " + ours["method"]) == list(dict.fromkeys(names))
    base = {name: np.mean(by_hand["lenet1 adam"][name]) for name in TWO}
    for line in ours.to_dict("records"):
        found = by_hand[f"{line['network']} {line['method']}"]
        seeds = range(line["n"])
        relative = [np.mean([100 * found[c][s] / base[c] for c in TWO]) for s in seeds]
        assert line["mce"] == pytest.approx(np.mean(relative))
        assert line["error"] == pytest.approx(np.mean([found[c] for c in TWO]))
        sd = np.std(relative, ddof=1) if line["n"] == 2 else math.nan
        assert line["mce_sd"] == pytest.approx(sd, nan_ok=True)
    assert ours["mce"][0] == pytest.approx(100)


def test_severities_are_summed() -> None:
    """CE by hand: errors of both severities added, then divided."""
    lines = [("a", "x", 1, 10.0), ("a", "x", 2, 30.0), ("b", "x", 1, 20.0), ("b", "x", 2, 30.0)]
    table = made_up(lines)
    relative = robustness.relative_table(table, "a adam").set_index(["network", "corruption"])
    assert relative.loc[("b", "x"), "mce"] == pytest.approx(125)
    assert relative.loc[("b", "x"), "error"] == pytest.approx(25)
    assert relative.loc[("a", "average"), "mce"] == pytest.approx(100)
    assert set(relative["severities"]) == {"1, 2"}
    assert "clean" not in relative.index.get_level_values("corruption")


def made_up(lines: list[tuple[str, str, int, float]]) -> pd.DataFrame:
    """A table of errors: network, corruption, severity, error."""
    table = pd.DataFrame(lines, columns=["network", "corruption", "severity", "error"])
    about = {"dataset": "cifar10", "set": "cifar10_c", "method": "adam", "seed": 1, "run": "r"}
    return table.assign(**about, origin="released", images=10000)


def test_what_does_not_compare_is_refused() -> None:
    """No baseline, a seed twice, other severities."""
    lines = [("a", "x", 1, 10.0), ("b", "x", 1, 20.0)]
    with pytest.raises(ValueError, match="unknown baseline on cifar10 'lenet1 adam'"):
        robustness.mce_table(made_up(lines))
    with pytest.raises(ValueError, match="two runs have the same network, method and seed"):
        robustness.mce_table(made_up([*lines, lines[0]]), "a adam")
    with pytest.raises(ValueError, match="not all runs have the same corruptions and severities"):
        robustness.mce_table(made_up([*lines, ("a", "x", 2, 1.0)]), "a adam")


def test_images_are_made_once_for_all(
    results: list[Result], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once per corruption and severity, whatever the number of networks; a run counts once."""
    asked: list[tuple[str, int]] = []

    def counted(*args: object, **more: object) -> object:
        asked.append((str(args[1]), int(str(args[2]))))
        return corrupted(*args, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(robustness, "corrupted", counted)
    table = robustness.robustness_table(
        [*results, results[0]], ("contrast",), (2, 5), kind="cifar10_c", images=20
    )
    assert asked == [("contrast", 2), ("contrast", 5)]
    assert len(table) == 4 * 3
    assert list(table["severity"].unique()) == [0, 2, 5]


def test_released_files_come_first(
    results: list[Result], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """MNIST's images are not corrupted here where the published ones lie; cut to so many."""
    x = np.random.default_rng(0).integers(0, 256, (30, 28, 28, 1), dtype=np.uint8)
    y = np.arange(30) % 10
    data = ImageData("mnist", DATASETS["mnist"], Arrays(x, y, x, y))
    monkeypatch.setattr(robustness, "load", lambda name: data)
    monkeypatch.setenv("NSLAB_DATA", str(tmp_path))
    run = finished(adam("cpu", "mnist", "lenet1", 1), tmp_path)
    assert set(robustness.robustness_table([run], ("fog",))["origin"]) == {"clean", "generated"}
    (tmp_path / "mnist_c" / "fog").mkdir(parents=True)
    np.save(tmp_path / "mnist_c" / "fog" / "test_images.npy", 255 - x)
    np.save(tmp_path / "mnist_c" / "fog" / "test_labels.npy", y)
    line = robustness.robustness_table([run], ("fog",), images=21).iloc[-1]
    assert (line["origin"], line["images"]) == ("released", 21)
    expected = error_by_hand(run, 255 - x[:21], y[:21], "lenet1", "mnist")
    assert line["error"] == pytest.approx(expected)


def test_networks_that_are_not_there(results: list[Result], tmp_path: Path) -> None:
    """Frozen runs, weights that are gone, methods that end with several networks."""
    frozen = dataclasses.replace(results[0], folder=None)
    with pytest.raises(FileNotFoundError, match=r"weights are not\. nslab\.run\(config, weights"):
        robustness.robustness_table([frozen])
    gone = dataclasses.replace(results[3], folder=tmp_path / "gone")
    with pytest.raises(FileNotFoundError, match="this run's weights are not here"):
        robustness.robustness_table([gone])
    base = adam("smoke", "digits", "lenet1", 1)
    for name in ("ensemble", "smd", "population_mean"):
        run = finished(EvolveConfig(base, "last_epochs", 6, EVOLUTION_METHODS[name]), tmp_path)
        with pytest.raises(ValueError, match="ended with several networks"):
            trained_model(run)
    with pytest.raises(ValueError, match="unknown corruption of mnist_c 'rain'"):
        robustness.robustness_table(results, ("rain",))
    with pytest.raises(ValueError, match="images must be at least 1"):
        robustness.robustness_table(results, images=0)


def measured(
    table: pd.DataFrame, name: str, preset: str = "paper", **change: object
) -> pd.DataFrame:
    """Made-up errors as those of an experiment's runs at a preset, one a network and method,
    beside the paper's."""
    exp = experiment(name)
    runs = {tuple(exp.row(c).values())[1:]: c for c in exp.plan(preset, seeds=(2024,))}
    by_run = {key: runs[key] for key in table.groupby(["network", "method"]).groups}
    ids = [by_run[key].id for key in zip(table["network"], table["method"], strict=True)]
    results = [Result(c.id, encode(c), {}, [], {}) for c in by_run.values()]
    numbers = robustness.corruption_numbers(table.assign(run=ids, **change))
    return compare(name, results, numbers)


@pytest.mark.slow
def test_beside_the_paper() -> None:
    """Printed numbers found under our names; delta for what is the paper's in all respects."""
    names = list(CORRUPTIONS["cifar10_c"])
    both_networks = (("lenet1", 50.0), ("resnet20_public", 30.0))
    table = made_up([(n, c, s, e) for n, e in both_networks for c in names for s in range(1, 6)])
    table.loc[table["network"] != "lenet1", "method"] = "population_best"
    both = measured(table, "de/tableS6")
    keys = ["network", "method", "corruption", "metric"]
    found, ours = both.set_index(keys), ("resnet20_public", "population_best")
    line = found.loc[(*ours, "fog", "error")]
    assert (line["paper"], line["ours"], line["n"]) == (47.4, 30.0, 1)
    assert line["delta"] == pytest.approx(-17.4)
    line = found.loc[(*ours, "average", "mce")]
    assert (line["paper"], line["ours"]) == (79, pytest.approx(60))
    assert math.isnan(found.loc[("lenet1", "adam", "fog", "error"), "paper"])
    assert found.loc[("mobilenet", "de", "frost", "mce"), "paper"] == 51
    assert found.loc[("mobilenet", "de", "frost", "mce"), "n"] == 0
    shown = readable(both[both["corruption"] == "average"])
    assert "60.00 (n = 1, paper)" in set(shown["ours"])
    for change, why in (
        ({"origin": "generated"}, "generated corruptions"),
        ({"images": 500}, "500 images"),
        ({"severity": 3}, "severity 3"),
    ):
        part = table.drop_duplicates(["network", "corruption"]) if "severity" in change else table
        other = measured(part, "de/tableS6", **change)
        assert other["delta"].isna().all()
        assert set(other.loc[other["n"] > 0, "differs"]) == {why}
    assert measured(table, "de/tableS6", "cpu")["delta"].isna().all()
    fewer = measured(table[table["corruption"] != "fog"], "de/tableS6").set_index(keys)
    average = fewer.loc[(*ours, "average", "error")]
    assert (average["part"], math.isnan(average["delta"])) == ("14 of 15 corruptions", True)


@pytest.mark.slow
def test_the_table_shows_frozen_errors() -> None:
    """`nslab compare de/tableS4`: errors of frozen runs, paired with Adam's, seed by seed."""
    name = "de/tableS4"
    runs = results_module.finished(experiment(name).plan("cpu"), frozen_only=True)
    table = compare(name, runs)
    errors = frozen.table("de_robustness_cpu")
    fog = errors[(errors["corruption"] == "fog") & (errors["network"] == "lenet1")]
    wide = fog.pivot_table(index="seed", columns="method", values="error")
    keys = ["network", "method", "corruption", "metric"]
    line = table.set_index(keys).loc[("lenet1", "de", "fog", "error")]
    assert (line["ours"], line["n"]) == (pytest.approx(wide["de"].mean()), 3)
    assert line["difference"] == pytest.approx((wide["de"] - wide["adam"]).mean())
    assert (line["against"], line["differs"]) == ("adam", "generated corruptions")
    assert (table["n"] > 0).sum() == 4 * (16 * 2 + 1)


@pytest.mark.parametrize("preset", ["smoke", "cpu", "paper"])
def test_runs_are_those_of_other_tables(preset: str) -> None:
    """Table S1's, Table 1's: nothing is trained twice; rows bear the paper's names."""
    ids = {
        name: {c.id: c for c in experiment(f"de/{name}").plan(preset)}
        for name in ("tableS1", "table1", "tableS4", "tableS5", "tableS6")
    }
    assert ids["tableS4"].keys() <= ids["tableS1"].keys()
    rows = {name: [tables.network_row(c) for c in found.values()] for name, found in ids.items()}
    five = {i for i, c in ids["tableS5"].items() if tables.network_row(c)["network"] == "lenet5"}
    assert five <= ids["tableS1"].keys()
    for name in ("tableS4", "tableS5"):
        known = paper_table(f"de/{name}")[["network", "method"]].drop_duplicates()
        mine = {(r["network"], r["method"]) for r in rows[name]}
        assert mine == set(known.itertuples(index=False, name=None))
    deeper = {i: tables.network_row(c) for i, c in ids["tableS6"].items()}
    evolved = {i for i, r in deeper.items() if r["method"] == "sa_shade_tri_ensin"}
    data = "digits" if preset == "smoke" else "cifar10"
    known = {c.id for c in experiment("de/table1").plan(preset, dataset=data)}
    mobile = {i for i, r in deeper.items() if r["network"] == tables.MOBILENET}
    assert evolved - mobile <= known
    assert bool(mobile) == (preset == "paper")
    assert {i for i, r in deeper.items() if r["method"] == "adam"} <= ids["tableS5"].keys()
    methods = {str(row["method"]) for row in deeper.values()}
    assert methods == {"adam", "population_best", "sa_shade_tri_ensin"}


def test_figures(results: list[Result]) -> None:
    """A mark per network on every corruption, the paper's beside it; averages written out."""
    table = robustness.robustness_table(results, TWO, images=40)
    relative = robustness.relative_table(table)
    both = compare("de/tableS4", results, robustness.corruption_numbers(table))
    left, right = plots.errors(both, "title").get_axes()
    ticks = [text.get_text() for text in left.get_yticklabels()]
    assert ticks == ["clean", "impulse noise", "canny edges", "average"]
    drawn = [np.asarray(box.lines[0].get_xdata(), dtype=float) for box in left.containers]
    names = relative.groupby(["network", "method"])
    for marks, (_, own) in zip(drawn, names, strict=True):
        np.testing.assert_allclose(marks, own["error"])
    printed = [float(x) for box in right.containers for x in box.lines[0].get_xdata()]
    assert {x for x in printed if not math.isnan(x)} == {13.6, 22.9, 14.2, 20.1}
    bars = plots.mce(both, "title").get_axes()
    found = robustness.mce_table(table).sort_values(["network", "method"])
    for axes, metric in zip(bars, ("error", "mce"), strict=True):
        assert [p.get_width() for p in axes.patches] == pytest.approx(list(found[metric]))
        written = [text.get_text() for text in axes.texts]
        assert written == [f"{value:.1f}" for value in found[metric]]
