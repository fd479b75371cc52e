"""Titles of figures and panels: left-aligned, of the same size, wrapped to the width."""

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.textpath import text_to_path

from nslab.plots.style import TEXT, TITLE
from nslab.plots.wording import in_words

_EDGE = 0.06  # inches left free beside a title


def heading(figure: Figure, title: str, finding: str = "") -> None:
    """Set the title of a whole figure: the finding, if there is one, and on a line of its own
    ``title``, which says what is shown, with keys of data sets and networks as words (`in_words`).

    >>> figure = Figure(figsize=(8.4, 3))
    >>> heading(figure, "digits_16, lenet5, preset smoke")
    >>> figure.get_suptitle()
    'digits, 16 px, LeNet-5 (smoke: supports no claim)'
    """
    width = figure.get_figwidth()
    room = 0.97 * width - 2 * _EDGE
    if wrapped(finding, room, TITLE, bold=True) != finding:
        finding = finding.replace("; ", ";\n")  # the best places to break a line
    parts = [line for text in (finding, in_words(title)) for line in text.split("\n") if line]
    lines = [wrapped(part, room, TITLE, bold=True) for part in parts]
    if lines:
        text = figure.suptitle("\n".join(lines), x=_EDGE / width, ha="left", fontsize=TITLE)
        text.set(linespacing=1.3, fontweight="bold")


def panel_title(axes: Axes, title: str, inches: float = 0.0) -> None:
    """Set the title of a panel, at its left, broken after ``inches`` if any are given."""
    words = in_words(title)
    text = wrapped(words, inches) if inches else words
    # a moved centre title, because `Axes.get_title` returns the centre title
    axes.set_title(text, loc="center", x=0.0, ha="left", fontsize=TEXT)


def literal(text: str) -> str:
    r"""A user's text, escaped for a figure, in which a dollar sign would begin a formula.

    >>> print(literal("5 $"))
    5 \$
    """
    return text.replace("$", r"\$")


def wrapped(text: str, inches: float, size: float = TEXT, bold: bool = False) -> str:
    """A text broken at spaces into lines no wider than ``inches``, as far as its words allow.
    Formulas between dollar signs, and words around an equals sign, stay together.

    >>> wrapped("one two three", 0.6), wrapped("one n = 3", 0.5)
    ('one two\\nthree', 'one\\nn = 3')
    """
    font = FontProperties(family="DejaVu Sans", size=size, weight="bold" if bold else "normal")
    lines: list[str] = []
    for paragraph in text.split("\n"):
        line = ""
        for word in _words(paragraph):
            longer = f"{line} {word}" if line else word
            if line and _width(longer, font) > inches:
                lines.append(line)
                line = word
            else:
                line = longer
        lines.append(line)
    return "\n".join(lines)


def _words(text: str) -> list[str]:
    words: list[str] = []
    for piece in text.split(" "):
        open_formula = bool(words) and words[-1].replace(r"\$", "").count("$") % 2
        if open_formula or (words and (piece == "=" or words[-1].endswith(" ="))):
            words[-1] += f" {piece}"
        else:
            words.append(piece)
    return words


def _width(text: str, font: FontProperties) -> float:
    """The width of a text in inches."""
    width, _, _ = text_to_path.get_text_width_height_descent(text, font, ismath="$" in text)
    return float(width) / 72
