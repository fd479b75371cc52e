"""Evolving anyone's checkpoints: from files to a file, killed and resumed, and what is refused."""

import csv
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from image_helpers import CPU, folder_data, images
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torchvision.models import get_model
from typer.testing import CliRunner, Result

import nslab
from nslab.cli import app
from nslab.configs.selection import SELECTION
from nslab.datasets.batches import make_batches
from nslab.evolve import breeding
from nslab.networks import build_network
from nslab.neuroevolution.evolution import CHECKPOINT
from nslab.runs.best_network import BEST, HISTORY, RECORD
from nslab.runs.evolve_checkpoints import checkpoint_config, evolve_checkpoints, plain_average
from nslab.runs.results import every_run, find
from nslab.runs.store import folder_of
from nslab.system import files

__all__ = ["images"]  # a fixture

BATCHES = 6
SMALL = [
    "--size=32",
    "--batch-size=12",
    "--generations=2",
    "--held-out=0.2",
    "--workers=2",
    "--seed=1",
]
NAME = "shufflenet_v2_x0_5"


@pytest.fixture(scope="module")
def parents(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Six files of a small network of torchvision with random weights."""
    return saved(tmp_path_factory.mktemp("parents"), NAME, 6)


def saved(folder: Path, name: str, count: int) -> list[str]:
    """Networks of torchvision as safetensors."""
    files = [str(folder / f"{i}.safetensors") for i in range(count)]
    for i, file in enumerate(files):
        torch.manual_seed(i)
        save_file(get_model(name, num_classes=3).state_dict(), file)
    return files


def call(*words: str) -> Result:
    """Call nslab in this process."""
    return CliRunner().invoke(app, list(words), env={"COLUMNS": "200"})


def command(parents: list[str], images: Path, out: Path, *more: str) -> list[str]:
    """``nslab evolve`` as the tests use it."""
    plain = ["--model", f"torchvision/{NAME}", "--batches", str(BATCHES)]
    plain += ["--data", str(images), "--out", str(out)]
    return ["evolve", *plain, *SMALL, *more, "--parents", *parents]


@pytest.fixture(scope="module")
def calm(images: Path, parents: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of an undisturbed evolution, of a store of its own."""
    home = tmp_path_factory.mktemp("calm")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NSLAB_HOME", str(home))
        done = call(*command(parents, images, home / "out"))
    assert done.exit_code == 0, done.output
    (home / "out" / "said.txt").write_text(done.output)
    return home / "out"


def header(out: Path) -> dict[str, str]:
    """What the best network's file says of it."""
    with safe_open(out / BEST, "pt") as opened:
        return opened.metadata()


def rows(out: Path) -> list[dict[str, str]]:
    """The history."""
    return list(csv.DictReader((out / HISTORY).read_text().splitlines()))


def test_writes_the_network_that_is_best_on_held_out_images(calm: Path, images: Path) -> None:
    """The file is the best of all that was measured, and measuring it again says so."""
    found, record = header(calm), json.loads((calm / RECORD).read_text())
    numbers = record["metrics"]
    start = {k: numbers[f"start_{k}"] for k in ("held_out_accuracy", "held_out_loss")}
    measured = {0: SELECTION.key(start)}
    for row in rows(calm)[1::2]:
        measured[int(row["batch"]) + 1] = SELECTION.key(row)
    assert SELECTION.key(found) == max(measured.values())
    assert measured[int(found["chosen_batch"])] == max(measured.values())
    assert record["best"] == found
    model = get_model(NAME, num_classes=3)
    model.load_state_dict(load_file(calm / BEST))
    data = folder_data(images)
    held = data.variant(hold_out=6).held
    for what, (x, y) in {
        "held_out": held,
        "test": (data.arrays.test_x, data.arrays.test_y),
    }.items():
        batch = next(make_batches(x, y, data.dataset, CPU, batch_size=99).in_order())
        with torch.no_grad():
            logits = model.eval()(batch.x)
        right = 100 * float((logits.argmax(1) == batch.y).double().mean())
        assert float(found[f"{what}_accuracy"]) == pytest.approx(right)
        loss = float(F.cross_entropy(logits, batch.y))
        assert numbers[f"{what}_loss"] == pytest.approx(loss, rel=1e-5)


def test_what_is_written_and_said(calm: Path, parents: list[str], images: Path) -> None:
    """Same keys as the parents; origin, a row per generation, what it is compared with, how to
    load it."""
    assert load_file(calm / BEST).keys() == load_file(parents[0]).keys()
    record, history = json.loads((calm / RECORD).read_text()), rows(calm)
    assert [p["file"] for p in record["parents"]] == parents
    data = record["environment"]["data"]
    assert (data["where"], data["classes"], data["train"], data["test"]) == (str(images), 3, 30, 6)
    assert record["config"]["generations"] == 2
    assert record["environment"]["versions"]["torch"] in torch.__version__
    assert [(r["batch"], r["generation"]) for r in history] == [
        (b, g) for b in "012345" for g in "01"
    ]
    assert len(json.loads(history[0]["strategy_probability"])) == 5
    assert [bool(r["held_out_loss"]) for r in history] == [False, True] * BATCHES
    said = (calm / "said.txt").read_text()
    for words in ("only 6 held-out images choose", "best parent: ", "plain average: ", "evolved: "):
        assert words in said
    assert "chosen by held-out accuracy: the best" in said
    assert f"torchvision.models.get_model({NAME!r}, num_classes=3)" in said
    assert "load_state_dict" in said


def test_it_is_a_run_like_any_other(
    calm: Path, images: Path, parents: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Listed in the store; looked up when asked for again, wherever files and images lie by then;
    its network can be had from there."""
    monkeypatch.setenv("NSLAB_HOME", str(calm.parent))
    record = json.loads((calm / RECORD).read_text())
    runs = {run.id: run for run in every_run()}
    run = runs[record["run"]]
    assert run.metrics == record["metrics"]
    copy = tmp_path / "copy"
    shutil.copytree(images, copy / "colours")
    files = [shutil.copy(file, copy) for file in parents]
    begun = time.time()
    again = evolve_checkpoints(
        f"torchvision/{NAME}",
        files,
        str(copy / "colours"),
        tmp_path / "out",
        batches=BATCHES,
        image_size=32,
        batch_size=12,
        generations=2,
        held_out=0.2,
        seed=1,
        show=False,
    )
    assert (again.id, again.origin, again.metrics) == (run.id, "stored", run.metrics)
    assert (folder_of(config_of(run)) / "result.json").stat().st_mtime < begun
    assert same(tmp_path / "out", calm)
    average = find(plain_average(config_of(run)))
    assert f"{average.metrics['test_accuracy']:.2f}" in (calm / "said.txt").read_text()
    from nslab.analysis.run_tables import trained_model
    from nslab.explore.results.panel import finished_runs

    model = trained_model(again)
    assert torch.equal(model.state_dict()["fc.bias"], load_file(calm / BEST)["fc.bias"])
    table = finished_runs(list(every_run()))
    assert set(table[table["dataset"].str.startswith("colours #")]["method"]) == {
        "sa_shade_tri_ensin",
        "wa",
    }


def config_of(result: nslab.Result) -> Any:
    """The config of a result."""
    return nslab.configs.decode(result.config)


def test_resnet18(images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The network that most have."""
    monkeypatch.setattr(breeding, "COMPILE_FROM", 2**40)  # compiling takes longer than the rest
    files = saved(tmp_path, "resnet18", 4)
    words = command(files, images, tmp_path / "out", "--batches=1", "--generations=1")
    done = call(*words, "--model=torchvision/resnet18", "--evolver=de")
    assert done.exit_code == 0, done.output
    get_model("resnet18", num_classes=3).load_state_dict(load_file(tmp_path / "out" / BEST))


def same(a: Path, b: Path) -> bool:
    """Whether two folders hold the same network, history and numbers."""
    texts = [(out / HISTORY).read_bytes() for out in (a, b)]
    heads = [header(out) for out in (a, b)]
    tensors = [load_file(out / BEST) for out in (a, b)]
    equal = all(torch.equal(t, tensors[1][name]) for name, t in tensors[0].items())
    return equal and texts[0] == texts[1] and heads[0] == heads[1]


def test_killed_and_started_again(
    calm: Path, images: Path, parents: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SIGKILL after the first batch; the same command ends as if nothing had happened."""
    monkeypatch.setenv("NSLAB_HOME", str(tmp_path))
    words = command(parents, images, tmp_path / "out")
    folder = tmp_path / "data" / "runs" / header(calm)["run"]
    code = "import torch; torch.set_num_threads(1); from nslab.cli import app; app()"
    process = subprocess.Popen(
        [sys.executable, "-c", code, *words], stdout=subprocess.PIPE, env=dict(os.environ)
    )
    until = time.monotonic() + 120
    while not (folder / CHECKPOINT).exists() and time.monotonic() < until:
        assert process.poll() is None, "it ended before it could be killed"
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    assert not (folder / "result.json").exists()
    assert not (tmp_path / "out").exists()
    done = torch.load(folder / CHECKPOINT, weights_only=True)["done"]
    assert 0 < done < BATCHES
    again = call(*words)
    assert again.exit_code == 0, again.output
    assert same(calm, tmp_path / "out")


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, ...]:
    """Six files of nslab's ResNet-8, as ``torch.save`` and DataParallel leave them."""
    folder, files = tmp_path_factory.mktemp("small"), []
    for i in range(6):
        state = build_network("resnet8", (3, 16, 16), 3, seed=i).state_dict()
        files.append(str(folder / f"{i}.pt"))
        torch.save({"model": {f"module.{k}": t for k, t in state.items()}}, files[-1])
    return tuple(files)


@pytest.fixture
def task(small: tuple[str, ...], images: Path) -> dict[str, Any]:
    """A short evolution."""
    given = {"model": "resnet8", "files": small, "data": str(images), "batches": 2, "seed": 3}
    return given | {"generations": 1, "batch_size": 12, "image_size": 16, "show": False}


def test_a_data_set_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Digits; what is held out of them is in no batch."""
    monkeypatch.setenv("NSLAB_HOME", str(tmp_path))
    files = []
    for i in range(4):
        files.append(str(tmp_path / f"{i}.safetensors"))
        save_file(build_network("lenet1", (1, 32, 32), 10, seed=i).state_dict(), files[-1])
    words = ["--model", "lenet1", "--data", "digits", "--evolver", "pso", "--batches", "1"]
    words += ["--generations", "1", "--out", str(tmp_path / "out"), "--evolve-head"]
    words += ["--dtype", "bfloat16", "--policy", "parent", "--augment", "crop", "--device", "cpu"]
    several = ["--parents", files[1], "--parents", files[2], files[3]]
    dry = call("evolve", files[0], *words, *several, "--dry-run")
    assert dry.exit_code == 0, dry.output
    assert "2 to do" in dry.output
    assert not (tmp_path / "out").exists()
    done = call("evolve", files[0], *words, *several)
    assert done.exit_code == 0, done.output
    assert "batches have 1165 images" in done.output
    config = json.loads((tmp_path / "out" / RECORD).read_text())["config"]
    assert config["init"]["files"] == [files[i] for i in (1, 2, 0, 3)]
    assert not config["exempt_head"]
    assert config["base"]["hold_out"] == 129


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"model": "torchvision/resnet19"}, "torchvision has no classifier 'resnet19'; it has res"),
        ({"model": "keras/vit"}, "neither torchvision/<name>, timm/<name> nor"),
        ({"model": "timm/resnet18"}, "pip install timm"),
        ({"evolver": "cma"}, "unknown evolver 'cma'"),
        ({"files": 3}, r"at least 6 parents, not 3; fewer are enough for shade \(3\), pso \(2\)"),
        ({"files": 0}, "not 0"),
        ({"data": "cifar99"}, "unknown data set 'cifar99': did you mean cifar10"),
        ({"data": "digits"}, "images of digits have a fixed size"),
        ({"data": "digits", "image_size": None}, "0.pt: its head .* is for 3 classes, the data"),
        ({"policy": "sometimes"}, "policy must be"),
        ({"precision": "fp8"}, "precision must be"),
        ({"held_out": 1.0}, "held_out is a share"),
        ({"held_out": 0.96}, "too few to hold out 29"),
        ({"batches": 0}, "batches must be at least 1"),
        ({"device": "abacus"}, "device 'abacus' is not available"),
        ({"augment": "twirl"}, "augment must be"),
    ],
)
def test_mistakes_are_explained(
    task: dict, tmp_path: Path, change: dict, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Exit status 2, one line, and nothing written."""
    monkeypatch.setitem(sys.modules, "timm", None)
    monkeypatch.setenv("NSLAB_HOME", str(tmp_path / "home"))
    given = task | change
    if "files" in change:
        given["files"] = task["files"][: change["files"]]
    names = {"image_size": "size"}
    words = [w for k, v in given.items() if isinstance(v, str | int | float) and k != "show"
             for w in (f"--{names.get(k, k).replace('_', '-')}", str(v))]  # fmt: skip
    done = call("evolve", *given["files"], *words, "--out", str(tmp_path / "out"))
    assert done.exit_code == 2, done.output
    assert re.search(message, done.output), done.output
    assert "Traceback" not in done.output
    assert not (tmp_path / "out").exists()
    assert not (tmp_path / "home" / "data" / "runs").exists()


def test_wrong_files_are_named(task: dict, tmp_path: Path) -> None:
    """A parent that is missing, broken or another network's, or becomes another file."""
    state = torch.load(task["files"][0])["model"]
    name = next(iter(state))
    odd = tmp_path / "odd.pt"
    given = task | {"files": (*task["files"][:5], str(odd))}
    for broken, message in (
        ({**state, name: torch.zeros(1)}, r"odd\.pt .* has shape \(1,\), here \("),
        ({k: t for k, t in state.items() if k != name}, r"odd\.pt .* is missing"),
        ({**state, "more": torch.zeros(1)}, r"odd\.pt .* more does not belong to it"),
        ([1], r"odd\.pt holds no state dict"),
    ):
        torch.save(broken, odd)
        with pytest.raises(ValueError, match=message):
            evolve_checkpoints(**given)
    with pytest.raises(ValueError, match="nowhere"):
        evolve_checkpoints(**given | {"files": (*task["files"][:5], "nowhere.pt")})
    torch.save(state, odd)
    del given["show"]
    config = checkpoint_config(**given)
    torch.save({k: t + 1 for k, t in state.items()}, odd)
    with pytest.raises(ValueError, match=r"odd\.pt has changed since the evolution began"):
        nslab.run(config, show=False)


def test_an_image_that_is_broken_is_named(
    task: dict, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Half an image; with the whole one the same call goes on."""
    monkeypatch.setenv("NSLAB_HOME", str(tmp_path / "home"))
    folder = tmp_path / "data"
    shutil.copytree(task["data"], folder)
    for file in folder.glob("red/*.jpg"):
        file.write_bytes(file.read_bytes()[:500])
    given = task | {"data": str(folder), "batches": 4}
    with pytest.raises(ValueError, match=r"red/\d+\.jpg cannot be read as an image"):
        evolve_checkpoints(**given, out=tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_folders_of_other_evolutions_are_left_alone(
    task: dict, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What differs is named; files that are none of ours stay."""
    monkeypatch.setenv("NSLAB_HOME", str(tmp_path / "home"))
    out = tmp_path / "out"
    evolve_checkpoints(**task, out=out)
    before = {f: f.read_bytes() for f in out.iterdir()}
    for other, named in (
        ({"seed": 4}, "seed"),
        ({"batches": 3, "precision": "bf16"}, "batches, precision"),
        ({"files": task["files"][::-1]}, "parents"),
        ({"augment": "none"}, "augment"),
    ):
        with pytest.raises(ValueError, match=f"that differs in {named}: use another folder"):
            evolve_checkpoints(**task | other, out=out)
    assert before == {f: f.read_bytes() for f in out.iterdir()}
    evolve_checkpoints(**task, out=out)  # finished: nothing changes
    assert {f: f.read_bytes() for f in out.iterdir()} == before
    (out / RECORD).unlink()
    with pytest.raises(ValueError, match=r"another network, without best\.json"):
        evolve_checkpoints(**task, out=out)
    (out / RECORD).write_text(json.dumps({"rule": "", "identity": {"model": "resnet8"}}))
    with pytest.raises(
        ValueError, match=r"a network of nslab 0\.1, which did not store its run: use"
    ):
        evolve_checkpoints(**task, out=out)
    (out / RECORD).write_text("[1]")
    with pytest.raises(ValueError, match=r"best\.json cannot be read"):
        evolve_checkpoints(**task, out=out)
    (tmp_path / "new").mkdir()
    save_file({"mine": torch.ones(2)}, tmp_path / "new" / BEST)
    with pytest.raises(ValueError, match="another network"):
        evolve_checkpoints(**task, out=tmp_path / "new")


def test_killed_while_the_network_is_written(
    task: dict, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Wherever it stops, the same call writes what a calm one does."""
    monkeypatch.setenv("NSLAB_HOME", str(tmp_path / "home"))
    evolve_checkpoints(**task, out=tmp_path / "calm")
    replaced, count = os.replace, [0]

    def stopping(source: Path, target: Path) -> None:
        count[0] -= 1
        if count[0] == 0:
            raise KeyboardInterrupt
        replaced(source, target)

    for stop in (1, 2, 3):
        out = tmp_path / str(stop)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(files.os, "replace", stopping)
            count[0] = stop
            with pytest.raises(KeyboardInterrupt):
                evolve_checkpoints(**task, out=out)
        assert not (out / BEST).exists()
        evolve_checkpoints(**task, out=out)
        assert same(tmp_path / "calm", out)
