"""Build the site: ``make docs``, or ``python docs/make.py --as-is`` without executing notebooks.

Notebooks that were not executed as they are now are rendered first; sources, executed copies and
generated pages are staged in ``build/docs/source``, Sphinx makes ``build/docs/html`` of them with
warnings as errors, and every link of it is followed, those that leave the site listed.
"""

import argparse
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from nslab_docs import api, commands, gallery, links, tables
from nslab_docs.staging import ROOT, Stage, project_file, stage_sources
from sphinx.cmd.build import main as sphinx_build

BUILD = ROOT / "build" / "docs"


def stage(folder: Path, packages: Sequence[str]) -> None:
    """Everything that Sphinx reads."""
    into = Stage(folder)
    marks = {
        "gallery": lambda page: gallery.cards(into),
        "public names": lambda page: api.public_names(),
        "packages": lambda page: api.stage_api(into, packages),
        "commands": lambda page: commands.reference(),
        "headlines": lambda page: tables.headlines(),
        "claims": lambda page: tables.claims(),
        "equations": lambda page: tables.equations(),
    }

    def fill(page: str, text: str) -> str:
        for mark, make in marks.items():
            if (line := f"<!-- generated: {mark} -->") in text:
                text = text.replace(line, make(page))
        while "<!-- file: " in text:
            before, _, rest = text.partition("<!-- file: ")
            name, _, after = rest.partition(" -->")
            text = before + project_file(name, page, into) + after
        return text

    stage_sources(into, fill)
    into.finish()


def build(folder: Path = BUILD, *, jobs: int = 1, packages: Sequence[str] = api.PACKAGES) -> int:
    """Stage, build, follow the links; 0 if all is well. With some ``packages`` alone the reference
    has those, and names of others are no links."""
    stage(folder / "source", packages)
    html = folder / "html"
    words = ["-W", "--keep-going", "-q", "-b", "html", "-j", str(jobs)]
    words += ["-D", f"nslab_partial={int(packages != api.PACKAGES)}"]
    words += ["-d", str(folder / "doctrees"), str(folder / "source"), str(html)]
    if status := sphinx_build(words):
        return status
    wrong, outside = links.check(html)
    wrong += links.loaded_from_elsewhere(html)
    (folder / "external-links.txt").write_text("".join(f"{link}\n" for link in sorted(outside)))
    for line in wrong:
        print(line, file=sys.stderr)
    print(f"{html / 'index.html'}: {len(wrong) or 'no'} dead links, {len(outside)} lead elsewhere")
    return int(bool(wrong))


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--as-is", action="store_true", help="execute no notebook")
    parser.add_argument("--jobs", type=int, default=2, help="processes at once")
    given = parser.parse_args()
    if not given.as_is:
        command = [sys.executable, "-P", "-m", "nslab.cli", "render", "--missing"]
        done = subprocess.run([*command, "--jobs", str(given.jobs)], check=False)
        if done.returncode:
            print("some notebooks failed: their pages show the sources", file=sys.stderr)
    return build(jobs=given.jobs)


if __name__ == "__main__":
    sys.exit(main())
