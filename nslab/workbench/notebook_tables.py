"""Tables as a notebook shows them: words left-aligned, numbers right-aligned, repeated words moved
to the caption."""

import html
from collections.abc import Callable, Mapping

import pandas as pd

from nslab.configs.labels import text_of
from nslab.plots.wording import dataset_words, network_words

LONG = 30  # characters above which a cell may be broken into lines
WIDTHS = {60: "15em", LONG: "9em"}  # least widths of columns with cells longer than that
WIDEST = "24em"  # largest width of such a column, so that the next ones stay in sight


def long_tailed_words(name: str) -> str:
    """The name of a data set for people, also for the long-tailed ones in the papers' tables.

    >>> long_tailed_words("cifar10_lt"), long_tailed_words("mnist")
    ('long-tailed CIFAR-10', 'MNIST')
    """
    words = dataset_words(name.removesuffix("_lt"))
    return f"long-tailed {words}" if name.endswith("_lt") else words


# Columns whose values are keys, and the functions that give their names for people.
WORDS: dict[str, Callable[[str], str]] = {
    **dict.fromkeys(("method", "loss", "strategy"), text_of),
    **dict.fromkeys(("dataset", "source_domain", "target_domain"), long_tailed_words),
    "network": network_words,
}


def drawn_table(
    table: pd.DataFrame,
    digits: int = 2,
    caption: str = "",
    headings: Mapping[str, str] | None = None,
) -> tuple[str, str]:
    """A whole table as HTML and as plain text: missing values blank, floats rounded to ``digits``,
    methods, data sets and networks by their names, columns renamed by ``headings``. Columns of
    equal words in several rows go into the caption, and blank columns are left out. Wide tables
    scroll.

    >>> runs = pd.DataFrame({"dataset": "digits", "method": ["ce", "ns_ws"], "value": [90.5, 91.0]})
    >>> print(drawn_table(runs, headings={"value": "accuracy"})[1])
    All rows: dataset: digits
    method accuracy
        CE    90.50
     NS-WS    91.00
    """
    columns: dict[str, list[str]] = {}
    numbers, alike = set(), []
    for key in table:
        name = (headings or {}).get(str(key), str(key)).replace("_", " ")
        cells = _cells(table[key], digits)
        if pd.api.types.is_numeric_dtype(table[key]):
            numbers.add(name)
        if words := WORDS.get(str(key)):
            cells = [words(cell) for cell in cells]
        if cells and not any(cells):
            continue  # a blank column
        if len(cells) > 1 and len(set(cells)) == 1 and name not in numbers:
            alike.append(f"{name}: {cells[0]}")
        else:
            columns[name] = cells
    said = "; ".join(filter(None, [caption, "all rows: " * bool(alike) + ", ".join(alike)]))
    said = said[:1].upper() + said[1:]
    plain = pd.DataFrame(columns).to_string(index=False)
    return _html(columns, numbers, said), f"{said}\n{plain}".strip("\n")


def _cells(values: pd.Series, digits: int) -> list[str]:
    """The texts of a column; without decimals if all its numbers are whole."""
    floats = [v for v in values if isinstance(v, float) and not pd.isna(v)]
    digits = 0 if all(v.is_integer() for v in floats) else digits
    return [
        "" if pd.isna(v) else f"{v:.{digits}f}" if isinstance(v, float) else str(v) for v in values
    ]


def _html(columns: Mapping[str, list[str]], numbers: set[str], said: str) -> str:
    style, heads = {}, []
    for name, cells in columns.items():
        style[name] = f"text-align: {'right' if name in numbers else 'left'}"
        longest = max(map(len, cells), default=0)
        width = next((width for length, width in WIDTHS.items() if longest > length), "")
        style[name] += f"; min-width: {width}; max-width: {WIDEST}" if width else ""
        heads.append(f'<th style="{style[name]}; white-space: normal">{html.escape(name)}</th>')
        style[name] += f"; white-space: {'normal' if width else 'nowrap'}"
    rows = []
    for texts in zip(*columns.values(), strict=True):
        row = zip(columns, texts, strict=True)
        line = "".join(f'<td style="{style[name]}">{html.escape(cell)}</td>' for name, cell in row)
        rows.append(f"<tr>{line}</tr>")
    table = f"<table><thead><tr>{''.join(heads)}</tr></thead><tbody>{''.join(rows)}</tbody></table>"
    above = f"<p>{html.escape(said)}</p>" if said else ""
    return f'{above}<div style="overflow-x: auto">{table}</div>'
