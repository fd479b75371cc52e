"""Natural Selection's experiments: the paper's settings, the methods' names, tables of runs."""

import dataclasses
import math
from pathlib import Path
from typing import get_args

import pandas as pd
import pytest

from nslab.analysis.paper_tables import compare, run_table, shortened
from nslab.configs.labels import columns
from nslab.configs.serialization import encode
from nslab.experiments import experiment
from nslab.experiments.ns.long_tail import LONG_TAIL
from nslab.experiments.ns.presets import COMPARED_METHODS, WHOLE_CIFAR, TrainingMethod, trained_by
from nslab.networks import NETWORKS
from nslab.objectives import NS, SETTINGS
from nslab.papers.tables import paper_table
from nslab.runs import compute, frozen, store
from nslab.runs.store import Result
from nslab.system.provenance import source_digest

WS, LF = NS(sigma=0.7), NS(grid=(1, 2), sigma=2.5, rho=-1.0)


def result(config: object, accuracy: float) -> Result:
    """A finished run with a made-up accuracy."""
    env = {"source": source_digest()}
    return Result(config.id, encode(config), {"test_accuracy": accuracy}, [], env)


@pytest.mark.parametrize("method", get_args(TrainingMethod))
def test_a_method_is_found_again_by_its_name(method: TrainingMethod) -> None:
    """What `trained_by` makes, `method_of` names; every one differs from cross-entropy."""
    config = trained_by(WHOLE_CIFAR["smoke"], method, WS if method == "ns_ws" else LF)
    assert columns(config)["method"] == method
    assert (config == WHOLE_CIFAR["smoke"]) == (method == "ce")


def test_baselines_are_those_of_table_5() -> None:
    """In the paper's order; NS-LF is the last row."""
    printed = list(dict.fromkeys(paper_table("ns/table5")["method"]))
    assert printed == [*COMPARED_METHODS, "ns_lf"]


def test_methods_bring_what_their_sources_ask_for() -> None:
    """Per data set; ANL goes without weight decay and clips gradients; OGC clips."""
    start = LONG_TAIL["paper"]
    anl = trained_by(start, "anl", LF)
    assert (anl.weight_decay, anl.clip_norm) == (0.0, 5.0)
    assert trained_by(start, "ogc", LF).clip_norm == 5.0
    for name in ("cifar10", "cifar100"):
        sce = trained_by(dataclasses.replace(start, dataset=name), "sce", LF).objective
        assert sce == SETTINGS["sce"][name].objective


def test_controls_share_the_mean_weight() -> None:
    """NS-LF with sigma 2.5 averages 1.5: its controls step 1.5 times as far."""
    start = LONG_TAIL["cpu"]
    faster = trained_by(start, "ce_lr", LF)
    assert faster.lr_at(600, 100) == pytest.approx(1.5 * start.lr_at(600, 100))
    assert faster.lr_at(0, 100) == pytest.approx(1.5 * start.lr_at(0, 100))
    constant = trained_by(start, "ce_constant", LF).objective
    assert (constant.sigma, constant.rho) == (1.5, 0.0)


def test_table_2_at_the_papers_setting() -> None:
    """Four networks, two data sets, three seeds; ResNeXt-29 trains longer; sigma by data set."""
    plan = experiment("ns/table2").plan("paper", methods=("ce", "ns_ws"))
    assert len(plan) == 4 * 2 * 3 * 2
    epochs = {c.network: c.epochs for c in plan}
    assert epochs == {
        "alexnet_cifar": 164,
        "vgg19_bn_cifar": 164,
        "resnet110b": 164,
        "resnext29": 300,
    }
    decay = {c.network: c.weight_decay for c in plan}
    assert decay == dict.fromkeys(epochs, 5e-4) | {"resnet110b": 1e-4}
    sigmas = {(c.dataset, c.objective.sigma) for c in plan if isinstance(c.objective, NS)}
    assert sigmas == {("cifar10", 0.7), ("cifar100", 0.8)}
    resnext = next(c for c in plan if c.network == "resnext29")
    rates = [resnext.lr_at(e, 1) for e in (0, 149, 150, 224, 225)]
    assert rates == pytest.approx([0.1, 0.1, 0.01, 0.01, 0.001])
    assert set(epochs) <= set(NETWORKS)


@pytest.mark.slow
def test_table_5_at_the_papers_setting() -> None:
    """ResNet-32, 240 epochs, steps at 100, 160, 200; 19 methods on eight sets with three seeds."""
    plan = experiment("ns/table5").plan("paper")
    assert len(plan) == 19 * 2 * 4 * 3
    c = plan[0]
    assert (c.network, c.epochs, c.batch_size) == ("resnet32", 240, 128)
    rates = [c.lr_at(e, 1) for e in (5, 99, 100, 160, 200)]
    assert rates == pytest.approx([0.1, 0.1, 0.01, 1e-3, 1e-5])
    lf = {
        (c.dataset, c.objective.grid, c.objective.sigma)
        for c in plan
        if columns(c)["method"] == "ns_lf"
    }
    assert lf == {("cifar10", (1, 2), 2.5), ("cifar100", (2, 2), 1.5)}
    covered = compare("ns/table5", [result(c, 1.0) for c in plan])
    assert (covered["n"] == 3).all()


