"""The best network's folder: one evolution's, its three files of one writing."""

import json
import os
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from process_helpers import at_once
from safetensors.torch import save_file

from nslab.configs.evolve import EvolveConfig
from nslab.networks import build_network
from nslab.runs.best_network import BEST, HISTORY, RECORD, write_best
from nslab.runs.evolve_checkpoints import checkpoint_config
from nslab.runs.results import Result
from nslab.system import files
from nslab.system.files import misfits
from nslab.training.checkpoint import save_weights

pytestmark = pytest.mark.process
Done = tuple[EvolveConfig, Result]


@pytest.fixture
def evolved(tmp_path: Path) -> list[Done]:
    """Two evolutions of the same parents, and what came of them."""
    parents = [str(tmp_path / f"{seed}.safetensors") for seed in range(6)]
    for seed, file in enumerate(parents):
        save_file(build_network("mlp", (1, 32, 32), 10, seed).state_dict(), file)
    done = []
    for seed in (1, 2):
        config = checkpoint_config("mlp", parents, "digits", seed=seed)
        folder = tmp_path / config.id
        save_weights(build_network("mlp", (1, 32, 32), 10, 10 + seed), folder)
        history = [{"batch": 0, "generation": g, "seed": seed} for g in range(5 * seed)]
        metrics: dict[str, Any] = {"test_accuracy": 10.0 + seed}
        done.append((config, Result(config.id, {}, metrics, history, {}, folder=folder)))
    return done


def whole(out: Path, done: Done) -> bool:
    """Whether a folder has one evolution's files, of one writing."""
    record = json.loads((out / RECORD).read_text())
    rows = len((out / HISTORY).read_text().splitlines()) - 1
    fits = set(record["sha256"]) == {BEST, HISTORY} and not misfits(out, record["sha256"])
    return fits and (record["run"], rows) == (done[0].id, len(done[1].history))


def test_two_evolutions_with_one_folder(evolved: list[Done], tmp_path: Path) -> None:
    """One is written; the other is told, and where it is. The same one twice is fine."""
    for number in range(5):
        out = tmp_path / f"out{number}"
        errors = at_once([partial(write_best, *done, out) for done in evolved])
        assert sorted(error is None for error in errors) == [False, True]
        first = errors.index(None)
        refused, (other, _) = errors[1 - first], evolved[1 - first]
        assert "holds an evolution that differs in seed: use another folder" in str(refused)
        assert f"run {other.id} is stored" in str(refused)
        assert whole(out, evolved[first])
    same = [partial(write_best, *evolved[0], tmp_path / "same")] * 3
    assert at_once(same) == [None] * 3
    assert whole(tmp_path / "same", evolved[0])


@pytest.mark.parametrize("name", [BEST, HISTORY])
def test_a_mixture_is_told_and_written_anew(name: str, evolved: list[Done], tmp_path: Path) -> None:
    """Of a network and a history, or of one that was changed; what is whole is left alone."""
    out, (config, result) = tmp_path / "out", evolved[0]
    write_best(config, result, out)
    before = {file: file.stat().st_mtime_ns for file in out.iterdir()}
    write_best(config, result, out)
    assert {file: file.stat().st_mtime_ns for file in out.iterdir()} == before
    (out / name).write_bytes((out / name).read_bytes()[:-1] + b"x")
    assert misfits(out, json.loads((out / RECORD).read_text())["sha256"]) == [name]
    with pytest.warns(UserWarning, match=f"out: {name} did not belong to {RECORD}"):
        write_best(config, result, out)
    assert whole(out, evolved[0])


def test_killed_between_two_files(
    evolved: list[Done], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While an old set is replaced: what does not fit is told, and the next writing is whole."""
    config, old = evolved[0]
    new = Result(old.id, {}, {"test_accuracy": 99.0}, old.history[:2], {}, folder=old.folder)
    replaced, count = os.replace, [0]

    def stopping(source: Path, target: Path) -> None:
        count[0] -= 1
        if count[0] == 0:
            raise KeyboardInterrupt
        replaced(source, target)

    for stop, odd in ((1, []), (2, [HISTORY, BEST]), (3, [BEST])):
        out = tmp_path / str(stop)
        write_best(config, old, out)
        with monkeypatch.context() as patch:
            patch.setattr(files.os, "replace", stopping)
            count[0] = stop
            with pytest.raises(KeyboardInterrupt):
                write_best(config, new, out)
        assert misfits(out, json.loads((out / RECORD).read_text())["sha256"]) == odd
        if odd:
            with pytest.warns(UserWarning, match="did not belong"):
                write_best(config, new, out)
        else:
            write_best(config, new, out)
        assert whole(out, (config, new))
        assert not list(out.glob(".*.part"))
