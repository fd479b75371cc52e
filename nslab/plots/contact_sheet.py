"""Contact sheet: all figures stored for a preset, at the width at which a page shows them."""

import base64
import html
import json
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from nslab.plots.legibility import DPI, PAGE
from nslab.system.files import write_text
from nslab.system.paths import figures_dir
from nslab.system.validation import unknown

FORMATS = (".html", ".png")
SAVED_DPI = 150
_MARGIN, _LINE = 24, 18  # pixels
_STYLE = """body {max-width: 880px; margin: 2em auto; font: 15px/1.4 sans-serif; color: #222}
figure {margin: 0 0 2.5em; border-top: 1px solid #ccc; padding-top: .6em}
img {display: block; max-width: 100%; margin-top: .4em} .fault {color: #a40000}"""


@dataclass(frozen=True)
class KeptFigure:
    """A stored figure: its file, its width in inches, the number of runs behind it, and what is
    hard to read in it, see `nslab.plots.legibility.faults`."""

    png: Path
    inches: float
    runs: int
    faults: tuple[str, ...]

    @property
    def caption(self) -> str:
        """Its name and its number of runs."""
        return f"{self.png.stem}: {self.runs or 'no'} run{'' if self.runs == 1 else 's'}"


def kept_figures(preset: str) -> list[KeptFigure]:
    """The figures in ``figures/<preset>``, sorted by name; ``ValueError`` if there are none."""
    folder = figures_dir() / preset
    found = [_kept(png) for png in sorted(folder.glob("[!.]*.png"))]
    if not found:
        there = sorted(p.name for p in figures_dir().glob("*") if any(p.glob("*.json")))
        raise ValueError(
            f"no figures in {folder}: `nslab render --preset {preset}` draws them"
            + (f"; there are some of {', '.join(there)}" if there else "")
        )
    return found


def _kept(png: Path) -> KeptFigure:
    with Image.open(png) as picture:
        inches = picture.width / SAVED_DPI
    try:
        about = json.loads(png.with_suffix(".json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        about = {}
    faults = list(about.get("faults", ()))
    if inches > PAGE + 0.01 and not any(fault.startswith("wider") for fault in faults):
        faults.append(f"wider than the page: {inches:.1f} inches")
    return KeptFigure(png, inches, len(about.get("runs", ())), tuple(faults))


def write_sheet(figures: list[KeptFigure], file: Path, title: str) -> Path:
    """Write a contact sheet as ``.html`` (one file with all pictures) or ``.png``, and return the
    file. Raises ``ValueError`` for another ending."""
    if file.suffix not in FORMATS:
        raise unknown("format of a contact sheet", file.suffix, FORMATS)
    if file.suffix == ".html":
        write_text(file, _page(figures, title))
    else:
        file.parent.mkdir(parents=True, exist_ok=True)
        _picture(figures, title).save(file)
    return file


def _page(figures: list[KeptFigure], title: str) -> str:
    parts = []
    for one in figures:
        png = base64.b64encode(one.png.read_bytes()).decode()
        odd = "".join(f'<div class="fault">{html.escape(fault)}</div>' for fault in one.faults)
        parts.append(
            f"<figure><figcaption><b>{html.escape(one.caption)}</b>{odd}</figcaption>"
            f'<img alt="{html.escape(one.png.stem)}" width="{round(one.inches * DPI)}" '
            f'src="data:image/png;base64,{png}"></figure>'
        )
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{html.escape(title)}</title>'
        f"<style>{_STYLE}</style><h1>{html.escape(title)}</h1>{''.join(parts)}</html>\n"
    )


def _picture(figures: list[KeptFigure], title: str) -> Image.Image:
    pictures = []
    for one in figures:
        with Image.open(one.png) as whole:
            width = round(one.inches * DPI)
            size = (width, round(whole.height * width / whole.width))
            pictures.append(whole.convert("RGB").resize(size, Image.Resampling.LANCZOS))
    captions = [[one.caption, *one.faults] for one in figures]
    heights = [len(c) * _LINE + p.height for c, p in zip(captions, pictures, strict=True)]
    wide = max(round(PAGE * DPI), *(picture.width for picture in pictures)) + 2 * _MARGIN
    sheet = Image.new("RGB", (wide, sum(heights) + _MARGIN * (len(heights) + 3)), "white")
    pen, font, y = ImageDraw.Draw(sheet), ImageFont.load_default(14), _MARGIN
    pen.text((_MARGIN, y), title, "black", ImageFont.load_default(20))
    for caption, picture in zip(captions, pictures, strict=True):
        y += _MARGIN
        pen.line((_MARGIN, y + 6, wide - _MARGIN, y + 6), "lightgrey")
        y += _MARGIN // 2
        for k, line in enumerate(caption):
            pen.text((_MARGIN, y), line, "firebrick" if k else "black", font)
            y += _LINE
        sheet.paste(picture, (_MARGIN, y))
        y += picture.height
    return sheet.crop((0, 0, wide, y + _MARGIN))
