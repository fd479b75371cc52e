"""Tables as files: Markdown, CSV, a page of HTML that sorts and filters, LaTeX.

All of nslab writes tables through this module, so all commands and methods accept the same file
endings and reject the same mistakes before any work.
"""

import html
import math
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from nslab.analysis.table_page import page, picture_of, table_of
from nslab.system.files import write_text

if TYPE_CHECKING:
    import pandas as pd

FORMATS = (".md", ".csv", ".html", ".tex")
# Characters that are markup in Markdown. A _ inside a word is not, nor is a * at the end.
MARKUP = re.compile(r"[\\|<$`~\[]|\*(?!$)|(?<![^\W_])_|_(?![^\W_])|&(?=#?\w+;)")
ON_ONE_PAGE = 45  # most rows of a LaTeX table on one page; a longer table is a longtable
# Characters that LaTeX needs commands for; other characters beyond ASCII are left as they are.
TEX = {
    "\\": r"\textbackslash{}",
    **{sign: f"\\{sign}" for sign in "&%$#_{}"},
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': r"\textquotedbl{}",
    "±": r"$\pm$",
    "×": r"$\times$",
    "−": "$-$",
    "–": "--",
    "≤": r"$\leq$",
    "≥": r"$\geq$",
    "√": r"$\surd$",
    "α": r"$\alpha$",
    "β": r"$\beta$",
    "γ": r"$\gamma$",
    "ε": r"$\varepsilon$",
    "λ": r"$\lambda$",
    "ρ": r"$\rho$",
    "σ": r"$\sigma$",
    "τ": r"$\tau$",
    "…": r"\dots{}",
}


def check_file(file: Path) -> None:
    """Raise ``ValueError`` for a file that a table cannot be written to: one without an ending in
    `FORMATS`, a folder, or one without write permission. Missing folders are no error: they are
    made when the file is written."""
    if file.is_dir():
        raise ValueError(f"{file} is a folder: give a file in it, such as {file / 'table.md'}")
    if file.suffix not in FORMATS:
        raise ValueError(f"{file} must end in one of {', '.join(FORMATS)}")
    there = next(folder for folder in file.absolute().parents if folder.exists())
    if not there.is_dir():
        raise ValueError(f"{file} cannot be written: {there} is not a folder; name another place")
    if not os.access(file if file.exists() else there, os.W_OK):
        raise ValueError(f"{file} cannot be written: permission denied; name another place")


def export(
    table: "pd.DataFrame",
    file: Path,
    *,
    shown: "pd.DataFrame | None" = None,
    title: str = "",
    notes: Sequence[str] = (),
    more: Mapping[str, "pd.DataFrame"] | None = None,
    pictures: Mapping[str, bytes] | None = None,
) -> Path:
    """Write a table to a file, in the format of its ending; missing folders are made.

    ``.csv`` gets ``table`` with all digits and nothing else. The other formats are for people: they
    get ``shown`` (default: the table, with two decimals and blanks for gaps) with its ``title``,
    ``notes`` below, and ``more`` tables by their titles; ``.html`` also gets the ``pictures``
    (description -> PNG). Returns the file. Raises ``ValueError`` as `check_file` does.
    """
    check_file(file)
    if file.suffix == ".csv":
        write_text(file, written(table, ".csv"))
        return file
    tables = {title: table if shown is None else shown} | dict(more or {})
    if file.suffix == ".html":
        heads = ["", *list(tables)[1:]]  # the first title is the page's
        parts = [
            table_of(readable_cells(t), head)
            for head, t in zip(heads, tables.values(), strict=True)
        ]
        parts[1:1] = [picture_of(data, about) for about, data in (pictures or {}).items()]
        parts += [f"<p>{html.escape(note)}</p>" for note in notes]
        write_text(file, page(title or file.stem, parts))
    elif file.suffix == ".tex":
        last = len(tables) - 1
        parts = [
            _tex(t, head, notes if place == last else ())
            for place, (head, t) in enumerate(tables.items())
        ]
        write_text(file, "\n".join(parts))
    else:
        heads = [
            f"{'#' * min(2, n)} {markdown(name)}\n\n" * bool(name)
            for n, name in enumerate(tables, 1)
        ]
        parts = [head + written(t, ".md") for head, t in zip(heads, tables.values(), strict=True)]
        write_text(file, "\n".join([*parts, *(f"{markdown(note)}\n" for note in notes)]))
    return file


