"""Array files are read whole, or refused with advice."""

import io
import os
import pickle
import subprocess
import sys
import threading
import time
import zipfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from array_helpers import LAYOUT, NAMES, never, refused, same, small_arrays, toy
from hypothesis import given, settings
from hypothesis import strategies as st

from nslab.datasets import DATASETS, CorruptDataset, ImageData, MissingDataset, load
from nslab.datasets.arrays import Arrays, Layout, read_arrays, write_arrays
from nslab.datasets.sources import fetch_digits


def test_written_once_then_mapped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first load fetches and writes, later ones map the file; nobody can write into it."""
    calls: list[tuple[Path, str]] = []

    def fetch(folder: Path, name: str) -> Arrays:
        calls.append((folder, name))
        return small_arrays()

    monkeypatch.setitem(DATASETS, "toy", toy(fetch))
    folder = tmp_path / "new" / "cache"
    first = load("toy", folder)
    written = (folder / "toy.npz").stat().st_mtime_ns
    second = load("toy", folder)
    assert calls == [(folder, "toy")]
    assert (folder / "toy.npz").stat().st_mtime_ns == written
    for data in (first, second):
        assert data.name == "toy"
        assert same(data.arrays, small_arrays())
        assert isinstance(data.arrays.train_x, np.memmap)
        assert isinstance(data.arrays.test_x, np.memmap)
        with pytest.raises(ValueError, match="read-only"):
            data.arrays.train_x[0] = 0


def test_a_folder_that_is_read_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is made of its files goes to the home; what is not in it is fetched there too."""
    raw, home = tmp_path / "shared", tmp_path / "home"
    raw.mkdir()
    asked: list[Path] = []

    def fetch(folder: Path, name: str) -> Arrays:
        asked.append(folder)
        if folder == raw and name == "other":
            raise MissingDataset("no")
        return small_arrays()

    for name in ("toy", "other"):
        monkeypatch.setitem(DATASETS, name, toy(fetch))
    access = os.access
    monkeypatch.setattr(os, "access", lambda path, mode: path != raw and access(path, mode))
    monkeypatch.setenv("NSLAB_DATA", str(raw))
    monkeypatch.setenv("NSLAB_HOME", str(home))
    for _ in range(2):
        assert same(load("toy").arrays, small_arrays())
    assert same(load("other").arrays, small_arrays())
    assert asked == [raw, raw, home / "data" / "cache"]
    assert not list(raw.iterdir())
    (raw / "toy.npz").write_bytes((home / "data/cache/toy.npz").read_bytes())
    (home / "data/cache/toy.npz").write_bytes(b"not looked at")
    assert same(load("toy").arrays, small_arrays())


def test_default_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """``NSLAB_DATA`` if set, else ``data/cache`` of the home."""
    monkeypatch.setitem(DATASETS, "toy", toy(lambda folder, name: small_arrays()))
    monkeypatch.setenv("NSLAB_DATA", str(tmp_path / "there"))
    load("toy")
    assert (tmp_path / "there" / "toy.npz").exists()
    monkeypatch.delenv("NSLAB_DATA")
    monkeypatch.setenv("NSLAB_HOME", str(tmp_path / "home"))
    load("toy")
    assert (tmp_path / "home" / "data" / "cache" / "toy.npz").exists()


