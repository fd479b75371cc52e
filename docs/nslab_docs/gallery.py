"""Gallery: cards of all notebooks, and their executed copies as pages.

`nslab render` executes them and keeps copies and figures; nothing is executed here. Of a notebook
without a copy the page has its source, and says so.
"""

import ast
import io
import json
import re
import textwrap
from pathlib import Path
from typing import Any

import yaml
from PIL import Image

from nslab.system.paths import figures_dir, notebooks_dir
from nslab_docs.staging import DOCS, ROOT, Stage, links_of, relinked

GALLERY = DOCS / "gallery.yaml"
THUMBNAIL = (480, 260)
WIDEST = 2.2  # of a figure, width by height: of a wider one the card has the left
RENDER = "make figures"
FORMULA = re.compile(r"(?m)^(?P<before>(?P<indent> *)[^\n]*?)\$\$(?P<tex>[^$]+)\$\$ *\n?")
WIDGETS = ("application/vnd.jupyter.widget-view+json", "application/vnd.jupyter.widget-state+json")


def groups() -> dict[str, dict[str, dict[str, str]]]:
    """Titles of groups, in reading order, to their notebooks: what each ``shows``, and its
    ``figure``. One that the file does not name, such as a new one, stands in the last group."""
    listed = yaml.safe_load(GALLERY.read_text(encoding="utf-8"))
    named = {name for group in listed.values() for name in group}
    last = listed[list(listed)[-1]]
    for file in sorted(notebooks_dir().glob("*.ipynb")):
        if file.stem not in named:
            last[file.stem] = {"shows": "", "figure": ""}
    return listed


def executed_copy(stem: str) -> Path | None:
    """The executed copy of a notebook at preset ``smoke``, if it ended well."""
    copy = figures_dir() / "smoke" / "notebooks" / f"{stem}.ipynb"
    return copy if copy.exists() and copy.with_suffix(".status.json").exists() else None


def title_and_length(stem: str) -> tuple[str, str]:
    """A notebook's title, and how long it takes at preset ``smoke`` as far as it says."""
    book = json.loads((notebooks_dir() / f"{stem}.ipynb").read_text(encoding="utf-8"))
    text = "".join(book["cells"][0]["source"])
    seconds = book["metadata"].get("nslab", {}).get("smoke_seconds", 10)
    return text.splitlines()[0].removeprefix("# "), f"about {seconds} s on one CPU core"


def cards(stage: Stage) -> str:
    """The gallery in Markdown; thumbnails and pages of notebooks are put into the stage."""
    parts, missing = [], []
    for title, notebooks in groups().items():
        lines = [f"## {title}\n", "::::{grid} 1 2 2 3", ":gutter: 3\n"]
        for stem, about in notebooks.items():
            if not notebook_page(stem, stage):
                missing.append(stem)
            lines += card(stem, about, stage)
        order = "\n".join(f"notebooks/{stem}" for stem in notebooks)
        parts += ["\n".join([*lines, "::::\n"])]
        parts += [f"```{{toctree}}\n:hidden:\n:caption: {title}\n\n{order}\n```\n"]
    if missing:
        note = (
            f"{len(missing)} notebooks have not been executed for this build, and are shown as "
            f"sources, without figures. `{RENDER}` executes them; then `make docs` shows them."
        )
        parts.insert(0, f":::{{note}}\n{note}\n:::\n")
    return "\n".join(parts)


def card(stem: str, about: dict[str, str], stage: Stage) -> list[str]:
    """One card."""
    title, length = title_and_length(stem)
    picture = thumbnail(stem, about.get("figure", ""), stage)
    lines = [f":::{{grid-item-card}} {title}", f":link: notebooks/{stem}", ":link-type: doc"]
    if picture:
        lines += [f":img-top: {picture}", f":img-alt: Figure of the notebook {stem}"]
    return [*lines, "", about.get("shows", ""), "", f"`{stem}`, {length}", ":::\n"]


def thumbnail(stem: str, figure: str, stage: Stage) -> str:
    """A small picture of a notebook's figure, staged; blank without one."""
    canvas = picture_of(stem, figure, THUMBNAIL)
    if canvas is None:
        return ""
    data = io.BytesIO()
    canvas.save(data, "PNG", optimize=True)
    stage.write(f"thumbnails/{stem}.png", data.getvalue())
    return f"thumbnails/{stem}.png"


