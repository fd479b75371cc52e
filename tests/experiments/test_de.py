"""Differential evolution's experiments: what runs they have, and tables of what happened."""

import dataclasses
import math
from pathlib import Path
from typing import Any, get_args

import pandas as pd
import pytest
from image_helpers import make_images

from nslab.analysis import de as tables
from nslab.analysis.paper_tables import compare
from nslab.configs import EvolveConfig, TrainConfig
from nslab.configs.labels import columns
from nslab.configs.methods import EVOLUTION_METHODS
from nslab.configs.serialization import encode
from nslab.datasets import dataset_of
from nslab.evolve import EVOLVERS, TABLE_3
from nslab.experiments import experiment
from nslab.experiments.de.presets import EvolutionMethod, evolved, pretrained
from nslab.experiments.de.small_networks import DE, FACTORS, PAIRS, RATES, adam, small_run
from nslab.papers.tables import paper_table
from nslab.plots import de_runs as plots
from nslab.runs import store
from nslab.runs.store import Result
from nslab.system.provenance import source_digest


@pytest.mark.parametrize("method", get_args(EvolutionMethod))
def test_a_method_is_found_again_by_its_name(method: EvolutionMethod) -> None:
    """What `evolved` makes, `method_of` names."""
    config = evolved("smoke", pretrained("smoke"), "init_rs", method)
    assert columns(config)["method"] == method
    assert config.method == EVOLUTION_METHODS[method]


def test_table_3_has_the_papers_rows() -> None:
    """Its eight rows in order, each with the evolver that the row's ticks name."""
    runs = experiment("de/table3").plan("paper", seeds=(1,))
    printed = paper_table("de/table3")
    rows = [experiment("de/table3").row(run) for run in runs]
    for k, (row, line) in enumerate(zip(rows, printed.to_dict("records"), strict=True), start=1):
        assert runs[k - 1].method == EVOLVERS[TABLE_3[k]]
        initialization = "" if pd.isna(line["initialization"]) else line["initialization"]
        assert (row["method"], row["initialization"]) == (line["method"], initialization)
        for tick in ("de", "sade", "shade", "sin_f"):
            assert row[tick] == line[tick], (k, tick)
    # rows 5 and 6 have the same ticks in print; ours tells them apart
    assert [row["trigonometric"] for row in rows] == ["no", "no", "no", "yes", "no"] + ["yes"] * 3


def test_tables_have_the_papers_columns() -> None:
    """Methods and initial populations of Tables 1 and 2, and the supplement's sizes."""
    for name in ("de/table1", "de/table2"):
        mine = {experiment(name).row(run)["method"] for run in experiment(name).plan("paper")}
        theirs = set(paper_table(name)["method"].dropna())
        ours = {"pytorch": "pretrained"} | ({"ensemble": "fge"} if name == "de/table1" else {})
        more = {"vote"} if name == "de/table1" else set()  # ours: of the parents of all others
        assert mine == {ours.get(method, method) for method in theirs} | more
    sizes = [run.size for run in experiment("de/tableS7").plan("paper", seeds=(1,))]
    assert sizes == paper_table("de/tableS7")["population_size"].tolist()
    whole = experiment("de/table1").plan("paper")[-1]
    assert (whole.size, whole.batches, whole.generations, whole.batch_size) == (10, 20, 10, 2048)
    assert whole.exempt_head
    assert whole.policy == "inherit"


def test_small_networks_as_the_supplement_has_them() -> None:
    """Table S2: 20 members, S1 only, batches of 50,000, 200 to 300 generations, all of the network;
    Adam's run and evolution share their parents."""
    runs = experiment("de/tableS1").plan("paper", seeds=(1,))
    assert len(runs) == 3 * len(PAIRS["paper"]) == 15
    trained, de = runs[0], runs[1]
    assert isinstance(trained, TrainConfig)
    assert isinstance(de, EvolveConfig)
    assert (de.size, de.batch_size, de.exempt_head) == (20, 50000, False)
    assert 200 <= de.batches * de.generations <= 300
    assert de.method == DE
    assert DE.strategies == ("rand/1",)
    assert {p.config.id for p in de.parents()} == {trained.id}
    grid = experiment("de/factors").plan("paper", seeds=(1,))
    assert {(run.method.f, run.method.cr) for run in grid} == {
        (f, c) for f in FACTORS for c in RATES
    }
    assert all(str(f) in paper_table("de/tableS2")["value"][0] for f in (0.01, 0.1))


def test_samples_of_fig_s3_are_shares() -> None:
    """A quarter of the training samples is a quarter of those that are not held out."""
    runs = experiment("de/complexity").plan("cpu", networks=("lenet5",), shares=(0.25, 1.0))
    assert [r.train_size for r in runs if isinstance(r, TrainConfig)] == [13750, 0, 0]
    assert {r.hold_out for r in runs if isinstance(r, TrainConfig)} == {5000}
    assert [r.augment for r in runs if isinstance(r, TrainConfig)] == ["none", "none", "crop"]


def history(batches: int, generations: int) -> list[dict[str, Any]]:
    """Made-up rows of an evolution with two strategies."""
    rows = []
    for k in range(batches):
        for g in range(generations):
            row: dict[str, Any] = {
                "batch": k,
                "generation": g,
                "best": 1.0 - 0.1 * k,
                "mean": 2.0,
                "asked": 6,
                "wins": 3,
                "strategy_asked": [4, 2, 0, 0, 0],
                "strategy_wins": [1, 2, 0, 0, 0],
                "strategy_probability": [0.5, 0.5, 0.0, 0.0, 0.0],
                "f": [0.1] * 5,
                "cr": [0.2] * 5,
                "frequency": [0.5] * 5,
            }
            if g == generations - 1:
                row |= {"held_out_loss": 0.5 - 0.1 * k, "held_out_accuracy": 90.0 + k}
                row |= {"diversity": 3.0 - k}
            rows.append(row)
    return rows


