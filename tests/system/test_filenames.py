"""Names from users never become paths outside of their folder."""

from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.figure import Figure
from typer.testing import CliRunner

from nslab.cli import app
from nslab.configs import TrainConfig
from nslab.datasets import load
from nslab.datasets.corruption.sets import corrupted
from nslab.networks.pretrained_cifar import public_weights
from nslab.papers import equations
from nslab.papers.tables import paper_table
from nslab.plots import style
from nslab.runs import frozen, store
from nslab.system.filenames import checked_filename
from nslab.training.starts import start_weights
from nslab.workbench import notebooks

BAD = {
    "": "is empty",
    "  ": "is empty",
    " a": "blank",
    ".": "begins with '.'",
    "..": "begins with '.'",
    "../a": "begins with '.'",
    "a/../../b": "path",
    "/etc/passwd": "path",
    "a\\b": "path",
    "C:a": "path",
    "-rf": "begins with '-'",
    ".hidden": "begins with '.'",
    "a\0b": "printed",
    "a\nb": "printed",
    "a" * 151: "too long",
    "ü" * 76: "too long",
    "\ud800": "no text",
    "a*": "one of the characters",
    "NS?": "one of the characters",
    "con": "not a valid file name on Windows",
    "LPT1.table": "not a valid file name on Windows",
    "a.": "ends with '.'",
}


@pytest.mark.parametrize("name", ["a", "ns_long_tail", "NS-LF 2.5", "größe", "a.b", "a" * 150])
def test_plain_names_pass(name: str) -> None:
    """Unchanged."""
    assert checked_filename(name, "figure") == name


@pytest.mark.parametrize(("name", "why"), BAD.items())
def test_others_are_refused(name: str, why: str) -> None:
    """What it was for, and why not."""
    with pytest.raises(ValueError, match="give a plain name") as refused:
        checked_filename(name, "figure")
    assert str(refused.value).startswith("figure ")
    assert why in str(refused.value)


@given(st.text(max_size=200))
def test_what_passes_is_a_file_of_its_folder(name: str) -> None:
    """Whatever text it is."""
    try:
        checked_filename(name, "figure")
    except ValueError:
        return
    assert (Path("/folder") / f"{name}.history.csv").resolve().parent == Path("/folder")
    assert len(f".{name}.history.csv.12345678.part".encode()) < 255


OUTSIDE = ["../escaped", "/tmp/escaped", "a/../../escaped", "a\0b", "", "a" * 300]


def everything(folder: Path) -> set[Path]:
    """All files around."""
    return {file for file in folder.rglob("*") if file.is_file()}


@pytest.mark.parametrize("name", OUTSIDE)
def test_nothing_is_written_or_read_elsewhere(
    name: str, tmp_path: Path, as_users_call: object
) -> None:
    """Wherever a name becomes a path: figures, frozen results, papers, presets, patterns, runs."""
    before, here = everything(tmp_path), tmp_path / "results"
    table = pd.DataFrame({"run": ["x"]})
    refused = [
        lambda: style.save(Figure(), name, "smoke"),
        lambda: style.save(Figure(), "figure", name),
        lambda: frozen.freeze(name, [], here),
        lambda: frozen.freeze_table(name, table, here),
        lambda: frozen.table(name, here),
        lambda: paper_table(f"ns/{name}"),
        lambda: paper_table(name),
        lambda: equations.equations_of(name),
        lambda: notebooks.plan(["ns_method"], name, {}),
        lambda: notebooks.plan([name], "smoke", {}),
        lambda: load(name),
        lambda: public_weights(name),
        lambda: corrupted(name, "fog", 1, (0, 0)),  # type: ignore[arg-type]
        lambda: corrupted("mnist_c", name, 1, (0, 0)),  # type: ignore[arg-type]
    ]
    if name:  # no start is none
        refused.append(lambda: TrainConfig(start=name))
    for act in refused:
        with pytest.raises(ValueError, match=r"\w"):
            act()
    assert everything(tmp_path) == before


@pytest.mark.parametrize(
    "words",
    [
        ["run", "ns/first", "--freeze", "../x"],
        ["run", "../x"],
        ["compare", "ns/../../x"],
        ["render", "--preset", "../x"],
        ["render", "../x"],
        ["render", "/tmp/ns_method.ipynb"],
        ["suite", "../x"],
        ["data", "../x"],
    ],
)
def test_on_the_command_line(words: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Refused before any work, in words."""
    monkeypatch.setattr(store, "run", lambda *_, **__: pytest.fail("work began"))
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 2, done.output
    assert "Traceback" not in done.output


def test_notebooks_may_be_named_by_their_path() -> None:
    """As shells complete it."""
    file = notebooks.sources()[0]
    assert notebooks.plan([str(file)], "smoke", {})[0].source == file


def test_a_result_of_another_run_is_none(tmp_path: Path) -> None:
    """A folder that was copied, or renamed, is not taken for the run it is named after."""
    config = TrainConfig(network="mlp", epochs=1)
    result = store.run(config, show=False)
    assert result.folder
    other = replace(config, seed=1)
    result.folder.rename(store.folder_of(other))
    with pytest.warns(UserWarning, match=f"it is run {config.id}'s"):
        assert store.find(other) is None
    with pytest.raises(FileNotFoundError, match="weights are not here"):
        start_weights(torch.nn.Identity(), replace(config, start=config.id))
