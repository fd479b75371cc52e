"""Files are replaced whole or not at all, and a failure says what to do."""

import argparse
import errno
import os
import pickle
import random
import stat
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch

from nslab.system.files import read_tensors, remove_strays, replacing, write_text

OLD, NEW = "old\n" * 1000, "new and longer, with ρ and σ\n" * 1000
ADVICE = {
    errno.ENOSPC: "the disk is full: make room",
    errno.EDQUOT: "your quota is used up: make room",
    errno.EFBIG: "`ulimit -f` allows: raise that limit",
    errno.EROFS: "set NSLAB_HOME",
    errno.EACCES: "set NSLAB_HOME",
}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A file that exists, alone in its folder."""
    path = tmp_path / "folder" / "table.csv"
    path.parent.mkdir()
    path.write_text(OLD, encoding="utf-8")
    return path


def untouched(file: Path) -> bool:
    """Whether the old file is there, with nothing beside it."""
    return os.listdir(file.parent) == [file.name] and file.read_text(encoding="utf-8") == OLD


def failing(code: int) -> Callable[..., None]:
    """A function that fails as the system would."""

    def fail(*args: object, **options: object) -> None:
        raise OSError(code, os.strerror(code))

    return fail


@contextmanager
def umask(mask: int) -> Iterator[None]:
    """Another umask for a while."""
    before = os.umask(mask)
    try:
        yield
    finally:
        os.umask(before)


def test_replaces_and_creates(file: Path, tmp_path: Path) -> None:
    """The new text is there byte for byte, in folders made on the way, with nothing beside it."""
    for path in (file, tmp_path / "a" / "b" / "new.txt"):
        write_text(path, NEW)
        assert path.read_bytes() == NEW.encode()
        assert os.listdir(path.parent) == [path.name]


def test_old_file_is_there_until_the_block_ends(file: Path) -> None:
    """While the block writes, a reader still sees the old file."""
    with replacing(file) as temporary:
        temporary.write_text(NEW, encoding="utf-8")
        assert temporary.parent == file.parent
        assert temporary != file
        assert file.read_text(encoding="utf-8") == OLD
    assert file.read_text(encoding="utf-8") == NEW


def test_a_reader_never_sees_half_a_file(file: Path) -> None:
    """Read while another thread writes: always one of the two texts."""
    texts, seen, stop = {OLD, NEW}, set(), threading.Event()

    def write() -> None:
        for text in [NEW, OLD] * 25:
            write_text(file, text)
        stop.set()

    writer = threading.Thread(target=write)
    writer.start()
    while not stop.is_set():
        seen.add(file.read_text(encoding="utf-8"))
    writer.join()
    assert seen
    assert seen <= texts


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit])
def test_failure_in_the_block_keeps_the_old_file(file: Path, error: type[BaseException]) -> None:
    """Whatever ends the block, half a file written: it comes out as it is, the old file stays."""

    def write() -> None:
        with replacing(file) as temporary:
            temporary.write_text(NEW[:50], encoding="utf-8")
            raise error("stop")

    with pytest.raises(error, match="stop"):
        write()
    assert untouched(file)


def test_failure_without_an_old_file_leaves_nothing(tmp_path: Path) -> None:
    """No half file appears under the name."""

    def write() -> None:
        with replacing(tmp_path / "new") as temporary:
            temporary.write_bytes(b"half")
            raise ValueError("stop")

    with pytest.raises(ValueError, match="stop"):
        write()
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("code", sorted(ADVICE))
@pytest.mark.parametrize("where", ["block", "fsync", "replace", "mkstemp", "mkdir"])
def test_system_errors_come_with_advice(
    file: Path, monkeypatch: pytest.MonkeyPatch, code: int, where: str
) -> None:
    """Full disk, read-only disk and forbidden folder: kind, path and advice, the old file kept."""
    homes = {"fsync": os, "replace": os, "mkstemp": tempfile, "mkdir": Path}

    def write() -> None:
        with replacing(file) as temporary:
            temporary.write_text(NEW[:50], encoding="utf-8")
            if where == "block":
                failing(code)()

    with monkeypatch.context() as patch:
        if where in homes:
            patch.setattr(homes[where], where, failing(code))
        with pytest.raises(OSError, match=ADVICE[code]) as caught:
            write()
    assert caught.value.errno == code
    assert str(file) in str(caught.value)
    assert isinstance(caught.value.__cause__, OSError)
    assert isinstance(caught.value, PermissionError) == (code == errno.EACCES)
    assert untouched(file)


def test_other_system_errors_come_out_as_they_are(file: Path) -> None:
    """No advice is invented for an error that is neither of the known ones."""
    error = OSError(errno.EIO, "input/output error")

    def write() -> None:
        with replacing(file):
            raise error

    with pytest.raises(OSError, match="input/output error") as caught:
        write()
    assert caught.value is error
    assert untouched(file)


def test_an_error_is_not_its_own_cause(file: Path) -> None:
    """A chain of causes that is a ring would trap whoever walks it."""
    error = OSError(errno.EIO, "input/output error")

    def write() -> None:
        with replacing(file):
            raise error

    with pytest.raises(OSError, match="input/output error"):
        write()
    assert error.__cause__ is not error


def test_a_file_in_the_place_of_the_folder(file: Path) -> None:
    """``OSError``, and that file is not harmed."""
    with pytest.raises(OSError, match=r"table\.csv"):
        write_text(file / "inside.txt", NEW)
    assert untouched(file)


def test_a_folder_in_the_place_of_the_file(tmp_path: Path) -> None:
    """``OSError``; the folder and what it holds stay, and no temporary."""
    (tmp_path / "name").mkdir()
    (tmp_path / "name" / "inside").write_text("kept", encoding="utf-8")
    with pytest.raises(OSError, match="name"):
        write_text(tmp_path / "name", NEW)
    assert os.listdir(tmp_path) == ["name"]
    assert (tmp_path / "name" / "inside").read_text(encoding="utf-8") == "kept"


@pytest.mark.parametrize("mask", [0o022, 0o027, 0o077, 0o000])
def test_permissions_follow_the_umask(file: Path, mask: int) -> None:
    """As for a file that ``open`` makes (a temporary file alone would be private)."""
    with umask(mask):
        write_text(file, NEW)
        (file.parent / "plain").touch()
        assert os.umask(mask) == mask, "the umask is left as it was"
    mode = stat.S_IMODE(file.stat().st_mode)
    assert mode == 0o666 & ~mask
    assert mode == stat.S_IMODE((file.parent / "plain").stat().st_mode)


def test_flushed_before_it_takes_the_place(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The bytes are on the disk before the name points to them, and then the name is."""
    steps: list[str] = []
    fsync, replace = os.fsync, os.replace

    def noting_fsync(handle: int) -> None:
        found = os.fstat(handle)
        steps.append("names" if stat.S_ISDIR(found.st_mode) else f"fsync {found.st_size}")
        fsync(handle)

    def noting_replace(source: Path, target: Path) -> None:
        steps.append("replace")
        replace(source, target)

    monkeypatch.setattr(os, "fsync", noting_fsync)
    monkeypatch.setattr(os, "replace", noting_replace)
    write_text(file, NEW)
    assert steps == [f"fsync {len(NEW.encode())}", "replace", "names"]
    steps.clear()
    write_text(file, OLD, flush=False)
    assert steps == ["replace"]


