"""A person may run the notebooks and save them: git sees only what was written."""

import json
import os
import shutil
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import nbformat
import pytest

from nslab.workbench import unrun as unrunning
from nslab.workbench.lab import free_port
from nslab.workbench.notebooks import Planned
from nslab.workbench.unrun import after_save, main, set_up, set_up_jupyter, stored, unrun

ROOT = Path(__file__).parents[2]
NAME = "notebooks/ns_scores.ipynb"


def run_and_save(file: Path, display_name: str = "Python 3 (ipykernel)") -> None:
    """Do to a notebook what editors do that run it: outputs, counts, times, the kernel's name."""
    book = nbformat.read(file, as_version=4)
    book.metadata["kernelspec"]["display_name"] = display_name
    book.metadata["language_info"] |= {"version": "3.12.1", "mimetype": "text/x-python"}
    book.metadata["widgets"] = {"state": {}}
    for count, cell in enumerate(c for c in book.cells if c.cell_type == "code"):
        cell.execution_count = count
        cell.outputs = [nbformat.v4.new_output("stream", text="σ\n")]
        cell.metadata |= {"execution": {"idle": "2026"}, "scrolled": True}
    file.write_text(nbformat.writes(book), encoding="utf-8")


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkout of one notebook."""
    if not shutil.which("git"):
        pytest.skip("no git")
    folder = tmp_path / "checkout's copy"
    (folder / "notebooks").mkdir(parents=True)
    shutil.copy(ROOT / ".gitattributes", folder)
    (folder / NAME).write_text(unrun((ROOT / NAME).read_text(encoding="utf-8")), encoding="utf-8")
    (folder / "nslab").symlink_to(ROOT / "nslab")
    (folder / ".gitignore").write_text("nslab\n.ipynb_checkpoints\n")
    monkeypatch.setattr(unrunning, "checkout", lambda: folder)
    for name in [name for name in os.environ if name.startswith("GIT_")]:
        monkeypatch.delenv(name)
    for name in ("AUTHOR", "COMMITTER"):
        monkeypatch.setenv(f"GIT_{name}_NAME", "somebody")
        monkeypatch.setenv(f"GIT_{name}_EMAIL", "nobody@example.org")
    git(folder, "init", "--quiet")
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--message", "one")
    return folder


def git(folder: Path, *words: str) -> str:
    """What git says."""
    done = subprocess.run(["git", *words], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert not done.stderr, done.stderr
    return done.stdout


@pytest.mark.parametrize("editor", ["Python 3 (ipykernel)", ".venv (3.12.1)"])
def test_a_notebook_that_was_run_is_no_change(checkout: Path, editor: str) -> None:
    """Its outputs stay in the file, and out of git; what somebody wrote is a change as ever."""
    assert set_up()
    assert set_up()  # again, which changes nothing
    run_and_save(checkout / NAME, editor)
    assert git(checkout, "diff") == ""
    after_save({"type": "notebook"}, str(checkout / NAME))
    assert git(checkout, "status", "--porcelain") == ""
    assert "σ" in (checkout / NAME).read_text(encoding="utf-8").partition("outputs")[2]
    book = json.loads((checkout / NAME).read_text(encoding="utf-8"))
    book["cells"][0]["source"] = ["# Mine"]
    book["cells"][0]["metadata"] = {"tags": ["mine"]}
    (checkout / NAME).write_text(json.dumps(book), encoding="utf-8")
    after_save({"type": "notebook"}, str(checkout / NAME))
    changed = git(checkout, "diff")
    assert git(checkout, "status", "--porcelain") == f" M {NAME}\n"
    assert '+    "# Mine"' in changed
    assert '+     "mine"' in changed
    assert "outputs" not in changed.replace('"outputs": []', "")
    git(checkout, "commit", "--quiet", "--all", "--message", "two")
    assert unrun(stored()[NAME]) == stored()[NAME]
    assert main(["--check"]) == 0


def test_without_the_filter_a_check_finds_it(
    checkout: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A fresh clone works as ever, and what should not be stored is named."""
    assert main(["--check"]) == 0
    run_and_save(checkout / NAME)
    assert git(checkout, "status", "--porcelain") == f" M {NAME}\n"
    assert main(["--check"]) == 0  # not stored yet
    git(checkout, "add", "--all")
    assert main(["--check"]) == 1
    assert NAME in capsys.readouterr().out
    assert set_up()
    git(checkout, "add", "--renormalize", NAME)
    assert git(checkout, "status", "--porcelain") == ""


