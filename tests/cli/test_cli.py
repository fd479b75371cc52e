"""The command line, as a user types it."""

import re
import shlex
import subprocess
import sys
from types import SimpleNamespace
from typing import Any

import pytest
from typer.main import get_command
from typer.testing import CliRunner, Result

from nslab.cli import app
from nslab.cli.options import devices_of, parsed
from nslab.datasets import DATASETS
from nslab.experiments import experiment
from nslab.workbench.notebooks import plan

TINY = ["-p", "dataset=digits", "-p", "network=mlp", "-p", "epochs=2", "-p", "seeds=1"]


def call(*words: str) -> Result:
    """Call nslab in this process."""
    return CliRunner().invoke(app, list(words), env={"COLUMNS": "200"})


def test_run_then_compare_then_dry_run() -> None:
    """Computed, compared with the paper, looked up."""
    before = call("run", "ns/first", *TINY, "--dry-run")
    assert before.output.count("  to do  ") == 3
    done = call("run", "ns/first", *TINY)
    assert done.exit_code == 0, done.output
    assert "(n = 1, custom)" in done.output
    assert "more rows of the paper have no run of ours" in done.output
    assert "resnet110" in call("run", "ns/first", *TINY, "--all").output
    compared = call("compare", "ns/first", *TINY)
    assert "3 of 3 runs" in compared.output
    after = call("run", "ns/first", *TINY, "--dry-run")
    assert after.output.count("stored  ") == 3
    assert "3 stored\n" in after.output


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["run", "ns/table99"], "unknown experiment 'ns/table99'"),
        (["run", "ns/first", "-p", "speed=3"], "has no parameter 'speed'"),
        (["run", "ns/first", "-p", "epochs=many"], "epochs must be"),
        (["run", "ns/first", "-p", "epochs"], "NAME=VALUE"),
        (["run", "ns/first", "--preset", "huge"], "unknown preset 'huge'; there are smoke"),
        (["run", "ns/first", "--preset", "smok"], "did you mean smoke?"),
        (["run", "ns/first", "-p", "network=vgg99"], "unknown network"),
        (["run", "ns/first", "-p", "methods=ce,best"], "methods must be"),
        (["compare", "ns/nothing"], "unknown experiment"),
        (["data", "imagenet21k"], "unknown data set"),
        (["suite", "huge"], "unknown suite 'huge'; there are smoke, cpu, paper"),
        (["render", "--preset", "huge"], "unknown preset 'huge'"),
        (["run", "ns/frist"], "unknown experiment 'ns/frist': did you mean ns/first?"),
        (["run", "ns/table9", "-p", "epochs=2"], "epochs is 2, warmup_epochs is 2: train longer"),
        (["run", "de/tableS1", "-p", "epochs=2"], "the preset fixes it: choose another preset"),
        (["run", "ns/first", "-p", "method=ce"], "no parameter 'method': did you mean methods?"),
        (["run", "ns/first", "-p", "methods=nss_ws"], "not 'nss_ws': did you mean ns_ws?"),
        (["run", "ns/first", "-p", "network=resnet3"], "did you mean resnet"),
        (["run", "ns/first", "--log", "tensorbord"], "did you mean tensorboard?"),
        (["data", "CIFAR-10"], "did you mean cifar10"),
        (["ledger", "--paper", "ds"], "unknown paper with numbers 'ds'"),
        (["suite", "smoke", "--file", "nowhere.yaml"], "nowhere.yaml does not exist"),
    ],
)
def test_mistakes_are_explained(words: list[str], message: str) -> None:
    """Exit status 2 and one line, no traceback."""
    result = call(*words)
    assert result.exit_code == 2
    assert message in result.output
    assert "Traceback" not in result.output


def test_version() -> None:
    """What a report of a fault should name."""
    shown = call("--version")
    assert shown.exit_code == 0
    assert re.match(r"nslab \d[\d.]* \(\w+\), python 3\S+, torch \d", shown.output)


