"""A small suite that is killed, interrupted and asked to end; the script does more on request."""

import os
import re
import time
from pathlib import Path

import pytest
from process_helpers import python


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="processes are told by /proc")
def test_a_killed_suite_ends_the_same() -> None:
    """Same tables, runs and figures; no process and no half of a file left."""
    here = Path(__file__).parent
    kills = os.environ.get("NSLAB_TEST_ROUNDS", "1")
    words = ["--file", str(here / "suite_small.yaml"), "--kills", kills]
    words += ["--seed", str(time.time_ns() % 1000)]
    done = python(here / "suite_rounds.py", *words)
    assert done.returncode == 0, f"{words}: {done.stdout}{done.stderr}"
    for line in ("2 tables the same to the bit", "5 runs the same to the bit"):
        assert line in done.stdout
    # a figure that was being written by a process that was killed may leave a file nobody reads
    assert re.search(r"^[01] files half written are left, 0 processes left over", done.stdout, re.M)
