"""Runs in chunks of limited time, killed and taken up: the same bits as without any of it."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from typer.testing import CliRunner

from nslab.cli import app
from nslab.cli.options import NAMED_SUITES
from nslab.configs import TrainConfig
from nslab.datasets import load
from nslab.datasets.sheets import write_sheet
from nslab.execution import local
from nslab.execution.local import Job, run_local
from nslab.objectives import NS
from nslab.runs.store import RunsFailed, find, folder_of, run, run_all
from nslab.system.time_limits import EXIT_UNFINISHED, UNTIL, OutOfTime
from nslab.training.checkpoint import read_checkpoint, run_weights
from nslab.training.loop import fit
from nslab.workbench import suite
from nslab.workbench.suite import SUITES, read_suite

SHORT = """
- experiments: [ns/table5]
  presets: [smoke]
  parameters: {datasets: [digits], imbalances: [20], methods: [ce_constant, ns_lf],
    seeds: [1], network: resnet8, epochs: 5, precision: bf16, eval_every: 2}
"""

QUIET: dict[str, Any] = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}


def command(file: Path, *words: str) -> list[str]:
    """A suite in a process of its own."""
    return [sys.executable, "-m", "nslab.cli", "suite", "smoke", "--file", str(file), *words]


def kept(home: Path) -> dict[str, dict[str, torch.Tensor]]:
    """The weights of the runs in a store, and their numbers but for the time they took."""
    found = {}
    for folder in sorted((home / "data" / "runs").iterdir()):
        history = json.loads((folder / "result.json").read_text())["history"]
        rows = [{k: v for k, v in row.items() if k != "seconds"} for row in history]
        found[folder.name] = run_weights(folder) | {"rows": json.dumps(rows)}
    return found


def test_first_light_is_the_papers_own_setting() -> None:
    """Three methods, three seeds, 240 epochs of ResNet-32; then Table VII, if its data are here."""
    assert set(SUITES) == set(NAMED_SUITES)
    found = read_suite(SUITES["first-light"], "paper")
    first, second = found.tables
    assert len(first.configs) == 9
    for config in first.configs:
        assert isinstance(config, TrainConfig)
        assert (config.network, config.epochs, config.imbalance) == ("resnet32", 240, 100)
        assert (config.precision, config.compile) == ("bf16", True)
    assert {config.seed for config in first.configs} == {2024, 2025, 2026}
    assert len({config.objective for config in first.configs}) == 3
    assert found.optional == {config.id for config in second.configs}


@pytest.mark.slow
def test_killed_again_and_again_it_ends_with_the_same_bits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From a sheet: by SIGKILL twice, once by a time that is too short, then to the end."""
    file, away = tmp_path / "short.yaml", tmp_path / "away"
    file.write_text(SHORT)
    away.mkdir()
    write_sheet(away / "digits.sheet", load("digits").arrays, 10, 20)
    env = os.environ | {"NSLAB_HEADLESS": "1", "NSLAB_CHECKPOINT_MINUTES": "0.001"}
    parts = env | {"NSLAB_HOME": str(tmp_path / "parts"), "NSLAB_DATA": str(away)}
    statuses = []
    for words, killed in (([], True), ([], True), (["--minutes", "0.3"], False)):
        started = subprocess.Popen(command(file, "--jobs", "2", *words), env=parts, **QUIET)
        if killed:
            waiting = time.monotonic()
            files = tmp_path / "parts" / "data" / "runs"
            while not list(files.glob("*/checkpoint.pt")) and time.monotonic() - waiting < 90:
                time.sleep(0.2)
            time.sleep(random.Random(len(statuses)).uniform(0.1, 0.6))
            started.send_signal(signal.SIGKILL)
        statuses.append(started.wait())
    assert statuses[0] == -signal.SIGKILL
    assert set(statuses) <= {-signal.SIGKILL, 0, EXIT_UNFINISHED}
    assert subprocess.run(command(file), env=parts, check=False, **QUIET).returncode == 0
    monkeypatch.setenv("NSLAB_HOME", str(tmp_path / "whole"))
    run_all(list(read_suite(file, "smoke").configs.values()), weights=True, show=False)
    ours, theirs = kept(tmp_path / "parts"), kept(tmp_path / "whole")
    assert len(theirs) == 2
    assert ours.keys() == theirs.keys()
    results = [json.loads(f.read_text()) for f in (tmp_path / "parts").rglob("result.json")]
    assert any("stretches" in result["env"] for result in results)
    for name, state in theirs.items():
        mine = ours[name]
        assert mine.pop("rows") == state.pop("rows")
        assert all(mine[part].equal(value) for part, value in state.items())


