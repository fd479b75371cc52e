"""Figures and tables of Natural Selection's experiments, from short runs of every kind."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from nslab.analysis import run_tables, statistics
from nslab.analysis.paper_tables import run_table
from nslab.configs.serialization import decode
from nslab.experiments import experiment
from nslab.plots import comparison as plots
from nslab.plots import style
from nslab.runs import store
from nslab.runs.store import Result
from nslab.training.loop import training_set


@pytest.fixture(scope="module")
def tailed(tmp_path_factory: pytest.TempPathFactory) -> list[Result]:
    """Long-tailed digits, two seeds of four methods, very short."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NSLAB_HOME", str(tmp_path_factory.mktemp("runs")))
        methods = ("ce", "ce_lr", "cbs", "ns_lf")
        plan = experiment("ns/table5").plan("smoke", epochs=3, seeds=(1, 2), methods=methods)
        return store.run_all(plan, show=False)


@pytest.fixture(scope="module")
def noisy(tmp_path_factory: pytest.TempPathFactory) -> list[Result]:
    """Mislabelled digits, very short."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NSLAB_HOME", str(tmp_path_factory.mktemp("noisy")))
        plan = experiment("ns/noise").plan("smoke", epochs=2, seeds=(1,), rate=0.3)
        return store.run_all(plan, show=False)


def figures(tailed: list[Result], noisy: list[Result]) -> dict[str, Figure]:
    """One of each kind."""
    style.apply()
    values = run_tables.value_table(tailed)
    difference = statistics.differences(values, "ce", ["dataset", "imbalance"])
    one = statistics.differences(values[values["seed"] == 1], "ce", ["dataset"])
    classes = run_tables.class_scores(tailed[0], (1, 2), 0)
    line = statistics.regression(classes["size"], classes["score"])
    model = run_tables.trained_model(tailed[0])
    shares = run_tables.negative_shares(
        model, training_set(decode(tailed[0].config)), [(1, 2), (2, 2)], [1.0, 2.0, 4.0]
    )
    labels = {"m": "group size m", "sigma": "sigma", "share": "negative weights (%)"}
    sweep = run_table(
        "ns/table5", tailed
    )  # any table with a key, seeds and the paper's numbers will do
    return {
        "methods": plots.methods(values, "digits", {"ce": 70.0, "ns_lf": 72.0, "gce": 1.0}),
        "methods_alone": plots.methods(values, "digits"),
        "forest": plots.forest(difference, "digits"),
        "forest_one": plots.forest(one, "digits, one seed"),
        "ablation": plots.ablation(sweep, "method", "method", "digits"),
        "heat": plots.heat(shares, "m", "sigma", "share", labels, "digits"),
        "correlations": plots.correlations([("CE", classes, "size", "score", line)]),
        "kinds": plots.kinds(run_tables.kind_table(noisy), "digits"),
    }


@pytest.mark.slow
def test_same_inputs_same_bytes_and_labels(
    tailed: list[Result], noisy: list[Result], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Drawn twice: the same to the byte. Every panel's axes are labelled."""
    made = []
    for attempt in ("a", "b"):
        monkeypatch.setenv("NSLAB_HOME", str(tmp_path / attempt))
        for name, figure in figures(tailed, noisy).items():
            style.save(figure, name, "smoke", runs=tailed)
            for i, axes in enumerate(figure.get_axes()):
                assert axes.get_xlabel() or axes.get_ylabel(), (name, i)
        folder = tmp_path / attempt / "figures" / "smoke"
        made.append({file.name: file.read_bytes() for file in sorted(folder.glob("[!.]*"))})
    assert len(made[0]) == 24
    assert made[0] == made[1]


def test_value_table_and_differences(tailed: list[Result]) -> None:
    """A line per run; differences by hand."""
    values = run_tables.value_table(tailed)
    assert len(values) == 8
    assert set(values["method"]) == {"ce", "ce_lr", "cbs", "ns_lf"}
    assert set(values["imbalance"]) == {20}
    found = statistics.differences(values, "ce", []).set_index("method")
    by_hand = [
        tailed[i].metrics["test_accuracy"] - tailed[i - 2].metrics["test_accuracy"] for i in (2, 6)
    ]
    assert found.loc["cbs", "mean"] == pytest.approx(np.mean(by_hand))


