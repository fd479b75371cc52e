"""The site: its sources name everything, lead somewhere and show commands that exist; it builds."""

import json
import re
import shlex
import shutil
from importlib.util import find_spec
from pathlib import Path

import pytest
import yaml
from nslab_docs import commands, gallery, links
from nslab_docs.staging import DOCS, PAGES, ROOT, Stage, is_external, links_of, relinked
from typer.testing import CliRunner

import nslab
from nslab.cli import app
from nslab.workbench.notebooks import Planned, sources

PAGES_OF_DOCS = sorted(DOCS.rglob("*.md"))
SHELL = re.compile(r"^```sh\n(.*?)^```", re.M | re.S)
THEME = ("sphinx", "myst_nb", "pydata_sphinx_theme", "sphinx_design", "sphinx_copybutton")


def short(file: Path) -> str:
    """A page's name in test ids."""
    return file.relative_to(DOCS).as_posix()


def test_the_gallery_has_every_notebook() -> None:
    """Once, with a sentence, in groups of reading order."""
    listed = yaml.safe_load(gallery.GALLERY.read_text(encoding="utf-8"))
    named = [name for group in listed.values() for name in group]
    assert sorted(named) == [file.stem for file in sources()]
    assert all(about["shows"].endswith((".", "?")) for g in listed.values() for about in g.values())
    assert next(iter(listed["Start"])) == "00_start_here"


@pytest.mark.parametrize("page", PAGES_OF_DOCS, ids=short)
def test_links_of_sources_lead_somewhere(page: Path) -> None:
    """To files of the project; pages that are made of its files name some that exist."""
    text = page.read_text(encoding="utf-8")
    for link in links_of(text):
        target = link.partition("#")[0]
        assert is_external(link) or not target or (page.parent / target).exists(), link
    for name in re.findall(r"<!-- file: (\S+) -->", text):
        assert (ROOT / name).is_file()
        assert PAGES[name] == short(page)


def test_every_page_is_in_a_table_of_contents() -> None:
    """But for the first one."""
    listed = set()
    for page in PAGES_OF_DOCS:
        for body in re.findall(r"```\{toctree\}\n(.*?)```", page.read_text("utf-8"), re.S):
            lines = [line for line in body.splitlines() if line and not line.startswith(":")]
            names = [line.rpartition("<")[2].rstrip(">") for line in lines]
            listed |= {(page.parent / f"{name}.md").resolve() for name in names}
    assert {page.resolve() for page in PAGES_OF_DOCS} - {DOCS / "index.md"} <= listed


@pytest.mark.parametrize(
    "page", [p for p in PAGES_OF_DOCS if SHELL.search(p.read_text("utf-8"))], ids=short
)
def test_commands_shown_exist(page: Path) -> None:
    """Each `nslab ...` line with its options, as the command line reads them."""
    for block in SHELL.findall(page.read_text(encoding="utf-8")):
        for line in block.splitlines():
            words = shlex.split(line, comments=True)
            if words[:1] == ["nslab"]:
                words = [word for word in words[1:] if word not in ("--plugin", "mine.py")]
                assert not refusal(words), line


def refusal(words: list[str]) -> str:
    """What the command line says against words that it does not know; nothing is run."""
    done = CliRunner().invoke(app, [*words, "--help"])
    return done.output if done.exit_code else ""


def test_a_command_that_is_not_there_is_found_out() -> None:
    """The check above sees a wrong option, and a wrong name."""
    assert not refusal(["run", "ns/first", "--preset", "cpu"])
    assert "--presett" in refusal(["run", "ns/first", "--presett", "cpu"])
    assert "runn" in refusal(["runn", "ns/first"])


def test_the_reference_of_commands_has_them_all() -> None:
    """With every option of each."""
    text = commands.reference()
    for name, command in commands.every_command().items():
        assert f"\n## nslab {name}\n" in text
        for option in command.params:
            if option.param_type_name == "option" and option.name != "help":
                assert all(f"`{flag}`" in text for flag in option.opts), (name, option.opts)


def test_links_are_led_to_pages(tmp_path: Path) -> None:
    """From a file of the project: to its page, a notebook's, a module's, or to plain text; code is
    left as it is."""
    text = (
        "[a](CONTRIBUTING.md#release) [b](notebooks/ns_method.ipynb) [`c`](nslab/objectives/ns.py) "
        "[d](pyproject.toml) [e](docs/start.md) [f](https://example.org/x) [g](#here)\n"
        "![h](figures/readme/de_small_real.png)\n\n```\n[a](CONTRIBUTING.md)\n```\n"
    )
    stage = Stage(tmp_path)
    made = relinked(text, ROOT / "README.md", "project/contributing.md", stage)
    assert made == (
        "[a](contributing.md#release) [b](../notebooks/ns_method.ipynb) "
        "{py:mod}`c <nslab.objectives.ns>` d [e](../start.md) [f](https://example.org/x) "
        "[g](#here)\n![h](../pictures/de_small_real.png)\n\n```\n[a](CONTRIBUTING.md)\n```\n"
    )
    assert (tmp_path / "pictures/de_small_real.png").is_file()
    with pytest.raises(FileNotFoundError, match=r"links nowhere\.md"):
        relinked("[a](nowhere.md)", ROOT / "README.md", "index.md", stage)