def test_a_python_that_is_gone_breaks_nothing(
    checkout: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As after `make clean`: git takes the file as it is and complains of nothing."""
    monkeypatch.setattr("sys.executable", str(tmp_path / "no python"))
    assert set_up()
    run_and_save(checkout / NAME)
    assert git(checkout, "status", "--porcelain") == f" M {NAME}\n"


def test_saving_in_jupyter_leaves_the_checkout_clean(checkout: Path, tmp_path: Path) -> None:
    """In any server of the environment, as it is after `make`; edits are seen."""
    assert set_up()
    set_up_jupyter(tmp_path)
    port, token = free_port("127.0.0.1", 18865), "a" * 48
    env = os.environ | {
        "JUPYTER_CONFIG_PATH": str(tmp_path / "etc/jupyter"),
        "PYTHONPATH": str(ROOT),
    }
    env |= {name: str(tmp_path / name) for name in ("JUPYTER_CONFIG_DIR", "JUPYTER_RUNTIME_DIR")}
    command = [sys.executable, "-m", "jupyter_server", "--allow-root", "--no-browser"]
    command += [f"--ServerApp.port={port}", f"--IdentityProvider.token={token}"]
    with (tmp_path / "log").open("w") as log:
        server = subprocess.Popen(command, cwd=checkout, env=env, stdout=log, stderr=log)
    try:
        wait_for(port, server, tmp_path / "log")
        run_and_save(checkout / NAME)
        book = json.loads((checkout / NAME).read_text(encoding="utf-8"))
        for edit in (False, True):
            book["cells"][0]["source"] += "mine" if edit else ""
            request = urllib.request.Request(
                f"http://127.0.0.1:{port}/api/contents/{NAME}",
                json.dumps({"type": "notebook", "content": book}).encode(),
                {"Authorization": f"token {token}"},
                method="PUT",
            )
            urllib.request.urlopen(request, timeout=30).close()
            assert "σ" in (checkout / NAME).read_text(encoding="utf-8")
            status = git(checkout, "status", "--porcelain")
            assert status == (f" M {NAME}\n" if edit else "")
    finally:
        server.terminate()
        server.wait()


def wait_for(port: int, server: subprocess.Popen, log: Path) -> None:
    """Wait until a server answers."""
    until = time.monotonic() + 90
    while time.monotonic() < until and server.poll() is None:
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/api", timeout=5).close()
            return
        except OSError:
            time.sleep(0.3)
    pytest.fail(log.read_text())


@pytest.mark.parametrize("text", ["", "<<<<<<< ours\n{}\n", "[]", '{"cells": 1, "metadata": {}}'])
def test_what_is_no_notebook_is_left_alone(text: str) -> None:
    """Such as one with a conflict."""
    assert unrun(text) == text


def test_outside_a_checkout_nothing_is_set_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An installed package has no notebooks in git, nor has what was unpacked."""
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path))
    (tmp_path / "installed").mkdir()
    for found in (tmp_path / "installed", None):
        monkeypatch.setattr(unrunning, "checkout", lambda found=found: found)
        assert not set_up()
        assert stored() == {}
        assert main(["--check"]) == 0


def test_rendering_does_not_mind_outputs(tmp_path: Path) -> None:
    """A notebook that a person ran is the same task as before."""
    source = tmp_path / "ns_scores.ipynb"
    shutil.copy(ROOT / NAME, source)
    planned = Planned(source, {"preset": "smoke"}, tmp_path, "smoke")
    before = planned.task
    run_and_save(source)
    assert planned.task == before
