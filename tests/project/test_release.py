"""A release is of one version, wherever it is written."""

import re
from pathlib import Path

import yaml

import nslab

ROOT = Path(__file__).parents[2]


def test_one_version_everywhere() -> None:
    """The package, the first entry of the changelog that has a number, and the citation."""
    headings = re.findall(r"^## (.*)$", (ROOT / "CHANGELOG.md").read_text("utf-8"), re.M)
    released = [line for line in headings if line != "Unreleased"]
    number, _, day = released[0].partition(" (")
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text("utf-8"))
    assert nslab.__version__ == number == cited["version"]
    assert day.rstrip(")") == str(cited["date-released"])
    assert headings.index(released[0]) <= 1  # below nothing but what is not released
