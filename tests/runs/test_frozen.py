"""Frozen results: written by several at once, killed, changed, and what is not taken."""

import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from process_helpers import at_once

from nslab.runs import frozen
from nslab.runs.results import Result
from nslab.system import files

pytestmark = pytest.mark.process


def made(number: int, epochs: int = 3, loss: float = 0.0) -> Result:
    """A run's result."""
    history = [{"epoch": e, "loss": loss + number + e / 10} for e in range(epochs)]
    metrics = {"test_accuracy": loss + number, "epochs": epochs}
    return Result(
        f"{number:012x}", {"@": "train", "seed": number}, metrics, history, {"torch": "2"}
    )


def read(folder: Path) -> dict[str, Any]:
    """All that is found."""
    frozen._load.cache_clear()
    return frozen.runs(folder)


def row(result: Result) -> dict[str, Any]:
    """What should be found of a result."""
    parts = ("metrics", "env", "config", "history")
    return {part: getattr(result, part) for part in parts}


def test_frozen_by_several_at_once(tmp_path: Path) -> None:
    """Every row is there, in each of five rounds; who reads meanwhile sees whole runs only."""
    every = [made(number) for number in range(4)]
    for number in range(5):
        folder = tmp_path / str(number)
        frozen.freeze("x", every[:1], folder)

        def look(folder: Path = folder) -> None:
            for _ in range(20):
                assert all(found == row(every[int(run, 16)]) for run, found in read(folder).items())

        acts = [lambda r=r, f=folder: frozen.freeze("x", [r], f) for r in every[1:]]  # type: ignore[misc]
        assert at_once([*acts, look]) == [None] * 4
        assert read(folder) == {result.id: row(result) for result in every}


def test_places_on_this_machine_are_not_written(tmp_path: Path) -> None:
    """Of data and weights the last part of the path and the digest say what they are."""
    digest = "#0123456789ab"
    config = {"@": "train", "seed": 1, "dataset": f"csv:/data/texts.csv{digest}", "n": [3]}
    config |= {"network": f"transformers:/models/minilm{digest}", "start": f"file:/a/b.pt{digest}"}
    config |= {"ancestor": {"@": "train", "dataset": f"folder:C:\\\\pets{digest}"}}
    env = {"data": {"kind": "csv", "where": "/data/texts.csv"}, "torch": "2"}
    result = replace(made(1), config=config, env=env)
    frozen.freeze("x", [result], tmp_path)
    found = read(tmp_path)[result.id]
    assert found["config"] == config | {
        "dataset": f"csv:texts.csv{digest}",
        "network": f"transformers:minilm{digest}",
        "start": f"file:b.pt{digest}",
        "ancestor": {"@": "train", "dataset": f"folder:pets{digest}"},
    }
    assert found["env"] == env | {"data": {"kind": "csv", "where": "texts.csv"}}
    assert found["history"] == result.history


