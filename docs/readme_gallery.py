"""The README's gallery: a thumbnail of each notebook and the table of them.

``make pictures`` runs this after the notebooks were executed. A notebook without a figure keeps the
thumbnail it has."""

import re

from nslab_docs.gallery import groups, picture_of
from nslab_docs.staging import ROOT

README = ROOT / "README.md"
FOLDER = "figures/readme/notebooks"
BLOCK = re.compile(r"(<!-- gallery -->\n).*?(<!-- end of gallery -->)", re.DOTALL)
COLUMNS = 5
SIZE = (300, 180)  # pixels; shown half as wide, so sharp on fine screens


def table() -> str:
    """The gallery as HTML, which GitHub shows as it is."""
    names = [(name, about["shows"]) for group in groups().values() for name, about in group.items()]
    lines = ["<table>"]
    for start in range(0, len(names), COLUMNS):
        lines.append("<tr>")
        for name, shows in names[start : start + COLUMNS]:
            picture = f'<img src="{FOLDER}/{name}.webp" width="150" alt="{shows}">'
            label = name.replace("_", "_<wbr>")
            link = f'<a href="notebooks/{name}.ipynb">{picture}<br>{label}</a>'
            lines.append(f"<td>{link}</td>")
        lines.append("</tr>")
    return "\n".join([*lines, "</table>\n"])


def renew() -> None:
    """Write thumbnails and table."""
    (ROOT / FOLDER).mkdir(exist_ok=True)
    for group in groups().values():
        for name, about in group.items():
            if image := picture_of(name, about.get("figure", ""), SIZE):
                image.save(ROOT / FOLDER / f"{name}.webp", quality=72, method=6)
            elif not (ROOT / FOLDER / f"{name}.webp").exists():
                raise SystemExit(f"{name} has no figure yet: make figures, then this")
    text = README.read_text(encoding="utf-8")
    README.write_text(BLOCK.sub(lambda m: m[1] + table() + m[2], text), encoding="utf-8")


if __name__ == "__main__":
    renew()
