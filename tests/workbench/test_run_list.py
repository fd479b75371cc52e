"""Runs listed, shown, compared and drawn; nothing is computed."""

import dataclasses
import json
import re
from datetime import UTC, datetime
from pathlib import Path

import pandas as pd
import pytest
from PIL import Image
from typer.testing import CliRunner

from nslab import NS, TrainConfig, run
from nslab.analysis.run_differences import distinguished
from nslab.cli import app
from nslab.configs.labels import text_of
from nslab.configs.serialization import encode
from nslab.plots.style import method_colours
from nslab.runs.folder import LOCK
from nslab.runs.portability import unknown_here
from nslab.runs.results import every_run
from nslab.runs.store import folder_of
from nslab.system.locks import locked
from nslab.workbench import run_list as run_list_module
from nslab.workbench.run_filter import RunFilter, moment
from nslab.workbench.run_list import run_list, run_named
from nslab.workbench.run_plot import curves_of

CE = TrainConfig("digits", "mlp", epochs=2, train_size=100, seed=91)
SCORED = TrainConfig("digits", "mlp", NS(rho=-1.0), epochs=2, train_size=100, seed=91, lr=0.05)


def call(*words: str, status: int = 0) -> str:
    """What a command says."""
    done = CliRunner().invoke(app, list(words), env={"COLUMNS": "200"})
    assert done.exit_code == status, (done.output, done.exception)
    return done.output


@pytest.fixture
def two() -> tuple[str, str]:
    """Two small runs in the store, and one that has only begun."""
    begun = folder_of(CE.with_seed(92))
    begun.mkdir(parents=True)
    (begun / "config.json").write_text(json.dumps(encode(CE.with_seed(92))))
    return run(CE, show=False).id, run(SCORED, show=False).id


def test_list_and_its_filters(two: tuple[str, str], tmp_path: Path) -> None:
    """Newest first; each filter keeps what it names, and says what there is if nothing is left."""
    table = run_list()
    assert len(table) == len(every_run()) + 1
    assert set(table["run"].head(2)) == set(two)
    dates = table["finished"].tolist()
    assert dates == sorted(dates, reverse=True)
    mine = run_list(RunFilter(network="mlp", seed=91))
    assert set(mine["run"]) == set(two)
    assert set(mine["state"]) == {"finished"}
    assert run_list(RunFilter(seed=91, method="CE"))["run"].tolist() == [two[0]]
    assert set(run_list(RunFilter(dataset="cifar*"))["dataset"]) == {"cifar10", "cifar100"}
    assert set(run_list(RunFilter(dataset="cifar10"))["dataset"]) == {"cifar10"}  # not 100
    assert set(run_list(RunFilter(network="lenet"))["network"]) == {
        "lenet1",
        "lenet5",
        "bottleneck/lenet5",
    }
    recent = run_list(RunFilter(since="1h"))  # runs may have been frozen in this hour, too
    assert set(two) <= set(recent["run"])
    assert recent["finished"].min() >= moment("2h")
    assert len(recent) < len(table)
    found = set(run_list(RunFilter(method="NS"))["method"])
    assert {"ns_lf", "ns_ws"} <= found
    assert all(str(name).startswith("ns") for name in found)  # no ensemble, no ce_constant
    old = run_list(RunFilter(until="2026-11-21"))
    assert set(old["finished"].str.slice(0, 10) <= "2026-11-21") == {True}
    assert not set(run_list(RunFilter(since="2026-11-21", until="2026-11-20"))["run"])
    assert run_list(RunFilter(state="unfinished"))["seed"].tolist() == [92]
    with locked(folder_of(CE.with_seed(92)) / LOCK, "held"):
        assert run_list(RunFilter(state="running"))["seed"].tolist() == [92]
    for wanted, message in (
        ({"dataset": "cifra10"}, "unknown data set of a run 'cifra10': did you mean cifar10"),
        ({"method": "nslf"}, "unknown method of a run 'nslf': did you mean ns_lf"),
        ({"seed": 123456}, "unknown seed of a run 123456"),
    ):
        with pytest.raises(ValueError, match=message):
            run_list(RunFilter(**wanted))
    told = call("runs", "--seed", "91", "--limit", "1", "--to", str(tmp_path / "r.csv"))
    assert "1 run, 1 more (--limit 0 shows them)" in told
    assert len(pd.read_csv(tmp_path / "r.csv")) == 2


@pytest.mark.slow
def test_runs_of_an_experiment(two: tuple[str, str]) -> None:
    """At any preset, which is told; and of a paper's experiments."""
    table = run_list(RunFilter(experiment="ns/first"))
    assert set(table["experiment"]) == {"ns/first"}
    assert set(table["preset"]) == {"cpu"}
    assert not set(two) & set(table["run"])


