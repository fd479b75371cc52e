"""Notebooks made for tests."""

from pathlib import Path

import nbformat

GOOD = 'preset: str = "smoke"  # how much\nn: int = 3\nrate: float = 0.1\n'


def write(folder: Path, name: str, *cells: str, parameters: str = GOOD) -> Path:
    """A notebook with a parameters cell and others."""
    first = nbformat.v4.new_code_cell(parameters, metadata={"tags": ["parameters"]})
    book = nbformat.v4.new_notebook(cells=[first, *map(nbformat.v4.new_code_cell, cells)])
    book.metadata["kernelspec"] = {
        "name": "python3",
        "display_name": "Python 3",
        "language": "python",
    }
    folder.mkdir(exist_ok=True)
    nbformat.write(book, folder / f"{name}.ipynb")
    return folder / f"{name}.ipynb"