def test_dead_links_are_found(tmp_path: Path) -> None:
    """Missing pages and anchors, and what would be loaded from elsewhere."""
    (tmp_path / "a.html").write_text(
        '<script src="https://example.org/x.js"></script><h1 id="top">a</h1><a href="#top">up</a>'
        '<a href="b.html#there">b</a><a href="b.html#gone">b</a><a href="c.html">c</a>'
        '<a href="https://example.org/">out</a>',
        encoding="utf-8",
    )
    (tmp_path / "b.html").write_text('<p id="there"></p>', encoding="utf-8")
    wrong, outside = links.check(tmp_path)
    assert wrong == ["a.html: b.html#gone has no such anchor", "a.html: c.html is not there"]
    assert "https://example.org/" in outside
    assert links.loaded_from_elsewhere(tmp_path) == ["a.html: https://example.org/x.js"]


def test_an_executed_notebook_as_a_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Injected parameters go, imports are folded, widgets are left out, links stay."""
    figures = tmp_path / "figures"
    copy = figures / "smoke/notebooks/ns_method.ipynb"
    copy.parent.mkdir(parents=True)
    book = json.loads((ROOT / "notebooks/ns_method.ipynb").read_text(encoding="utf-8"))
    view = {"application/vnd.jupyter.widget-view+json": {}, "text/plain": "x" * 9000}
    output = {"output_type": "display_data", "data": view, "metadata": {}}
    words = {"image/png": {"alt": "a tie"}}
    drawn = {"output_type": "display_data", "data": {"image/png": "iVBO"}, "metadata": words}
    first = {"cell_type": "code", "execution_count": 1, "id": "one", "metadata": {}, "outputs": []}
    injected = first | {"id": "two", "metadata": {"tags": ["injected-parameters"]}}
    injected |= {"outputs": [output], "source": "n = 1"}
    book["cells"] += [first | {"source": "import math", "outputs": [drawn]}, injected]
    copy.write_text(json.dumps(book), encoding="utf-8")
    monkeypatch.setenv("NSLAB_FIGURES", str(figures))
    assert gallery.executed_copy("ns_method") is None  # nothing says that it ended well
    copy.with_suffix(".status.json").write_text("{}")
    assert gallery.notebook_page("ns_method", Stage(tmp_path / "site"))
    page = json.loads((tmp_path / "site/notebooks/ns_method.ipynb").read_text(encoding="utf-8"))
    imports, last = page["cells"][-2:]
    assert "remove-cell" in last["metadata"]["tags"]
    assert list(last["outputs"][0]["data"]) == ["text/plain"]
    assert len(last["outputs"][0]["data"]["text/plain"]) < 5000
    assert imports["metadata"]["tags"] == ["hide-input"]
    assert imports["metadata"]["mystnb"]["image"]["alt"] == "a tie"
    assert "Download this notebook" in page["cells"][1]["source"]


def test_only_what_is_missing_is_rendered(monkeypatch: pytest.MonkeyPatch) -> None:
    """`nslab render --missing` passes over notebooks whose executed copies are current."""
    monkeypatch.setattr(Planned, "rendered", lambda self: self.source.stem == "ns_method")
    words = ["render", "ns_method", "de_method", "--missing", "--dry-run"]
    said = CliRunner().invoke(app, words).output
    assert "1 of 2 notebooks are current" in said
    assert "smoke/de_method" in said
    assert "smoke/ns_method" not in said
    done = CliRunner().invoke(app, ["render", "ns_method", "--missing"])
    assert (done.exit_code, done.output) == (0, "1 of 1 notebooks are current\n")


@pytest.mark.slow
@pytest.mark.filterwarnings("default")  # those of Sphinx and its extensions are their own
def test_it_builds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without warnings or dead links, where nothing has been executed; of the reference a part."""
    if lacking := [name for name in THEME if find_spec(name) is None]:
        pytest.skip(f"{', '.join(lacking)} not installed: pip install -e '.[docs]'")
    import make

    monkeypatch.setenv("NSLAB_FIGURES", str(tmp_path / "none"))
    monkeypatch.setattr(make.tables, "PAPERS", ("edl",))  # all claims take ten seconds more
    make.tables.decided.cache_clear()
    assert make.build(tmp_path / "site", packages=("adapt",)) == 0
    html = tmp_path / "site/html"
    for file in sources():
        page = (html / f"notebooks/{file.stem}.html").read_text(encoding="utf-8")
        assert f"nslab render {file.stem}" in re.sub(r"<[^>]+>", "", page)
    assert "make figures" in re.sub(r"<[^>]+>", "", (html / "notebooks.html").read_text("utf-8"))
    assert "nslab.adapt.shot.pseudo_labels" in (html / "genindex.html").read_text("utf-8")
    search = (html / "searchindex.js").read_text(encoding="utf-8")
    assert "composit" in search
    assert nslab.__version__ in (html / "index.html").read_text(encoding="utf-8")
    make.tables.decided.cache_clear()
    shutil.rmtree(tmp_path / "site")