def picture_of(stem: str, figure: str, size: tuple[int, int]) -> Image.Image | None:
    """A notebook's figure on a canvas of so many pixels; None without one. The figure may be one
    that the READMEs show, which is there without any rendering."""
    name = f"{figure or stem}.png"
    places = (figures_dir() / "smoke", ROOT / "figures" / "readme")
    file = next((place / name for place in places if (place / name).exists()), None)
    if file is None:
        return None
    with Image.open(file) as opened:
        image = opened.convert("RGB")
    width, height = image.size
    image = image.crop((0, 0, min(width, round(WIDEST * height)), min(height, width)))
    image.thumbnail(size, Image.Resampling.LANCZOS)
    canvas = Image.new("RGB", size, "white")
    canvas.paste(image, tuple((a - b) // 2 for a, b in zip(size, image.size, strict=True)))
    return canvas


def notebook_page(stem: str, stage: Stage) -> bool:
    """The page of a notebook; whether it was executed."""
    source, copy = notebooks_dir() / f"{stem}.ipynb", executed_copy(stem)
    stage.copy(source, f"downloads/{source.name}")
    book = json.loads((copy or source).read_text(encoding="utf-8"))
    page = f"notebooks/{source.name}"
    book["metadata"].pop("widgets", None)
    for cell in book["cells"]:
        prepare(cell, source, page, stage)
    note = (
        f"{{download}}`Download this notebook <../downloads/{source.name}>`, or open it in "
        "JupyterLab with `nslab lab`."
    )
    if not copy:
        note += f" It has not been executed for this build: `nslab render {stem}` does that."
    book["cells"].insert(1, markdown(note))
    stage.write(page, json.dumps(book, indent=1, ensure_ascii=False))
    return copy is not None


def markdown(text: str) -> dict[str, Any]:
    """A cell of prose."""
    return {"cell_type": "markdown", "id": "nslab-docs", "metadata": {}, "source": text}


def prepare(cell: dict[str, Any], source: Path, page: str, stage: Stage) -> None:
    """Links as the site has them, imports folded, widgets left out, pictures with their text."""
    text = "".join(cell["source"])
    if cell["cell_type"] == "markdown":
        text = FORMULA.sub(apart, text)
        cell["source"] = relinked(text, source, page, stage) if links_of(text) else text
        return
    tags = cell["metadata"].setdefault("tags", [])
    if "injected-parameters" in tags:
        tags.append("remove-cell")
    elif only_imports(text):
        tags.append("hide-input")
    words = [alternative(output) for output in cell.get("outputs", [])]
    if any(words):  # MyST-NB has one for all pictures of a cell
        shown = "; ".join(dict.fromkeys(filter(None, words)))
        cell["metadata"]["mystnb"] = {"image": {"alt": shown}}
    for output in cell.get("outputs", []):
        data = output.get("data", {})
        for kind in WIDGETS:
            data.pop(kind, None)
        if "text/plain" in data and "text/html" not in data:
            data["text/plain"] = shortened("".join(data["text/plain"]))


def alternative(output: dict[str, Any]) -> str:
    """A picture in words, as `nslab.plots.pictures` keeps them; blank for what is none."""
    if "image/png" not in output.get("data", {}):
        return ""
    words = output.get("metadata", {}).get("image/png", {}).get("alt", "figure")
    return " ".join(str(words).split())


def apart(formula: re.Match[str]) -> str:
    """A formula of its own line between empty lines: MyST, other than Jupyter, wants them."""
    indent = formula["indent"]
    body = f"\n{indent}".join(line.strip() for line in formula["tex"].strip().splitlines())
    return f"{formula['before']}\n\n{indent}$$\n{indent}{body}\n{indent}$$\n\n{indent}"


def only_imports(code: str) -> bool:
    """Whether a cell does nothing but import.

    >>> only_imports("import math"), only_imports("import math; print(math.pi)")
    (True, False)
    """
    code = re.sub(r"^%.*$", "", code, flags=re.M)
    try:
        body = ast.parse(textwrap.dedent(code)).body
    except SyntaxError:
        return False
    return bool(body) and all(isinstance(node, ast.Import | ast.ImportFrom) for node in body)


def shortened(text: str, most: int = 4000) -> str:
    """A long value in part."""
    return text if len(text) <= most else f"{text[:most]} ..."
