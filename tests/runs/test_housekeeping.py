"""``nslab doctor`` says what is wrong with a store, ``nslab gc`` removes what nothing needs."""

import os
import time
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from nslab import TrainConfig, add_arrays
from nslab.cli import app
from nslab.runs import store
from nslab.runs.housekeeping import Finding, examine, remove
from nslab.runs.results import find
from nslab.system.locks import locked
from nslab.system.paths import arrays_dir
from nslab.system.seals import save_torch

TINY = TrainConfig(network="mlp", epochs=1, lr=0.05, train_size=200)


def said(findings: list[Finding], path: Path) -> str:
    """What is said of a file or folder."""
    return "; ".join(finding.what for finding in findings if finding.path == path)


def test_a_store_that_is_well_has_nothing_wrong() -> None:
    """Weights of a finished run can be spared, and nothing else is said."""
    result = store.run(TINY, show=False)
    found = examine()
    assert [(f.path.name, f.need) for f in found] == [("weights.safetensors", "weights")]
    assert found[0].size == (result.folder / "weights.safetensors").stat().st_size
    assert "nothing is wrong" in CliRunner().invoke(app, ["doctor"]).stdout


def test_each_thing_that_is_wrong_is_named() -> None:
    """A damaged result, weight file and checkpoint; what is only unfinished is not wrong."""
    broken, damaged, half = (store.run(TINY.with_seed(s), show=False).folder for s in (1, 2, 3))
    (broken / "result.json").write_text("{}")
    data = bytearray((damaged / "weights.safetensors").read_bytes())
    data[-1] ^= 1
    (damaged / "weights.safetensors").write_bytes(data)
    (half / "result.json").unlink()
    save_torch({"a": 1}, half / "checkpoint.pt")
    found = examine()
    assert {f.path for f in found if f.wrong} == {
        broken / "result.json",
        damaged / "weights.safetensors",
    }
    assert "is unfinished" in said(found, half)
    whole = (half / "checkpoint.pt").read_bytes()
    (half / "checkpoint.pt").write_bytes(whole[:100] + b"x" + whole[101:])
    assert "the run will start from the beginning" in said(examine(), half / "checkpoint.pt")
    ended = CliRunner().invoke(app, ["doctor", "--all"])
    assert ended.exit_code == 1
    assert str(broken / "result.json") in ended.stdout


def test_what_nothing_needs_goes_and_the_rest_stays() -> None:
    """Halves, what was set aside, runs that got nowhere long ago, arrays of no run."""
    result = store.run(TINY, show=False)
    spare = [
        result.folder / ".result.json.x1.part",
        result.folder / "checkpoint.pt.broken",
        result.folder / "result.broken",
        result.folder / "checkpoint.pt",
    ]
    for file in spare:
        file.write_text("x")
    dead, fresh = result.folder.parent / "0123456789ab", result.folder.parent / "0123456789ac"
    for folder in (dead, fresh):
        folder.mkdir()
        (folder / "config.json").write_text("{}")
    os.utime(dead, (time.time() - 40 * 86_400,) * 2)
    x, y = np.zeros((4, 8, 8), np.uint8), np.array([0, 1, 0, 1])
    names = [add_arrays((x + i, y), (x, y), 'bob\'s "best"') for i in range(3)]
    for name in names[:2]:
        file = arrays_dir() / f"{name.partition('#')[2]}.npz"
        os.utime(file, (time.time() - 40 * 86_400,) * 2)
    used = replace(TINY, dataset=names[0], network="mlp", train_size=0, batch_size=2)
    store.run(used, show=False)
    ended = CliRunner().invoke(app, ["gc", "--yes"])
    assert ended.exit_code == 0
    assert not any(file.exists() for file in spare)
    assert not (dead / "config.json").exists()
    assert (fresh / "config.json").exists()
    digests = [name.partition("#")[2] for name in names]
    assert [(arrays_dir() / f"{d}.npz").exists() for d in digests] == [True, False, True]
    assert not (arrays_dir() / f"{digests[1]}.json").exists()
    assert find(TINY, weights=True)
    assert find(used, weights=True)
    assert "nothing to remove" in CliRunner().invoke(app, ["gc"]).stdout