def test_list_and_data() -> None:
    """Everything by name; digits fetched and checked."""
    listed = call("list")
    for name in ("ns/table7", "cifar100", "resnet110b", "ns_method", "smoke"):
        assert name in listed.output
    assert "1294 training and 503 test images" in call("data").output


COMMANDS = get_command(app).commands  # type: ignore[attr-defined]


def examples(name: str) -> list[list[str]]:
    """The command lines that a command's help shows, as words after ``nslab``."""
    epilog = (COMMANDS[name] if name else get_command(app)).epilog
    lines = [line.partition(": nslab ") for line in epilog.split("\n\n")]
    return [shlex.split(line) for _, found, line in lines if found]


@pytest.mark.parametrize("name", ["", *COMMANDS])
def test_help_has_examples_that_parse(name: str) -> None:
    """Every command's, and that of all of them; what they name is there."""
    root: Any = get_command(app)
    assert examples(name)
    for words in examples(name):
        with root.make_context("nslab", words) as outer:
            called, command, rest = root.resolve_command(outer, words)
            with command.make_context(called, rest, parent=outer) as inner:
                given = inner.params
        assert called == name or not name
        if "name" in given:
            experiment(given["name"]).plan(given["preset"], **parsed(given["parameter"]))
        if name == "render":
            assert plan(given["patterns"], given["preset"], parsed(given["parameter"]))
        if name == "data":
            assert set(given["names"]) <= set(DATASETS)
    shown = call(name, "--help") if name else call("--help")
    assert "Example: nslab" in shown.output


@pytest.mark.parametrize("name", ["run", "suite"])
def test_examples_that_only_tell_do(name: str) -> None:
    """Dry runs may be tried as they stand."""
    words = examples(name)[0]
    assert "--dry-run" in words
    done = call(*words)
    assert done.exit_code == 0, done.output
    assert re.search(r"\n\d+ (frozen|to do)\b", done.output)


@pytest.mark.parametrize(
    ("jobs", "per_device", "visible", "max_parallel", "devices"),
    [
        (2, 1, None, 2, ["0", "1", "2", "3"]),
        (8, 1, None, 4, ["0", "1", "2", "3"]),
        (8, 3, None, 8, ["0", "1", "2", "3"]),
        (99, 3, None, 12, ["0", "1", "2", "3"]),
        (9, 1, "6,GPU-7,1,2", 4, ["6", "GPU-7", "1", "2"]),
    ],
)
def test_devices_are_shared_out(
    jobs: int,
    per_device: int,
    visible: str | None,
    max_parallel: int,
    devices: list[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """One process each, more on request, and only the devices that this process may use."""
    import torch

    cuda = SimpleNamespace(device=SimpleNamespace(type="cuda"))
    monkeypatch.setattr("nslab.system.distributed.process_group", lambda: cuda)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if visible:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert devices_of(jobs, per_device) == (max_parallel, devices)


def test_a_cpu_has_no_devices() -> None:
    """Jobs are then as many as asked for."""
    assert devices_of(7, 1) == (7, [])


def test_estimates_come_from_runs_like_them() -> None:
    """Scaled by epochs; another data set or network is unknown."""
    call("run", "ns/first", *TINY)
    more = call("run", "ns/first", *TINY[:4], "-p", "epochs=20", "-p", "seeds=5", "--dry-run")
    seconds = [float(text) for text in re.findall(r"to do +~(\d+) (?:s|min)", more.output)]
    assert len(seconds) == 3
    assert "3 to do; about" in more.output
    other = call("run", "ns/first", "-p", "network=lenet5", "-p", "seeds=5", "--dry-run")
    assert other.output.count("unknown  ") == 3
    assert "the time of 3 is unknown, because nothing similar has finished" in other.output


def test_starts_without_torch() -> None:
    """Help and rendering must not wait for torch to be imported."""
    code = (
        "import sys, nslab, nslab.cli, nslab.workbench.notebooks; sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_public_names_exist() -> None:
    """Every name in __all__ can be had, and nothing else pretends to."""
    import nslab

    assert all(getattr(nslab, name) is not None for name in nslab.__all__)
    assert set(nslab.__all__) <= set(dir(nslab))
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = nslab.nothing
