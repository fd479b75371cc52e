"""A short animation of the explorer for the README: sliders moved, then an evolution running."""

import io
from collections.abc import Iterator
from pathlib import Path

from panels import Explorer
from PIL import Image

WIDTH = 840  # pixels, of a page
MOST = 2_000_000  # bytes
# Sliders of the competition, and the keys that move each of them from where it stands and back.
MOVES = (
    ("competition-epoch", ["Home", *["ArrowRight"] * 6]),
    ("competition-sigma", ["ArrowRight"] * 10 + ["ArrowLeft"] * 10),
    ("competition-rho", ["ArrowLeft"] * 24 + ["ArrowRight"] * 24),
)


def filmed(explorer: Explorer) -> Iterator[tuple[Image.Image, int]]:
    """Pictures of panels as a person would see them, and how long each is shown, in ms."""
    for slider, keys in MOVES:
        explorer.handle(slider).focus()
        yield picture(explorer, "competition"), 700
        step = 1 if len(keys) < 10 else 2  # of two steps one is shown
        for number, key in enumerate(keys):
            explorer.press("competition", key)
            if number % step == 0:
                yield picture(explorer, "competition"), 500 if step == 1 else 120
    explorer.find("evolution-reset").click()
    explorer.wait_says("evolution", "ready", 60_000)
    yield picture(explorer, "evolution"), 900
    explorer.find("evolution-start").click()
    for _ in range(60):
        yield picture(explorer, "evolution"), 180
        if explorer.status("evolution").startswith("done"):
            break
    yield picture(explorer, "evolution"), 2000


def picture(explorer: Explorer, panel: str) -> Image.Image:
    """A panel as it stands in the page."""
    shot = explorer.page.locator(f".nsl-{panel}-panel").screenshot()
    found = Image.open(io.BytesIO(shot)).convert("RGB")
    return found.crop((0, 0, WIDTH, found.height))  # beyond it a panel is empty


def write_animation(explorer: Explorer, file: Path) -> int:
    """Film the explorer into a WebP that goes on for ever; the number of pictures."""
    frames, shown = [list(part) for part in zip(*filmed(explorer), strict=True)]
    height = max(frame.height for frame in frames)
    canvases = []
    for frame in frames:
        canvas = Image.new("RGB", (WIDTH, height), "white")
        canvas.paste(frame, (0, 0))
        canvases.append(canvas)
    for quality in (70, 50, 30):
        look: dict = {"duration": shown, "loop": 0, "quality": quality, "method": 4}
        canvases[0].save(file, save_all=True, append_images=canvases[1:], **look)
        if file.stat().st_size < MOST:
            break
    return len(frames)
