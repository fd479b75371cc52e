"""A few rounds of each scenario of ``fire.py``; the script does more on request."""

import os
import time
from pathlib import Path

import pytest
from process_helpers import python

from nslab.configs import TrainConfig
from nslab.runs import frozen, store
from nslab.runs.store import RESULT
from nslab.training.checkpoint import read_weights

ROUNDS = int(os.environ.get("NSLAB_TEST_ROUNDS", "1"))


@pytest.mark.parametrize("scenario", ["full_disk", "read_only", "truncated", "clock"])
def test_nothing_is_lost(scenario: str) -> None:
    """Nothing finished is lost, nothing half written read, every refusal has advice."""
    script = Path(__file__).with_name("fire.py")
    words = ["--only", scenario, "--rounds", str(ROUNDS), "--seed", str(time.time_ns() % 1000)]
    done = python(script, *words)
    assert done.returncode == 0, f"{words}: {done.stdout}{done.stderr}"
    if "left out" in done.stdout:
        pytest.skip(done.stdout.strip())
    assert done.stdout.startswith(f"{scenario}: {ROUNDS} rounds, ")
    assert done.stdout.endswith(" 0 lost\n")


TINY = TrainConfig(network="mlp", epochs=2, lr=0.05)


def test_a_broken_result_of_another_is_not_taken_away() -> None:
    """Two processes see a broken result; the first computes it anew: the second must not put the
    new one aside for the broken one."""
    store.run(TINY, show=False)
    file = store.folder_of(TINY) / RESULT
    file.write_text("{")
    with pytest.warns(UserWarning, match="is broken"):
        assert store.find(TINY) is None
    whole = store.run(TINY, force=True, show=False)  # the first
    assert file.exists()
    found = store.run(TINY, show=False)  # the second, which had seen it broken
    assert (found.origin, found.history) == ("stored", whole.history)
    assert (store.folder_of(TINY) / "result.broken").read_text() == "{"


def test_broken_weights_say_what_to_do() -> None:
    """Cut short, and named."""
    store.run(TINY, weights=True, show=False)
    file = store.folder_of(TINY) / "weights.safetensors"
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(ValueError, match=r"weights\.safetensors is broken: .* makes it again"):
        read_weights(file)


def test_a_freeze_that_was_killed_counts_for_nothing(tmp_path: Path) -> None:
    """Killed between its two files: the run is not there yet, or is whole; the next one heals."""
    first, second = (
        store.run(TrainConfig(network="mlp", epochs=2, seed=s), show=False) for s in (1, 2)
    )
    table, history = frozen.freeze("x", [first], tmp_path)
    one = table.read_bytes()
    frozen.freeze("x", [first, second], tmp_path)
    table.write_bytes(one)  # the history came first
    frozen._load.cache_clear()
    assert frozen.frozen_row(second.id, tmp_path) is None
    assert (frozen.frozen_row(first.id, tmp_path) or {})["history"] == first.history
    frozen.freeze("x", [second], tmp_path)
    assert (frozen.frozen_row(second.id, tmp_path) or {})["history"] == second.history
    assert history.read_text().count(second.id) == 2
    short = table.read_bytes()[:-3]
    table.write_bytes(short)
    frozen._load.cache_clear()
    with pytest.raises(ValueError, match=r"x\.csv is broken .* restore both"):
        frozen.frozen_row(first.id, tmp_path)
