"""Notebooks: parameters are typed and checked, execution is judged by its outcome."""

import json
import os
import subprocess
import time
from pathlib import Path

import nbformat
import pytest
from notebook_helpers import write
from process_helpers import at_once
from typer.testing import CliRunner

from nslab.cli import app
from nslab.execution.local import Ended
from nslab.system.locks import is_locked
from nslab.workbench import notebooks
from nslab.workbench.render import render, render_job

Rendered = tuple[dict[str, Ended], list[str], dict[str, Path]]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of notebooks that stands for the project's."""
    made = tmp_path / "books"
    made.mkdir()
    monkeypatch.setattr(notebooks, "notebooks_dir", lambda: made)
    return made


def test_parameters_are_read(folder: Path) -> None:
    """Name, type and default."""
    found = notebooks.parameters_of(write(folder, "a"))
    assert found == {"preset": (str, "smoke"), "n": (int, 3), "rate": (float, 0.1)}


@pytest.mark.parametrize(
    ("cell", "message"),
    [
        ("n = 3", "is not `name: type = value`"),
        ("n: int", "is not `name: type = value`"),
        ("import os", "is not `name: type = value`"),
        ("n: int = 3\nm: int = 10 * n", "literals"),
        ("n: int | None = None", "types are"),
        ("n: Path = 'x'", "types are"),
    ],
)
def test_parameters_cell_holds_literals_only(folder: Path, cell: str, message: str) -> None:
    """Anything else is refused: an injected value would not reach what is derived here."""
    with pytest.raises(ValueError, match=message):
        notebooks.parameters_of(write(folder, "a", parameters=cell))


def test_parameters_cell_must_be_one(folder: Path) -> None:
    """None, or two, is an error."""
    file = write(folder, "a")
    book = json.loads(file.read_text())
    book["cells"][0]["metadata"]["tags"] = []
    file.write_text(json.dumps(book))
    with pytest.raises(ValueError, match="0 cells tagged"):
        notebooks.parameters_of(file)


def test_plan_checks_before_anything_starts(folder: Path) -> None:
    """Unknown notebooks, unknown parameters and wrong types; text becomes the right type."""
    write(folder, "ns_a")
    write(folder, "ns_b", parameters='preset: str = "smoke"\nn: int = 1\n')
    planned = notebooks.plan(["ns_*"], "smoke", {"n": "7"})
    assert [p.parameters for p in planned] == [{"preset": "smoke", "n": 7}] * 2
    only = notebooks.plan(["ns_a.ipynb"], "smoke", {"rate": "1e-2"})
    assert only[0].parameters["rate"] == 0.01
    with pytest.raises(ValueError, match=r"unknown notebook 'de_\*'; there are ns_a, ns_b"):
        notebooks.plan(["de_*"], "smoke", {})
    some = notebooks.plan(["*"], "smoke", {"rate": "1"})
    assert [p.parameters for p in some] == [{"preset": "smoke", "rate": 1.0}, {"preset": "smoke"}]
    with pytest.raises(ValueError, match=r"ns_b.ipynb has no parameter 'rate'; it has preset, n"):
        notebooks.plan(["ns_b"], "smoke", {"rate": "1"})
    with pytest.raises(ValueError, match=r"'rat': did you mean rate\? It has preset, n"):
        notebooks.plan(["*"], "smoke", {"rat": "1"})
    with pytest.raises(ValueError, match="n must be a whole number, not 'many'"):
        notebooks.plan(["*"], "smoke", {"n": "many"})


