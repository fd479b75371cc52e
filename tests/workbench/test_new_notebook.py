"""A notebook to start from: it renders as it is, and nothing is overwritten."""

import ast
import json
from pathlib import Path

import nbformat
import pytest
from typer.testing import CliRunner

from nslab.cli import app
from nslab.experiments import EXPERIMENTS
from nslab.workbench.new_notebook import new_notebook
from nslab.workbench.notebooks import parameters_of, plan
from nslab.workbench.render import render
from nslab.workbench.unrun import unrun


def call(*words: str) -> tuple[int, str]:
    done = CliRunner().invoke(app, ["new", "notebook", *words], env={"COLUMNS": "200"})
    return done.exit_code, done.output


LOOKED_UP = {"de/tableS4", "de/tableS5", "de/tableS6"}  # measured in hours, kept as a table


@pytest.mark.parametrize("name", [name for name in EXPERIMENTS if name not in LOOKED_UP])
def test_it_has_the_form_of_ours(name: str, tmp_path: Path) -> None:
    """Whatever it runs: stored as though never run, typed parameters, how long it takes, code."""
    file = new_notebook("mine", tmp_path, name)
    text = file.read_text(encoding="utf-8")
    assert unrun(text) == text
    nbformat.validate(nbformat.reads(text, as_version=4))
    assert parameters_of(file)["preset"] == (str, "smoke")
    cells = json.loads(text)["cells"]
    opening = "".join(cells[0]["source"])
    assert opening.startswith("# Mine\n")
    assert name in opening
    assert "**How long:**" in opening
    for cell in cells:
        if cell["cell_type"] == "code":
            ast.parse("".join(cell["source"]))


def test_it_renders_as_it_is(tmp_path: Path) -> None:
    status, said = call("my_question", "--to", str(tmp_path))
    assert status == 0, said
    file = tmp_path / "my_question.ipynb"
    assert f"nslab render {file}" in said
    (one,) = plan([str(file)], "smoke", {"epochs": "2", "n_seeds": "1"})
    (end,) = render([one], 1, echo=lambda _: None)
    assert end.status == 0, end.job.log.read_text(encoding="utf-8")
    shown = json.dumps(json.loads(one.output.read_text(encoding="utf-8")))
    assert "Highest mean test accuracy" in shown
    assert "supports no claim" in shown
    assert (one.figures / "smoke/my_question.png").exists()


def test_nothing_is_overwritten_and_names_are_checked(tmp_path: Path) -> None:
    """With what to do, and status 2."""
    file = new_notebook("mine.ipynb", tmp_path)
    before = file.read_bytes()
    for words, message in (
        (["mine", "--to", str(tmp_path)], "exists already: choose another name"),
        (["a/b", "--to", str(tmp_path)], "would be a path"),
        (["", "--to", str(tmp_path)], "is empty"),
        (["x", "--to", str(tmp_path), "--experiment", "ns/tabel5"], "did you mean ns/table5"),
        (["x", "--to", str(tmp_path / "none")], "there is no folder"),
        *((["x", "--experiment", name], "from a frozen table") for name in sorted(LOOKED_UP)),
    ):
        status, said = call(*words)
        assert status == 2
        assert message in said
    assert file.read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["mine.ipynb"]
