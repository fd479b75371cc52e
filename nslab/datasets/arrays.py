"""One checked array file per data set: ``<name>.npz`` with train and test images and labels."""

import errno
import hashlib
import lzma
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.lib import format as npy

from nslab.system.files import replacing


class CorruptDataset(ValueError):
    """A damaged or wrong array file; the message says what to do."""


class Arrays(NamedTuple):
    """Images uint8 (n, height, width, channels) and labels int64 (n,)."""

    train_x: np.ndarray
    train_y: np.ndarray
    test_x: np.ndarray
    test_y: np.ndarray


@dataclass(frozen=True)
class Layout:
    """What the arrays of a data set must look like."""

    train: int
    test: int
    shape: tuple[int, ...]  # height, width, channels; empty for texts
    num_classes: int

    def problem(self, arrays: Arrays) -> str | None:
        """The first thing wrong with ``arrays``, or None."""
        for split, count in (("train", self.train), ("test", self.test)):
            x, y = getattr(arrays, f"{split}_x"), getattr(arrays, f"{split}_y")
            if x.dtype != np.uint8:
                return f"{split}_x is {x.dtype}, not uint8"
            if x.shape != (count, *self.shape):
                return f"{split}_x has shape {x.shape}, not {(count, *self.shape)}"
            if y.shape != (count,):
                return f"{split}_y has shape {y.shape}, not {(count,)}"
            if not np.issubdtype(y.dtype, np.integer):
                return f"{split}_y is {y.dtype}, not whole numbers"
            if not np.array_equal(np.unique(y), np.arange(self.num_classes)):
                return f"{split}_y does not hold each of the classes 0 to {self.num_classes - 1}"
        return None


def write_arrays(file: Path, arrays: Arrays, maker: str = "") -> None:
    """Write an array file, uncompressed so that it can be memory-mapped; ``maker`` is the digest of
    the code that made the arrays, if that is not nslab's own."""
    members = arrays._asdict() | ({"made_by": np.array(maker)} if maker else {})
    with replacing(file) as temporary, temporary.open("wb") as out:
        np.savez(out, **members)


def maker_of(file: Path) -> str:
    """The digest of the code that made an array file; empty if unknown."""
    try:
        with np.load(file, allow_pickle=False) as found:
            return str(found["made_by"])
    except (OSError, ValueError, KeyError, zipfile.BadZipFile, zlib.error, EOFError):
        return ""


def arrays_digest(arrays: Arrays) -> str:
    """SHA-256 of the arrays' types, shapes and values, whichever file holds them."""
    digest = hashlib.sha256()
    for name, array in arrays._asdict().items():
        digest.update(f"{name} {array.dtype.str} {array.shape}\0".encode())
        digest.update(np.ascontiguousarray(array).data.cast("B"))
    return digest.hexdigest()


def read_arrays(file: Path, layout: Layout) -> Arrays:
    """Memory-map an array file (read it, if it was written compressed) after checking it.

    Checksums, dtypes, shapes, counts and labels are verified every time: at 1 GB/s that costs a
    fifth of a second for CIFAR. Raises `CorruptDataset` with what is wrong.
    """
    try:
        with zipfile.ZipFile(file) as archive:
            if broken := archive.testzip():
                raise CorruptDataset(f"checksum of {broken} does not match")
            arrays = Arrays(*(_member(file, archive, name) for name in Arrays._fields))
        problem = layout.problem(arrays)
    except CorruptDataset as error:
        problem = str(error)
    except KeyError as error:
        problem = f"it lacks an array: {error.args[0]}"
    except OSError as error:
        if error.errno not in (None, errno.EINVAL):  # the disk failed: the file may be fine
            raise
        problem = f"it cannot be read ({error})"
    except (zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, RuntimeError) as error:
        problem = f"it cannot be read ({error})"
    except (ValueError, OverflowError, MemoryError) as error:
        problem = f"it cannot be read ({error})"
    if problem:
        raise CorruptDataset(
            f"{file} is not trusted: {problem}. Delete it and run `nslab data {file.stem}`, "
            "or put a good copy in its place."
        )
    return arrays._replace(
        train_y=arrays.train_y.astype(np.int64), test_y=arrays.test_y.astype(np.int64)
    )


def _member(file: Path, archive: zipfile.ZipFile, name: str) -> np.ndarray:
    """One array of the archive: memory-mapped, or read if it is compressed or in Fortran order."""
    info = archive.getinfo(f"{name}.npy")
    with archive.open(info) as member:
        version = npy.read_magic(member)
        read_header = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
        shape, fortran, dtype = read_header(member)
        offset = member.tell()
        if dtype.hasobject:
            raise CorruptDataset(f"{name} holds Python objects")
        if info.compress_type != zipfile.ZIP_STORED or fortran:
            member.seek(0)
            return npy.read_array(member, allow_pickle=False)
    with file.open("rb") as raw:  # a zip member's data follow its 30-byte header, name and extra
        raw.seek(info.header_offset + 26)
        lengths = np.frombuffer(raw.read(4), "<u2")
    start = info.header_offset + 30 + int(lengths.sum()) + offset
    return np.memmap(file, dtype=dtype, mode="r", offset=start, shape=shape)
