"""An HTML page with tables that can be sorted and filtered, in one file that needs no network."""

import base64
import html
from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; margin: 1.5rem auto; max-width: 90rem; color: #222;
  padding: 0 1rem; background: #fff; }
h1 { font-size: 1.4rem; } h2 { font-size: 1.1rem; margin: 1.5rem 0 .3rem; }
img { max-width: 100%; height: auto; }
.tools { display: flex; gap: 1rem; align-items: baseline; margin: .5rem 0; }
.tools input { font: inherit; padding: .2rem .5rem; width: 20rem; max-width: 60vw; }
.tools span { color: #666; }
.scroll { overflow: auto; max-height: 85vh; border: 1px solid #ddd; }
table { border-collapse: collapse; width: 100%; }
th, td { padding: .25rem .6rem; text-align: left; vertical-align: top;
  border-bottom: 1px solid #e4e4e4; font-variant-numeric: tabular-nums; }
th { position: sticky; top: 0; background: #f3f3f3; white-space: nowrap; }
th button { all: unset; cursor: pointer; font-weight: 600; }
th button:focus-visible { outline: 2px solid #0173b2; }
th[aria-sort=ascending] button::after { content: " \\25B2"; }
th[aria-sort=descending] button::after { content: " \\25BC"; }
th.n, td.n { text-align: right; white-space: nowrap; }
tbody tr:hover { background: #f8f8f4; }
@media print { .tools { display: none } .scroll { max-height: none; border: 0 } }
"""
# Sorts by a column when its heading is clicked, numbers by value, and filters rows by words.
SCRIPT = """
for (const table of document.querySelectorAll("table")) {
  const body = table.tBodies[0], rows = [...body.rows], heads = [...table.tHead.rows[0].cells];
  const text = (row, i) => row.cells[i].textContent.trim();
  const number = s => { const m = /^[+\\-\\u2212]?[\\d.,]*\\d(e[+\\-]?\\d+)?/i.exec(s);
    return m ? parseFloat(m[0].replace(/\\u2212/, "-").replace(/,/g, "")) : NaN; };
  heads.forEach((head, i) => {
    const cells = rows.map(row => text(row, i)).filter(s => s);
    const numeric = 2 * cells.filter(s => !isNaN(number(s))).length > cells.length;
    if (numeric) [head, ...rows.map(row => row.cells[i])].forEach(c => c.classList.add("n"));
    head.querySelector("button").addEventListener("click", () => {
      const down = head.getAttribute("aria-sort") === "ascending";
      heads.forEach(other => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", down ? "descending" : "ascending");
      const compare = (a, b) => {
        const x = text(a, i), y = text(b, i);
        const none = s => !s || (numeric && isNaN(number(s)));
        if (none(x) || none(y)) return none(x) - none(y);  // blanks stay below
        const order = numeric ? number(x) - number(y)
          : x.localeCompare(y, undefined, {numeric: true});
        return down ? -order : order;
      };
      body.append(...[...rows].sort(compare));
    });
  });
  const tools = table.closest("section").querySelector(".tools");
  const [input, count] = [tools.querySelector("input"), tools.querySelector("span")];
  const filter = () => {
    const words = input.value.toLowerCase().split(/\\s+/).filter(Boolean);
    let shown = 0;
    for (const row of rows) {
      const all = row.textContent.toLowerCase();
      row.hidden = !words.every(word => all.includes(word));
      shown += !row.hidden;
    }
    count.textContent = `${shown} of ${rows.length} rows`;
  };
  input.addEventListener("input", filter);
  filter();
}
"""


def page(title: str, parts: Iterable[str]) -> str:
    """The HTML page with a title and ``parts``, which are HTML already."""
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8">\n'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{html.escape(title)}</title>\n<style>{STYLE}</style></head>\n<body>\n"
        f"<h1>{html.escape(title)}</h1>\n{''.join(parts)}<script>{SCRIPT}</script>\n"
        "</body></html>\n"
    )


def table_of(shown: "pd.DataFrame", title: str = "") -> str:
    """A table of texts as a section of the page; markup in its cells is escaped."""
    said = [f"<th scope=col><button>{html.escape(str(name))}</button></th>" for name in shown]
    lines = [
        f"<tr>{''.join(f'<td>{html.escape(str(cell))}</td>' for cell in row)}</tr>\n"
        for row in shown.to_numpy().tolist()
    ]
    head = f"<h2>{html.escape(title)}</h2>\n" if title else ""
    return (
        f'<section>{head}<div class=tools><input type=search placeholder="only rows with ..." '
        'aria-label="only rows with these words"><span></span></div>\n'
        f"<div class=scroll><table><thead><tr>{''.join(said)}</tr></thead>\n"
        f"<tbody>\n{''.join(lines)}</tbody></table></div></section>\n"
    )


def picture_of(png: bytes, about: str) -> str:
    """A picture embedded in the page; ``about`` describes it for those who cannot see it."""
    data = base64.b64encode(png).decode()
    return f'<p><img src="data:image/png;base64,{data}" alt="{html.escape(about)}"></p>\n'