def test_runs_that_end_in_one_second(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of one method stand together, by seed, whatever their ids are."""
    known = [run for run in every_run() if run.config.get("@") == "train"][:40]
    now = [dataclasses.replace(run, env=run.env | {"finished": "2026-11-30"}) for run in known]
    monkeypatch.setattr(run_list_module, "every_run", lambda: now)
    listed = run_list()[["dataset", "network", "method", "seed"]].astype(str).values.tolist()
    assert len(listed) == 40
    assert listed == sorted(listed)


def test_ids_by_their_beginning(two: tuple[str, str]) -> None:
    """Four digits at least, of one run alone."""
    frozen = next(r.id for r in every_run() if r.origin == "frozen")
    assert run_named(two[0][:8]).id == two[0]
    assert run_named(frozen).origin == "frozen"
    other = folder_of(CE).with_name(two[0][:10] + "00")
    other.mkdir()
    for prefix, message in (
        ("x" * 6, "is no id of a run"),
        (two[0][:3], "4 at least"),
        ("0123456789ab", "there is no finished run 0123456789ab"),
        (
            folder_of(CE.with_seed(92)).name,
            "is not finished: the command that began it continues it",
        ),
    ):
        with pytest.raises(ValueError, match=message):
            run_named(prefix)


def test_several_of_one_beginning(monkeypatch: pytest.MonkeyPatch, two: tuple[str, str]) -> None:
    """Are listed, each in a few words."""
    one = run_named(two[0])
    pair = [dataclasses.replace(one, id=f"abcd0000000{i}") for i in (1, 2)]
    monkeypatch.setattr("nslab.workbench.run_list.every_run", lambda: pair)
    with pytest.raises(
        ValueError, match=r"is the beginning of 2 runs(.|\n)*abcd00000001  digits mlp Cross"
    ):
        run_named("abcd")


def test_methods_of_networks_that_are_not_known_here(two: tuple[str, str]) -> None:
    """Are named as ever: a network of one's own is known where it was made."""
    ours = run_named(two[1])
    config = {**ours.config, "network": "module:Net#0123456789ab"}
    assert unknown_here(dataclasses.replace(ours, config=config))["method"] == "ns_lf"
    strange = {**config, "objective": {"@": "mine"}}
    assert unknown_here(dataclasses.replace(ours, config=strange))["method"] == "mine"


def test_show(two: tuple[str, str]) -> None:
    """Config, numbers, where it was made, files, and whether these are as they were written."""
    said = call("show", two[1][:6])
    result = run_named(two[1])
    for text in (f"{two[1]}  digits mlp NS(rho=-1.0), seed 91", "state        finished\n",
                 f"test_accuracy      {result.metrics['test_accuracy']:.6g}", "history      2 rows",
                 "versions: torch", "per_class_accuracy 10 numbers", "MB\n"):  # fmt: skip
        assert text in said, text
    assert re.search(r"objective\.rho +-1\.0", said)
    (result.folder / "weights.safetensors").write_bytes(b"other")
    assert "damaged: not as it was written" in call("show", two[1])
    frozen = next(r.id for r in every_run() if r.origin == "frozen")
    assert "state        frozen, by other source code of nslab" in call("show", frozen)
    assert "there is no finished run" in call("show", "0123456789ab", status=2)


def test_stale_runs(two: tuple[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Made of other code or data than today's: listed and shown so."""
    name = "nslab.workbench.run_{}.changed"
    for module in ("list", "details"):
        monkeypatch.setattr(name.format(module), lambda config, env: ["the network mine"])
    assert set(run_list(RunFilter(seed=91))["state"]) == {"stale"}
    assert "stale: the network mine changed since" in call("show", two[0])


def test_diff(two: tuple[str, str]) -> None:
    """Fields that differ and no others; numbers with their difference."""
    said = call("diff", *two)
    assert re.search(r"\n +lr +0\.1 +0\.05\n", said)
    assert re.search(r"objective\.kind +ce +ns", said)
    assert "batch_size" not in said
    a, b = (run_named(run).metrics["test_loss"] for run in two)
    assert re.search(rf"test_loss +{a:.6g} +{b:.6g} +{re.escape(f'{b - a:+.6g}')}", said)
    assert "config: no difference" in call("diff", two[0], two[0])


def test_what_tells_configs_apart() -> None:
    """Fields, fields of a part of one class, parts of several; other kinds by their labels."""
    assert distinguished([CE, SCORED]) == ["CrossEntropy(), lr 0.1", "NS(rho=-1.0), lr 0.05"]
    assert distinguished([CE, CE]) == ["", ""]
    assert distinguished([SCORED, TrainConfig("digits", "mlp", NS(), epochs=2, train_size=100,
                         seed=91, lr=0.05)]) == ["rho -1", "rho 1"]  # fmt: skip


def test_plot(two: tuple[str, str], tmp_path: Path) -> None:
    """A PNG whose path is printed; a run without a history is left out, and said."""
    said = call("plot", *two, "--to", str(tmp_path / "made" / "x.png"))
    assert said.split()[-1] == str(tmp_path / "made" / "x.png")
    with Image.open(tmp_path / "made" / "x.png") as image:
        assert image.width == 900
    assert Path(call("plot", two[0]).split()[-1]) == tmp_path / "figures/runs" / f"{two[0]}.png"
    figure = curves_of([run_named(name) for name in two])
    assert "(smoke: supports no claim)" in figure.get_suptitle()
    ours = [line.get_color() for line in figure.axes[0].lines]
    methods = [str(run_list().set_index("run").loc[name, "method"]) for name in two]
    assert ours == [method_colours(methods)[name] for name in methods]
    named = [text.get_text() for text in figure.legends[0].get_texts()]
    assert named == [f"{text_of(m)}, lr {lr}" for m, lr in zip(methods, (0.1, 0.05), strict=True)]
    bare = next(r.id for r in every_run() if not r.history)
    assert f"{bare} is left out" in call("plot", two[0], bare)
    assert "there is no history of" in call("plot", bare, status=2)
    assert "must end in .png" in call("plot", two[0], "--to", "x.pdf", status=2)


def test_times() -> None:
    """A day is meant whole, a time as it is; so long ago from now."""
    now = datetime(2026, 11, 30, 12, tzinfo=UTC)
    assert moment("2026-11-30T18:00") == "2026-11-30T18:00:00Z"
    assert moment("2026-11-30T18:00+02:00") == "2026-11-30T16:00:00Z"
    assert moment("3d", now=now) == "2026-11-27T12:00:00Z"
    assert moment("2 weeks", now=now) == "2026-11-16T12:00:00Z"
    with pytest.raises(ValueError, match="'soon' is no time"):
        moment("soon")