def test_what_is_at_chance_is_grey(tailed: list[Result]) -> None:
    """In every figure that compares methods; nothing is where all have learnt."""
    values = run_tables.value_table(tailed)
    found = statistics.differences(values.assign(learnt=values["method"] != "cbs"), "ce", [])
    assert found.set_index("method")["learnt"].to_dict() == {
        "ce_lr": True,
        "cbs": False,
        "ns_lf": True,
    }
    sweep = run_table("ns/table5", tailed)
    labels = {"method": "method", "seed": "seed", "value": "test accuracy (%)"}
    for bad in (False, True):
        whole = values.assign(learnt=~(values["method"].eq("cbs") & bad))
        swept = sweep.assign(learnt=whole["learnt"], seed=sweep["seed"].astype(str))
        axes = plots.methods(whole, "digits").axes[0]
        grey = [label.get_text() for label in axes.get_yticklabels() if label.get_color() == "0.7"]
        assert grey == (["CBS (classes balanced)"] if bad else [])
        heat = plots.heat(swept, "method", "seed", "value", labels, "digits").axes[0]
        assert [t.get_color() for t in heat.texts].count("0.4") == (2 if bad else 0)
        ablation = plots.ablation(swept, "method", "method", "digits").axes[0]
        forest = plots.forest(found.assign(learnt=~(found["method"].eq("cbs") & bad)), "").axes[0]
        for text in (
            axes.get_xlabel(),
            heat.get_title(),
            ablation.get_title(),
            forest.get_xlabel(),
        ):
            assert (plots.AT_CHANCE in text) == bad


def test_class_scores_are_of_the_runs_own_training_set(tailed: list[Result]) -> None:
    """Class sizes are those of the long tail; the mean over samples is 1."""
    table = run_tables.class_scores(tailed[-1], (1, 2), 3)
    sizes = training_set(decode(tailed[-1].config)).info.class_counts.tolist()
    assert table["size"].tolist() == sizes
    assert sizes[0] / sizes[-1] > 15
    mean = np.average(table["score"], weights=table["size"])
    assert mean == pytest.approx(1, abs=0.02)  # a group of one at the end is left out
    assert table["accuracy"].tolist() == tailed[-1].metrics["per_class_accuracy"]


def test_each_training_set_has_its_own_regression(tailed: list[Result]) -> None:
    """A line per data set, factor and method, over the classes of that set alone; runs of several
    seeds are averaged first. By hand for one of them."""
    one = run_tables.class_scores(tailed[0], (1, 2), 0)
    again = one.assign(score=one["score"] + 0.2)
    other = one.assign(imbalance=10.0, size=one["size"] ** 2, score=2 - one["score"])
    found = run_tables.class_regressions(pd.concat([one, again, other]))
    assert found[["imbalance", "against"]].values.tolist() == [
        [20.0, "size"],
        [20.0, "accuracy"],
        [10.0, "size"],
        [10.0, "accuracy"],
    ]
    assert [line.n for line in found["line"]] == [10] * 4
    by_hand = np.polyfit(one["size"], one["score"] + 0.1, 1)
    line = found["line"].iloc[0]
    assert [line.slope, line.intercept] == pytest.approx(by_hand)
    assert found["line"].iloc[2].rank == pytest.approx(-line.rank)


def test_frozen_results_need_no_data(monkeypatch: pytest.MonkeyPatch) -> None:
    """Numbers and class names of real runs are shown where the images are not."""
    monkeypatch.setattr(run_tables, "load", None)
    frozen = store.finished(experiment("ns/table5").plan("cpu"))
    table = run_tables.class_table(frozen)
    assert len(table) == 10 * len(frozen) >= 90
    assert table["class"].iloc[0] == "airplane"
    assert len(run_tables.value_table(frozen)) == len(frozen)


def test_negative_shares(tailed: list[Result]) -> None:
    """Falls with sigma; none where sigma reaches m, as no score exceeds m."""
    model = run_tables.trained_model(tailed[0])
    table = run_tables.negative_shares(model, "digits", [(1, 2), (2, 2)], [0.0, 1.0, 2.0, 4.0])
    wide = table.pivot_table(index="m", columns="sigma", values="share")
    assert (wide.diff(axis=1).iloc[:, 1:] <= 0).all(axis=None)
    assert wide.loc[2, 2.0] == wide.loc[4, 4.0] == 0
    assert wide.loc[2, 0.0] == pytest.approx(100)


def test_history_tells_wrong_labels_apart(noisy: list[Result]) -> None:
    """Parts weighted by their numbers give the whole; scores undo sigma and rho."""
    for result in noisy:
        config = decode(result.config)
        wrong = training_set(config).mislabelled
        share = wrong.mean()
        assert 0.25 < share < 0.35
        for row in result.history:
            for name in ("train_accuracy", "weight_mean"):
                mixed = (1 - share) * row[f"{name}_clean"] + share * row[f"{name}_mislabelled"]
                assert mixed == pytest.approx(row[name], abs=0.05)
    kinds = run_tables.kind_table(noisy)
    assert set(kinds["labels"]) == {"clean", "mislabelled"}
    plain = kinds[kinds["method"] == "ce"]
    assert plain["score"].isna().all()
    assert (plain["weight"] == 1).all()
    ws = kinds[kinds["method"] == "ns_ws"]
    pd.testing.assert_series_equal(ws["score"], ws["weight"] - 0.7, check_names=False)


def test_plain_histories_say_nothing_of_labels(tailed: list[Result]) -> None:
    """Without noise there are no such columns."""
    assert not any("mislabelled" in key for key in tailed[0].history[0])
