"""A plain notebook in JupyterLab: figures are pictures, and saving it is no change to git."""

import os
import shutil
import subprocess
from pathlib import Path

import nbformat
import pytest
from panels import WAIT, Explorer
from servers import serving
from sessions import OPTIONS, SHOTS, chromium

from nslab.workbench.unrun import FILTER, clean_filter, set_up_jupyter, unrun

CELLS = (
    "import nslab\nfrom nslab.analysis import run_tables\nfrom nslab.plots import ns as plots",
    "first = run_tables.first_batch('digits', 16, 2024)\nplots.images(first.x, first.y.tolist())",
    "for width in (4, 11):\n    figure = plots.Figure(figsize=(width, 3))\n"
    "    figure.subplots().plot([1, 2])\n    display(figure)\nfigure",
)


def test_a_plain_cell_shows_its_figure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An image follows the cell, once, sharp, in proportion, no wider than the page."""
    if not os.environ.get("NSLAB_BROWSER"):
        pytest.skip("tests in a browser take minutes and run when asked to: make test-browser")
    api = pytest.importorskip("playwright.sync_api")
    if not (browser := chromium()) or not shutil.which("git"):
        pytest.skip("no Chromium or no git here")
    book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in CELLS])
    notebook = tmp_path / "plain.ipynb"
    notebook.write_text(unrun(nbformat.writes(book)), encoding="utf-8")
    set_up_jupyter(tmp_path)
    monkeypatch.setenv("JUPYTER_CONFIG_PATH", str(tmp_path / "etc/jupyter"))
    SHOTS.mkdir(parents=True, exist_ok=True)
    with (
        serving("lab", notebook, tmp_path / "server", tmp_path) as served,
        api.sync_playwright() as playwright,
    ):
        work = tmp_path / "server/notebooks"
        (work / ".gitattributes").write_text("*.ipynb filter=nslab-notebooks\n")
        (work / ".gitignore").write_text(".ipynb_checkpoints\n")
        git(work, "init", "--quiet")
        # as `make` sets up a checkout; without it git reads again what was saved in this second
        git(work, "config", f"filter.{FILTER}.clean", clean_filter())
        git(work, "add", "--all")
        chrome = playwright.chromium.launch(executable_path=browser, args=OPTIONS)
        page = chrome.new_page(viewport={"width": 1100, "height": 1500})
        lab = Explorer(page, served, SHOTS, api.TimeoutError)
        page.goto(served.url("/lab/tree/plain.ipynb"), timeout=WAIT)
        lab.run_all()
        cells = page.locator(".jp-CodeCell")
        cells.nth(2).locator("img").nth(1).wait_for(timeout=WAIT)
        assert [cells.nth(k).locator("img").count() for k in range(3)] == [0, 1, 2]
        assert page.get_by_text("<Figure size").count() == 0
        page.screenshot(path=SHOTS / "lab_plain.png")
        sizes = page.evaluate(
            """() => [...document.querySelectorAll('.jp-CodeCell img')].map((i) => [i.clientWidth,
            i.clientHeight, i.naturalWidth, i.naturalHeight, i.closest('.jp-Cell').clientWidth])"""
        )
        for width, height, dots, high, room in sizes:
            assert width <= room
            assert width / height == pytest.approx(dots / high, rel=0.02)
            assert dots >= 1.9 * width
        page.keyboard.press("Control+s")
        saved = work / "plain.ipynb"
        for _ in range(100):  # git is told after the file is saved
            if "image/png" in saved.read_text(encoding="utf-8") and not git(work, "diff", "--stat"):
                break
            page.wait_for_timeout(200)
        assert "image/png" in saved.read_text(encoding="utf-8")
        assert git(work, "diff", "--stat") == ""
        chrome.close()


def git(folder: Path, *words: str) -> str:
    """What git says."""
    command = ["git", *words]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True).stdout
