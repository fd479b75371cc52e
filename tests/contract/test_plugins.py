"""A stranger's file goes wherever ours go: this process, others, the command line, a notebook's
kernel, a job of a cluster, and a process that looks up later what was made."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nbformat
import pytest
from plugin_helpers import write_plugin
from typer.testing import CliRunner

import nslab
from nslab import OBJECTIVES, TrainConfig
from nslab.cli import app
from nslab.configs import decode, encode
from nslab.execution.local import Job
from nslab.execution.slurm import arrays
from nslab.execution.slurm.node import NodeTask
from nslab.objectives import Focal
from nslab.runs import store
from nslab.runs.pool import job
from nslab.runs.portability import check_portable
from nslab.system.plugins import VARIABLE, digests

ROOT = Path(nslab.__file__).parents[1]


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    """The plug-in, loaded nowhere yet."""
    return write_plugin(tmp_path / "code")


def command(*words: str, folder: Path) -> str:
    """What nslab says in a process of its own; it must end well."""
    given = {k: v for k, v in os.environ.items() if k != VARIABLE}
    done = subprocess.run(
        [sys.executable, "-m", "nslab.cli", *words],
        cwd=folder,
        env=given | {"PYTHONPATH": str(ROOT), "COLUMNS": "200"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_in_this_process(mine: Path) -> None:
    """Store, table, and a config that comes back."""
    nslab.use(mine)
    configs = nslab.experiment("mine/table").plan("smoke", seeds="1")
    results = nslab.run_all(configs, show=False)
    assert [decode(encode(config)) for config in configs] == configs
    assert {json.dumps(r.env["plugins"]) for r in results} == {json.dumps(digests())}
    table = nslab.compare("mine/table", results).set_index("method")
    assert set(table.index) == {"ce", "doubt", "walk"}
    assert table.loc["doubt", "ours"] > 80


@pytest.mark.slow
@pytest.mark.process
def test_on_the_command_line_and_in_a_notebook(mine: Path, tmp_path: Path) -> None:
    """Runs in two processes, then a notebook beside the file, each in a process of its own, look
    the same runs up; before and after a command alike."""
    run = "run mine/table -p seeds=1 --plugin mine.py --jobs 2"
    done = command(*run.split(), folder=mine.parent)
    assert "doubt" in done
    runs = [json.loads(f.read_text()) for f in (tmp_path / "data/runs").glob("*/result.json")]
    assert len(runs) == 4  # three, and the training that keeps the evolution's parents
    assert {tuple(run["env"]["plugins"]) for run in runs} == {("mine",)}
    found = command("--plugin", "code/mine.py", "compare", "mine/table", folder=tmp_path)
    assert "3 of 6 runs of preset smoke are finished" in found
    listed = CliRunner().invoke(app, ["plugins", "--plugin", str(mine)]).output
    assert f"asked for, {mine}" in listed
    assert "  objective: doubt\n" in listed
    assert "  experiment: mine/table\n" in listed
    cells = ["import nslab\nassert open('data.txt').read() == 'beside'"]
    cells += ["found = nslab.experiment('mine/table').plan('smoke', seeds='1')"]
    cells += ["assert {r.origin for r in nslab.run_all(found, show=False)} == {'stored'}"]
    book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(c) for c in cells])
    nbformat.write(book, mine.parent / "mine.ipynb")
    (mine.parent / "data.txt").write_text("beside")
    said = command("render", "code/mine.ipynb", "--plugin", "code/mine.py", folder=tmp_path)
    assert "1 of 1 notebooks rendered" in said
    assert (tmp_path / "figures/smoke/notebooks/mine.status.json").exists()


@pytest.mark.process
def test_on_a_cluster(mine: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A job finds the plug-in, also where nodes have an environment of their own."""
    pytest.importorskip("submitit")
    nslab.use(mine)
    (config, *_) = nslab.experiment("mine/table").plan("smoke", seeds="3")
    tasks: list[NodeTask] = []

    class Cluster:
        """Keeps what is submitted."""

        def update_parameters(self, **given: Any) -> None: ...

        def submit_array(self, given: list[NodeTask]) -> list[Any]:
            tasks.extend(given)
            return []

    monkeypatch.setattr(arrays, "executor", lambda *_: Cluster())
    made: Job = job(config)
    with pytest.raises(ValueError, match="zip"):  # no numbers of jobs come back
        arrays.submit([made], 1, arrays.Slurm())
    monkeypatch.delenv(VARIABLE)
    (task,) = tasks
    task.env["PYTHONPATH"] = str(ROOT)
    assert task() == 0, made.log.read_text()
    result = store.find(config)
    assert result is not None
    assert result.env["plugins"] == digests()


def test_a_worker_without_it_says_what_is_missing(mine: Path) -> None:
    """By the name and the digest that the run was begun with."""
    nslab.use(mine)
    config = nslab.experiment("mine/table").plan("smoke", seeds="4")[1]
    made, (digest,) = job(config), digests().values()
    env = {k: v for k, v in os.environ.items() if k != VARIABLE} | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(list(made.command), env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "unknown kind of config 'doubt'" in done.stderr
    assert f"made with the plug-in mine (digest {digest}), which is not loaded here" in done.stderr
    assert "--plugin FILE" in done.stderr


@dataclass(frozen=True)
class Celled(Focal):
    """As if from a notebook's cell."""

    key = "celled"


def test_a_cell_s_class_is_for_one_process(mine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It computes here; where other processes are asked for, the way out is said before any
    work."""
    cell = {"__name__": "__main__", "OBJECTIVES": OBJECTIVES, "Celled": Celled}
    exec("OBJECTIVES.register(Celled)", cell)
    exec("NETWORKS['lambda'] = lambda shape, n: None", cell | {"NETWORKS": nslab.NETWORKS})
    one = TrainConfig(network="mlp", objective=Celled(), epochs=1, seed=1)
    configs = [one, one.with_seed(2)]
    assert nslab.run(configs[0], show=False).metrics["epochs"] == 1
    monkeypatch.setattr(store, "run_in_subprocesses", lambda *_, **__: pytest.fail("work began"))
    for how in ({"jobs": 2}, {"processes_per_run": 2}, {"subprocess": True}, {"engine": print}):
        with pytest.raises(ValueError, match=r"'celled' \(Celled\) is .* a cell of this") as error:
            nslab.run_all(configs, show=False, **how)  # type: ignore[arg-type]
        for part in ("put it into a file, such as mine.py", 'nslab.use("mine.py")', "jobs=1"):
            assert part in str(error.value)
    with pytest.raises(ValueError, match="network 'lambda'"):
        check_portable([TrainConfig(network="lambda")])


def test_a_module_that_is_no_plug_in_is_for_one_process(mine: Path) -> None:
    """Other processes do not import it; as a plug-in they do."""
    sys.path.append(str(mine.parent))
    __import__("mine")
    configs = nslab.experiment("mine/table").plan("smoke", seeds="1")
    with pytest.raises(ValueError, match=r"data set 'halves' .*registered in .*mine\.py, which"):
        check_portable(configs)
    nslab.use("mine")
    check_portable(nslab.experiment("mine/table").plan("smoke", seeds="1"))
