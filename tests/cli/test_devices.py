"""Devices chosen on the command line, and small mistakes that are told before work starts."""

import os
import re
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from typer.main import get_command
from typer.testing import CliRunner

from nslab.cli import app
from nslab.runs.results import stored_runs
from nslab.system import distributed

TINY = ["-p", "dataset=digits", "-p", "network=mlp", "-p", "epochs=2", "-p", "seeds=1"]
COMPUTE = {
    "run": ["ns/first", *TINY],
    "suite": ["smoke"],
    "queue": [],
    "render": ["ns_method"],
    "evolve": ["x.safetensors", "--model", "mlp", "--data", "digits"],
    "predict": ["0123456789ab", "folder:."],
    "compare": ["ns/first", "--confusion"],
}


def call(*words: str, status: int = 0) -> str:
    """What a command says."""
    done = CliRunner().invoke(app, list(words), env={"COLUMNS": "200"})
    assert done.exit_code == status, (done.output, done.exception)
    return done.output


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
@pytest.mark.parametrize("command", COMPUTE)
def test_a_device_that_is_not_there_is_refused(command: str) -> None:
    """By every command that computes, before any work."""
    for device in ("cuda", "cuda:7", "tpu"):
        said = call(command, *COMPUTE[command], "--device", device, status=2)
        assert f"device '{device}' is not available" in said
    assert not stored_runs()


def test_every_command_that_computes_has_the_option() -> None:
    """Those that take jobs, and those that compute in this process."""
    commands = get_command(app).commands  # type: ignore[attr-defined]
    options = {name: {p.name for p in command.params} for name, command in commands.items()}
    assert {name for name, found in options.items() if "jobs" in found} <= set(COMPUTE)
    assert {name for name, found in options.items() if "device" in found} == {*COMPUTE, "check"}


def test_the_cpu_can_be_had(monkeypatch: pytest.MonkeyPatch) -> None:
    """Here and in the processes that are started from here."""
    monkeypatch.setenv("ACCELERATE_USE_CPU", "")
    call("run", "ns/first", *TINY, "-p", "methods=ce", "--device", "cpu")
    assert os.environ["ACCELERATE_USE_CPU"] == "1"
    assert len(stored_runs()) == 1


@pytest.mark.parametrize(
    ("name", "before", "after"),
    [("cuda", None, None), ("cuda", "6,GPU-7", "6,GPU-7"), ("cuda:1", "6,GPU-7", "GPU-7"),
     ("cuda:1", None, "1"), ("cuda:1", "GPU-7", "GPU-7")],
)  # fmt: skip
def test_cuda_devices(
    name: str, before: str | None, after: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """``cuda`` leaves all of them to jobs, a number one alone."""
    given = torch.device(name)
    there = torch.device("cuda", given.index or 0)
    monkeypatch.setattr(torch, "zeros", lambda *size, device: SimpleNamespace(device=there))
    monkeypatch.setattr(torch.cuda, "set_device", lambda device: None)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)
    monkeypatch.setattr(distributed, "process_group", lambda: SimpleNamespace(device=there))
    monkeypatch.setenv("ACCELERATE_USE_CPU", "true")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if before:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", before)
    distributed.choose_device(name)
    assert os.environ.get("CUDA_VISIBLE_DEVICES") == after
    assert "ACCELERATE_USE_CPU" not in os.environ


def test_small_mistakes(tmp_path: Path) -> None:
    """Told before work starts, with what there is."""
    file = tmp_path / "q.yaml"
    file.write_text("- experiment: ns/first\n  presett: cpu\n")
    meant = "unknown key 'presett': did you mean preset? There are experiment, preset, parameters"
    assert meant in call("queue", str(file), "--dry-run", status=2)
    said = call("suite", "smoke", "--file", str(file), status=2)
    assert "unknown key 'experiment': did you mean experiments? There are experiments" in said
    for minutes in ("inf",):
        assert f"minutes is {minutes}" in call("queue", "--minutes", minutes, status=2)
    said = call("queue", "--engine", "slurm", "--device", "cpu", status=2)
    assert "device is for --engine local" in said


def test_lines_of_a_dry_run_differ() -> None:
    """In what tells the runs apart, not in their ids alone."""
    said = call("run", "edl/rates", "--dry-run")
    lines = [line[13:] for line in said.splitlines() if re.match("[0-9a-f]{12} ", line)]
    assert len(lines) == len(set(lines)) == 40
    assert any(line.endswith("CrossEntropy(), seed 2024; lr 0.005") for line in lines)
    assert "; lr" not in call("run", "ns/first", *TINY, "--dry-run")


def test_tables_of_commands_as_files(tmp_path: Path) -> None:
    """A comparison, with its mark's meaning where there is one, and claims."""
    words = ["compare", "edl/rates", "--to"]
    for suffix in (".md", ".csv", ".html", ".tex"):
        assert f"wrote {tmp_path / f'c{suffix}'}" in call(*words, str(tmp_path / f"c{suffix}"))
    text = (tmp_path / "c.md").read_text(encoding="utf-8")
    assert text.startswith("# edl/rates, preset smoke: ")
    starred = re.search(r"\(n = \d\)\*", text)
    assert bool(starred) == ("excludes 0; not corrected" in text)
    assert "support no claim" in text
    for bad in (".", "x.xls"):
        assert "error: " in call(*words, bad, status=2)
