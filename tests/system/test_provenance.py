"""Provenance: the commit is this checkout's own, or there is none."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from nslab.system import provenance
from nslab.system.provenance import commit


@pytest.fixture(autouse=True)
def _asked_anew() -> Iterator[None]:
    commit.cache_clear()
    yield
    commit.cache_clear()


@pytest.fixture
def other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository of another project, with a commit."""
    for name in ("GIT_CONFIG_GLOBAL", "GIT_CONFIG_SYSTEM"):
        monkeypatch.setenv(name, "/dev/null")
    return repository(tmp_path / "other")


def repository(folder: Path) -> Path:
    """A repository with a commit."""
    (folder / "nslab").mkdir(parents=True)
    (folder / "nslab" / "a.py").write_text("1\n")
    run(folder, "init", "-q")
    run(folder, "add", "-A")
    run(folder, "-c", "user.name=A", "-c", "user.email=a@b.c", "commit", "-qm", "first")
    return folder


def run(folder: Path, *words: str) -> str:
    """What git says."""
    return subprocess.check_output(["git", "-C", str(folder), *words], text=True).strip()


def test_its_own(other: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With whether tracked files differ; asked once in a process."""
    monkeypatch.setattr(provenance, "checkout", lambda: other)
    head = run(other, "rev-parse", "HEAD")
    assert commit() == (head, False)
    (other / "nslab" / "a.py").write_text("2\n")
    assert commit() == (head, False)
    commit.cache_clear()
    assert commit() == (head, True)


@pytest.mark.parametrize("name", ["GIT_DIR", "GIT_WORK_TREE", "both"])
def test_not_what_the_environment_names(
    other: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """As in a hook of another project; a checkout without git has no commit."""
    mine = repository(tmp_path / "mine")
    if name != "GIT_WORK_TREE":
        monkeypatch.setenv("GIT_DIR", str(other / ".git"))
    if name != "GIT_DIR":
        monkeypatch.setenv("GIT_WORK_TREE", str(other))
    monkeypatch.setattr(provenance, "checkout", lambda: mine)
    with monkeypatch.context() as without:
        for variable in ("GIT_DIR", "GIT_WORK_TREE"):
            without.delenv(variable, raising=False)
        head = run(mine, "rev-parse", "HEAD")
    assert commit() == (head, False)
    commit.cache_clear()
    bare = tmp_path / "copied"
    bare.mkdir()
    monkeypatch.setattr(provenance, "checkout", lambda: bare)
    assert commit() == (None, None)


@pytest.mark.parametrize("tracked", [False, True])
def test_not_a_repository_around(
    other: Path, monkeypatch: pytest.MonkeyPatch, tracked: bool
) -> None:
    """A copy without its ``.git`` in another project's repository, even if that tracks it."""
    inside = other / "nslab" if tracked else other / "vendor"
    inside.mkdir(exist_ok=True)
    monkeypatch.setattr(provenance, "checkout", lambda: inside)
    assert commit() == (None, None)


def test_a_worktree_is_a_checkout(
    other: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also one that is reached by a link."""
    run(other, "worktree", "add", "-q", str(tmp_path / "tree"))
    (tmp_path / "link").symlink_to(tmp_path / "tree")
    monkeypatch.setattr(provenance, "checkout", lambda: tmp_path / "link")
    assert commit() == (run(other, "rev-parse", "HEAD"), False)


def test_a_repository_without_a_commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Has none to name."""
    run(tmp_path, "init", "-q")
    monkeypatch.setattr(provenance, "checkout", lambda: tmp_path)
    assert commit() == (None, None)