def test_table_9_averages_within_a_seed() -> None:
    """Mean over a data set's runs of one seed first; sd and n are over seeds."""
    plan = experiment("ns/table9").plan("smoke", seeds=(1, 2))
    plain = [c for c in plan if c.imbalance == 1]
    assert len(plain) == 4
    values = {("lenet5", 1): 80.0, ("resnet8", 1): 90.0, ("lenet5", 2): 70.0, ("resnet8", 2): 96.0}
    table = compare("ns/table9", [result(c, values[c.network, c.seed]) for c in plain])
    line = table[table["dataset"] == "digits_16"].iloc[0]
    assert (line["ours"], line["n"]) == (84.0, 2)
    assert line["sd"] == pytest.approx(math.sqrt(2))
    some = [result(c, values[c.network, c.seed]) for c in plain[:-1]]
    fewer = compare("ns/table9", some)
    line = fewer[fewer["dataset"] == "digits_16"].iloc[0]
    assert (line["ours"], line["n"]) == (85.0, 1)
    assert line["note"] == "incomplete seeds left out: 1"
    none = compare("ns/table9", some[1:]).iloc[0]
    assert (none["n"], none["part"]) == (2, "1 of 2 networks")
    assert none["note"] == "seeds differ in their runs"


def test_losses_under_both_strategies() -> None:
    """Every loss alone and under NS: the same data and training otherwise."""
    plan = experiment("ns/losses").plan("smoke")
    table = run_table("ns/losses", [result(c, 1.0) for c in plan])
    wide = table.pivot_table(index="loss", columns="strategy", values="value")
    assert wide.shape == (13, 3)
    assert wide.notna().all(axis=None)
    assert table["paper"].isna().all()


def test_run_table_and_shortened() -> None:
    """A line per run beside the paper's number; only rows with runs, unless there are none."""
    plan = experiment("ns/table7").plan("smoke", seeds=(1, 2), methods=("ns_ws",))[:3]
    runs = [result(c, 60.0 + i) for i, c in enumerate(plan)]
    table = run_table("ns/table7", runs)
    assert table["paper"].tolist() == [67.5, 70.9, 71.3]
    assert table["value"].tolist() == [60.0, 61.0, 62.0]
    assert len(shortened(compare("ns/table7", runs))) == 3
    assert len(shortened(compare("ns/table7", []))) == 7


def test_finished_computes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only runs that are there, frozen ones among them."""
    monkeypatch.setattr(compute, "fit", None)
    assert store.finished(experiment("ns/table7").plan("smoke")) == []
    assert len(store.finished(experiment("ns/first").plan("cpu"))) == 2


def test_frozen_tables(tmp_path: Path) -> None:
    """Written with commit and device, read back; a missing one is named."""
    table = pd.DataFrame({"run": ["a", "b"], "score": [0.1, 1 / 3]})
    file = frozen.freeze_table("some", table, tmp_path)
    assert file.name == "some.table.csv"
    back = frozen.table("some", tmp_path)
    assert back["score"].tolist() == table["score"].tolist()
    assert {"commit", "source", "device", "torch"} <= set(back)
    assert frozen.frozen_row("a", tmp_path) is None  # it holds no runs
    with pytest.raises(FileNotFoundError, match="unknown frozen table 'other'; there are some"):
        frozen.table("other", tmp_path)
    with pytest.raises(ValueError, match="column 'run'"):
        frozen.freeze_table("bad", table.drop(columns="run"), tmp_path)


@pytest.mark.parametrize("name", ["ns/table1", "ns/table3", "de/table1", "de/table2", "de/table3"])
def test_no_epochs_are_not_the_presets(name: str) -> None:
    """A length of 0 is refused, not taken for none given."""
    with pytest.raises(ValueError, match="epochs must be above 0"):
        experiment(name).plan("smoke", epochs=0)


def test_table_11_at_the_papers_setting() -> None:
    """TextCNN as Kim's and BERT-base as Devlin's, both sets, three arms, three seeds; NS-LF joins
    four texts, the control has its mean weight."""
    plan = experiment("ns/table11").plan("paper")
    assert len(plan) == 2 * 2 * 3 * 3
    rows = {tuple(experiment("ns/table11").row(config).values()) for config in plan}
    printed = paper_table("ns/table11")
    keys = set(printed[["dataset", "network", "method"]].itertuples(index=False, name=None))
    assert keys < rows
    assert {row[2] for row in rows - keys} == {"ce_constant"}
    lengths = {(c.dataset, c.text_length) for c in plan}
    assert lengths == {("imdb", 256), ("ag_news", 128)}
    kim = next(c for c in plan if c.network == "textcnn")
    assert (kim.optimizer, kim.lr, kim.batch_size, kim.weight_decay) == ("adam", 1e-3, 50, 0)
    bert = next(c for c in plan if c.network != "textcnn")
    assert (bert.optimizer, bert.lr, bert.batch_size, bert.epochs) == ("adamw", 2e-5, 32, 3)
    assert bert.start.startswith("transformers:pretrained")
    rates = [bert.lr_at(step, 100) for step in (0, 29, 30, 165, 299)]
    assert rates == pytest.approx([2e-5 / 30, 2e-5, 2e-5, 1e-5, 2e-5 / 270])
    ns = {c.objective for c in plan if isinstance(c.objective, NS)}
    wanted = NS((2, 2), 2.5, -1.0, compose="tiled")
    assert ns == {wanted, dataclasses.replace(wanted, sigma=1.5, rho=0.0)}
    cpu = experiment("ns/table11").plan("cpu", datasets=("ag_news",), epochs=1, compose="literal")
    assert {c.text_length for c in cpu} == {64}
    assert {c.objective.compose for c in cpu if isinstance(c.objective, NS)} == {"literal"}
