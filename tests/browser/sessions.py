"""One browser and one server for a while, with the explorer open and ready."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from panels import Explorer, summary
from servers import ROOT, serving

SHOTS = ROOT / "figures/browser"  # not in version control
HEAD = f"{'key press to new pixels, ms':46} median    p90"
OPTIONS = ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]


def chromium() -> str | None:
    """A Chromium or Chrome of this machine."""
    names = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
    given = os.environ.get("NSLAB_CHROMIUM")
    return given or next((path for name in names if (path := shutil.which(name))), None)


@contextmanager
def opened(kind: str, browser: str, home: Path, report: list[str]) -> Iterator[Explorer]:
    """The explorer, run in ``lab`` or ``voila``; latencies and remarks go to the report."""
    from playwright.sync_api import TimeoutError as TooLate
    from playwright.sync_api import sync_playwright

    SHOTS.mkdir(parents=True, exist_ok=True)
    with (
        tempfile.TemporaryDirectory(prefix="nslab-browser-") as folder,
        serving(kind, ROOT / "notebooks/explorer.ipynb", Path(folder), home) as served,
        sync_playwright() as playwright,
    ):
        chrome = playwright.chromium.launch(executable_path=browser, args=OPTIONS)
        page = chrome.new_page(viewport={"width": 1440, "height": 1150})
        found = Explorer(page, served, SHOTS, TooLate)
        try:
            found.open()
        except Exception:
            page.screenshot(path=SHOTS / f"{kind}_failed.png")
            raise
        yield found
        report += [summary(name, values) for name, values in found.latency.items()]
        busy = f"load average {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores"
        report += [*found.remarks, f"{kind}: {busy} at the end"]
        chrome.close()
        shutil.copy(served.log, SHOTS / f"{kind}.log")
