"""Docstrings of installed libraries as texts to classify: the first paragraph of each, by library.

The files are parsed, not imported. Names of libraries and dotted paths are masked by an underscore.
A paragraph that occurs more than once is kept once, or left out if two libraries have it. Other
versions of the libraries give other data, with another digest.
"""

import ast
import re
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, distribution
from importlib.util import find_spec
from pathlib import Path

from nslab.datasets.image_folder import Listing, one_in_five
from nslab.datasets.sources import MissingDataset
from nslab.datasets.text_files import digest_of

# Distribution -> package to import; nslab depends on all of them.
LIBRARIES = {
    "numpy": "numpy",
    "pillow": "PIL",
    "pydantic": "pydantic",
    "scikit-learn": "sklearn",
    "seaborn": "seaborn",
    "torchvision": "torchvision",
}
MASKED = (*LIBRARIES, *LIBRARIES.values(), "np", "sns", "torch", "pytorch", "scikit", "pil")
MASKED += ("scipy", "pandas", "pd", "matplotlib", "mpl", "plt")
FEWEST_WORDS = 6  # shorter paragraphs are left out
_SKIPPED = re.compile(r"_?tests?|testing|_vendor|externals|conftest.*")
_ROLE = re.compile(r":\w+:(?=`)")  # of Sphinx
_PATH = re.compile(r"\b\w+(?:[./]\w+)+\b")
_NAMES = "|".join(sorted(map(re.escape, MASKED), key=len, reverse=True))
_NAME = re.compile(rf"\b(?:{_NAMES})\b", re.IGNORECASE)


def versions() -> dict[str, str]:
    """The installed version of each library."""
    try:
        return {name: distribution(name).version for name in LIBRARIES}
    except PackageNotFoundError as error:
        raise MissingDataset(
            f"data set 'docstrings' needs {error.name}, which is not installed: install it"
        ) from None


def read_docstrings() -> Listing:
    """Texts and labels in the order of libraries, files and lines; one in five of each class is
    tested on. Takes some seconds."""
    labels_of: dict[str, set[int]] = {}
    found: list[tuple[str, int]] = []
    for label, package in enumerate(LIBRARIES.values()):
        for text in _paragraphs(package):
            if label not in labels_of.setdefault(text, set()):
                labels_of[text].add(label)
                found.append((text, label))
    found = [(text, label) for text, label in found if len(labels_of[text]) == 1]
    texts, labels = [text for text, _ in found], [label for _, label in found]
    test, train = one_in_five(texts, labels)
    classes = tuple(LIBRARIES)
    return Listing(classes, train, test, digest_of(classes, {"train": train, "test": test}))


def _paragraphs(package: str) -> Iterator[str]:
    spec = find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise MissingDataset(
            f"data set 'docstrings' needs {package}, which is not installed: install it"
        )
    root = Path(spec.submodule_search_locations[0])
    for file in sorted(root.rglob("*.py")):
        if any(_SKIPPED.fullmatch(part) for part in file.relative_to(root).parts):
            continue
        source = file.read_bytes()
        if b'"""' in source:
            yield from paragraphs_in(source)


def paragraphs_in(source: bytes) -> Iterator[str]:
    """The masked first paragraph of each docstring in Python source, unless it is too short.

    >>> list(paragraphs_in(b"def f(): 'Return the numpy.ndarray of x, as np has it.'"))
    ['Return the _ of x, as _ has it.']
    """
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError):  # written for another version of Python
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            first = (ast.get_docstring(node) or "").partition("\n\n")[0]
            text = masked(" ".join(first.split()))
            if len(text.split()) >= FEWEST_WORDS:
                yield text


def masked(text: str) -> str:
    """A text without the names that would give its library away.

    >>> masked("See :class:`torch.nn.Module` and https://numpy.org/doc: NumPy, numpy's, np.")
    "See `_` and https://_: _, _'s, _."
    """
    return _NAME.sub("_", _PATH.sub("_", _ROLE.sub("", text)))