def test_other_parameters_have_a_folder_of_their_own(folder: Path, tmp_path: Path) -> None:
    """Whatever gives them, so that the plain rendering is never overwritten; defaults do not."""
    write(folder, "a")
    (plain,) = notebooks.plan(["a"], "smoke", {})
    (same,) = notebooks.plan(["a"], "smoke", {"n": "3", "rate": 0.1})
    assert plain.figures == same.figures == tmp_path / "figures"
    assert plain.name == same.name == "smoke/a"
    others = [notebooks.plan(["a"], "smoke", given)[0] for given in ({"n": 4}, {"rate": 0.2})]
    others += notebooks.plan(["a"], "smoke", {"n": 4, "rate": 0.2})
    folders = {other.figures for other in others}
    assert len(folders) == 3
    assert {found.parent for found in folders} == {tmp_path / "figures/variants"}
    assert all(other.name.startswith("smoke/a-") for other in others)
    again = notebooks.plan(["a"], "smoke", {"n": "4", "rate": "0.1"})
    assert again[0].figures == others[0].figures
    assert notebooks.plan(["a"], "cpu", {"n": 4})[0].figures == others[0].figures


def test_notebooks_of_other_folders(folder: Path, tmp_path: Path) -> None:
    """By path or pattern; no parameters are needed, untyped ones will do, and none takes the
    output of another, ours or not."""
    write(folder, "a")
    mine = write(tmp_path / "one", "mine", parameters="n = 3\nrate = 0.1\n")
    (plain,) = notebooks.plan([str(mine)], "cpu", {})
    assert plain.output == tmp_path / "figures/cpu/notebooks/mine.ipynb"
    assert (plain.parameters, plain.task["cwd"]) == ({}, str(mine.parent))
    (other,) = notebooks.plan([str(mine.with_suffix(""))], "cpu", {"n": "4"})
    assert other.parameters == {"n": 4}
    assert other.figures.parent.name == "variants"
    bare = write(tmp_path / "two", "mine")
    book = json.loads(bare.read_text())
    book["cells"][0]["metadata"] = {}
    bare.write_text(json.dumps(book))
    both = notebooks.plan([str(mine), str(bare)], "smoke", {})
    assert len({one.output for one in both}) == len({one.name for one in both}) == 2
    plain.output.parent.mkdir(parents=True)
    plain.output.with_suffix(".task.json").write_text(json.dumps(plain.task))
    assert notebooks.plan([str(bare)], "cpu", {})[0].output != plain.output
    assert notebooks.plan([str(tmp_path / "one/m*")], "cpu", {}) == [plain]
    write(tmp_path / "two", "a")
    ours, theirs = notebooks.plan(["a", str(tmp_path / "two/a.ipynb")], "smoke", {})
    assert ours.output == tmp_path / "figures/smoke/notebooks/a.ipynb" != theirs.output
    with pytest.raises(ValueError, match=r"mine\.ipynb has no cell tagged 'parameters', so it has"):
        notebooks.plan([str(bare)], "smoke", {"n": 4})
    made = plain.task["made_of"]
    (mine.parent / "helpers.py").write_text("VALUE = 1")
    assert plain.task["made_of"] != made


@pytest.mark.slow
def test_what_looks_up_all_runs_comes_last(folder: Path, tmp_path: Path) -> None:
    """The ledger counts what the other notebooks run; with another run it is out of date."""
    seen = "import os, pathlib\nhome = pathlib.Path(os.environ['NSLAB_HOME'], 'data/runs')\n"
    write(folder, "ledger", f"{seen}print(len(list(home.iterdir())))")
    write(folder, "ns_a", f"{seen}(home / 'abc').mkdir(parents=True)")
    planned = notebooks.plan(["*"], "smoke", {})
    assert [end.status for end in render(planned, 2, echo=str)] == [0, 0]
    book = nbformat.read(planned[0].output, as_version=4)
    assert book.cells[-1].outputs[0].text == "1\n"
    assert all(one.rendered() for one in planned)
    (tmp_path / "data/runs/def").mkdir()
    assert [one.rendered() for one in planned] == [False, True]


