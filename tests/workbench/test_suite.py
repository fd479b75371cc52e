"""Suites: files that are checked before anything starts, batches that are not done twice."""

import json
import os
import time
from pathlib import Path

import pytest
from notebook_helpers import write
from typer.testing import CliRunner, Result

from nslab.cli import app
from nslab.configs import TrainConfig
from nslab.configs.labels import label, short_repr
from nslab.experiments import EXPERIMENTS
from nslab.objectives import NS
from nslab.runs import estimates, store
from nslab.workbench import notebooks, suite
from nslab.workbench.notebooks import sources
from nslab.workbench.suite import DEFAULT, read_suite, run_suite

TINY = "parameters: {network: mlp, epochs: 2, seeds: [1], methods: [ce, ns_ws]}"


def call(*words: str) -> Result:
    """Call nslab in this process."""
    return CliRunner().invoke(app, list(words), env={"COLUMNS": "200"})


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Where a test writes its suite."""
    return tmp_path / "suite.yaml"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of notebooks that stands for the project's."""
    made = tmp_path / "books"
    made.mkdir()
    monkeypatch.setattr(notebooks, "notebooks_dir", lambda: made)
    return made


def test_the_default_is_everything() -> None:
    """Every experiment and every notebook, at every preset."""
    for preset in ("smoke", "cpu", "paper"):
        found = read_suite(DEFAULT, preset)
        assert {table.experiment for table in found.tables} == set(EXPERIMENTS)
        assert {planned.source for planned in found.notebooks} == set(sources())
        assert all(p.parameters["preset"] == preset for p in found.notebooks)
        names = [table.name for table in found.tables] + [p.name for p in found.notebooks]
        assert len(names) == len(set(names))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is no suite: write a list"),
        ("a: 1", "is no suite"),
        ("- [", "cannot be read as a suite"),
        (
            "- experiments: [ns/first]\n  parameters: {lr: 1, lr: 2}",
            "cannot be read as a suite: line 2 gives lr a second time",
        ),
        ("- !!python/object/apply:os.system [ls]", "cannot be read as a suite"),
        (
            "- experiments: [ns/first]\n- notebook: [a]",
            "entry 2: unknown key 'notebook': did you mean notebooks",
        ),
        ("- experiments: ns/first", "entry 1: experiments: must be a list"),
        (
            "- experiments: [ns/first]\n  presets: [smoke, cpu]\n  grid: "
            "{lr: [" + "0.1, " * 1000 + "], epochs: [" + "1, " * 1000 + "], seeds: [[1], [2]]}",
            "entry 1: the grid asks for 4,000,000 combinations .1,000 lr x 1,000 epochs "
            "x 2 seeds x 2 presets.*give fewer",
        ),
        (
            f"- experiments: [ns/first]\n  parameters: {{seeds: {[*range(10001)]}}}",
            "asks for .* combinations .*10,001 seeds",
        ),
        ("- parameters: {}", "entry 1: .*either experiments or notebooks"),
        ("- {experiments: [ns/first], notebooks: ['*']}", "either experiments or notebooks"),
        ("- experiments: ['xx/*']", r"entry 1: unknown experiment 'xx/\*'; there are"),
        ("- experiments: [ns/first]\n  presets: [huge]", r"presets.0: must be 'smoke'"),
        ("- experiments: [ns/first]\n  parameters: {speed: 1}", "has no parameter 'speed'"),
        ("- experiments: [ns/first]\n  parameters: {epochs: many}", "epochs must be"),
        ("- experiments: [ns/first]\n  grid: {network: [mlp, vgg99]}", "unknown network 'vgg99'"),
        ("- experiments: [ns/first]\n  grid: {network: []}", "network has no values"),
        ("- experiments: [ns/first]\n  grid: {preset: [cpu]}", "write presets"),
        (
            "- experiments: [ns/first]\n  parameters: {epochs: 1}\n  grid: {epochs: [2]}",
            "epochs is in both",
        ),
        ("- notebooks: [nothing]", "entry 1: unknown notebook 'nothing'"),
        ("- notebooks: [ns_method]\n  parameters: {steps: 3}", "has no parameter 'steps'"),
        ("- notebooks: [ns_method]\n  parameters: {epochs: few}", "epochs must be a whole number"),
    ],
)
def test_mistakes_name_file_and_entry(file: Path, text: str, message: str) -> None:
    """Before anything starts."""
    file.write_text(text)
    with pytest.raises(ValueError, match=message) as error:
        read_suite(file, "smoke")
    assert str(error.value).startswith(str(file))
    done = call("suite", "smoke", "--file", str(file))
    assert done.exit_code == 2
    assert "Traceback" not in done.output


