"""Files that carry a digest of themselves: every flipped bit shows, and each stays of its kind."""

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from nslab.system import seals

STATE = {"weight": torch.arange(12.0).reshape(3, 4), "steps": torch.tensor([3])}


def flips(data: bytes, every: int) -> list[bytes]:
    """Copies with one bit flipped, one for every so many bits, all residues in turn."""
    copies = []
    for bit in range(0, 8 * len(data), every):
        copy = bytearray(data)
        copy[bit // 8] ^= 1 << bit % 8
        copies.append(bytes(copy))
    return copies


def undetected(file: Path, read: Callable[[], Any], right: Callable[[Any], bool], step: int) -> int:
    """How many flipped bits give other contents than were written, and no error."""
    whole, wrong = file.read_bytes(), 0
    for damaged in flips(whole, step):
        file.write_bytes(damaged)
        try:
            wrong += not right(read())
        except ValueError:
            continue
    return wrong


def same(found: Any) -> bool:
    """Whether tensors are those that were written."""
    return found.keys() == STATE.keys() and all(torch.equal(found[k], STATE[k]) for k in STATE)


def test_torch_file_with_a_seal_is_still_one(tmp_path: Path) -> None:
    """torch.load reads it, and files without a seal are read."""
    file = tmp_path / "state.pt"
    seals.save_torch(STATE, file)
    assert same(torch.load(file, weights_only=True))
    assert same(seals.load_torch(file))
    torch.save(STATE, file)
    assert same(seals.load_torch(file))


def test_no_flipped_bit_of_a_torch_file_passes(tmp_path: Path) -> None:
    """Those in the seal itself change nothing; all others are an error."""
    file = tmp_path / "state.pt"
    seals.save_torch(STATE, file)
    assert undetected(file, lambda: seals.load_torch(file), same, 7) == 0


def test_no_shortened_torch_file_passes(tmp_path: Path) -> None:
    """Cut anywhere."""
    file = tmp_path / "state.pt"
    seals.save_torch(STATE, file)
    whole = file.read_bytes()
    for length in range(0, len(whole), 37):
        file.write_bytes(whole[:length])
        with pytest.raises(ValueError, match="cannot be read"):
            seals.load_torch(file)


def test_a_torch_file_that_cannot_be_written_says_what_the_system_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """torch hides it; the old file stays."""
    file = tmp_path / "state.pt"
    seals.save_torch(STATE, file)
    before = file.read_bytes()

    class Full(seals._Writer):
        def write(self, data: Any) -> int:
            self.error = OSError(28, "No space left on device")
            raise self.error

    monkeypatch.setattr(seals, "_Writer", Full)
    with pytest.raises(OSError, match="the disk is full"):
        seals.save_torch({"other": torch.zeros(3)}, file)
    assert file.read_bytes() == before


def test_no_flipped_bit_of_safetensors_passes(tmp_path: Path) -> None:
    """Header or numbers; the file is one that everybody reads."""
    file = tmp_path / "w.safetensors"
    seals.save_tensors(STATE, file, run="0123456789ab")
    assert same(load_file(file))
    assert same(seals.load_tensors(file, "0123456789ab"))
    assert undetected(file, lambda: seals.load_tensors(file, "0123456789ab"), same, 3) == 0


def test_safetensors_of_another_run_are_refused(tmp_path: Path) -> None:
    """A swap; a file without a run passes, as those of older versions do."""
    file = tmp_path / "w.safetensors"
    seals.save_tensors(STATE, file, run="0123456789ab")
    with pytest.raises(ValueError, match="it is of run 0123456789ab"):
        seals.load_tensors(file, "ba9876543210")
    save_file(STATE, file)
    assert same(seals.load_tensors(file, "ba9876543210"))


def test_no_flipped_bit_of_sealed_json_passes() -> None:
    """Whatever reads on has a key that nothing has."""
    data = {"id": "0123456789ab", "metrics": {"accuracy": 97.25}, "history": [{"epoch": 0}]}
    text = seals.sealed_json(data).encode()
    assert json.loads(text)["metrics"] == data["metrics"]
    assert seals.unsealed_json(text) == (data, True)
    for damaged in flips(text, 1):
        try:
            found, _ = seals.unsealed_json(damaged)
        except ValueError:
            continue
        assert found.keys() - data.keys(), "it would be taken for the right one"


def test_json_without_a_seal_is_read() -> None:
    """Of older versions; no text of it is a seal that does not hold."""
    assert seals.unsealed_json(b'{"a": 1}') == ({"a": 1}, False)
    with pytest.raises(ValueError, match="changed by hand"):
        seals.unsealed_json(b'{"sha256": "x", "a": 1}')
    for text in (b"[1]", b"3", b"", b"\xff\xfe", b"{"):
        with pytest.raises(ValueError):  # noqa: PT011
            seals.unsealed_json(text)


def test_nan_is_no_json() -> None:
    """It is refused where it is written."""
    with pytest.raises(ValueError, match="JSON"):
        seals.sealed_json({"loss": math.nan})


@pytest.mark.parametrize("name", ["a.pt", "a.pt.broken"])
def test_what_is_set_aside_is_kept(tmp_path: Path, name: str) -> None:
    """Under a name of its own, each time; what another process has set aside is no matter."""
    for text in ("first", "second"):
        (tmp_path / name).write_text(text)
        with pytest.warns(UserWarning, match="is broken: it is kept as"):
            seals.set_aside(tmp_path / name, "is broken")
    seals.set_aside(tmp_path / name, "is broken")
    assert sorted(file.read_text() for file in tmp_path.iterdir()) == ["first", "second"]
