"""Seals: files that contain a digest of themselves, so that damage or a swap is noticed.

Each file stays readable as what it is: JSON has the digest as its first entry, a zip file of torch
as its comment, safetensors in its metadata. Files of older stores without a seal are read as
before.
"""

import hashlib
import io
import json
import re
import warnings
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO

from pydantic import TypeAdapter, ValidationError
from safetensors import SafetensorError

from nslab.system.files import no_file, read_tensors, replacing

JSON: TypeAdapter[Any] = TypeAdapter(Any)  # reads faster than Python's own
BROKEN = ".broken"  # suffix of files that were set aside
_CHUNK = 1 << 22
_DAMAGED = "its contents do not match the digest in it: it was damaged, or changed by hand"

_JSON = re.compile(rb'\{\n "sha256": "([0-9a-f]{64})",')
_END = (
    b"PK\x05\x06"  # the record that ends a zip file, 22 bytes long with its comment's length last
)
_MARK = b"sha256:"
_COMMENT = len(_MARK) + 64
_ZEROS = b"0" * 64
_HEADER = re.compile(rb'"sha256":"([0-9a-f]{64})"')


def sealed_json(data: Mapping[str, Any]) -> str:
    """A JSON object with the digest of its text first; ``ValueError`` for NaN, which JSON lacks."""
    body = json.dumps(data, indent=1, allow_nan=False)[1:]
    return f'{{\n "sha256": "{hashlib.sha256(body.encode()).hexdigest()}",{body}'


def unsealed_json(text: bytes) -> tuple[dict[str, Any], bool]:
    """The object in a JSON text, and whether it has a seal of `sealed_json`.

    Raises ``ValueError`` for a broken seal, and for a text that is no JSON object.
    """
    try:
        found = JSON.validate_json(text)
    except ValidationError as error:
        raise ValueError(error.errors()[0]["msg"]) from None
    if not isinstance(found, dict):
        raise ValueError("it is not a JSON object")
    if seal := _JSON.match(text):
        if hashlib.sha256(text[seal.end() :]).hexdigest() != seal[1].decode():
            raise ValueError(_DAMAGED)
        del found["sha256"]
    elif "sha256" in found:
        raise ValueError(_DAMAGED)
    return found, bool(seal)


class _Writer:
    """A file that is hashed as it is written, and keeps the error of a failed write, which torch
    does not report."""

    def __init__(self, file: BinaryIO) -> None:
        self.file, self.digest = file, hashlib.sha256()
        self.error: OSError | None = None

    def write(self, data: Any) -> int:
        try:
            self.digest.update(data)
            return self.file.write(data)
        except OSError as error:
            self.error = error
            raise

    def flush(self) -> None:
        self.file.flush()


def save_torch(data: Any, path: Path) -> None:
    """``torch.save`` to a file that is replaced in one step, with a digest as the comment of the
    zip file."""
    import torch

    with replacing(path) as temporary, temporary.open("wb+") as file:
        writer: Any = _Writer(file)
        try:
            torch.save(data, writer)
        except RuntimeError:
            if writer.error:
                raise writer.error from None
            raise
        file.seek(-2, io.SEEK_END)
        file.write(_COMMENT.to_bytes(2, "little") + _MARK + writer.digest.hexdigest().encode())


def torch_problem(path: Path) -> str:
    """Why a file is not as `save_torch` wrote it; empty if it is, or if it has no seal."""
    try:
        return _torch_problem(path)
    except OSError as error:
        if not no_file(error):
            raise
        return str(error)


def _torch_problem(path: Path) -> str:
    size = path.stat().st_size
    with path.open("rb") as file:
        file.seek(max(0, size - 22 - _COMMENT))
        tail = file.read()
        if tail[-22:-18] == _END:  # a zip file without a comment
            return ""
        mark = tail[22:]
        if tail[:4] != _END or not mark.startswith(_MARK):
            return "it is cut short, or not a file of torch"
        digest, left = hashlib.sha256(), size - _COMMENT - 2
        file.seek(0)
        while left:
            chunk = file.read(min(left, _CHUNK))
            digest.update(chunk)
            left -= len(chunk)
        digest.update(b"\0\0")
    return "" if mark.removeprefix(_MARK) == digest.hexdigest().encode() else _DAMAGED


def load_torch(path: Path, device: Any = "cpu") -> Any:
    """Read a file of `save_torch` or ``torch.save`` without running any code in it.

    Raises ``ValueError``, in one line, if it cannot be read, or is not as it was written.
    """
    if problem := torch_problem(path):
        raise ValueError(f"{path} cannot be read: {problem}")
    return read_tensors(path, device)


def save_tensors(tensors: Mapping[str, Any], path: Path, run: str = "") -> None:
    """Write safetensors in one step, with a digest and the id of their ``run`` in the metadata."""
    from safetensors.torch import save

    plain = save(dict(tensors))
    head = 8 + int.from_bytes(plain[:8], "little")
    about = {"format": "pt", "sha256": _ZEROS.decode()} | ({"run": run} if run else {})
    # the header is written here, because the library's order would make equal weights differ
    header = {"__metadata__": about} | json.loads(plain[8:head])
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    data = bytearray(len(text).to_bytes(8, "little") + text + plain[head:])
    seal = _HEADER.search(data, 8, 8 + len(text))
    assert seal is not None
    data[slice(*seal.span(1))] = hashlib.sha256(data).hexdigest().encode()
    with replacing(path) as temporary:
        temporary.write_bytes(data)


def load_tensors(path: Path, run: str = "") -> dict[str, Any]:
    """The tensors of a safetensors file, on the CPU.

    Raises ``ValueError`` for a file that is broken, has changed, or is another run's than ``run``.
    """
    from safetensors.torch import load

    data = bytearray(path.read_bytes())
    head = 8 + int.from_bytes(data[:8], "little")
    problem = ""
    if seal := _HEADER.search(data[:head]):
        data[slice(*seal.span(1))] = _ZEROS
        if hashlib.sha256(data).hexdigest() != seal[1].decode():
            problem = _DAMAGED
    if not problem:
        try:
            about = json.loads(data[8:head]).get("__metadata__", {})
            if run and about.get("run", run) != run:
                problem = f"it is of run {about['run']}"
            elif "run" in about and not seal:
                problem = _DAMAGED
            else:
                return dict(load(bytes(data)))
        except (SafetensorError, ValueError, AttributeError) as error:
            problem = str(error)
    raise ValueError(f"{path} is broken: {problem}")


def set_aside(path: Path, why: object, end: str = BROKEN) -> None:
    """Rename a file that cannot be trusted, with a warning that says why. If several processes try,
    only the first one does."""
    kept, number = path.with_name(path.name + end), 1
    while kept.exists():
        number += 1
        kept = path.with_name(f"{path.name}{end}-{number}")
    with suppress(FileNotFoundError):
        path.replace(kept)
        reason = str(why).removeprefix(f"{path} ")
        warnings.warn(f"{path} {reason}: it is kept as {kept.name}", stacklevel=3)