def made(config: Any, rows: list[dict[str, Any]], **metrics: float) -> Result:
    """A finished run with made-up numbers."""
    numbers = {"test_accuracy": 90.0} | metrics
    return Result(config.id, encode(config), numbers, rows, {"source": source_digest()})


def test_tables_of_what_happened() -> None:
    """Generations count on over batches; strategies have the paper's names; windows add up."""
    config = evolved("smoke", pretrained("smoke"), "init_rs", "sa_shade_tri_ensin")
    result = made(config, history(2, 3), start_test_accuracy=89.0, last_test_accuracy=91.0)
    generations = tables.generation_table([result])
    assert generations["step"].tolist() == [1, 2, 3, 4, 5, 6]
    assert generations["diversity"].notna().tolist() == [False, False, True] * 2
    strategies = tables.strategy_table([result])
    assert len(strategies) == 30
    assert list(dict.fromkeys(strategies["strategy"])) == ["S1", "S2", "S3", "S4", "S_Trigo"]
    success = tables.success_table(strategies, 4)
    first = success.set_index(["strategy", "until"])
    assert first.loc[("S1", 4), "asked"] == 16
    assert first.loc[("S1", 6), "asked"] == 8, "the last window is shorter, and named by its end"
    assert first.loc[("S1", 4), "rate"] == 25
    assert math.isnan(first.loc[("S3", 4), "rate"])
    outcome = tables.outcome_table([result])
    assert outcome["start_test_accuracy"].tolist() == [89.0]
    for figure in (
        plots.over_batches(generations, "diversity", "network", "t"),
        plots.memories(strategies, "t"),
        plots.strategy_shares(strategies, success, "t"),
        plots.by_setting(outcome, "size", "t"),
    ):
        assert all(axes.get_xlabel() for axes in figure.axes if axes.get_label() != "<colorbar>")


def test_lineages_count_on_from_the_end_of_training() -> None:
    """Adam's epochs, then evolution's batches; the soup begins at 0; L2 factors apart."""
    base = adam("smoke", "digits", "lenet1", 1)
    epochs = [
        {"epoch": e, "train_loss": 1.0 / (e + 1), "held_out_loss": 1.0, "held_out_accuracy": 80.0}
        for e in range(5)
    ]
    runs = [
        made(base, epochs),
        made(small_run("smoke", base, "de"), history(2, 2)),
        made(small_run("smoke", base, "de", init="random"), history(2, 2)),
    ]
    table = tables.lineage_table(runs)
    assert table[table["phase"] == "adam"]["x"].tolist() == [1, 2, 3, 4, 5]
    later = table[table["phase"] == "evolution"]
    ancestor = later[later["lineage"] == "ancestor, L2 0.0001"]
    assert ancestor["x"].tolist() == [6, 7]
    assert later[later["lineage"] == "soup"]["x"].tolist() == [1, 2]
    assert ancestor["train_loss"].tolist() == [1.0, 0.9]
    figure = plots.lineage(table, "lineage", "t", ["held_out_loss", "train_loss"])
    assert len(figure.axes) == 4
    assert figure.axes[0].get_ylabel() == "held-out loss (nats)"


def test_factor_tables() -> None:
    """Shares of trials that won, gain over the best parent, means over seeds."""
    base = adam("smoke", "digits", "rnn", 1)
    runs = []
    for seed, last in ((1, 92.0), (2, 94.0)):
        config = small_run(
            "smoke", base.with_seed(seed), "de", dataclasses.replace(DE, f=1.0, cr=0.05)
        )
        runs.append(made(config, history(1, 2), start_test_accuracy=90.0, test_accuracy=last))
    summary = tables.factor_summary(runs).to_dict("records")
    assert summary == [{"F": 1.0, "Cr": 0.05, "won": 100 * 6 / 16, "gain": 3.0}]
    figure = plots.factor_curves(tables.factor_history(runs), "Cr", "F", "t")
    assert figure.axes[0].get_title() == "Cr = 0.05"


@pytest.mark.slow
def test_table_s1_end_to_end() -> None:
    """On digits with a perceptron of a moment's training: rows of the paper's table, parents
    trained once."""
    base = dataclasses.replace(adam("smoke", "digits", "mlp", 1), epochs=9, patience=0)
    configs = [small_run("smoke", base, method) for method in ("adam", "de", "wa")]
    results = store.run_all(configs, show=False)
    rows = [experiment("de/tableS1").row(c) for c in configs]
    assert [row["method"] for row in rows] == ["adam", "de", "wa"]
    table = compare("de/tableS1", results)
    ours = table[table["n"] > 0]
    assert ours["method"].tolist() == ["adam", "de", "wa"]
    assert ours["delta"].isna().all()
    assert results[1].metrics["start_test_accuracy"] > 50


def test_batches_of_a_small_folder(tmp_path: Path) -> None:
    """Table S8 has one row for all batches that are the whole of a folder, by its true size."""
    make_images(tmp_path)
    runs = experiment("de/tableS8").plan("cpu", seeds=(1,), dataset=f"folder:{tmp_path}")
    (run,) = (run for run in runs if isinstance(run, EvolveConfig))
    assert run.batch_size == dataset_of(run.dataset).layout.train - run.base.hold_out