def test_weights_go_where_they_are_asked_to_and_numbers_stay() -> None:
    """They are computed again when something starts from them."""
    result = store.run(TINY, show=False)
    dry = CliRunner().invoke(app, ["gc", "--weights", "--dry-run"])
    assert "would go" in dry.stdout
    assert find(TINY, weights=True)
    CliRunner().invoke(app, ["gc", "--weights"], input="n\n")
    assert find(TINY, weights=True)
    CliRunner().invoke(app, ["gc", "--weights"], input="y\n")
    assert find(TINY).metrics == result.metrics
    assert find(TINY, weights=True) is None
    assert not any(finding.wrong for finding in examine())
    again = store.run(TINY, weights=True, show=False)
    assert again.metrics["test_loss"] == result.metrics["test_loss"]


def test_what_a_process_works_on_is_left_alone(tmp_path: Path) -> None:
    """Its lock is held."""
    result = store.run(TINY, show=False)
    spare = result.folder / "checkpoint.pt"
    spare.write_text("x")
    found = [finding for finding in examine() if finding.path == spare]
    with locked(result.folder / "lock", "test"):
        assert [f.what for f in examine()] == ["a process computes it now"]
        assert remove(found) == []
    assert remove(found) == found
    assert not spare.exists()


def test_broken_arrays_are_added_again() -> None:
    """A file that was damaged is no wall for those who have the arrays."""
    x, y = np.zeros((4, 8, 8), np.uint8), np.array([0, 1, 0, 1])
    name = add_arrays((x, y), (x, y), "mine")
    config = replace(TINY, dataset=name, train_size=0, batch_size=2)
    file = arrays_dir() / f"{name.partition('#')[2]}.npz"
    whole = file.read_bytes()
    file.write_bytes(whole[:-200] + bytes([whole[-200] ^ 1]) + whole[-199:])
    with pytest.raises(ValueError, match="add the arrays again"):
        store.run(config, show=False)
    assert "is broken" in said(examine(), file)
    assert add_arrays((x, y), (x, y), "mine") == name
    assert store.run(config, show=False).origin == "computed"


def test_what_is_not_ours_is_left_alone(tmp_path: Path) -> None:
    """Folders of other names, links, other files in an old run; weights that a run waits for."""
    result = store.run(TINY, show=False)
    runs, old = result.folder.parent, (time.time() - 90 * 86_400,) * 2
    photos, linked, mixed = runs / "photos", tmp_path / "linked", runs / "0123456789ae"
    for folder in (photos, linked, mixed):
        (folder / "deep").mkdir(parents=True)
        (folder / "a.jpg").write_text("mine")
    (mixed / "config.json").write_text("{}")
    (runs / "0123456789ad").symlink_to(linked)
    waiting = runs / "0123456789af"
    waiting.mkdir()
    (waiting / "config.json").write_text(f'{{"start": "{result.id}@1"}}')
    for folder in (photos, linked, mixed):
        os.utime(folder, old)
    assert CliRunner().invoke(app, ["gc", "--yes", "--weights"]).exit_code == 0
    assert all((folder / "a.jpg").exists() for folder in (photos, linked, mixed))
    assert sorted(path.name for path in linked.iterdir()) == ["a.jpg", "deep"]
    assert (result.folder / "weights.safetensors").exists()


@pytest.mark.parametrize(
    "name", ["result.json", "weights.safetensors", "checkpoint.pt", "stretches.json"]
)
def test_a_folder_in_place_of_a_file_is_no_wall(name: str) -> None:
    """It is named and set aside; doctor goes on."""
    result = store.run(TINY, show=False)
    if name in ("checkpoint.pt", "stretches.json"):
        (result.folder / "result.json").unlink()
    if name == "stretches.json":
        save_torch({"a": 1}, result.folder / "checkpoint.pt")
    (result.folder / name).unlink(missing_ok=True)
    (result.folder / name).mkdir()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert CliRunner().invoke(app, ["doctor"]).exit_code in (0, 1)
        again = store.run(TINY, weights=True, show=False)
    assert again.metrics["test_loss"] == result.metrics["test_loss"]
