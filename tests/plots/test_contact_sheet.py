"""A contact sheet shows every figure that was kept, and which of them are hard to read."""

import json
from pathlib import Path

import pytest
from matplotlib.figure import Figure
from PIL import Image
from typer.testing import CliRunner

from nslab.cli import app
from nslab.plots import style
from nslab.plots.contact_sheet import kept_figures, write_sheet
from nslab.plots.smaller import reduce_colours


@pytest.fixture
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A good figure and one that is too wide, in a home of their own."""
    monkeypatch.setenv("NSLAB_HOME", str(tmp_path))
    style.apply()
    for name, width in (("good", 8.4), ("wide", 11.0)):
        figure = Figure(figsize=(width, 2))
        figure.subplots().plot([1, 2], [3, 1])
        style.save(figure, name, "smoke", parameters={"a": 1})
    return tmp_path


@pytest.mark.usefixtures("as_users_call")
def test_every_figure_is_on_the_sheet(kept: Path) -> None:
    """At the width of a page, with its name and what is wrong with it; nothing else is needed."""
    found = kept_figures("smoke")
    assert [one.png.stem for one in found] == ["good", "wide"]
    assert [one.faults for one in found] == [(), ("wider than the page: 11.0 inches",)]
    page = write_sheet(found, kept / "sheet.html", "a title").read_text()
    assert page.count("<img") == page.count("data:image/png;base64") == 2
    assert 'width="840"' in page
    assert "good: no runs" in page
    with Image.open(write_sheet(found, kept / "deep" / "sheet.png", "a title")) as picture:
        assert picture.width > 1100  # the wide one is not made to look as if it fitted
    with pytest.raises(ValueError, match=r"format of a contact sheet"):
        write_sheet(found, kept / "sheet.pdf", "a title")


def test_the_command(kept: Path) -> None:
    """Lists them, writes the sheet, and says what to do where there are none."""
    file = kept / "sheet.html"
    done = CliRunner().invoke(app, ["figures", "--sheet", str(file)])
    assert done.exit_code == 0
    assert "2 figures, 1 of them hard to read" in done.output
    assert file.exists()
    none = CliRunner().invoke(app, ["figures", "--preset", "cpu"])
    assert none.exit_code == 2
    assert "nslab render --preset cpu" in none.output


def test_fewer_colours_keep_what_is_written(kept: Path) -> None:
    """The picture is smaller and of the same size; its provenance stays."""
    file = kept / "figures/smoke/good.png"
    before = file.stat().st_size
    assert reduce_colours(file) < before
    with Image.open(file) as picture:
        assert picture.size == (1260, 300)
        assert json.loads(picture.info["nslab"])["parameters"] == {"a": 1}
