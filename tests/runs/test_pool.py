"""Runs in processes of their own, here or by another engine."""

from dataclasses import replace
from functools import partial
from typing import Any

import pytest
from process_helpers import at_once

from nslab.configs import TrainConfig
from nslab.execution.local import Ended, Job, run_local
from nslab.neuroevolution.evolution import CHECKPOINT as EVOLUTION
from nslab.runs import compute, store, worker
from nslab.runs.folder import locked
from nslab.system.locks import Busy
from nslab.training.checkpoint import CHECKPOINT

TINY = TrainConfig(network="mlp", epochs=2, lr=0.05, hold_out=1000)


def test_forced_job_goes_on_where_it_was_cut_short(monkeypatch: pytest.MonkeyPatch) -> None:
    """It begins afresh when it is asked for, not each time that its process starts."""
    first = store.run(TINY, show=False)
    checkpoint = store.folder_of(TINY) / CHECKPOINT
    checkpoint.touch()
    command = store.job(TINY, force=True).command
    assert not checkpoint.exists()
    seen: list[bool] = []
    fit = compute.fit

    def note(*args: Any, **more: Any) -> Any:
        seen.append(checkpoint.exists())
        checkpoint.unlink(missing_ok=True)
        return fit(*args, **more)

    monkeypatch.setattr(compute, "fit", note)
    checkpoint.touch()
    assert worker.main(store.folder_of(TINY), command[4:]) == 0
    checkpoint.touch()
    store.run(TINY, force=True, show=False)
    assert seen == [True, False]
    assert store.run(TINY, show=False).metrics["test_loss"] == first.metrics["test_loss"]


def test_a_run_that_another_computes_is_not_forced(monkeypatch: pytest.MonkeyPatch) -> None:
    """It fails at once, its files left alone, however it is forced; the rest of a batch goes on."""
    folder, other = store.folder_of(TINY), replace(TINY, seed=5)
    folder.mkdir(parents=True)
    kept = [folder / name for name in (CHECKPOINT, EVOLUTION, "best-1.safetensors", "env.json")]
    for file in kept:
        file.write_text("of another")
    with locked(folder):
        assert store.job(TINY).name == TINY.id  # it would wait
        assert (folder / "config.json").exists()
        for force in (store.job, partial(store.run, show=False)):
            (busy,) = at_once([partial(force, TINY, force=True)])
            assert isinstance(busy, Busy)
            assert "is being computed by another process: wait until it has finished" in str(busy)
        with pytest.raises(store.RunsFailed, match="1 of 2 runs failed, 1 are kept") as caught:
            store.run_all([TINY, other], force=True, subprocess=True, show=False)
        assert list(caught.value.failed) == [TINY.id]
    assert [file.read_text() for file in kept] == ["of another"] * 4
    assert store.find(other)


@pytest.mark.slow
def test_another_engine_computes_the_runs() -> None:
    """It gets the jobs, parents first; a run that it leaves without a result has failed."""
    asked: list[list[str]] = []

    def recorded(jobs: list[Job], max_parallel: int, **more: Any) -> list[Ended]:
        asked.append([one.name for one in jobs])
        return run_local(jobs, max_parallel, **more)

    def idle(jobs: list[Job], max_parallel: int, on_end: Any, **more: Any) -> list[Ended]:
        for one in jobs:
            one.log.touch()
            on_end(Ended(one, 0, 0.0))
        return []

    parent = replace(TINY, seed=2)
    descendant = replace(TINY, ancestor=parent)
    with pytest.raises(store.RunsFailed, match="left no result") as caught:
        store.run_all([descendant], engine=idle, show=False)
    assert f"its parent {parent.id} failed" in caught.value.failed[descendant.id]
    assert len(store.run_all([descendant], engine=recorded, show=False)) == 1
    assert asked == [[parent.id], [descendant.id]]
    assert "--nproc-per-node=2" in store.job(TINY, processes_per_run=2).command
