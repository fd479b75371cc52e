"""A browser, JupyterLab and Voilà for the tests in this folder; they run when asked to."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from servers import ROOT, serving

SHOTS = ROOT / "figures/browser"  # not in version control
REPORT: list[str] = []


def chromium() -> str | None:
    """A Chromium or Chrome of this machine."""
    names = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
    given = os.environ.get("NSLAB_CHROMIUM")
    return given or next((path for name in names if (path := shutil.which(name))), None)


@pytest.fixture(scope="session")
def shared_home() -> Iterator[Path]:
    """Runs that the first server computes are looked up by the second one."""
    with tempfile.TemporaryDirectory(prefix="nslab-browser-") as home:
        yield Path(home)


@pytest.fixture(scope="session", params=["lab", "voila"])
def explorer(request: pytest.FixtureRequest, shared_home: Path) -> Iterator[object]:
    """The explorer, running in a page; one for all tests, which go through it in order."""
    if not os.environ.get("NSLAB_BROWSER"):
        pytest.skip("tests in a browser take minutes and run when asked to: make test-browser")
    playwright = pytest.importorskip(
        "playwright.sync_api", reason="the extra is missing: pip install -e '.[browser]'"
    )
    if request.param == "voila":
        pytest.importorskip("voila", reason="the extra is missing: pip install -e '.[browser]'")
    if not (browser := chromium()):
        pytest.skip("no Chromium here: install it, or name one in NSLAB_CHROMIUM")
    from panels import Explorer, summary

    SHOTS.mkdir(parents=True, exist_ok=True)
    options = ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
    notebook = ROOT / "notebooks/explorer.ipynb"
    with (
        tempfile.TemporaryDirectory(prefix="nslab-browser-") as folder,
        serving(request.param, notebook, Path(folder), shared_home) as served,
        playwright.sync_playwright() as started,
    ):
        chrome = started.chromium.launch(executable_path=browser, args=options)
        page = chrome.new_page(viewport={"width": 1440, "height": 1150})
        found = Explorer(page, served, SHOTS, playwright.TimeoutError)
        try:
            found.open()
        except Exception:
            page.screenshot(path=SHOTS / f"{request.param}_failed.png")
            raise
        yield found
        REPORT.extend(summary(name, values) for name, values in found.latency.items())
        busy = f"load average {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores"
        REPORT.extend([*found.remarks, f"{request.param}: {busy} at the end"])
        chrome.close()
        shutil.copy(served.log, SHOTS / f"{request.param}.log")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the latencies, and keep them beside the pictures."""
    if REPORT:
        head = f"{'key press to new pixels, ms':46} median    p90"
        terminalreporter.section(f"explorer; pictures in {SHOTS}")
        terminalreporter.write_line("\n".join([head, *REPORT]))
        (SHOTS / "latency.txt").write_text("\n".join([head, *REPORT]) + "\n")
