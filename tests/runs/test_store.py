"""Runs by identity: looked up, locked, frozen, and never lost."""

import json
import os
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest
from process_helpers import python

from nslab.analysis.paper_tables import compare
from nslab.configs import TrainConfig
from nslab.execution.local import Job, run_local
from nslab.experiments import experiment
from nslab.experiments.de.pretrained_networks import TABLE_2_METHODS
from nslab.objectives import NS
from nslab.runs import compute, frozen, result_file, store
from nslab.system.provenance import environment

TINY = TrainConfig(network="mlp", epochs=1, lr=0.05)


def test_computed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A second call reads; it does not train."""
    first = store.run(TINY, show=False)
    assert first.origin == "computed"
    monkeypatch.setattr(compute, "fit", lambda *_, **__: pytest.fail("computed again"))
    again = store.run(TINY, show=False)
    assert again.origin == "stored"
    assert (again.metrics, again.history, again.env) == (first.metrics, first.history, first.env)
    assert again.config == first.config
    names = sorted(file.name for file in store.folder_of(TINY).iterdir())
    assert names == ["config.json", "env.json", "lock", "result.json", "weights.safetensors"]


def test_environment_says_where_a_number_comes_from() -> None:
    """Commit, source, device, versions, threads."""
    env = store.run(TINY, show=False).env
    assert set(env) >= {"commit", "dirty", "source", "device", "threads", "processes", "finished"}
    assert env["versions"]["torch"]
    assert env["source"] == environment()["source"]


def test_result_of_other_source_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is used, and can be told apart."""
    assert not store.run(TINY, show=False).other_source
    monkeypatch.setattr(result_file, "source_digest", lambda: "another")
    assert store.run(TINY, show=False).other_source