def test_training_ends_inside_an_epoch_when_its_time_is_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After one step at least, at a checkpoint; taken up without a limit it ends as ever."""
    config = TrainConfig("digits", "mlp", NS(), epochs=2, batch_size=256, augment="crop")
    there = fit(config, tmp_path / "there", show=False)
    monkeypatch.setenv(UNTIL, "0")
    for step in (1, 2):
        with pytest.raises(OutOfTime):
            fit(config, tmp_path / "here", show=False)
        found = read_checkpoint(tmp_path / "here", config.id, torch.device("cpu"))
        assert found is not None
        assert (found.epochs, found.partial["step"]) == (0, step)
    monkeypatch.delenv(UNTIL)
    here = fit(config, tmp_path / "here", show=False)
    mine, theirs = here.model.state_dict(), there.model.state_dict()
    assert all(mine[name].equal(theirs[name]) for name in theirs)
    monkeypatch.setenv(UNTIL, "0")
    with pytest.raises(
        RunsFailed, match="0 of 1 runs failed, 0 are kept, 1 continue when"
    ) as caught:
        run_all([config], show=False)
    assert caught.value.later
    monkeypatch.delenv(UNTIL)
    assert run(config, show=False).env["stretches"]


def test_the_engine_begins_nothing_late_and_stops_what_does_not_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Jobs that were cut short, or never begun, have the status that says so."""
    monkeypatch.setattr(local, "GRACE", 0.2)
    loop = "import time\nwhile True: time.sleep(0.1)"
    jobs = [
        Job(n, [sys.executable, "-c", loop], tmp_path / f"{n}.log") for n in ("first", "second")
    ]
    ends = run_local(jobs, until=time.time() + 1)
    assert [end.status for end in ends] == [EXIT_UNFINISHED, EXIT_UNFINISHED]
    assert ends[0].seconds > 0 == ends[1].seconds
    assert all("the same command continues" in end.why() for end in ends)


def test_the_command_says_that_there_is_more(tmp_path: Path) -> None:
    """By exit status 75, after `run` as well as `suite`; and what does not go together."""
    file = tmp_path / "short.yaml"
    file.write_text(SHORT)
    call = CliRunner().invoke
    done = call(app, ["suite", "smoke", "--file", str(file), "--minutes", "0.0001"])
    assert done.exit_code == EXIT_UNFINISHED, done.output
    assert "none failed" in done.output
    assert "2 are not finished; the same command goes on" in done.output
    alone = call(app, ["run", "ns/first", "-p", "network=mlp", "--minutes", "0.0001"])
    assert alone.exit_code == EXIT_UNFINISHED
    for words in (
        ["suite", "first-light", "--file", str(file)],
        ["suite", "smoke", "--engine", "slurm", "--minutes", "3"],
        ["suite", "second-light"],
    ):
        assert call(app, words).exit_code == 2


def test_optional_tables_whose_data_are_not_here_are_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And said to be; the others run."""
    file = tmp_path / "suite.yaml"
    file.write_text(
        "- experiments: [ns/first]\n"
        "  parameters: {network: mlp, epochs: 2, seeds: [1], methods: [ce]}\n"
        "- experiments: [ns/table7]\n  presets: [paper]\n  optional: true\n"
    )
    monkeypatch.setenv("NSLAB_DATA", str(tmp_path))
    monkeypatch.setattr(suite, "absent_arrays", lambda todo: {"cifar100": (len(todo), "not here")})
    found, said = read_suite(file, "smoke"), []
    failed = suite.run_suite(found, show=False, echo=said.append)
    assert not failed
    assert said == ["LEFT OUT: 42 runs on cifar100: not here"]
    assert all(find(config) for config in found.tables[0].configs)
    assert not any(folder_of(config).exists() for config in found.tables[1].configs)
