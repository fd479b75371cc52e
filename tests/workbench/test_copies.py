"""An installed package's notebooks are copied to be edited, and no copy is ever overwritten."""

import json
from pathlib import Path

import pytest

import nslab
from nslab.system import paths
from nslab.workbench.copies import copy_notebooks, notebooks_to_edit


def book(text: str, output: str = "") -> str:
    """A notebook of one cell, run or not."""
    outputs = [{"output_type": "stream", "name": "stdout", "text": [output]}] if output else []
    cell = {"cell_type": "code", "id": "a", "metadata": {}, "source": [text]}
    cell |= {"outputs": outputs, "execution_count": 1 if output else None}
    return json.dumps({"cells": [cell], "metadata": {}, "nbformat": 4, "nbformat_minor": 5})


def test_copies_are_left_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Edited or only run; what is gone is copied again; what is new stands beside, once."""
    source, target = tmp_path / "shipped", tmp_path / "mine"
    source.mkdir()
    for name in ("edited", "gone", "run"):
        (source / f"{name}.ipynb").write_text(book("1"))
    assert copy_notebooks(source, target) == target
    assert "edited.ipynb, gone.ipynb, run.ipynb" in capsys.readouterr().out
    (target / "edited.ipynb").write_text(book("mine"))
    (target / "run.ipynb").write_text(ran := book("1", "output"))
    (target / "gone.ipynb").unlink()
    copy_notebooks(source, target)
    assert sorted(f.name for f in target.glob("*.ipynb")) == [
        "edited.ipynb",
        "gone.ipynb",
        "run.ipynb",
    ]
    for name in ("edited", "run"):
        (source / f"{name}.ipynb").write_text(book("2"))
    capsys.readouterr()
    for _ in range(2):
        copy_notebooks(source, target)
    new = {f"{name}-{nslab.__version__}.ipynb" for name in ("edited", "run")}
    assert capsys.readouterr().out.count("\n") == 1
    assert {f.name for f in target.glob("*-*.ipynb")} == new
    assert all((target / name).read_text() == book("2") for name in new)
    assert (target / "edited.ipynb").read_text() == book("mine")
    assert (target / "run.ipynb").read_text() == ran


def test_what_the_lab_opens(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The checkout's own notebooks; copies in the home of an installed package."""
    assert notebooks_to_edit() == paths.notebooks_dir()
    package = tmp_path / "site-packages/nslab"
    for name in paths.INSIDE.values():
        (package / name).mkdir(parents=True)
    (package / "_notebooks/a.ipynb").write_text(book("1"))
    monkeypatch.setattr(paths, "PACKAGE", package)
    monkeypatch.setenv("NSLAB_HOME", str(tmp_path / "home"))
    assert notebooks_to_edit() == tmp_path / "home/notebooks"
    assert (tmp_path / "home/notebooks/a.ipynb").read_text() == book("1")