def test_force_computes_again_and_keeps_the_old_until_then(monkeypatch: pytest.MonkeyPatch) -> None:
    """A forced run that fails leaves the old result."""
    first = store.run(TINY, show=False)
    with monkeypatch.context() as patch:
        patch.setattr(compute, "fit", lambda *_, **__: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            store.run(TINY, force=True, show=False)
    assert store.find(TINY) is not None
    forced = store.run(TINY, force=True, show=False)
    assert forced.origin == "computed"
    assert forced.metrics["test_loss"] == first.metrics["test_loss"]


@pytest.mark.parametrize("text", ["", "{", '{"id": "x"}', "\x00\xff"])
def test_broken_result_is_set_aside(text: str) -> None:
    """Half a file is not trusted: it is kept under another name and the run computed again."""
    store.run(TINY, show=False)
    file = store.folder_of(TINY) / store.RESULT
    file.write_bytes(text.encode("latin-1"))
    with pytest.warns(UserWarning, match="is broken"):
        assert store.find(TINY) is None
    with pytest.warns(UserWarning, match="is broken"):
        assert store.run(TINY, show=False).origin == "computed"
    assert file.with_suffix(".broken").read_bytes() == text.encode("latin-1")
    assert store.find(TINY)


def test_run_all_keeps_order_and_repeats_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Duplicates are computed once; results come in the order asked."""
    calls = []
    fit = compute.fit
    monkeypatch.setattr(compute, "fit", lambda c, *a, **k: calls.append(c.id) or fit(c, *a, **k))
    configs = [replace(TINY, seed=seed) for seed in (1, 2, 1)]
    results = store.run_all(configs, show=False)
    assert [r.id for r in results] == [c.id for c in configs]
    assert len(calls) == 2


@pytest.mark.parametrize("jobs", [1, 2])
def test_one_failure_does_not_stop_the_others(jobs: int) -> None:
    """The rest is kept, and the error says which run failed and why."""
    bad = replace(TINY, lr=1e20, objective=NS())
    with pytest.raises(store.RunsFailed, match=r"1 of 3 runs failed, 2 are kept") as caught:
        store.run_all([replace(TINY, seed=7), bad, replace(TINY, seed=8)], jobs=jobs, show=False)
    assert bad.id in str(caught.value)
    assert "loss is not finite" in str(caught.value)
    assert store.find(replace(TINY, seed=7))
    assert store.find(replace(TINY, seed=8))
    assert store.find(bad) is None


def test_processes_give_the_same_numbers() -> None:
    """A run in a process of its own equals one in this process, up to its number of threads."""
    here = store.run(TINY, show=False)
    store.folder_of(TINY).joinpath(store.RESULT).unlink()
    there = store.run_all([TINY], jobs=2, show=False)[0]
    assert there.metrics["test_loss"] == pytest.approx(here.metrics["test_loss"], rel=1e-5)
    assert (store.folder_of(TINY) / "log.txt").read_text().startswith("digits mlp")


def test_two_batches_at_once_compute_a_run_once(capfd: pytest.CaptureFixture[str]) -> None:
    """The second waits for the first and reads its result."""
    calls = []

    def slow(config: TrainConfig, *args: object, **more: object) -> object:
        calls.append(config.id)
        time.sleep(0.5)
        return fit(config, *args, **more)

    fit, compute.fit = compute.fit, slow
    try:
        threads = [threading.Thread(target=store.run, args=(TINY,)) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        compute.fit = fit
    assert len(calls) == 1
    assert "is being computed by another process" in capfd.readouterr().out


def test_frozen_results_come_back_to_the_bit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Frozen, deleted, looked up: the same numbers; weights are said to be missing."""
    from nslab.analysis.run_tables import trained_model

    configs = [replace(TINY, seed=seed, objective=NS()) for seed in (1, 2)]
    results = store.run_all(configs, show=False)
    monkeypatch.setattr(frozen, "frozen_dir", lambda: tmp_path / "results")
    frozen.freeze("tiny", results[:1])
    files = frozen.freeze("tiny", results)
    again = [file.read_bytes() for file in frozen.freeze("tiny", results)]
    assert again == [file.read_bytes() for file in files]
    monkeypatch.setenv("NSLAB_HOME", str(tmp_path / "elsewhere"))
    for config, result in zip(configs, results, strict=True):
        found = store.run(config, show=False)
        assert found.origin == "frozen"
        assert (found.metrics, found.history) == (result.metrics, result.history)
        assert found.env == result.env
        with pytest.raises(FileNotFoundError, match="weights=True"):
            trained_model(found)
    assert store.find(replace(TINY, seed=3)) is None
    assert trained_model(store.run(configs[0], weights=True, show=False))
    assert store.run(configs[0], weights=True, show=False).origin == "stored"


def test_results_in_version_control_are_found() -> None:
    """The run on real data that their README quotes is looked up, not computed again."""
    plan = experiment("ns/first").plan("cpu", methods=("ce", "ns_ws"))
    found = [store.find(config) for config in plan]
    assert [round(r.metrics["test_accuracy"], 2) for r in found if r] == [81.90, 78.77]
    assert all(r and r.origin == "frozen" and len(r.history) == 6 for r in found)
    readme = (Path(__file__).parents[2] / "data/results/README.md").read_text(encoding="utf-8")
    assert all(f"{r.metrics['test_accuracy']:.2f} %" in readme for r in found if r)
    older = (*TABLE_2_METHODS[:-1], "sa_shade_tri_ensin_cauchy")
    for name, wished, rows in (
        ("ns/table5", {}, 4),
        ("de/tableS1", {}, 15),
        ("de/table2", {"inits": ("init_rs",), "methods": older}, 7),
    ):
        frozen_runs = store.finished(experiment(name).plan("cpu", **wished))
        table = compare(name, frozen_runs).query("n >= 3")
        table = table[table["metric"] == "top1"] if name == "de/table2" else table
        shown = [f"{line.ours:.2f} ± {line.sd:.2f} %" for line in table.itertuples()]
        assert len(shown) == rows, name
        assert all(text in readme for text in shown), name


def test_kill_at_random_moments() -> None:
    """Ten kills: no finished run lost or recomputed (the script does more on request)."""
    script = Path(__file__).parents[1] / "rounds/kill_rounds.py"
    done = python(script, "--rounds", "10", "--seed", str(time.time_ns() % 1000))
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.startswith("10 kills")
    assert "0 finished runs lost or recomputed" in done.stdout


def job(name: str, code: str, folder: Path) -> Job:
    """A process that runs a line of Python."""
    return Job(name, [sys.executable, "-c", code], folder / f"{name}.log", {"NAME": name})


def test_engine_reports_each_end(tmp_path: Path) -> None:
    """Order, status, signals, logs and environment."""
    codes = {
        "good": "import os; print(os.environ['NAME'], os.environ['OMP_NUM_THREADS'])",
        "bad": "raise SystemExit(3)",
        "dead": "import os; os.kill(os.getpid(), 9)",
    }
    seen: list[str] = []
    ended = run_local(
        [job(name, code, tmp_path) for name, code in codes.items()],
        2,
        devices=("0", "1"),
        on_start=lambda j: seen.append(j.name),
        on_end=lambda e: seen.append(e.job.name),
    )
    assert [end.status for end in ended] == [0, 3, -9]
    assert ended[0].tail().split()[0] == "good"
    assert sorted(seen) == sorted([*codes, *codes])
    with pytest.raises(ValueError, match="at least 1"):
        run_local([], 0)


def test_engine_shares_out_devices(tmp_path: Path) -> None:
    """Two at once never see the same device."""
    code = "import os, time; print(os.environ['CUDA_VISIBLE_DEVICES']); time.sleep(0.3)"
    jobs = [job(f"j{i}", code, tmp_path) for i in range(4)]
    ended = run_local(jobs, 2, devices=("0", "1"))
    assert sorted(end.tail() for end in ended) == ["0", "0", "1", "1"]


def test_interrupt_stops_the_jobs(tmp_path: Path) -> None:
    """Whatever interrupts the loop, no process is left behind."""
    pid = tmp_path / "pid"
    code = f"import os, time; open({str(pid)!r}, 'w').write(str(os.getpid())); time.sleep(60)"

    def interrupt(started: Job) -> None:
        while not (pid.exists() and pid.read_text()):
            time.sleep(0.02)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_local([job("sleeper", code, tmp_path)], on_start=interrupt)
    with pytest.raises(ProcessLookupError):
        os.kill(int(pid.read_text()), 0)


def test_config_file_is_plain_json() -> None:
    """What a run folder holds can be read without nslab."""
    store.run(TINY, show=False)
    config = json.loads((store.folder_of(TINY) / "config.json").read_text())
    assert config["@"] == "train"
    assert config["objective"] == {"@": "ce"}


def test_no_run_is_frozen_twice() -> None:
    """A second row would take the place of the first, and of its history."""
    files = [f for f in frozen.frozen_dir().glob("*.csv") if f.name.count(".") == 1]
    ids = [line.partition(",")[0] for f in files for line in f.read_text().splitlines()[1:]]
    assert len(ids) > 300
    assert len(set(ids)) == len(ids)