def test_fetched_once_by_many(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of several that find nothing at the same time, one fetches and the others wait."""
    calls: list[str] = []

    def fetch(folder: Path, name: str) -> Arrays:
        calls.append(name)
        time.sleep(0.2)
        return small_arrays()

    monkeypatch.setitem(DATASETS, "toy", toy(fetch))
    found: list[ImageData] = []
    threads = [threading.Thread(target=lambda: found.append(load("toy", tmp_path))) for _ in "abcd"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert calls == ["toy"]
    assert len(found) == 4
    assert all(same(data.arrays, small_arrays()) for data in found)


def test_reading_needs_neither_torchvision_nor_sklearn(tmp_path: Path) -> None:
    """Another process loads the written digits, mapped, without importing what made them."""
    arrays = fetch_digits(tmp_path, "digits")
    write_arrays(tmp_path / "digits.npz", arrays)
    code = "import sys; from nslab.datasets import load; x = load('digits').arrays.train_x; "
    code += "print(type(x).__name__, int(x.sum()), *{'torchvision', 'sklearn'} & set(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "NSLAB_DATA": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == ["memmap", str(int(arrays.train_x.sum()))]


layouts = st.builds(
    Layout,
    train=st.integers(5, 9),
    test=st.integers(5, 9),
    shape=st.tuples(st.integers(1, 5), st.integers(1, 5), st.sampled_from([1, 2, 3])),
    num_classes=st.integers(1, 5),
)


@given(layout=layouts, seed=st.integers(0, 100))
@settings(deadline=None, max_examples=25)
def test_round_trip(tmp_path_factory: pytest.TempPathFactory, layout: Layout, seed: int) -> None:
    """Whatever the shape, what is written is read, and numpy alone reads the same."""
    file = tmp_path_factory.mktemp("round") / "toy.npz"
    arrays = small_arrays(layout, seed)
    write_arrays(file, arrays)
    assert same(read_arrays(file, layout), arrays)
    with np.load(file) as plain:
        assert same(Arrays(**plain), arrays)


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
@pytest.mark.parametrize("dtype", [np.int64, np.int32, np.uint8])
@pytest.mark.parametrize("order", ["C", "F"])
def test_drop_in_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, save: Callable, dtype: type, order: Any
) -> None:
    """Files that others wrote: compressed or not, smaller label types, either memory order."""
    arrays = small_arrays()
    made = {name: np.asarray(a, order=order) for name, a in arrays._asdict().items()}
    made |= {name: made[name].astype(dtype) for name in ("train_y", "test_y")}
    save(tmp_path / "toy.npz", **made)
    monkeypatch.setitem(DATASETS, "toy", toy(never))
    assert same(load("toy", tmp_path).arrays, arrays)


@pytest.fixture(params=["stored", "compressed"])
def file(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A good file, both ways of writing it."""
    path = tmp_path / "toy.npz"
    if request.param == "stored":
        write_arrays(path, small_arrays())
    else:
        np.savez_compressed(path, **small_arrays()._asdict())
    assert same(read_arrays(path, LAYOUT), small_arrays())
    return path


def test_truncated_anywhere(file: Path) -> None:
    """A copy that stopped at any byte is refused."""
    whole = file.read_bytes()
    for length in {*range(0, len(whole), 5), *range(len(whole) - 60, len(whole))}:
        file.write_bytes(whole[:length])
        refused(file)
    file.write_bytes(whole)
    assert same(read_arrays(file, LAYOUT), small_arrays())


def flipped(file: Path, mask: int, within: Iterable[int]) -> Iterator[int]:
    """Write the file with the bits of ``mask`` flipped in one byte, one byte after the other."""
    whole = file.read_bytes()
    for i in within:
        file.write_bytes(whole[:i] + bytes([whole[i] ^ mask]) + whole[i + 1 :])
        yield i
    file.write_bytes(whole)


def harmless_or_refused(file: Path) -> bool:
    """Whether the file gives the right arrays; otherwise it must be refused."""
    try:
        found = read_arrays(file, LAYOUT)
    except CorruptDataset:
        return False
    assert same(found, small_arrays())
    return True


def members(file: Path) -> Iterator[range]:
    """Where the contents of each array lie in a zip file."""
    whole = file.read_bytes()
    with zipfile.ZipFile(file) as archive:
        for info in archive.infolist():
            fixed = whole[info.header_offset : info.header_offset + 30]
            name, extra = (int.from_bytes(fixed[i : i + 2], "little") for i in (26, 28))
            start = info.header_offset + 30 + name + extra
            assert whole[start - name - extra : start].startswith(info.filename.encode())
            yield range(start, start + info.compress_size)


def test_flipped_byte_of_an_array(file: Path) -> None:
    """One wrong byte anywhere in the arrays or their headers is refused.

    In a compressed stream some bits say nothing: in its first byte and in its last two or three.
    """
    with zipfile.ZipFile(file) as archive:
        stored = archive.infolist()[0].compress_type == zipfile.ZIP_STORED
    for member in list(members(file)):
        said_nothing = set() if stored else {0, *range(len(member) - 3, len(member))}
        for i in flipped(file, 0x40, member):
            assert not harmless_or_refused(file) or i - member.start in said_nothing


def test_flipped_byte_of_a_large_array(tmp_path: Path) -> None:
    """Far behind the header, where mapping alone would not look, the checksum finds it."""
    layout, file = Layout(60, 40, (16, 16, 3), 3), tmp_path / "toy.npz"
    arrays = small_arrays(layout)
    write_arrays(file, arrays)
    for images in (arrays.train_x, arrays.test_x):
        start = file.read_bytes().index(images.tobytes())
        for _ in flipped(file, 0x01, range(start, start + images.nbytes, 997)):
            assert "checksum" in refused(file, layout)
    assert same(read_arrays(file, layout), arrays)


@pytest.mark.parametrize("mask", [0x01, 0xFF])
def test_flipped_byte_anywhere(file: Path, mask: int) -> None:
    """Damage to the zip's own records is refused too, or else does no harm (a date, say)."""
    results = [harmless_or_refused(file) for _ in flipped(file, mask, range(file.stat().st_size))]
    assert not all(results)


@given(st.binary(max_size=200))
@settings(deadline=None, max_examples=30)
def test_not_a_zip(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    """An empty file, a page of HTML, anything: refused."""
    file = tmp_path_factory.mktemp("junk") / "toy.npz"
    for junk in (content, b"<html>404</html>", b"PK\x03\x04" + content, b"\x93NUMPY" + content):
        file.write_bytes(junk)
        refused(file)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"train_x": lambda a: a.astype(np.float32)}, "train_x is float32, not uint8"),
        ({"test_x": lambda a: a.astype(np.int8)}, "test_x is int8, not uint8"),
        ({"train_x": lambda a: a.transpose(0, 3, 1, 2)}, r"train_x has shape \(6, 2, 3, 2\)"),
        ({"train_x": lambda a: a[..., 0]}, r"train_x has shape \(6, 3, 2\), not \(6, 3, 2, 2\)"),
        ({"train_x": lambda a: a[:-1]}, r"train_x has shape \(5, "),
        ({"train_x": lambda a: a[:0]}, "train_x"),
        ({"train_x": lambda a: a[:5], "train_y": lambda a: a[:5]}, r"train_x has shape \(5, "),
        ({"test_y": lambda a: a[:-1]}, r"test_y has shape \(3,\), not \(4,\)"),
        ({"test_y": lambda a: a[:, None]}, r"test_y has shape \(4, 1\)"),
        ({"test_y": lambda a: a.astype(float)}, "test_y is float64, not whole numbers"),
        ({"test_y": lambda a: a > 0}, "test_y is bool, not whole numbers"),
        ({"train_y": lambda a: a + 1}, "train_y does not hold each of the classes 0 to 2"),
        ({"train_y": lambda a: a - 1}, "train_y does not hold each of the classes"),
        ({"test_y": lambda a: np.minimum(a, 1)}, "test_y does not hold each of the classes"),
        ({"train_y": lambda a: np.where(a == 2, 3, a)}, "train_y does not hold"),
        ({"train_y": lambda a: a.astype(str)}, "train_y is <U"),
    ],
)
@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_wrong_arrays(tmp_path: Path, changes: dict, message: str, save: Callable) -> None:
    """Each wrong dtype, shape, count and label is named, whichever way it was written."""
    made = small_arrays()._asdict()
    made |= {name: change(made[name]) for name, change in changes.items()}
    save(tmp_path / "toy.npz", **made)
    with pytest.raises(CorruptDataset, match=message):
        read_arrays(tmp_path / "toy.npz", LAYOUT)
    refused(tmp_path / "toy.npz")


