"""What is asked of a cluster, and how its queue is read; without one."""

import json
import os
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from nslab.cli import app
from nslab.cli.execution import chosen_engine as chosen
from nslab.execution.local import run_local
from nslab.execution.slurm import Slurm, arrays


@pytest.mark.parametrize(
    ("time", "minutes"),
    [
        ("90", 90),
        ("1:30", 2),
        ("4:00:00", 240),
        ("1-12", 2160),
        ("1-0:30", 1470),
        ("2-0:0:1", 2881),
    ],
)
def test_time_is_read_as_slurm_reads_it(time: str, minutes: int) -> None:
    """Minutes, minutes:seconds, hours:minutes:seconds, days-hours and so on; rounded up."""
    assert Slurm(time=time).minutes == minutes


@pytest.mark.parametrize(
    ("wish", "message"),
    [
        ({"time": "4h"}, "time is written"),
        ({"time": "0"}, "at least a minute"),
        ({"memory": "16 GB"}, "written like 16G"),
        ({"gpus": -1}, "gpus must be at least 0"),
        ({"partition": "a\nrm b"}, "cannot be printed"),
        ({"more": ("constraint=a\nb",)}, "cannot be printed"),
        ({"more": ("--exclusive",)}, "NAME=VALUE"),
        ({"more": ("array=0-9",)}, "set by nslab"),
    ],
)
def test_wishes_are_checked(wish: dict[str, Any], message: str) -> None:
    """Before anything is submitted."""
    with pytest.raises(ValueError, match=message):
        Slurm(**wish)


def test_what_submitit_is_asked(tmp_path: Path) -> None:
    """Names that submitit takes; a script that bash and sbatch read as meant."""
    script_of = pytest.importorskip("submitit.slurm.slurm")._make_sbatch_string

    slurm = Slurm(
        "gpu", 2, 2, 4, "16G", "4:00:00", "a", "b", more=("constraint=x & y", "exclusive")
    )
    script = script_of(command="true", folder=tmp_path, **slurm.parameters())
    lines = [line.removeprefix("#SBATCH --") for line in script.splitlines()]
    for line in ("partition=gpu", "gpus-per-node=2", "cpus-per-task=8", "mem=16G", "time=240"):
        assert line in lines
    for line in ("account=a", "qos=b", "constraint='x & y'", "exclusive", "requeue"):
        assert line in lines
    assert "signal=USR2@90" in lines
    assert "--cpus-per-task=8" in next(line for line in lines if line.startswith("srun"))
    assert Slurm(time="2").parameters()["signal_delay_s"] == 30


def test_command_line_tells_what_is_amiss(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wishes without a cluster, an unknown engine, no SLURM: a line each, and nothing computed."""
    monkeypatch.setenv("PATH", "/nowhere")
    for words, message in (
        (["--gpus", "1"], "need --engine slurm"),
        (["--engine", "pbs"], "must be local or slurm"),
        (["--engine", "slurm", "--time", "soon"], "time is written"),
        (["--engine", "slurm"], "srun was not found"),
    ):
        result = CliRunner().invoke(app, ["run", "ns/first", *words])
        assert result.exit_code == 2
        assert message in result.output
        assert "Traceback" not in result.output
    assert chosen("local", Slurm()) is run_local


@pytest.mark.parametrize("command", [["run", "ns/first"], ["render"]])
def test_command_line_passes_wishes_on(command: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Each option reaches its own field."""

    def refuse(name: str, slurm: Slurm) -> None:
        raise ValueError(
            f"{name} {slurm.partition} {slurm.gpus} {slurm.cpus} {slurm.memory} "
            f"{slurm.time} {slurm.account} {slurm.qos} {slurm.requeues} {slurm.more}"
        )

    monkeypatch.setattr("nslab.cli.execution.chosen_engine", refuse)
    words = "--engine slurm --partition p --gpus 2 --cpus 3 --memory 4G --time 5 --account a"
    words += " --qos q --requeues 6 --sbatch nice=9 --sbatch exclusive"
    result = CliRunner().invoke(app, [*command, *words.split()], env={"COLUMNS": "200"})
    assert "slurm p 2 3 4G 5 a q 6 ('nice=9', 'exclusive')" in result.output


def test_queue_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Our arrays only; jobs of this store are found by the list in their array's folder."""
    squeue = tmp_path / "bin" / "squeue"
    squeue.parent.mkdir()
    squeue.touch(0o755)
    monkeypatch.setenv("PATH", str(squeue.parent), prepend=os.pathsep)
    squeue.write_text(
        "#!/bin/sh\nprintf '%s\\n' '7_0|COMPLETED|nslab-a|None' '7_1|RUNNING|nslab-a|None' "
        "'8|PENDING|nslab-b|Priority' '9|RUNNING|nslab-elsewhere|None' '10|RUNNING|mine|x|y'\n"
    )
    for name, keys in (("nslab-a", ["k0", "k1"]), ("nslab-b", ["k2"])):
        (arrays.folder() / name).mkdir()
        (arrays.folder() / name / "jobs.json").write_text(json.dumps(keys))
    there = arrays.queue()
    assert list(there) == ["7_0", "7_1", "8", "9"]
    assert there["8"].reason == "Priority"
    assert arrays.attached(there) == {"k1": "7_1", "k2": "8"}
    squeue.write_text("#!/bin/sh\necho no controller >&2; exit 1\n")
    with pytest.raises(OSError, match="squeue: no controller"):
        arrays.queue()
    squeue.unlink()
    monkeypatch.setenv("PATH", str(squeue.parent))
    with pytest.raises(OSError, match="login node"):
        arrays.queue()


def test_folder_is_private_and_tidied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody else may write what is unpickled; what ended long ago is removed, what lives stays."""
    made = arrays.folder()
    made.chmod(0o777)
    assert arrays.folder().stat().st_mode & 0o777 == 0o700
    for name in ("nslab-old", "nslab-live", "nslab-new"):
        (made / name).mkdir()
        (made / name / "jobs.json").write_text("[]")
    (made / "x.json").write_text("{}")
    for name in ("nslab-old", "nslab-live", "x.json"):
        os.utime(made / name, (1, 1))
    arrays.tidy({"1": arrays.Queued("1", "RUNNING", "None", "nslab-live")})
    assert sorted(file.name for file in made.iterdir()) == ["nslab-live", "nslab-new"]
    monkeypatch.setenv("NSLAB_HOME", str(tmp_path / "100%"))
    with pytest.raises(ValueError, match="such a name"):
        arrays.folder()