def test_grids_and_presets(file: Path) -> None:
    """Every combination, with a table and figures of its own; runs that are shared stand once."""
    file.write_text(
        "- experiments: [ns/first]\n"
        "- experiments: ['ns/f*']\n"
        "  presets: [smoke, cpu]\n"
        "  parameters: {epochs: 2, seeds: [1]}\n"
        "  grid: {network: [mlp, lenet5], methods: [[ce], [ce, ns_ws]]}\n"
        "- notebooks: [ns_method, ns_scores]\n"
        "- notebooks: [ns_method]\n"
        "  grid: {epochs: [1, 2]}\n"
    )
    found = read_suite(file, "smoke")
    assert [len(table.configs) for table in found.tables] == [6, 1, 2, 1, 2, 1, 2, 1, 2]
    assert len(found.configs) == 6 + 8  # cross-entropy of either network is in both
    tables = [table.name for table in found.tables]
    assert tables[0] == "smoke/tables/ns_first"
    assert sum(name.startswith("cpu/tables/ns_first-") for name in tables) == 4
    assert len(set(tables)) == 9
    names = [planned.name for planned in found.notebooks]
    assert names[:2] == ["smoke/ns_method", "smoke/ns_scores"]
    assert len(set(names)) == len({p.output for p in found.notebooks}) == 4
    assert all("variants" in str(p.figures) for p in found.notebooks[2:])


