"""Docstrings as data: found without importing, masked, known by the libraries' versions."""

import sys
from collections import Counter
from pathlib import Path

import pytest

from nslab.datasets import docstrings, load, text_sets
from nslab.datasets.docstrings import LIBRARIES, masked, paragraphs_in
from nslab.datasets.provenance import provenance_of
from nslab.datasets.text_sets import DATASETS
from nslab.runs.made_of import made_of
from nslab.system.seals import unsealed_json

SOURCE = '''
"""Too short."""
import nothing_that_is_there


class A:
    """Draw the seaborn figure
    of ``pydantic.BaseModel`` again and again.

    Second paragraph with many words, which nobody reads.
    """

    async def f(self):
        r"""See :func:`~torch.nn.relu` for what this one returns."""

    x = """No docstring at all, though it has many words."""
'''


def test_paragraphs_of_python() -> None:
    """The first of each docstring of six words or more, in one line."""
    assert list(paragraphs_in(SOURCE.encode())) == [
        "Draw the _ figure of ``_`` again and again.",
        "See `~_` for what this one returns.",
    ]
    assert list(paragraphs_in(b"def f(:")) == []


@pytest.mark.parametrize("name", [*LIBRARIES, *LIBRARIES.values(), "NumPy", "np", "sns", "PyTorch"])
def test_names_are_masked(name: str) -> None:
    """Whole words, in any case; words that only contain them stay."""
    assert masked(f"The {name}'s own, {name.upper()}.") == "The _'s own, _."
    assert masked(f"x{name}x input") == f"x{name}x input"


@pytest.fixture
def packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two made-up libraries that must not be imported."""
    root = tmp_path / "packages"
    for library, count in (("alpha", 12), ("beta", 7)):
        for part, where in ((library, ""), ("tests", "tests/"), ("deep", "deep/")):
            folder = root / library / where
            folder.mkdir(parents=True, exist_ok=True)
            text = [f'def f{k}():\n    """One two three four {library[0]} {part} {k}."""'
                    for k in range(count)]  # fmt: skip
            text.append('def g():\n    """The very same text in both libraries."""')
            begin = "raise SystemExit('imported')\n"
            (folder / "__init__.py").write_text(begin + "\n".join(text), encoding="utf-8")
    monkeypatch.syspath_prepend(root)
    monkeypatch.setattr(docstrings, "LIBRARIES", {"alpha": "alpha", "beta": "beta"})
    return root


def test_read_without_importing(packages: Path) -> None:
    """Modules of tests are left out, and what two libraries share; order and split never change."""
    found = docstrings.read_docstrings()
    assert found == docstrings.read_docstrings()
    assert "alpha" not in sys.modules
    texts = [*found.train[0], *found.test[0]]
    assert len(texts) == len(set(texts)) == 2 * 12 + 2 * 7
    assert not any("tests" in text or "very same" in text for text in texts)
    assert Counter(found.test[1]) == {0: 4, 1: 2}
    labels = [*found.train[1], *found.test[1]]
    assert all(text.split()[4] == "ab"[k] for text, k in zip(texts, labels, strict=True))


def test_other_versions_are_other_data(
    packages: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Made once for given versions, kept for each; a file that was changed is made anew."""
    monkeypatch.setenv("NSLAB_DATA", str(tmp_path / "data"))
    made, versions = [], {"alpha": "1.0", "beta": "2.0"}

    def make() -> object:
        made.append(1)
        return docstrings.read_docstrings()

    entry = text_sets.TextDataset(
        DATASETS["docstrings"].layout,
        classes=("alpha", "beta"),
        make=make,
        version=lambda: dict(versions),
    )
    monkeypatch.setitem(DATASETS, "libraries", entry)
    first = load("libraries")
    assert load("libraries").arrays.train_x.tolist() == first.arrays.train_x.tolist()
    about = provenance_of("libraries")
    assert about["versions"] == versions
    assert about["train"] == 32
    (file,) = (tmp_path / "data").glob("libraries-*.json")
    assert str(file) == about["where"]
    assert len(made) == 1
    versions["beta"] = "2.1"
    (packages / "beta" / "new.py").write_text('"""A module that came with the new version."""')
    assert len(load("libraries").arrays.train_x) + len(load("libraries").arrays.test_x) == 39
    assert provenance_of("libraries")["digest"] != about["digest"]
    assert len(made) == 2
    versions["beta"] = "2.0"
    assert provenance_of("libraries") == about
    (packages / "beta" / "new.py").unlink()
    assert len(made) == 2
    file.write_text(file.read_text().replace("One two", "Two one", 1))
    assert load("libraries").arrays.train_x.tolist() == first.arrays.train_x.tolist()
    assert len(made) == 3
    assert unsealed_json(file.read_bytes())[1]


def test_the_data_set(monkeypatch: pytest.MonkeyPatch) -> None:
    """Six libraries of uneven size, whose names are gone; a run is told their digest."""
    from nslab.configs import TrainConfig

    data = load("docstrings")
    counts = Counter(data.arrays.train_y.tolist())
    assert len(counts) == len(LIBRARIES)
    assert max(counts.values()) > 3 * min(counts.values())
    assert 0.15 < len(data.arrays.test_y) / len(data.arrays.train_y) < 0.3
    words = " ".join(data.arrays.train_x).lower().split()
    assert not set(words) & {"numpy", "sklearn", "pydantic", "seaborn", "torchvision", "pillow"}
    digest = provenance_of("docstrings")["digest"]
    assert made_of(TrainConfig("docstrings", "textcnn")) == {"data of docstrings": digest}
