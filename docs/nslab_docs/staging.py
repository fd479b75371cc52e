"""Staging: the folder that Sphinx reads, made of ``docs/``, notebooks and the project's own files.

Sources link as they do on a code host, by relative path: to another page of ``docs/``, a notebook,
or a file of the project. Here each link is led to the page that the site has of it; a file that
has none becomes plain text.
"""

import os
import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
LINK = re.compile(r"(?P<picture>!?)\[(?P<text>(?:[^\[\]]|\[[^\]]*\])*)\]\((?P<to>[^()\s]+)\)")
FENCE = re.compile(r"^(?P<marks>`{3,}|~{3,})(?P<about>[^\n]*)\n.*?^(?P=marks)[ \t]*$", re.M | re.S)
# The project's own files that are pages, by the page they are shown on.
PAGES = {
    "README.md": "index.md",
    "notebooks/README.md": "notebooks.md",
    "CHANGELOG.md": "project/changelog.md",
    "CONTRIBUTING.md": "project/contributing.md",
    "SECURITY.md": "project/security.md",
    "CITATION.cff": "project/citation.md",
    "benchmarks/README.md": "explanation/costs.md",
    "data/results/README.md": "explanation/results.md",
}
SKIPPED = {"__pycache__", "nslab_docs", "gallery.yaml"}


@dataclass
class Stage:
    """The folder that is made, and what has been put into it so far."""

    folder: Path
    put: set[Path] = field(default_factory=set)

    def write(self, name: str, content: str | bytes) -> None:
        """A file, touched only if it differs: Sphinx reads again what is newer."""
        file, data = self.folder / name, content.encode() if isinstance(content, str) else content
        self.put.add(file)
        if not file.exists() or file.read_bytes() != data:
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(data)

    def copy(self, source: Path, name: str) -> str:
        """A copy of a file, and its name."""
        self.write(name, source.read_bytes())
        return name

    def finish(self) -> None:
        """Remove what an earlier build left and this one does not have."""
        for file in sorted(self.folder.rglob("*"), reverse=True):
            if file.is_file() and file not in self.put:
                file.unlink()
            elif file.is_dir() and not any(file.iterdir()):
                shutil.rmtree(file)


def outside_fences(text: str, change: Callable[[str], str]) -> str:
    """Markdown with its prose changed and its blocks of code as they are."""
    parts, end = [], 0
    for fence in FENCE.finditer(text):
        if fence["about"].strip().startswith("{"):  # a directive: prose too
            continue
        parts += [change(text[end : fence.start()]), fence[0]]
        end = fence.end()
    return "".join([*parts, change(text[end:])])


def links_of(text: str) -> list[str]:
    """Where the links and pictures of a Markdown text lead, code left out."""
    found: list[str] = []

    def collect(prose: str) -> str:
        found.extend(match["to"] for match in LINK.finditer(prose))
        return prose

    outside_fences(text, collect)
    return found


def is_external(link: str) -> bool:
    """Whether a link leads to another site."""
    return re.match(r"[a-z]+:", link) is not None


def relinked(text: str, source: Path, page: str, stage: Stage) -> str:
    """The text of the project's file ``source`` with its links as they must be on ``page``."""
    here = os.path.dirname(page)

    def changed(match: re.Match[str]) -> str:
        link, mark, anchor = match["to"].partition("#")
        if is_external(match["to"]) or not link:
            return match[0]
        target = Path(os.path.normpath(source.parent / link))
        if not target.exists():
            raise FileNotFoundError(f"{source.relative_to(ROOT)} links {link}, which is not there")
        name = target.relative_to(ROOT).as_posix()
        if match["picture"]:
            inside = target.is_relative_to(DOCS)
            kept = name.removeprefix("docs/") if inside else f"pictures/{target.name}"
            stage.copy(target, kept)
            return f"![{match['text']}]({os.path.relpath(kept, here)})"
        if target.is_relative_to(DOCS):
            there = name.removeprefix("docs/")
        elif name in PAGES:
            there = PAGES[name]
        elif target.suffix == ".ipynb" and target.parent == ROOT / "notebooks":
            there = f"notebooks/{target.name}"
        elif target.suffix == ".py" and target.is_relative_to(ROOT / "nslab"):
            module = name.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
            return f"{{py:mod}}`{match['text'].strip('`')} <{module}>`"
        else:
            return match["text"]
        kept_anchor = mark + anchor if name != "README.md" else ""
        return f"[{match['text']}]({os.path.relpath(there, here)}{kept_anchor})"

    return outside_fences(text, lambda prose: LINK.sub(changed, prose))


def stage_sources(stage: Stage, fill: Callable[[str, str], str]) -> None:
    """The sources of ``docs/``; ``fill`` puts what is generated into a page's text."""
    for file in sorted(DOCS.rglob("*")):
        name = file.relative_to(DOCS).as_posix()
        if not file.is_file() or SKIPPED.intersection(name.split("/")):
            continue
        if file.suffix == ".py" and name != "conf.py":
            continue
        if file.suffix == ".md":
            text = relinked(file.read_text(encoding="utf-8"), file, name, stage)
            stage.write(name, fill(name, text))
        else:
            stage.copy(file, name)


def project_file(name: str, page: str, stage: Stage) -> str:
    """One of the project's own files as part of a page."""
    file = ROOT / name
    return relinked(file.read_text(encoding="utf-8"), file, page, stage)
