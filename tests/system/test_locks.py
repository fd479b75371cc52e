"""Locks: one process at a time, as long as the work takes and no longer."""

import os
import signal
import time
from pathlib import Path

import pytest
from process_helpers import at_once

from nslab.system.locks import Busy, is_locked, locked

pytestmark = pytest.mark.process


def take(file: Path) -> None:
    """Take a lock, or raise `Busy` at once."""
    with locked(file, "somebody is at it", refusal="later"):
        pass


def test_one_process_at_a_time(tmp_path: Path) -> None:
    """Three that each read, add and write lose nothing."""
    count = tmp_path / "count"
    count.write_text("0")

    def add() -> None:
        for _ in range(10):
            with locked(tmp_path / "new" / ".lock", "another process is counting"):
                count.write_text(str(int(count.read_text()) + 1))

    assert at_once([add] * 3) == [None] * 3
    assert count.read_text() == "30"


def test_waiting_is_said_or_refused(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """In the words that are given."""
    file = tmp_path / ".lock"

    def wait() -> None:
        with locked(file, "somebody is at it"):
            pass

    def hold() -> None:
        with locked(file, "somebody is at it"):
            assert is_locked(file)
            (busy,) = at_once([lambda: take(file)])
            assert isinstance(busy, Busy)
            assert str(busy) == "somebody is at it: later"
            time.sleep(0.5)

    def second() -> None:
        time.sleep(0.2)
        wait()

    assert not is_locked(file)
    assert at_once([hold, second]) == [None, None]
    assert not is_locked(file)
    assert capfd.readouterr().out == "somebody is at it: waiting\n"


def test_it_does_not_outlive_its_work(tmp_path: Path) -> None:
    """Not even where the error is kept with all its frames, as IPython does."""
    file = tmp_path / ".lock"

    def fail() -> None:
        with locked(file, "somebody is at it"):
            raise KeyError("on purpose")

    with pytest.raises(KeyError) as kept:
        fail()
    assert at_once([lambda: take(file)]) == [None]
    assert kept.value.__traceback__


def test_it_goes_with_its_process(tmp_path: Path) -> None:
    """However that ends."""
    file = tmp_path / ".lock"

    def die() -> None:
        with locked(file, "somebody is at it"):
            os.kill(os.getpid(), signal.SIGKILL)

    assert isinstance(at_once([die])[0], ChildProcessError)
    take(file)


def test_a_folder_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Advice, as for any file."""

    def refuse(*args: object, **more: object) -> None:
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(Path, "mkdir", refuse)
    with pytest.raises(OSError, match="read-only: set NSLAB_HOME"):
        take(tmp_path / "results" / ".lock")
