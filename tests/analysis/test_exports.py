"""Tables as files, in every format, and the page that sorts and filters."""

import html.parser
import re
import shutil
import subprocess
from pathlib import Path

import pandas as pd
import pytest

from nslab.analysis.exports import FORMATS, check_file, export, tex

TABLE = pd.DataFrame(
    {
        "method_name": ["ns_ws", "<b>x</b> & y", "50 % | z"],
        "ours": ["81.90 ± 0.20 (n = 3)", "80.00", ""],
        "minus ce": ["+1.90 ± 0.10 (n = 3)*", "-0.50", ""],
        "n": [3, 1, 0],
    }
)
NOTE = "* Excludes 0; not corrected."


class Balanced(html.parser.HTMLParser):
    """Reads a page and keeps its cells, tags that load something, and what is open."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.cells: list[str] = []
        self.loads: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """A tag begins."""
        self.loads += [str(v) for k, v in attrs if k in ("src", "href")]
        if tag not in ("meta", "input", "img"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        """A tag ends, the last that began."""
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        """Text."""
        if self.open and self.open[-1] == "td":
            self.cells.append(data)


def test_each_format(tmp_path: Path) -> None:
    """All digits in CSV; title, table and notes in the others, with nothing taken for markup."""
    raw = pd.DataFrame({"method": ["a"], "value": [1.23456789]})
    files = {s: tmp_path / "made" / f"t{s}" for s in FORMATS}
    for file in files.values():
        assert export(raw, file, shown=TABLE, title="A & B", notes=[NOTE]) == file
    pd.testing.assert_frame_equal(pd.read_csv(files[".csv"]), raw)
    text = files[".md"].read_text(encoding="utf-8")
    assert text.startswith("# A & B\n\n| method_name | ours |")
    assert text.endswith(f"\n\n\\{NOTE}\n")
    assert "50 % \\| z" in text
    page = Balanced(files[".html"].read_text(encoding="utf-8"))
    assert page.open == []
    assert page.loads == []  # nothing of a network
    assert page.cells == [str(v) for row in TABLE.to_numpy().tolist() for v in row if str(v)]
    lines = files[".tex"].read_text(encoding="utf-8").splitlines()
    assert "% \\usepackage{booktabs}" in lines
    assert {"\\toprule", "\\midrule", "\\bottomrule", "\\caption{A \\& B}"} <= set(lines)
    rows = [line for line in lines if line.endswith("\\\\")]
    assert rows[0] == "method\\_name & ours & minus ce & n \\\\"
    assert rows[1].startswith(
        "ns\\_ws & 81.90 $\\pm$ 0.20 (n = 3) & +1.90 $\\pm$ 0.10 (n = 3)\\text"
    )
    assert "\\begin{tabular}{lrrr}" in lines
    assert any("* Excludes 0" in line for line in lines)


def test_markdown_shows_names_as_typed(tmp_path: Path) -> None:
    """Each on its line: what would be markup is escaped, in cells, title and notes."""
    names = ["a|b", "x\ny", "<b>", "_i_", "*e*", "$x$", "`c`", "[l](u)", "&lt;", "ns_ws", "R & D"]
    table = pd.DataFrame({"method": names, "minus a|b": ["+0.50*"] * len(names)})
    text = export(table, tmp_path / "x.md", title="a <b>", notes=["_n_"]).read_text()
    names[:2] = [r"a\|b", "x y"]
    names[2:9] = [r"\<b>", r"\_i\_", r"\*e*", r"\$x\$", r"\`c\`", r"\[l](u)", r"\&lt;"]
    rows = [rf"| {name} | +0.50* |" for name in names]
    rows = [r"| method | minus a\|b |", "| --- | --- |", *rows]
    assert text.splitlines() == [r"# a \<b>", "", *rows, "", r"\_n\_"]


def test_a_long_table_goes_over_pages(tmp_path: Path) -> None:
    """By longtable, with caption and notes."""
    long = pd.DataFrame({"row": [f"r_{i}" for i in range(90)], "v": [i / 7 for i in range(90)]})
    text = export(long, tmp_path / "x.tex", title="All", notes=[NOTE]).read_text()
    assert "\\begin{longtable}" in text
    assert "\\caption{All}" in text
    assert "r\\_89 & 12.71" in text
    assert "not corrected" in text


def test_several_tables_and_a_picture(tmp_path: Path) -> None:
    """Each below its title; pictures in the page alone, with words for them."""
    more = {"The grid": TABLE}
    kinds = {s: export(TABLE, tmp_path / f"x{s}", title="First", more=more,
                       pictures={"dots & bars": b"png"}).read_text() for s in FORMATS}  # fmt: skip
    assert kinds[".md"].count("| method_name |") == kinds[".html"].count("<table>") == 2
    assert kinds[".tex"].count("\\begin{tabular}") == 2
    assert "<h1>First</h1>" in kinds[".html"]
    assert "<h2>First</h2>" not in kinds[".html"]
    assert 'alt="dots &amp; bars"' in kinds[".html"]
    assert kinds[".csv"].count("method_name") == 1


@pytest.mark.parametrize("word", ["50 % of a_b & c#d $e$ {f} ~g ^h \\i <j> |k| ±σ×ρ"])
def test_latex_has_no_commands_of_a_table(word: str) -> None:
    """Each sign that LaTeX reads as a command is escaped."""
    plain = re.sub(r"\\text\w+\{\}|\$\\?\w+\$|\\[&%$#_{}]", "", tex(word))
    assert not set(plain) & set("&%$#_{}~^\\<>|±σ×ρ")


@pytest.mark.skipif(not shutil.which("pdflatex"), reason="there is no pdflatex")
def test_latex_compiles(tmp_path: Path) -> None:
    """What is written can be set."""
    body = export(TABLE, tmp_path / "x.tex", title="A & B", notes=[NOTE]).read_text()
    document = "\\documentclass{article}\\usepackage{booktabs,longtable}\\begin{document}"
    (tmp_path / "d.tex").write_text(f"{document}\n{body}\\end{{document}}")
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "d.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("", "is a folder: give a file in it, such as .*table.md"),
        ("x.xlsx", "must end in one of .md, .csv, .html, .tex"),
        ("plain", "must end in one of"),
        ("file.md/x.md", "is not a folder"),
    ],
)
def test_what_cannot_be_written_is_refused(tmp_path: Path, name: str, message: str) -> None:
    """Before any work."""
    (tmp_path / "file.md").touch()
    with pytest.raises(ValueError, match=message):
        check_file(tmp_path / name)
