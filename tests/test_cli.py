"""The command line, as a user types it."""

import subprocess
import sys

import pytest
from typer.testing import CliRunner, Result

from nslab.cli import app

TINY = ["-p", "dataset=digits", "-p", "network=mlp", "-p", "epochs=2", "-p", "seeds=1"]


def call(*words: str) -> Result:
    """Call nslab in this process."""
    return CliRunner().invoke(app, list(words), env={"COLUMNS": "200"})


def test_run_then_compare_then_dry_run() -> None:
    """Computed, compared with the paper, looked up."""
    before = call("run", "ns/first", *TINY, "--dry-run")
    assert before.output.count("to do") == 3
    done = call("run", "ns/first", *TINY)
    assert done.exit_code == 0, done.output
    assert "(n = 1, custom)" in done.output
    assert "more rows of the paper have no run of ours" in done.output
    assert "resnet110" in call("run", "ns/first", *TINY, "--all").output
    compared = call("compare", "ns/first", *TINY)
    assert "3 of 3 runs" in compared.output
    after = call("run", "ns/first", *TINY, "--dry-run")
    assert after.output.count("finished") == 3


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["run", "ns/table99"], "unknown experiment 'ns/table99'"),
        (["run", "ns/first", "-p", "speed=3"], "has no parameter 'speed'"),
        (["run", "ns/first", "-p", "epochs=many"], "epochs must be"),
        (["run", "ns/first", "-p", "epochs"], "NAME=VALUE"),
        (["run", "ns/first", "--preset", "huge"], "preset must be"),
        (["run", "ns/first", "-p", "network=vgg99"], "unknown network"),
        (["run", "ns/first", "-p", "methods=ce,best"], "methods must be"),
        (["compare", "ns/nothing"], "unknown experiment"),
        (["data", "imagenet21k"], "unknown data set"),
    ],
)
def test_mistakes_are_explained(words: list[str], message: str) -> None:
    """Exit status 2 and one line, no traceback."""
    result = call(*words)
    assert result.exit_code == 2
    assert message in result.output
    assert "Traceback" not in result.output


def test_list_and_data() -> None:
    """Everything by name; digits fetched and checked."""
    listed = call("list")
    for name in ("ns/table7", "cifar100", "resnet110b", "ns_method", "smoke"):
        assert name in listed.output
    assert "1294 training and 503 test images" in call("data").output


def test_starts_without_torch() -> None:
    """Help and rendering must not wait for torch to be imported."""
    code = "import sys, nslab, nslab.cli, nslab.notebooks; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_public_names_exist() -> None:
    """Every name in __all__ can be had, and nothing else pretends to."""
    import nslab

    assert all(getattr(nslab, name) is not None for name in nslab.__all__)
    assert set(nslab.__all__) <= set(dir(nslab))
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = nslab.nothing
