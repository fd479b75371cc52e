"""Digits written as folders of images: the same everywhere, whole or not at all."""

import dataclasses
import hashlib
import json
import os
import shutil
import threading
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from nslab.datasets import DATASETS, dataset_of, digit_folders, image_folder, load
from nslab.datasets.batches import make_batches
from nslab.datasets.image_files import ImageFiles
from nslab.datasets.named_folders import MARK
from nslab.datasets.provenance import data_digest
from nslab.runs import housekeeping

NAMES = ("digits_folder", "digits_half", "digits_hard")


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder of data sets."""
    monkeypatch.setenv("NSLAB_DATA", str(tmp_path / "data"))
    return tmp_path / "data"


def contents(folder: Path) -> dict[str, str]:
    """Digests of the images by name."""
    return {
        str(file.relative_to(folder)): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in folder.rglob("*.*")
        if file.is_file() and file.name != MARK
    }


@pytest.mark.parametrize("name", NAMES)
def test_written_as_described(data: Path, name: str) -> None:
    """As many as planned, the same bytes twice, nothing left beside it; read the second time."""
    planned = dataset_of(name)
    assert data_digest(name) is None
    loaded = load(name)
    assert loaded.dataset == planned
    assert len(loaded.arrays.train_y) == planned.layout.train
    assert len(loaded.arrays.test_y) == planned.layout.test
    first, digest = contents(data / name), data_digest(name)
    mark = (data / name / MARK).stat().st_ino
    load(name)
    assert (data / name / MARK).stat().st_ino == mark
    assert sorted(p.name for p in data.iterdir()) == [f".{name}.lock", name]
    shutil.rmtree(data / name)
    load(name)
    assert (contents(data / name), data_digest(name)) == (first, digest)


def test_as_peoples_folders_are(data: Path) -> None:
    """PNG and JPEG, grey and coloured, of several sizes, classes of different sizes."""
    loaded = load("digits_folder")
    files = [*loaded.arrays.train_x, *loaded.arrays.test_x]
    assert {Path(f).suffix for f in files} == {".png", ".jpg", ".JPEG"}
    kinds, sizes = set(), set()
    for file in files:
        with Image.open(file) as image:
            kinds.add((image.format, image.mode))
            sizes.add(image.size)
    assert kinds == {("PNG", "L"), ("PNG", "RGB"), ("JPEG", "L"), ("JPEG", "RGB")}
    assert len(sizes) > 20
    assert np.bincount(loaded.arrays.train_y).tolist() == [120 - 8 * k for k in range(10)]
    assert np.bincount(loaded.arrays.test_y).tolist() == [40 - 2 * k for k in range(10)]
    half = load("digits_half")
    assert half.dataset.classes == ("0", "1", "2", "3", "4")


def test_no_test_image_is_trained_on() -> None:
    """Neither here nor, for a network that starts from it, among the half."""
    for train, test in digit_folders._digits():
        assert not {x.tobytes() for x in train} & {x.tobytes() for x in test}


def test_both_labels_are_right(data: Path) -> None:
    """In the form of ImageNet-Hard: the file of labels says what is loaded."""
    loaded = load("digits_hard")
    given = json.loads((data / "digits_hard/labels.json").read_text())
    accepted = loaded.accepted
    assert accepted is not None
    for file, row in zip(loaded.arrays.test_x, accepted, strict=True):
        assert given[os.path.relpath(file, data / "digits_hard")] == row.tolist()
    assert (accepted[:, 0] != accepted[:, 1]).all()
    assert set(accepted.flatten().tolist()) == set(range(10))


@pytest.mark.parametrize(
    ("name", "damage"),
    [("digits_folder", "half"), ("digits_folder", "labels")]
    + [("digits_hard", damage) for damage in ("less", "half", "more", "mark", "labels")],
)
def test_damaged_folders_are_made_anew(data: Path, name: str, damage: str) -> None:
    """What was there is kept under another name."""
    load(name)
    digest, whole = data_digest(name), contents(data / name)
    victim = sorted((data / name).rglob("*.png"))[7]
    if damage == "less":
        victim.unlink()
    elif damage == "half":
        victim.write_bytes(victim.read_bytes()[:50])
    elif damage == "more":
        shutil.copy(victim, victim.with_name("more.png"))
    elif damage == "mark":
        (data / name / MARK).unlink()
    elif name == "digits_hard":
        (data / name / "labels.json").write_text("{}")
    else:
        shutil.rmtree(data / name / "train/3")
    image_folder.forget()  # as another process would, or this one a little later
    with pytest.warns(UserWarning, match="has changed since it was made, and is made again"):
        load(name)
    assert (contents(data / name), data_digest(name)) == (whole, digest)
    assert (data / f"{name}.broken").is_dir()


def test_made_once_by_many_and_after_a_kill(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of several that find nothing one writes; halves of a process that was killed go."""
    half = data / ".digits_hard.xyz.part"
    half.mkdir(parents=True)
    (half / "labels.json").write_text("{")
    calls: list[str] = []
    write = DATASETS["digits_hard"].make

    def counted(folder: Path) -> str:
        calls.append(str(folder))
        return write(folder)

    about = DATASETS["digits_hard"]
    monkeypatch.delitem(DATASETS, "digits_hard")
    monkeypatch.setitem(DATASETS, "digits_hard", type(about)(**vars(about) | {"make": counted}))
    found: list[int] = []
    load_one = lambda: found.append(len(load("digits_hard").arrays.test_y))  # noqa: E731
    threads = [threading.Thread(target=load_one) for _ in "abc"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [200] * 3
    assert len(calls) == 1
    assert not half.exists()


def test_a_failure_leaves_nothing(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder is there when it is whole."""

    def fails(folder: Path) -> str:
        (folder / "train/0").mkdir(parents=True)
        raise OSError("no room")

    about = DATASETS["digits_half"]
    monkeypatch.delitem(DATASETS, "digits_half")
    monkeypatch.setitem(DATASETS, "digits_half", type(about)(**vars(about) | {"make": fails}))
    with pytest.raises(OSError, match="no room"):
        load("digits_half")
    assert [p.name for p in data.iterdir()] == [".digits_half.lock"]


def test_where_data_are_read_only(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are made in the home, and found there; a copy among the data counts first."""
    data.mkdir()
    access = os.access
    monkeypatch.setattr(os, "access", lambda path, mode: path != data and access(path, mode))
    monkeypatch.setenv("NSLAB_HOME", str(tmp_path / "home"))
    for _ in range(2):
        assert str(tmp_path / "home/data/cache") in load("digits_hard").arrays.test_x[0]
    assert not list(data.iterdir())
    shutil.copytree(tmp_path / "home/data/cache/digits_hard", data / "digits_hard")
    assert load("digits_hard").arrays.test_x[0].startswith(str(data))


def test_halves_of_folders_can_be_cleaned_up(data: Path) -> None:
    """As halves of files can; a plan does not look at them."""
    half = data / ".digits_half.xyz.part/train/0"
    half.mkdir(parents=True)
    (half / "000.png").write_bytes(b"half")
    found = [finding for finding in housekeeping.examine() if finding.need == "nothing"]
    assert [finding.path.name for finding in found] == [".digits_half.xyz.part"]
    assert housekeeping.remove(found) == found
    assert [p.name for p in data.iterdir()] == [".digits_half.lock"]


def test_other_code_of_ones_own_makes_other_folders(
    data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The digest of the code is kept with what it wrote."""

    def register(turns: int) -> None:
        def write(folder: Path) -> str:
            digest = digit_folders.write_half(folder)
            for file in folder.rglob("*.png"):
                Image.fromarray(np.rot90(np.asarray(Image.open(file)), turns)).save(file)
            return f"{digest} {turns}"

        monkeypatch.delitem(DATASETS, "turned", raising=False)
        about = dataclasses.replace(DATASETS["digits_half"], places=("turned",), make=write)
        monkeypatch.setitem(DATASETS, "turned", about)

    register(0)
    load("turned")
    before = data_digest("turned")
    load("turned")
    register(1)
    with pytest.warns(UserWarning, match="is made again"):
        load("turned")
    assert data_digest("turned") != before


@pytest.mark.parametrize("augment", ["none", "crop_flip"])
def test_two_ranks_see_what_one_process_sees(augment: str) -> None:
    """Training batches, each image as augmented, and every test image once."""
    loaded = load("digits_folder")
    arrays = loaded.arrays

    def batches(x: np.ndarray, y: np.ndarray, rank: int, world: int) -> ImageFiles:
        given = {"batch_size": 64, "seed": 5, "augment": augment, "rank": rank, "world": world}
        made = make_batches(x, y, loaded.dataset, torch.device("cpu"), **given)
        assert isinstance(made, ImageFiles)
        return made

    train = arrays.train_x[::3], arrays.train_y[::3]
    alone = list(batches(*train, 0, 1).epoch(1))
    ranks = [list(batches(*train, r, 2).epoch(1)) for r in (0, 1)]
    for whole, *parts in zip(alone, *ranks, strict=True):
        assert torch.equal(whole.x, torch.cat([part.x for part in parts]))
        assert torch.equal(whole.y, torch.cat([part.y for part in parts]))
    tests = arrays.test_x, arrays.test_y
    seen = [b.index for r in (0, 1) for b in batches(*tests, r, 2).in_order()]
    assert torch.equal(torch.cat(seen).sort().values, torch.arange(310))
