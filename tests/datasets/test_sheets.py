"""Sheets: what a long-tailed run needs of a data set, in a small file, and nothing else."""

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from nslab.cli import app
from nslab.configs import TrainConfig
from nslab.datasets import DATASETS, CorruptDataset, array_file, load, sheet_file
from nslab.datasets.provenance import data_digest, provenance_of
from nslab.datasets.sheets import coded, decoded, read_sheet, write_sheet
from nslab.objectives import NS
from nslab.runs.store import run
from nslab.training.checkpoint import run_weights


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of data that has a sheet of the digits, factor 20, and nothing else."""
    whole = load("digits")
    folder = tmp_path / "away"
    folder.mkdir()
    write_sheet(folder / "digits.sheet", whole.arrays, 10, 20)
    monkeypatch.setenv("NSLAB_DATA", str(folder))
    assert sheet_file("digits").exists()
    assert not array_file("digits").exists()
    return folder


@settings(max_examples=25, deadline=None)
@given(
    st.integers(0, 3), st.integers(1, 9), st.integers(1, 9), st.sampled_from([1, 3, 4]), st.data()
)
def test_coding_loses_nothing(n: int, h: int, w: int, c: int, data: st.DataObject) -> None:
    """Images of any size and number of channels, noise and flat ones."""
    draw = np.random.default_rng(data.draw(st.integers(0, 99)))
    images = draw.integers(0, data.draw(st.sampled_from([1, 2, 256])), (n, h, w, c), dtype=np.uint8)
    assert np.array_equal(decoded(coded(images), images.shape), images)


def test_a_sheet_has_the_images_of_the_long_tail_at_their_places(elsewhere: Path) -> None:
    """And of larger factors; whatever needs others is refused, saying what to do."""
    data = load("digits")
    assert data.present is not None
    assert 0 < data.present.sum() < len(data.present)
    assert not data.arrays.train_x[~data.present].any()
    for factor in (20, 50):
        small = data.variant(imbalance=factor)
        assert small.present is None
        assert small.arrays.train_x.reshape(len(small.arrays.train_y), -1).any(1).all()
    for asked in ({}, {"imbalance": 10}, {"imbalance": 20, "hold_out": 100}, {"train_size": 100}):
        with pytest.raises(ValueError, match=r"are not in its sheet.*nslab data digits --sheet"):
            data.variant(**asked)
    assert provenance_of("digits")["kind"] == "sheet"


def test_runs_from_a_sheet_are_the_same_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same id and data digest, and to the bit the same weights and numbers, of augmented
    batches, grouping by samples, and wrong labels."""
    config = TrainConfig(
        "digits",
        "resnet8",
        NS(grid=(1, 2), sigma=2.5, rho=-1.0, grouping="shuffled"),
        epochs=2,
        batch_size=64,
        augment="crop_flip",
        imbalance=20,
        noise="symmetric",
        noise_rate=0.2,
    )
    whole, digest = run(config, show=False), data_digest("digits")
    weights = run_weights(whole.folder or tmp_path)
    (tmp_path / "away").mkdir()
    write_sheet(tmp_path / "away" / "digits.sheet", load("digits").arrays, 10, 20)
    monkeypatch.setenv("NSLAB_DATA", str(tmp_path / "away"))
    assert data_digest("digits") == digest
    assert run(config, show=False).origin == "stored"
    monkeypatch.setenv("NSLAB_HOME", str(tmp_path / "other"))
    again = run(config, show=False)
    assert again.origin == "computed"
    assert again.id == whole.id
    assert again.env["made_of"] == whole.env["made_of"]
    assert again.env["data"]["where"] == str(sheet_file("digits"))
    drop = {"seconds"}
    rows = [[{k: v for k, v in row.items() if k not in drop} for row in r.history]
            for r in (whole, again)]  # fmt: skip
    assert rows[0] == rows[1]
    found = run_weights(again.folder or tmp_path)
    assert all(weights[name].equal(found[name]) for name in weights)


def test_damage_shows(elsewhere: Path) -> None:
    """A flipped bit anywhere, a cut file, another data set's sheet."""
    file = elsewhere / "digits.sheet"
    text, whole = file.read_bytes(), read_sheet(file)
    for place in range(200, len(text), len(text) // 7):
        file.write_bytes(text[:place] + bytes([text[place] ^ 4]) + text[place + 1 :])
        with suppress(CorruptDataset):  # else the byte is one that nothing reads, such as a date
            assert all(map(np.array_equal, read_sheet(file).arrays, whole.arrays))
    file.write_bytes(text[:-400])
    with pytest.raises(CorruptDataset, match="cannot be read"):
        load("digits")
    file.write_bytes(text)
    with pytest.raises(CorruptDataset, match="has shape"):
        read_sheet(file, DATASETS["mnist"].layout)


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("present", lambda kept: np.packbits(np.roll(np.unpackbits(kept), 1))),
        ("digest", lambda digest: np.array("0" * 16)),
        ("shape", lambda shape: -shape),
        ("shape", lambda shape: shape + 0.5),
    ],
)
def test_a_member_that_was_changed_shows(
    name: str, change: Callable[[np.ndarray], np.ndarray], elsewhere: Path
) -> None:
    """Images at the places of other labels, the name of another data set, and shapes that are
    none."""
    file = elsewhere / "digits.sheet"
    with np.load(file) as found:
        members = dict(found)
    with file.open("wb") as out:
        np.savez_compressed(out, **(members | {name: change(members[name])}))
    with pytest.raises(CorruptDataset, match="is not trusted"):
        read_sheet(file)


def test_the_command_writes_a_sheet_and_says_what_is_in_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the name it is looked for, of arrays only, never of a sheet."""
    file = tmp_path / "away" / "digits.sheet"
    done = CliRunner().invoke(app, ["data", "digits", "--sheet", str(file), "--imbalance", "20"])
    assert done.exit_code == 0, done.output
    assert "of 1294 training images and 503 test images" in " ".join(done.output.split())
    for words, why in (
        (["digits", "--sheet", str(tmp_path / "x.sheet")], "looks for a sheet named digits.sheet"),
        (["digits", "mnist", "--sheet", str(file)], "a sheet holds one data set"),
        (["digits_folder", "--sheet", str(file)], "unknown data set of arrays"),
    ):
        refused = CliRunner().invoke(app, ["data", *words], env={"COLUMNS": "300"})
        assert refused.exit_code == 2
        assert why in refused.output
    monkeypatch.setenv("NSLAB_DATA", str(file.parent))
    told = CliRunner().invoke(app, ["data", "digits"], env={"COLUMNS": "300"})
    assert "of the former in" in told.output
    again = CliRunner().invoke(app, ["data", "digits", "--sheet", str(file)])
    assert again.exit_code == 2
