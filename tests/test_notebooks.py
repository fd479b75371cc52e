"""Notebooks: parameters are typed and checked, execution is judged by its outcome."""

import json
from pathlib import Path

import nbformat
import pytest
from notebook_helpers import write
from typer.testing import CliRunner

from nslab import notebooks
from nslab.cli import app
from nslab.engine import Ended
from nslab.render import render


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
    with pytest.raises(ValueError, match=r"no notebook matches 'de_\*'; there are ns_a, ns_b"):
        notebooks.plan(["de_*"], "smoke", {})
    some = notebooks.plan(["*"], "smoke", {"rate": "1"})
    assert [p.parameters for p in some] == [{"preset": "smoke", "rate": 1.0}, {"preset": "smoke"}]
    with pytest.raises(ValueError, match=r"ns_b.ipynb has no parameter 'rate'; it has preset, n"):
        notebooks.plan(["ns_b"], "smoke", {"rate": "1"})
    with pytest.raises(ValueError, match=r"ns_a.ipynb has no parameter 'rat'; it has preset, n"):
        notebooks.plan(["*"], "smoke", {"rat": "1"})
    with pytest.raises(ValueError, match="n must be int, not 'many'"):
        notebooks.plan(["*"], "smoke", {"n": "many"})


@pytest.fixture
def rendered(folder: Path) -> tuple[dict[str, Ended], list[str], Path]:
    """Four notebooks: a good one, one that raises, one whose kernel dies, one that warns."""
    write(folder, "good", "print(n + 1)", "assert preset == 'smoke'")
    write(folder, "raises", "print('before')", "raise ValueError('on purpose')", "print('after')")
    write(folder, "dies", "import os\nos.kill(os.getpid(), 9)", "print('never')")
    said: list[str] = []
    planned = notebooks.plan(["*"], "smoke", {"n": "41"})
    ended = render(planned, 2, echo=said.append)
    return (
        {end.job.name.removeprefix("smoke/"): end for end in ended},
        said,
        planned[0].output.parent,
    )


def test_render_tells_success_from_failure(
    rendered: tuple[dict[str, Ended], list[str], Path],
) -> None:
    """A dead kernel counts as failed, executed copies are kept, the log is quiet."""
    ended, said, folder = rendered
    assert {name: end.status == 0 for name, end in ended.items()} == {
        "good": True,
        "raises": False,
        "dies": False,
    }
    good = nbformat.read(folder / "good.ipynb", as_version=4)
    texts = [o["text"] for c in good.cells for o in c.get("outputs", []) if "text" in o]
    assert texts == ["42\n"]
    assert json.loads((folder / "good.status.json").read_text())["status"] == "done"
    assert not (folder / "raises.status.json").exists()
    assert not (folder / "dies.status.json").exists()
    assert "on purpose" in (folder / "raises.ipynb").read_text()
    assert (folder / "dies.ipynb").exists()
    text = "\n".join(said)
    assert "good: done" in text
    assert "raises: FAILED" in text
    assert str(folder / "raises.ipynb") in text
    assert "without encryption" not in (folder / "good.log").read_text()


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
    assert "smoke/without goes without n: it has no such parameter" in told.output
    assert "3 to do" in told.output
    wrong = CliRunner().invoke(app, ["render", "-p", "steps=5"])
    assert wrong.exit_code == 2
    assert "has no parameter 'steps'" in wrong.output
