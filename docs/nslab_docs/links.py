"""Links of a built site: those inside lead to a page and an anchor; outside ones are listed."""

from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

VOID = {"search.html"}  # its anchors are made by a script
PARTS = "_static"  # of the theme: no pages


class Page(HTMLParser):
    """The links and the anchors of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.links: list[str] = []
        self.anchors: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Take what a tag names and what it leads to."""
        for name, value in attrs:
            if name in ("href", "src") and value:
                self.links.append(value)
            elif name == "id" or (name == "name" and tag == "a"):
                self.anchors.add(value or "")


def pages_of(folder: Path) -> list[Path]:
    """The pages of a site."""
    found = sorted(folder.rglob("*.html"))
    return [file for file in found if PARTS not in file.relative_to(folder).parts]


def check(folder: Path) -> tuple[list[str], dict[str, str]]:
    """What is wrong with the links of the site in a folder, and the links that lead outside, each
    with a page that has it. Scripts and styles loaded from elsewhere are wrong: it works offline.
    """
    pages = {}
    for file in pages_of(folder):
        pages[file.resolve()] = page = Page()
        page.feed(file.read_text(encoding="utf-8"))
    wrong, outside = [], {}
    for file, page in pages.items():
        name = file.relative_to(folder.resolve()).as_posix()
        for link in page.links:
            parts = urlsplit(link)
            if parts.scheme == "data":
                continue
            if parts.scheme or parts.netloc:
                outside.setdefault(link, name)
                continue
            path = unquote(parts.path)
            target = (file.parent / path).resolve() if path else file
            target = target / "index.html" if target.is_dir() else target
            if not target.exists():
                wrong.append(f"{name}: {link} is not there")
            elif parts.fragment and target in pages:
                anchor = unquote(parts.fragment)
                if anchor not in pages[target].anchors and target.name not in VOID:
                    wrong.append(f"{name}: {link} has no such anchor")
    return sorted(set(wrong)), outside


def loaded_from_elsewhere(folder: Path) -> list[str]:
    """Scripts, styles and pictures that a page would fetch from another site."""

    class Loads(HTMLParser):
        def __init__(self) -> None:
            super().__init__()
            self.found: list[str] = []

        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            given = dict(attrs)
            link = given.get("src") or (given.get("href") if tag == "link" else None) or ""
            known = given.get("rel") in ("canonical", "author")
            if urlsplit(link).netloc and not known:
                self.found.append(link)

    found = set()
    for file in pages_of(folder):
        page = Loads()
        page.feed(file.read_text(encoding="utf-8"))
        found |= {f"{file.name}: {link}" for link in page.found}
    return sorted(found)