def test_strays_of_the_killed_are_removed(file: Path) -> None:
    """What a killed process left beside a file goes; the file and all others stay."""
    kept = {file.name, ".other.abc.part", ".table.csv.swp"}
    for name in (*kept - {file.name}, ".table.csv.x1.part", ".table.csv.x2.part"):
        (file.parent / name).write_text("half")
    remove_strays(file.parent, file.name)
    assert set(os.listdir(file.parent)) == kept
    remove_strays(file.parent, "*")
    assert set(os.listdir(file.parent)) == {file.name, ".table.csv.swp"}


@pytest.mark.parametrize("content", [b"", b"half a file", b"PK\x03\x04 cut off", b"\x80\x02."])
def test_broken_tensors_have_one_error(tmp_path: Path, content: bytes) -> None:
    """However a file is broken, ``ValueError`` names it; a pickled object is refused unread."""
    import torch

    file = tmp_path / "weights.pt"
    file.write_bytes(content)
    with pytest.raises(ValueError, match=r"weights\.pt cannot be read: ."):
        read_tensors(file)
    torch.save(torch.nn.Linear(2, 2), file)
    with pytest.raises(ValueError, match="cannot be read"):
        read_tensors(file)
    torch.save({"a": torch.ones(2)}, file)
    assert read_tensors(file)["a"].tolist() == [1, 1]
    assert read_tensors(file, torch.device("cpu:0"))["a"].tolist() == [1, 1]  # of a first process


def test_nobody_is_advised_to_run_what_lies_in_a_file(tmp_path: Path) -> None:
    """Torch would, of whatever it cannot read without running code."""
    torch.save({"args": argparse.Namespace(lr=1)}, tmp_path / "args.pt")
    torch.save({"net": torch.nn.Linear(2, 2)}, tmp_path / "net.pt")
    with (tmp_path / "pickle.pt").open("wb") as file:
        pickle.dump({"args": argparse.Namespace(lr=1)}, file)
    torch.save({"a": torch.zeros(2)}, tmp_path / "old.pt", _use_new_zipfile_serialization=False)
    whole = (tmp_path / "old.pt").read_bytes()
    (tmp_path / "old.pt").write_bytes(whole[:-9] + b"damaged!!")
    for name, junk in (("text", b"hello world"), ("html", b"<html>404</html>"), ("none", b"")):
        (tmp_path / f"{name}.pt").write_bytes(junk)
    (tmp_path / "noise.pt").write_bytes(random.Random(0).randbytes(1000))
    files = sorted(tmp_path.glob("*.pt"))
    assert len(files) == 8
    for path in files:
        with pytest.raises(
            ValueError, match=rf"{path.name} cannot be read: (it|storage) "
        ) as caught:
            read_tensors(path)
        assert not {"weights_only", "trust", "arbitrary"} & set(str(caught.value).split())
