"""A wheel is enough: built, unpacked into a folder, and used from an empty one."""

import json
import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

import nslab

ROOT = Path(__file__).parents[2]
BUILT_FROM = ("nslab", "notebooks", "data/results")
FILES = ("pyproject.toml", "setup.py", "README.md", "LICENSE")
BUILD = """
from setuptools import build_meta

build_meta.build_wheel("made")
build_meta.build_sdist("made")
"""
# One process, as each takes seconds to start.
COMMANDS = """
import json, sys
from pathlib import Path
from types import SimpleNamespace

from safetensors.torch import save_file
from typer.testing import CliRunner

import nslab
from nslab.cli import app
from nslab.networks import build_network
from nslab.papers import equations
from nslab.workbench import lab

assert Path(nslab.__file__).is_relative_to(sys.argv[1]), nslab.__file__


class Server:
    def __init__(self, command, env):
        print(json.dumps([command, env["NSLAB_HOME"]]))

    def __enter__(self):
        return self

    def __exit__(self, *failure):
        pass

    def wait(self, *seconds):
        return 0

    terminate = kill = wait


lab.subprocess = SimpleNamespace(Popen=Server)
layout = nslab.DATASETS["digits"].layout
for seed in range(6):
    states = build_network("mlp", layout.shape, layout.num_classes, seed).state_dict()
    save_file(states, f"{seed}.safetensors")
small = "-p methods=ce -p seeds=1 -p network=mlp"
done = {}
for words in (
    "list",
    "compare ns/first --preset cpu",
    "ledger --paper de",
    "suite smoke --dry-run",
    f"run ns/first {small} --freeze ns_first_cpu",
    "lab --no-browser --allow-root",
    "lab --no-browser --allow-root",
    "evolve --model mlp --data digits --batches 1 --generations 1 --batch-size 32 --out evolved "
    + " ".join(f"{seed}.safetensors" for seed in range(6)),
):
    result = CliRunner().invoke(app, words.split())
    done[words.split()[0]] = result.output
    assert result.exit_code == 0, (words, result.output, result.exception)
equations.main(["NS", "7"])
Path("done.json").write_text(json.dumps(done))
"""


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wheel and a source distribution, made of a copy of the project in which somebody worked:
    notebooks that were run, others of their own, and what an earlier build left."""
    pytest.importorskip("setuptools", reason="setuptools is missing: pip install setuptools")
    if not shutil.which("git"):
        pytest.skip("without git nothing says which files are the project's")
    folder = tmp_path_factory.mktemp("project")
    skip = shutil.ignore_patterns("__pycache__", ".ipynb_checkpoints")
    for name in BUILT_FROM:
        shutil.copytree(ROOT / name, folder / name, ignore=skip)
    for name in FILES:
        shutil.copy(ROOT / name, folder)
    for words in (["init", "--quiet"], ["add", "--all"]):
        subprocess.run(["git", *words], cwd=folder, check=True)
    run = json.loads((folder / "notebooks/ns_scores.ipynb").read_text(encoding="utf-8"))
    code = next(cell for cell in run["cells"] if cell["cell_type"] == "code")
    code["outputs"] = [{"output_type": "stream", "name": "stdout", "text": ["out\n"]}]
    (folder / "notebooks/ns_scores.ipynb").write_text(json.dumps(run), encoding="utf-8")
    for name in ("notebooks/mine.ipynb", "data/results/mine.csv", "build/lib/nslab/gone.py"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("{}")
    (folder / "notebooks/.ipynb_checkpoints").mkdir()
    (folder / "notebooks/.ipynb_checkpoints/ns_scores.ipynb").write_text("{}")
    build(folder)
    return folder


def build(folder: Path) -> None:
    """Build in a folder, without a network."""
    done = subprocess.run(
        [sys.executable, "-c", BUILD], cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]


def contents(folder: Path) -> dict[str, bytes]:
    """What the wheel built in a folder holds, but for the list of itself."""
    (wheel,) = (folder / "made").glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        return {n: archive.read(n) for n in archive.namelist() if not n.endswith("RECORD")}


def test_the_wheel_holds_the_project_and_nothing_else(built: Path) -> None:
    """Every notebook as though never run, every frozen result, and less than 4 MB of it all."""
    (wheel,) = (built / "made").glob("*.whl")
    assert wheel.stat().st_size < 4e6
    assert wheel.name.split("-")[1] == nslab.__version__
    inside = contents(built)
    expected = set()
    for source, target in (("notebooks", "_notebooks"), ("data/results", "_results")):
        for file in [*(ROOT / source).glob("*.ipynb"), *(ROOT / source).glob("*.csv")]:
            expected.add(f"nslab/{target}/{file.name}")
            if file.suffix == ".csv":
                assert inside[f"nslab/{target}/{file.name}"] == file.read_bytes()
    package = {f.relative_to(ROOT).as_posix() for f in (ROOT / "nslab").rglob("*") if f.is_file()}
    expected |= {name for name in package if "__pycache__" not in name}
    assert {name for name in inside if ".dist-info" not in name} == expected
    assert b"out\\n" not in inside["nslab/_notebooks/ns_scores.ipynb"]


def test_a_source_distribution_builds_the_same_wheel(built: Path, tmp_path: Path) -> None:
    """Outside of git, too."""
    (source,) = (built / "made").glob("*.tar.gz")
    with tarfile.open(source) as archive:
        archive.extractall(tmp_path, filter="data")
    (folder,) = tmp_path.glob("nslab-*")
    build(folder)
    assert contents(folder) == contents(built)


@pytest.mark.slow
def test_commands_of_an_installed_package(built: Path, tmp_path: Path) -> None:
    """From an empty folder, with no checkout in reach and no variable set."""
    site, here = tmp_path / "site", tmp_path / "here"
    here.mkdir()
    (wheel,) = (built / "made").glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)
    env = {k: v for k, v in os.environ.items() if not k.startswith("NSLAB_")}
    env |= {"PYTHONPATH": str(site), "PYTHONDONTWRITEBYTECODE": "1"}

    def python(*words: str) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [sys.executable, *words], cwd=here, env=env, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done

    home = here / "nslab-runs"
    told = python("-c", COMMANDS, str(site))
    assert told.stdout.startswith("nslab/objectives/competition.py:")
    done = json.loads((here / "done.json").read_text(encoding="utf-8"))
    said = "".join(done.values()) + told.stderr
    assert said.count(f"go to {home}") == 1  # first words of the first that looks there
    assert "ns_method" in done["list"]
    assert "2 of 3 runs" in done["compare"]  # frozen ones
    assert "frozen" in done["suite"]
    ours = home / "data/results/ns_first_cpu.csv"
    assert f"wrote {ours}" in done["run"]
    (command, given) = json.loads(done["lab"].splitlines()[-1])
    assert f"--ServerApp.root_dir={home}" in command  # its root: figures can be reached too
    assert given == str(home)
    assert (home / "notebooks/ns_method.ipynb").exists()
    assert not list((home / "notebooks").glob("*-*.ipynb"))
    shutil.rmtree(home / "data/runs")
    # what was frozen here, and what came with the package
    found = python(
        "-c",
        "from nslab.runs import frozen; print(len(frozen.runs()), len(frozen._load("
        "frozen.shipped_results_dir())))",
    )
    ours_too, shipped = map(int, found.stdout.split())
    assert ours_too == shipped + 1
    rendered = python("-m", "nslab.cli", "render", "ns_method", "-p", "epochs=2")
    assert "1 of 1 notebooks rendered" in rendered.stdout
    assert list((home / "figures").rglob("smoke/notebooks/ns_method.ipynb"))
    assert {file.name for file in here.iterdir() if file.suffix != ".safetensors"} == {
        "nslab-runs",
        "done.json",
        "evolved",
    }