def written(table: "pd.DataFrame", suffix: str) -> str:
    """A table as text in the format ``suffix``: ``.csv`` with all digits; ``.md``, ``.html`` or
    ``.tex``, the table alone, with two decimals and blanks for gaps.

    >>> import pandas as pd
    >>> print(written(pd.DataFrame({"method": ["ns_ws"], "accuracy": [81.234]}), ".md"), end="")
    | method | accuracy |
    | --- | --- |
    | ns_ws | 81.23 |
    """
    if suffix == ".csv":
        return table.to_csv(index=False, lineterminator="\n")
    shown = readable_cells(table)
    if suffix == ".html":
        return table_of(shown)
    if suffix == ".tex":
        return _tabular(shown)
    rows = [list(shown.columns), ["---"] * len(shown.columns), *shown.to_numpy().tolist()]
    cells = [[markdown(cell) for cell in row] for row in rows]
    return "".join(f"| {' | '.join(row)} |\n" for row in cells)


def markdown(text: object) -> str:
    r"""Text escaped for Markdown, on one line, so that it is shown as it is.

    >>> print(markdown("ns_ws | _a_ *b* <i> $x$ +0.5*"))
    ns_ws \| \_a\_ \*b\* \<i> \$x\$ +0.5*
    """
    return MARKUP.sub(r"\\\g<0>", " ".join(str(text).split()))


def readable_cells(table: "pd.DataFrame") -> "pd.DataFrame":
    """A table with floats as text of two decimals, and blanks for gaps."""
    shown = table.map(lambda v: f"{v:.2f}" if isinstance(v, float) else v).replace("nan", "")
    return shown.astype(object).where(shown.notna(), "")


def plus_minus(mean: float, sd: float) -> str:
    """A mean with its sample standard deviation if it is known; blank without a mean.

    >>> plus_minus(81.234, 0.5), plus_minus(81.234, float("nan"))
    ('81.23 ± 0.50', '81.23')
    """
    if math.isnan(mean):
        return ""
    return f"{mean:.2f}" + ("" if math.isnan(sd) else f" ± {sd:.2f}")


def tex(text: object) -> str:
    r"""Text escaped for LaTeX: a minus before a digit is a minus sign, a last ``*`` is raised.

    >>> print(tex("ns_ws: +0.5 ± 0.1 %*"))
    ns\_ws: +0.5 $\pm$ 0.1 \%\textsuperscript{*}
    """
    escaped = "".join(TEX.get(sign, sign) for sign in str(text))
    escaped = re.sub(r"(?<![\w.$])-(?=\d)", "$-$", escaped)
    return re.sub(r"(?<=.)\*$", r"\\textsuperscript{*}", escaped)


def _tabular(shown: "pd.DataFrame", longtable: bool = False, caption: str | None = None) -> str:
    """The rows of a table with the rules of booktabs."""
    numeric = [_numeric(shown.iloc[:, place]) for place in range(shown.shape[1])]
    escaped = shown.map(tex).set_axis([tex(name) for name in shown.columns], axis=1)
    return escaped.to_latex(  # not by its header=..., whose texts it takes for format strings
        index=False,
        escape=False,
        column_format="".join("r" if number else "l" for number in numeric),
        longtable=longtable,
        caption=caption,
    )


def _numeric(column: "pd.Series") -> bool:
    """Whether the cells of a column begin with numbers, blanks aside."""
    cells = [str(cell) for cell in column if str(cell)]
    return bool(cells) and all(re.match(r"[+-]?[\d.]+", cell) for cell in cells)


def _tex(table: "pd.DataFrame", title: str, notes: Sequence[str]) -> str:
    """A LaTeX table with its caption and notes below; a longtable if it needs several pages."""
    shown = readable_cells(table)
    caption = tex(title) or None
    below = "".join(f"{tex(note)}\n\n" for note in notes)
    if len(shown) > ON_ONE_PAGE:
        body = _tabular(shown, longtable=True, caption=caption)
        return f"% \\usepackage{{booktabs,longtable}}\n{body}{below}"
    body = _tabular(shown)
    head = f"\\caption{{{caption}}}\n" if caption else ""
    foot = f"\n\\par\\smallskip\\footnotesize {below.rstrip()}\n" if notes else ""
    return (
        f"% \\usepackage{{booktabs}}\n\\begin{{table}}\n\\centering\n{head}{body}{foot}"
        "\\end{table}\n"
    )


__all__ = ["FORMATS", "check_file", "export", "plus_minus", "readable_cells", "tex", "written"]