@pytest.mark.parametrize("stop", [1, 2, 3])
def test_killed_between_two_files(
    stop: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each run is as it was or as it was to be; the same freeze then heals, to the byte."""
    first, second, again = made(1), made(2), made(1, epochs=4, loss=5.0)
    frozen.freeze("x", [first], tmp_path / "x")
    frozen.freeze("x", [first], tmp_path / "calm")
    frozen.freeze("x", [again, second], tmp_path / "calm")
    replaced, count = os.replace, [stop]

    def stopping(source: Path, target: Path) -> None:
        count[0] -= 1
        if count[0] == 0:
            raise KeyboardInterrupt
        replaced(source, target)

    with monkeypatch.context() as patch:
        patch.setattr(files.os, "replace", stopping)
        with pytest.raises(KeyboardInterrupt):
            frozen.freeze("x", [again, second], tmp_path / "x")
    found = read(tmp_path / "x")
    assert found[first.id] in (row(first), row(again))
    assert found.get(second.id) in (None, row(second))
    frozen.freeze("x", [again, second], tmp_path / "x")
    assert read(tmp_path / "x") == {again.id: row(again), second.id: row(second)}
    for name in ("x.csv", "x.history.csv"):
        assert (tmp_path / "x" / name).read_bytes() == (tmp_path / "calm" / name).read_bytes()


@pytest.mark.parametrize("name", ["x.csv", "x.history.csv"])
def test_a_row_that_was_changed_is_named_and_not_used(name: str, tmp_path: Path) -> None:
    """The others are; a freeze of others leaves it as it is, one of its run heals it."""
    first, second, third = made(1), made(2), made(3)
    files = frozen.freeze("x", [first, second], tmp_path)
    changed = tmp_path / name
    before = changed.read_text()
    text = before.replace(",1.1,", ",1.2,").replace(",1.0,3,", ",9.0,3,")
    assert text != before
    changed.write_text(text)
    with pytest.warns(UserWarning, match=f"run {first.id} in .* its rows do not fit their digest"):
        assert read(tmp_path) == {second.id: row(second)}
    frozen.freeze("x", [third], tmp_path)
    with pytest.warns(UserWarning, match=f"run {first.id} in .* is not used"):
        assert read(tmp_path) == {second.id: row(second), third.id: row(third)}
    frozen.freeze("x", [first], tmp_path)
    assert read(tmp_path) == {r.id: row(r) for r in (first, second, third)}
    assert all(file.exists() for file in files)


def test_one_of_two_files_put_back(tmp_path: Path) -> None:
    """As by a checkout of one of them: the run whose rows are of two writings is named."""
    first, again, second = made(1), made(1, loss=5.0), made(2)
    table, history = frozen.freeze("x", [first, second], tmp_path)
    old = history.read_bytes()
    frozen.freeze("x", [again], tmp_path)
    history.write_bytes(old)
    with pytest.warns(UserWarning, match=f"run {first.id} in .* freeze it again, or restore both"):
        assert read(tmp_path) == {second.id: row(second)}
    assert table.exists()


def test_rows_without_a_digest_stay_as_they_are(tmp_path: Path) -> None:
    """Those of earlier versions: used, and kept word for word beside new ones."""
    table = 'id,metrics.epochs,config.@,config.note,rows\n000000000009,2,"""train""",,2\n'
    history = "id,epoch,loss\n000000000009,0,0.30000000000000004\n000000000009,1,0.1\n"
    (tmp_path / "x.csv").write_text(table)
    (tmp_path / "x.history.csv").write_text(history)
    old = read(tmp_path)
    assert old["000000000009"]["history"][0] == {"epoch": 0, "loss": 0.30000000000000004}
    frozen.freeze("x", [], tmp_path)
    assert (tmp_path / "x.csv").read_text() == table
    assert (tmp_path / "x.history.csv").read_text() == history
    frozen.freeze("x", [made(1)], tmp_path)
    assert read(tmp_path) == old | {made(1).id: row(made(1))}
    assert (tmp_path / "x.csv").read_text().startswith(table.partition("\n")[0] + ",")
    for line in (table + history).splitlines():
        texts = [(tmp_path / f"x{part}.csv").read_text() for part in ("", ".history")]
        assert any(line in text for text in texts)
    (tmp_path / "x.csv").write_text(table)
    (tmp_path / "x.history.csv").write_text(history[: history.rindex("000000000009")])
    with pytest.warns(UserWarning, match="its history has 1 of 2 rows"):
        assert "000000000009" not in read(tmp_path)


FIRST = made(1)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"config": {"files": ["x" * 60] * 3000}}, "its config.files has 192000 characters"),
        ({"history": [{"loss": [0.5] * 40000}]}, "its history.loss has"),
        ({"metrics": {"test_loss": float("nan")}}, "its metrics.test_loss is not finite"),
        ({"metrics": {"test_loss": [1.0, float("inf")]}}, "its metrics.test_loss is not finite"),
        ({"env": {"device": object()}}, "its env.device is .* not JSON"),
        pytest.param(
            {"config": {"a\rb": 1}},
            "could not be read back",
            marks=pytest.mark.skipif(
                sys.version_info >= (3, 13), reason="the csv of Python 3.13 quotes a line break"
            ),
        ),
        ({"history": [{"id": 1}, {"id": 2}]}, "its history could not be read back"),
        ({"history": [{"digest": 1}]}, "its history could not be read back"),
    ],
)
def test_what_would_not_come_back_is_refused(
    change: dict[str, Any], why: str, tmp_path: Path
) -> None:
    """Before anything is written; the others of the set are as they were."""
    frozen.freeze("x", [made(2)], tmp_path)
    before = {file: file.read_bytes() for file in tmp_path.iterdir()}
    with pytest.raises(ValueError, match=why):
        frozen.freeze("x", [replace(FIRST, **change)], tmp_path)
    assert {file: file.read_bytes() for file in tmp_path.iterdir()} == before


@pytest.mark.parametrize(
    "change",
    [
        {"config": {"note": 'a\r\nb\rc\0",;', "none": None, "nested": {"a": [1, "é"]}}},
        {"history": [{"epoch": 0}, {}, {"epoch": 2, "loss": 1e-300}]},
        {"history": []},
        {"metrics": {"": 1, "with.dot": 0.1 + 0.2}},
    ],
)
def test_odd_values_come_back(change: dict[str, Any], tmp_path: Path) -> None:
    """To the bit."""
    result = replace(FIRST, **change)
    frozen.freeze("x", [result, made(2)], tmp_path)
    assert read(tmp_path)[result.id] == row(result)


@pytest.mark.parametrize("name", ["a.history", "a.table", "a.TABLE", "old", "OLD", "con", "nul.x"])
def test_names_that_would_not_be_found(name: str, tmp_path: Path) -> None:
    """Of a file beside a set, of a set but for upper case, and none on Windows."""
    frozen.freeze("Old", [made(2)], tmp_path)
    for act in (
        lambda: frozen.freeze(name, [FIRST], tmp_path),
        lambda: frozen.check_name(name, tmp_path),
    ):
        with pytest.raises(ValueError, match="name"):
            act()
    assert list(read(tmp_path)) == [made(2).id]
    table = pd.DataFrame([["a", 1, 2]], columns=["run", "x", "x"])
    with pytest.raises(ValueError, match="different names"):
        frozen.freeze_table("twice", table, tmp_path)
