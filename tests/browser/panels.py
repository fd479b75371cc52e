"""The explorer in a browser: how a person would find, move and read its panels."""

import base64
import io
import json
import re
import statistics
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from servers import Served

PANELS = ("competition", "training", "evolution", "losses", "results")
READY = {
    "competition": "after epoch",
    "training": "ready",
    "evolution": "ready",
    "losses": "evolved loss",
    "results": "",
}
WAIT = 240_000  # ms; on a busy machine three small trainings and a kernel may take that long
WATCH = (Path(__file__).parent / "watch.js").read_text(encoding="utf-8")
# What JupyterLab and Voilà themselves ask for in vain: language servers, and MathJax from afar.
HARMLESS = ("/lsp/status", "mathjax", "cdn.jsdelivr", "favicon")


@dataclass
class Explorer:
    """The notebook in one page of a browser."""

    page: Any
    served: Served
    shots: Path
    timeout: type[Exception]
    complaints: list[str] = field(default_factory=list)
    latency: dict[str, list[float]] = field(default_factory=dict)
    remarks: list[str] = field(default_factory=list)

    def open(self) -> None:
        """Run the notebook and wait until every panel is ready."""
        self.page.on("console", self._console)
        self.page.on("pageerror", lambda error: self.complaints.append(f"page error: {error}"))
        lab = self.served.kind == "lab"
        self.page.goto(self.served.url("/lab/tree/explorer.ipynb" if lab else "/"), timeout=WAIT)
        if lab:
            self.run_all()
        for panel in PANELS:
            self.page.wait_for_selector(f".nsl-{panel}-figure", state="attached", timeout=WAIT)
        self.page.evaluate(WATCH)
        for panel, word in READY.items():
            self.wait_says(panel, word, WAIT)

    def run_all(self) -> None:
        """JupyterLab swallows the command until the kernel is connected: wait, then ask."""
        self.page.wait_for_selector(".jp-Notebook", timeout=WAIT)
        until = time.monotonic() + 120
        while not self._connected() and time.monotonic() < until:
            time.sleep(0.3)
        for _ in range(4):
            self.page.get_by_role("menuitem", name="Run", exact=True).click()
            self.page.get_by_text("Run All Cells", exact=True).click()
            prompt = self.page.locator(".jp-InputPrompt", has_text=re.compile(r"\[(\*|\d+)\]"))
            try:
                prompt.first.wait_for(timeout=20_000)
                return
            except self.timeout:
                continue
        raise RuntimeError("JupyterLab does not run the notebook")

    def _connected(self) -> bool:
        """Whether a kernel is idle and the page is connected to it."""
        try:
            with urllib.request.urlopen(self.served.url("/api/kernels"), timeout=10) as answer:
                kernels = json.load(answer)
        except urllib.error.HTTPError:  # as long as the kernel starts
            return False
        return any(k["connections"] and k["execution_state"] == "idle" for k in kernels)

    def _console(self, message: Any) -> None:
        where = f"{message.text} {message.location.get('url', '')}"
        if message.type == "error" and not any(word in where.lower() for word in HARMLESS):
            self.complaints.append(where)

    def find(self, name: str) -> Any:
        """What carries the class ``nsl-<name>``, scrolled into view."""
        found = self.page.locator(f".nsl-{name}")
        found.scroll_into_view_if_needed()
        return found

    def handle(self, name: str) -> Any:
        """The part of a slider that is moved."""
        return self.find(name).locator(".noUi-handle")

    def status(self, panel: str) -> str:
        """The line that a panel says."""
        return str(self.page.locator(f".nsl-{panel}-status").text_content()).strip()

    def wait_says(self, panel: str, word: str, limit: float = 20_000) -> float:
        """Milliseconds until the panel's line begins with a word."""
        ask = "([line, word, limit]) => window.nslab.says(line, word, limit)"
        took = float(self.page.evaluate(ask, [f".nsl-{panel}-status", word, limit]))
        assert took >= 0, f"{panel} never says {word!r}, but {self.status(panel)!r}"
        return took

    def picture(self, panel: str) -> int:
        """A number for the pixels of a panel's figure, once they rest."""
        ask = "(figure) => window.nslab.settled(figure)"
        return int(self.page.evaluate(ask, f".nsl-{panel}-figure"))

    def after(self, panel: str, act: Callable[[], object], limit: float = 10_000) -> int:
        """The picture that an action leads to; fails if the picture stays as it was."""
        before = self.picture(panel)
        act()
        ask = "([figure, before, limit]) => window.nslab.other(figure, before, limit)"
        return int(self.page.evaluate(ask, [f".nsl-{panel}-figure", before, limit]))

    def select(self, name: str, text: str) -> None:
        """Choose the first entry of a list that contains a text."""
        select = self.find(name).locator("select")
        texts = select.locator("option").all_inner_texts()
        plain = [entry.replace("\xa0", " ") for entry in texts]
        select.select_option(index=next(i for i, entry in enumerate(plain) if text in entry))

    def press(self, panel: str, key: str, limit: float = 5000) -> float:
        """Milliseconds from a key to other pixels in the panel's figure (-1: there were none)."""
        ask = "([figure, limit]) => { window.nslab.expect(figure, limit) }"
        self.page.evaluate(ask, [f".nsl-{panel}-figure", limit])
        self.page.keyboard.press(key)
        return float(self.page.evaluate("() => window.nslab.awaited"))

    def steps(
        self, panel: str, slider: str, keys: list[str], enough: float, about: str = ""
    ) -> list[float]:
        """Latencies of a slider moved key by key; all of them are kept for the report.

        Other work on the machine slows a browser down: of up to three rounds the quickest one
        counts, and a median below ``enough`` ends them.
        """
        name = f"{self.served.kind} {about or panel}: {slider.partition('-')[2]}"
        self.handle(slider).focus()
        self.picture(panel)
        rounds: list[list[float]] = []
        while len(rounds) < 3 and not (rounds and statistics.median(rounds[-1]) < enough):
            rounds.append([])
            for key in keys:
                rounds[-1].append(self.press(panel, key))
                self.picture(panel)
        self.latency[name] = [number for part in rounds for number in part]
        return min(rounds, key=statistics.median)

    def drag(self, slider: str, pixels: float) -> None:
        """Pull a slider's handle with the mouse, in small moves."""
        box = self.handle(slider).bounding_box()
        assert box is not None
        x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
        self.page.mouse.move(x, y)
        self.page.mouse.down()
        for i in range(1, 11):
            self.page.mouse.move(x + pixels * i / 10, y)
        self.page.mouse.up()

    def filmed(self, panel: str, slider: str, keys: list[str]) -> list[np.ndarray]:
        """The panel's figure in every frame that reached the screen, in grey levels, while a slider
        is moved by keys in quick succession."""
        self.find(f"{panel}-figure")
        self.handle(slider).focus()
        self.picture(panel)
        box = self.page.locator(f".nsl-{panel}-figure").bounding_box()
        assert box is not None
        x, y, w, h = (max(0, int(box[key])) for key in ("x", "y", "width", "height"))
        film, session = [], self.page.context.new_cdp_session(self.page)

        def keep(frame: dict[str, Any]) -> None:
            film.append(frame["data"])
            session.send("Page.screencastFrameAck", {"sessionId": frame["sessionId"]})

        session.on("Page.screencastFrame", keep)
        session.send("Page.startScreencast", {"format": "png", "everyNthFrame": 1})
        for key in keys:
            self.page.keyboard.press(key)
            self.page.wait_for_timeout(40)
        self.page.wait_for_timeout(500)
        session.send("Page.stopScreencast")
        session.detach()
        whole = (Image.open(io.BytesIO(base64.b64decode(data))).convert("L") for data in film)
        return [np.asarray(picture)[y : y + h, x : x + w] for picture in whole]

    def height(self, panel: str) -> float:
        """Of the whole panel, in pixels."""
        box = self.page.locator(f".nsl-{panel}-panel").bounding_box()
        assert box is not None
        return float(box["height"])

    def shoot(self, name: str, panel: str) -> Path:
        """Keep a picture of a panel as it stands in the page."""
        file = self.shots / f"{self.served.kind}_{name}.png"
        self.picture(panel)
        self.page.locator(f".nsl-{panel}-panel").screenshot(path=file)
        return file


def summary(name: str, values: list[float]) -> str:
    """Median and 90th percentile of latencies."""
    ordered = sorted(values)
    late = ordered[min(len(ordered) - 1, round(0.9 * len(ordered)))]
    return f"{name:46} {statistics.median(ordered):6.0f} {late:6.0f}   {len(values)} steps"
