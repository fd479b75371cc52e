"""Where things lie: in a checkout, installed, and as the environment says."""

import os
from pathlib import Path

import pytest

from nslab.system import paths


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package as a wheel installs it, in a working directory of its own, with no home named."""
    package = tmp_path / "site-packages" / "nslab"
    for name in paths.INSIDE.values():
        (package / name).mkdir(parents=True)
    (package.parent / "notebooks").mkdir()  # another package's
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setattr(paths, "PACKAGE", package)
    for name in ("NSLAB_HOME", "NSLAB_DATA", "NSLAB_HEADLESS"):
        monkeypatch.setenv(name, "")
    return package


def test_in_a_checkout(monkeypatch: pytest.MonkeyPatch) -> None:
    """All beside the package; nothing is said or set."""
    root = Path(__file__).parents[2]
    monkeypatch.setenv("NSLAB_HOME", "")
    assert paths.checkout() == paths.home() == root
    assert paths.notebooks_dir() == root / "notebooks"
    assert paths.shipped_results_dir() == paths.frozen_dir() == root / "data/results"
    assert os.environ["NSLAB_HOME"] == ""


def test_installed(installed: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Notebooks and results come with the package, ours go to ``nslab-runs``: said once, and
    settled, whatever directory this process or a child of it works in later."""
    here = Path.cwd()
    assert paths.checkout() is None
    assert paths.notebooks_dir() == installed / "_notebooks"
    assert paths.shipped_results_dir() == installed / "_results"
    assert capsys.readouterr().err == ""
    assert paths.runs_dir() == here / "nslab-runs/data/runs"
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert str(here / "nslab-runs") in said
    os.chdir(here.parent)
    assert paths.frozen_dir() == here / "nslab-runs/data/results"
    assert paths.figures_dir() == here / "nslab-runs/figures"
    assert paths.cache_dir() == here / "nslab-runs/data/cache"
    assert capsys.readouterr().err == ""
    assert os.environ["NSLAB_HOME"] == str(here / "nslab-runs")
    assert not (here / "nslab-runs").exists()


def test_headless_says_nothing(
    installed: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nobody reads it there."""
    monkeypatch.setenv("NSLAB_HEADLESS", "1")
    assert paths.home().name == "nslab-runs"
    assert capsys.readouterr().err == ""


def test_relative_folders_stay_where_they_are(
    installed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Processes that are started from here inherit them, and may work elsewhere."""
    here = Path.cwd()
    monkeypatch.setenv("NSLAB_HOME", "mine")
    monkeypatch.setenv("NSLAB_DATA", "data")
    assert paths.home() == here / "mine"
    os.chdir(here.parent)
    assert paths.home() == here / "mine"
    assert paths.cache_dir() == here / "data"