@pytest.mark.parametrize("name", NAMES)
def test_missing_array(tmp_path: Path, name: str) -> None:
    """Named in the message."""
    made = small_arrays()._asdict()
    del made[name]
    np.savez(tmp_path / "toy.npz", **made)
    assert f"{name}.npy" in refused(tmp_path / "toy.npz")


class Bomb:
    """Makes a folder when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple:
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
@pytest.mark.parametrize("name", ["train_x", "test_y"])
def test_nothing_is_unpickled(tmp_path: Path, save: Callable, name: str) -> None:
    """An array of Python objects is refused before its pickle is opened."""
    made = {**small_arrays()._asdict(), name: np.array([Bomb(tmp_path / "bang")] * 4)}
    save(tmp_path / "toy.npz", **made)
    assert "Python objects" in refused(tmp_path / "toy.npz")
    assert not (tmp_path / "bang").exists()
    with np.load(tmp_path / "toy.npz", allow_pickle=True) as plain:
        assert plain[name].dtype == object
    assert (tmp_path / "bang").exists(), "the bomb is a real one"


def test_pickle_in_the_place_of_an_array(tmp_path: Path) -> None:
    """A member that is no array at all is refused, unopened."""
    buffer = io.BytesIO()
    np.save(buffer, small_arrays().train_x)
    with zipfile.ZipFile(tmp_path / "toy.npz", "w") as archive:
        archive.writestr("train_x.npy", pickle.dumps(Bomb(tmp_path / "bang")))
        for name in NAMES[1:]:
            archive.writestr(f"{name}.npy", buffer.getvalue())
    assert "cannot be read" in refused(tmp_path / "toy.npz")
    assert not (tmp_path / "bang").exists()


@pytest.mark.parametrize("count", [10**15, 10**30])
def test_header_that_promises_too_much(tmp_path: Path, count: int) -> None:
    """The shape is looked at before memory is asked for, and is wrong."""
    content = io.BytesIO()
    header = {"descr": "|u1", "fortran_order": False, "shape": (count,)}
    np.lib.format.write_array_header_1_0(content, header)
    with zipfile.ZipFile(tmp_path / "toy.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        for name in NAMES:
            archive.writestr(f"{name}.npy", content.getvalue())
    refused(tmp_path / "toy.npz")


def test_corrupt_file_is_neither_replaced_nor_fetched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The user decides: it may be the only copy. A good one in its place is taken."""
    monkeypatch.setitem(DATASETS, "toy", toy(never))
    (tmp_path / "toy.npz").write_bytes(b"broken")
    with pytest.raises(CorruptDataset, match="not trusted"):
        load("toy", tmp_path)
    assert (tmp_path / "toy.npz").read_bytes() == b"broken"
    write_arrays(tmp_path / "toy.npz", small_arrays())
    assert same(load("toy", tmp_path).arrays, small_arrays())


def test_wrong_download_is_not_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a source gives is checked before it gets a name."""
    wrong = small_arrays()._replace(test_y=np.zeros(4, dtype=np.int64))
    monkeypatch.setitem(DATASETS, "toy", toy(lambda folder, name: wrong))
    with pytest.raises(CorruptDataset, match=r"'toy' in .* are wrong: test_y"):
        load("toy", tmp_path)
    assert not list(tmp_path.glob("*.npz"))
