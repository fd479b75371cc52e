"""YAML of anybody: bombs are refused before they go off, what is meant is read."""

from pathlib import Path

import pytest

from nslab.system.yaml_files import MOST_BYTES, MOST_VALUES, read_yaml

LAUGHS = "- &a0 [1, 2, 3, 4, 5, 6, 7, 8, 9]\n" + "".join(
    f"- &a{i + 1} [{', '.join([f'*a{i}'] * 9)}]\n" for i in range(20)
)
MERGES = "- &m0 {k: 1}\n" + "".join(
    f"- &m{i + 1} {{<<: [{', '.join([f'*m{i}'] * 9)}]}}\n" for i in range(20)
)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (LAUGHS, r"written out it has 1.38e\+20 values, and 100,000 at most"),
        (MERGES, r"written out it has .*e\+\d\d values"),
        ("&a [*a]", "written out it has inf values"),
        ("- &a {b: {c: *a}}", "written out it has inf values"),
        ("[" * 50_000, "nested too deeply"),
        ("{a: " * 50_000, "nested too deeply"),
        ("- " * 20_000 + "1", "nested too deeply"),
        ("- " + "x" * MOST_BYTES, "it has 1,000,002 bytes, and 1,000,000 at most"),
        ("[" + "1," * MOST_VALUES + "1]", "it has 1e[+]05 values"),
        ("- " + "1" * 5000, "Exceeds the limit"),
        ("? [a, b]\n: c", "line 1: a key must be one word"),
        ("a: 1\na: 2", "line 2 gives a a second time"),
        ("a: &x\n- !!python/name:os.system", "could not determine a constructor"),
    ],
)
def test_what_is_refused(tmp_path: Path, text: str, message: str) -> None:
    """With the file and the reason, before anything is built of it."""
    file = tmp_path / "suite.yaml"
    file.write_text(text)
    with pytest.raises(ValueError, match=rf"suite\.yaml cannot be read as [\s\S]*{message}"):
        read_yaml(file, "suite")


def test_what_is_read(tmp_path: Path) -> None:
    """Aliases and merges as people use them."""
    file = tmp_path / "suite.yaml"
    file.write_text("- &p {lr: [0.1, 0.2], seeds: [1]}\n- {<<: *p, seeds: [2]}\n- *p\n")
    one, two, three = read_yaml(file, "suite")
    assert one == three == {"lr": [0.1, 0.2], "seeds": [1]}
    assert two == {"lr": [0.1, 0.2], "seeds": [2]}
    file.write_text("")
    assert read_yaml(file, "suite") is None