def test_run_then_nothing_is_left_to_do(
    file: Path,
    folder: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Tables and notebooks are made, once; the same command then finds all of it."""
    monkeypatch.setattr(estimates, "finished_here", list)  # some are frozen
    write(folder, "good", "import os; print(os.environ['NSLAB_FIGURES'])")
    file.write_text(
        f"- experiments: [ns/first]\n  {TINY}\n- notebooks: ['*']\n- notebooks: [good]\n"
        "  grid: {n: [7]}\n"
    )
    before = call("suite", "smoke", "--file", str(file), "--dry-run").output
    assert "4 to do; the time of 4 is unknown" in before
    done = call("suite", "smoke", "--file", str(file), "--jobs", "2")
    assert done.exit_code == 0, done.output
    assert "4 runs and notebooks, none failed" in done.output
    figures = tmp_path / "figures"
    (table,) = (figures / "smoke" / "tables").glob("ns_first-*.csv")
    assert table.read_text().count("custom") == 2
    (variant,) = (figures / "variants").glob("good-*/smoke/notebooks/good.ipynb")
    assert str(variant.parents[2]) in variant.read_text()
    assert (figures / "smoke" / "notebooks" / "good.ipynb").exists()
    stamps = {f: f.stat().st_mtime_ns for f in tmp_path.rglob("*") if f.suffix != ".csv"}
    again = call("suite", "smoke", "--file", str(file), "--jobs", "2")
    assert again.exit_code == 0
    assert {f: f.stat().st_mtime_ns for f in stamps if f.is_file()} == {
        f: t for f, t in stamps.items() if f.is_file()
    }
    after = call("suite", "smoke", "--file", str(file), "--dry-run").output
    assert "2 stored, 2 rendered" in after
    write(folder, "good", "print('another notebook now')")
    changed = call("suite", "smoke", "--file", str(file), "--dry-run").output
    assert "2 stored, 2 to do; about" in changed


def test_failures_are_reported_and_stop_nothing(
    file: Path, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A run that diverges, a notebook that raises and one whose kernel dies: tried twice, named
    with the end of their logs, while the rest is done."""
    write(folder, "good", "print(n)")
    write(folder, "raises", "raise ValueError('on purpose')")
    write(folder, "dies", "import os\nos.kill(os.getpid(), 9)")
    file.write_text("- notebooks: ['*']")
    found = read_suite(file, "smoke")
    bad = TrainConfig(network="mlp", epochs=2, lr=1e20, objective=NS())
    fine = TrainConfig(network="mlp", epochs=1)
    found.tables.append(suite.Table("ns/first", "smoke/tables/x", [bad, fine]))
    said: list[str] = []
    failed = run_suite(found, jobs=2, echo=said.append)
    assert set(failed) == {f"{bad.id} ({label(bad)})", "smoke/raises", "smoke/dies"}
    text = "\n".join(said)
    assert "loss is not finite" in text
    assert "on purpose" in text
    assert "exit status" in failed["smoke/dies"]
    assert store.find(fine)
    assert (store.folder_of(bad) / "log.txt").read_text().count("error: loss is not finite") == 2
    status = folder.parent / "figures" / "smoke" / "notebooks"
    assert [f.name for f in status.glob("*.status.json")] == ["good.status.json"]
    assert "3 failed" in capsys.readouterr().out


def test_missing_data_is_said_first(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before any process starts."""

    def missing(name: str) -> None:
        raise FileNotFoundError(f"data set {name!r} is not here")

    monkeypatch.setattr(suite, "load", missing)
    monkeypatch.setattr(suite, "run_all", lambda *_, **__: pytest.fail("work began"))
    file.write_text("- experiments: [ns/first]\n  presets: [cpu]\n  parameters: {epochs: 2}\n")
    done = call("suite", "smoke", "--file", str(file))
    assert done.exit_code == 2
    assert "data set 'cifar10' is not here" in done.output


def test_two_jobs_of_a_stage_wait_for_what_they_need(capsys: pytest.CaptureFixture[str]) -> None:
    """Parents come first, also where several levels lie above; a failed one is not waited for."""
    grand = TrainConfig(network="mlp", epochs=1, seed=1)
    parent = TrainConfig(network="mlp", epochs=1, ancestor=grand)
    child = TrainConfig(network="mlp", epochs=1, seed=2, ancestor=parent)
    results = store.run_all([child], jobs=2)
    assert [r.id for r in results] == [child.id]
    assert store.find(grand, weights=True)
    assert "3 done" in capsys.readouterr().out
    bad = TrainConfig(network="mlp", epochs=1, lr=1e20, objective=NS())
    lost = TrainConfig(network="mlp", epochs=1, seed=3, ancestor=bad)
    with pytest.raises(store.RunsFailed, match="2 of 2 runs failed") as caught:
        store.run_all([lost], jobs=2, show=False)
    assert caught.value.failed[lost.id] == f"its parent {bad.id} failed"


def test_runs_are_described_briefly() -> None:
    """Defaults are left out."""
    assert short_repr(NS(sigma=2.5, rho=-1.0)) == "NS(sigma=2.5, rho=-1.0)"
    config = TrainConfig(network="mlp", objective=NS(grid=(1, 2)), seed=7)
    assert label(config) == "digits mlp NS(grid=(1, 2)), seed 7"
    for experiment in EXPERIMENTS.values():
        assert all(len(label(config)) < 200 for config in experiment.plan("smoke"))


def test_clock_going_backwards_changes_nothing(
    file: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is finished is known by content, not by time."""
    write(folder, "good", "print(n)")
    file.write_text(f"- experiments: [ns/first]\n  {TINY}\n- notebooks: ['*']\n")
    assert call("suite", "smoke", "--file", str(file)).exit_code == 0
    year = 366 * 86400
    monkeypatch.setattr(time, "time", lambda: 1e9 - year)
    monkeypatch.setattr(time, "gmtime", lambda *_: time.struct_time((1999, 1, 1, 0, 0, 0, 0, 1, 0)))
    for touched in folder.parent.rglob("*"):
        os.utime(touched, (1e9, 1e9))
    assert "2 stored, 1 rendered" in call("suite", "smoke", "--file", str(file), "--dry-run").output
    config = TrainConfig(network="mlp", epochs=1, seed=99)
    assert store.run(config, show=False).env["finished"].startswith("1999")
    assert store.run(config, show=False).origin == "stored"
    assert json.loads((store.folder_of(config) / store.RESULT).read_text())["id"] == config.id


def test_runs_on_images_that_are_not_here_are_left_out(
    file: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also those that need them first, and notebooks that end for want of them; the rest runs."""
    monkeypatch.setenv("NSLAB_DATA", str(file.parent / "data"))
    write(folder, "photographs", "import nslab\nnslab.load('twitter1')")
    file.write_text(
        "- experiments: [ns/table10]\n  presets: [paper]\n  parameters: {seeds: [1], epochs: 1}\n"
        f"- experiments: [ns/first]\n  {TINY}\n"
        "- notebooks: [photographs]\n"
    )
    said: list[str] = []
    failed = run_suite(read_suite(file, "smoke"), show=False, echo=said.append)
    assert not failed
    assert [line.partition(":")[0] for line in said] == ["LEFT OUT"] * len(said)
    assert any("runs on imagenet_hard: " in line for line in said)
    assert any(line.startswith("LEFT OUT: smoke/photographs") for line in said)
    assert len(store.finished(read_suite(file, "smoke").tables[1].configs)) == 2
