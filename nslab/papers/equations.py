"""Find where an equation of a paper is computed: ``python -m nslab.papers NS 7``.

A line that computes an equation carries a tag such as ``[NS Eq. 7]`` or ``[NS Alg. 1]`` in a
comment or docstring. ``nslab/papers/<paper>/equations.csv`` lists what a paper has, and a test
holds the two together.
"""

import csv
import re
import sys
from pathlib import Path
from typing import NamedTuple

from nslab.system.filenames import checked_filename
from nslab.system.paths import PACKAGE, papers_dir

TAG = re.compile(r"\[(NS|DE|EDL) (Eq|Alg|Fig|Prop)\. (S?[0-9]+[a-z]?)\]")


class Place(NamedTuple):
    """A tagged line: paper, kind (``Eq``, ``Alg``, ...) and number of the tag; file and line."""

    paper: str
    kind: str
    number: str
    file: Path
    line: int

    @property
    def where(self) -> str:
        """The file's path relative to the folder that holds the package."""
        return self.file.relative_to(PACKAGE.parent).as_posix()


def places(root: Path | None = None) -> list[Place]:
    """All tagged lines below ``root`` (default: the package), in order of file and line."""
    root = root or PACKAGE
    found = []
    for file in sorted(root.rglob("*.py")):
        if file.name == Path(__file__).name:
            continue
        for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), start=1):
            found += [Place(t[1], t[2], t[3], file, number) for t in TAG.finditer(line)]
    return found


def equations_of(paper: str) -> list[dict[str, str]]:
    """Rows of a paper's ``equations.csv``: kind, number, statement, computed (yes/no), note."""
    file = papers_dir() / checked_filename(paper, "paper").lower() / "equations.csv"
    with file.open(encoding="utf-8", newline="") as lines:
        return list(csv.DictReader(lines))


def main(args: list[str]) -> int:
    """Print ``file:line`` for the tags of a paper, all or those of one number.

    Returns the exit status: 1 if there are none, 2 for wrong arguments.
    """
    if not 1 <= len(args) <= 2 or args[0].upper() not in ("NS", "DE", "EDL"):
        print("usage: python -m nslab.papers NS|DE|EDL [NUMBER]", file=sys.stderr)
        return 2
    hits = [
        p for p in places() if p.paper == args[0].upper() and p.number in (args[1:] or [p.number])
    ]
    for place in hits:
        print(f"{place.where}:{place.line}\t{place.paper} {place.kind}. {place.number}")
    if not hits:
        print(f"no line is tagged with {' '.join(args)}", file=sys.stderr)
    return 0 if hits else 1