@pytest.fixture
def rendered(folder: Path) -> Rendered:
    """Four notebooks: a good one, one that raises, one whose kernel dies, one that warns."""
    write(folder, "good", "print(n + 1)", "assert preset == 'smoke'")
    write(folder, "raises", "print('before')", "raise ValueError('on purpose')", "print('after')")
    write(folder, "dies", "import os\nos.kill(os.getpid(), 9)", "print('never')")
    said: list[str] = []
    planned = notebooks.plan(["*"], "smoke", {"n": "41"})
    ended = render(planned, 2, echo=said.append)
    return (
        {end.job.name.removeprefix("smoke/").partition("-")[0]: end for end in ended},
        said,
        {one.source.stem: one.output.with_suffix("") for one in planned},
    )


@pytest.mark.slow
def test_render_tells_success_from_failure(
    rendered: Rendered,
) -> None:
    """A dead kernel counts as failed, executed copies are kept, the log is quiet."""
    ended, said, made = rendered
    assert {name: end.status == 0 for name, end in ended.items()} == {
        "good": True,
        "raises": False,
        "dies": False,
    }
    good = nbformat.read(made["good"].with_suffix(".ipynb"), as_version=4)
    texts = [o["text"] for c in good.cells for o in c.get("outputs", []) if "text" in o]
    assert texts == ["42\n"]
    assert json.loads(made["good"].with_suffix(".status.json").read_text())["status"] == "done"
    assert not made["raises"].with_suffix(".status.json").exists()
    assert not made["dies"].with_suffix(".status.json").exists()
    assert "on purpose" in made["raises"].with_suffix(".ipynb").read_text()
    assert made["dies"].with_suffix(".ipynb").exists()
    text = "\n".join(said)
    assert f"{ended['good'].job.name}: done" in text
    assert f"{ended['raises'].job.name}: FAILED" in text
    assert str(made["raises"].with_suffix(".ipynb")) in text
    assert "without encryption" not in made["good"].with_suffix(".log").read_text()


@pytest.mark.slow
def test_rendered_twice_at_once(folder: Path, tmp_path: Path) -> None:
    """It is executed once, by one of the two; the other says that it waits, and has it too. One
    whose first process was killed is executed by the second."""
    mark = tmp_path / "mark"
    cells = f"import time\nopen({str(mark)!r}, 'a').write('x')\ntime.sleep(2)"
    write(folder, "twice", cells)
    (planned,) = notebooks.plan(["twice"], "smoke", {})

    def once() -> None:
        (end,) = render([planned], echo=str)
        assert end.status == 0, end.why()
        assert planned.rendered()

    assert at_once([once] * 2) == [None] * 2
    assert mark.read_text() == "x"
    log = planned.output.with_suffix(".log").read_text()
    assert f"another process is executing {planned.output}: waiting" in log
    once()
    assert mark.read_text() == "xx"
    job = render_job(planned)
    first = subprocess.Popen(job.command, env={**os.environ, **job.env})
    while mark.read_text() == "xx":
        time.sleep(0.05)
    assert is_locked(planned.lock)
    assert not planned.rendered()
    first.kill()
    first.wait()
    once()
    assert mark.read_text() == "xxxx"


@pytest.mark.slow
def test_command_line_render_fails_if_one_fails(folder: Path) -> None:
    """Exit status 1 and a count; a pattern renders just what it names."""
    write(folder, "good", "print(n)")
    write(folder, "raises", "raise ValueError")
    both = CliRunner().invoke(app, ["render"])
    assert both.exit_code == 1
    assert "1 of 2 notebooks rendered" in both.output
    one = CliRunner().invoke(app, ["render", "good", "-p", "n=5"])
    assert one.exit_code == 0, one.output
    write(folder, "without", parameters='preset: str = "smoke"\n')
    told = CliRunner().invoke(app, ["render", "-p", "n=5", "--dry-run"])
    assert "smoke/without has no parameter n: it is ignored" in told.output
    assert "3 to do" in told.output
    wrong = CliRunner().invoke(app, ["render", "-p", "steps=5"])
    assert wrong.exit_code == 2
    assert "has no parameter 'steps'" in wrong.output
