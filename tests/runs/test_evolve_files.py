"""Evolving anyone's checkpoints: from files to a file, killed and resumed, and what is refused."""

import csv
import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from math import nan
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
import torch.nn.functional as F
from own_helpers import CPU, data_of, images
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torchvision.models import get_model
from typer.testing import CliRunner, Result

from nslab.cli import app
from nslab.configs.selection import SELECTION
from nslab.datasets.image_folder import prepared
from nslab.evolve import breeding
from nslab.networks import build_network
from nslab.networks.external import build_external, fitted, tried
from nslab.neuroevolution.evolution import CHECKPOINT, Evolved, pair
from nslab.runs import evolve_files as evolve_files_module
from nslab.runs.evolve_files import Task, evolve_files
from nslab.runs.evolve_files_record import BEST, HISTORY, RECORD, Record
from nslab.types import StateDict

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
    """The folder of an undisturbed evolution."""
    out = tmp_path_factory.mktemp("calm") / "out"
    done = call(*command(parents, images, out))
    assert done.exit_code == 0, done.output
    (out / "said.txt").write_text(done.output)
    return out


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
    measured = {0: max(map(SELECTION.key, record["parents"]))}
    for row in rows(calm)[1::2]:
        measured[int(row["batch"]) + 1] = SELECTION.key(row)
    assert SELECTION.key(found) == max(measured.values())
    assert measured[int(found["after_batches"])] == max(measured.values())
    assert record["best"] == found
    model = get_model(NAME, num_classes=3)
    model.load_state_dict(load_file(calm / BEST))
    x, y = pair(next(data_of(images).held.in_order()))
    with torch.no_grad():
        logits = model.eval()(x)
    assert float(F.cross_entropy(logits, y)) == pytest.approx(
        float(found["held_out_loss"]), rel=1e-5
    )
    right = 100 * float((logits.argmax(1) == y).double().mean())
    assert float(found["held_out_accuracy"]) == pytest.approx(right)


def test_what_is_written_and_said(calm: Path, parents: list[str]) -> None:
    """Same keys as the parents; origin, a row per generation, a line per batch, how to load."""
    assert load_file(calm / BEST).keys() == load_file(parents[0]).keys()
    record, history = json.loads((calm / RECORD).read_text()), rows(calm)
    assert [p["file"] for p in record["parents"]] == parents
    assert record["data"]["images"] == 36
    assert record["data"]["class_names"] == ["blue", "green", "red"]
    assert record["options"]["generations"] == 2
    assert record["environment"]["versions"]["torch"] in torch.__version__
    assert [(r["batch"], r["generation"]) for r in history] == [
        (b, g) for b in "012345" for g in "01"
    ]
    assert len(json.loads(history[0]["strategy_probability"])) == 5
    assert [bool(r["held_out_loss"]) for r in history] == [False, True] * BATCHES
    said = (calm / "said.txt").read_text()
    for words in ("batch 1 of 6: best loss ", "held-out accuracy", "diversity", "trigonometric 0."):
        assert words in said
    assert f"torchvision.models.get_model({NAME!r}, num_classes=3)" in said
    assert "best parent: " in said
    assert "load_state_dict" in said


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
    tensors = [load_file(out / BEST) for out in (a, b)]
    equal = all(torch.equal(t, tensors[1][name]) for name, t in tensors[0].items())
    texts = [(out / HISTORY).read_bytes() for out in (a, b)]
    records = [json.loads((out / RECORD).read_text()) for out in (a, b)]
    heads = [{k: r[k] for k in ("best", "parents", "identity")} for r in records]
    return equal and texts[0] == texts[1] and heads[0] == heads[1]


def test_killed_and_started_again(
    calm: Path, images: Path, parents: list[str], tmp_path: Path
) -> None:
    """SIGKILL after the first batch; the same command ends as if nothing had happened."""
    words = command(parents, images, tmp_path / "out")
    code = "import torch; torch.set_num_threads(1); from nslab.cli import app; app()"
    process = subprocess.Popen(
        [sys.executable, "-c", code, *words], stdout=subprocess.PIPE, env=dict(os.environ)
    )
    until = time.monotonic() + 120
    while not (tmp_path / "out" / CHECKPOINT).exists() and time.monotonic() < until:
        assert process.poll() is None, "it ended before it could be killed"
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    said = process.communicate()[0].decode()
    assert process.returncode == -signal.SIGKILL
    assert "batch 1 of 6" in said
    assert "batch 6 of 6" not in said
    again = call(*words)
    assert again.exit_code == 0, again.output
    assert "batch 1 of 6" not in again.output
    assert "batch 6 of 6" in again.output
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
def task(small: tuple[str, ...], images: Path) -> Task:
    """A short evolution."""
    return Task(
        "resnet8", small, str(images), batches=2, generations=1, batch_size=12, size=16, seed=3
    )


@pytest.mark.parametrize("held_out", [0.2, 0.0])
def test_stopped_before_any_file_is_replaced(
    task: Task, tmp_path: Path, held_out: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Wherever it stops, going on ends the same; without held-out images with the last best."""
    task, count, now = replace(task, held_out=held_out), [0, 0], [0]
    replaced = os.replace
    measure, after_batch, losses = Record.measure, Record.after_batch, (10.0, 0.5, 0.7)

    def told(self: Record, states: list[StateDict]) -> list[dict[str, float]]:
        made_up = {"held_out_accuracy": 50.0, "held_out_loss": losses[now[0]]}
        return [n | made_up if held_out else n for n in measure(self, states)]

    def noted(self: Record, evolved: Evolved) -> dict[str, float]:
        now[0] = evolved.history[-1]["batch"] + 1
        numbers = after_batch(self, evolved)
        now[0] = 0
        return numbers

    def stopping(source: Path, target: Path) -> None:
        count[0] += 1
        if count[0] == count[1]:
            raise KeyboardInterrupt
        replaced(source, target)

    monkeypatch.setattr(Record, "measure", told)  # the first batch's network is to be kept
    monkeypatch.setattr(Record, "after_batch", noted)
    monkeypatch.setattr(os, "replace", stopping)
    whole = evolve_files(task, tmp_path / "calm", show=False)
    steps = count[0]
    assert steps >= 8
    for stop in range(1, steps + 1, 1 if held_out else 3):
        count[:] = 0, stop
        with pytest.raises(KeyboardInterrupt):
            evolve_files(task, tmp_path / str(stop), show=False)
        count[:], now[:] = (0, 0), [0]
        evolve_files(task, tmp_path / str(stop), show=False)
        assert same(tmp_path / "calm", tmp_path / str(stop))
    assert header(tmp_path / "calm")["after_batches"] == ("1" if held_out else "2")
    best = load_file(tmp_path / "calm" / BEST)
    last = {k: torch.equal(t, best[k]) for k, t in whole.network().state_dict().items()}
    assert all(last.values()) or held_out
    assert json.loads((tmp_path / "calm" / RECORD).read_text())["rule"].startswith(
        "the network with the best held-out accuracy"
        if held_out
        else "the best member on the last batch"
    )


@pytest.mark.parametrize(
    ("losses", "chosen"), [([nan, 1e9], 0), ([0.5, 0.7], 1), ([0.5, 0.4], 2), ([nan, 0.4], 2)]
)
def test_which_network_is_written(
    task: Task, tmp_path: Path, losses: list[float], chosen: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of the parents and the best after each batch the best one (of equal accuracy the one of
    lowest loss), its very weights."""
    measure, seen = Record.measure, []

    def told(self: Record, states: list[StateDict]) -> list[dict[str, float]]:
        found = [n | {"held_out_accuracy": 50.0} for n in measure(self, states)]
        if len(states) > 1:
            seen.append(states[min(range(6), key=lambda i: found[i]["held_out_loss"])])
            return found
        seen.append({k: t.clone() for k, t in states[0].items()})
        return [found[0] | {"held_out_loss": losses[len(seen) - 2]}]

    monkeypatch.setattr(Record, "measure", told)
    evolve_files(task, tmp_path, show=False)
    assert header(tmp_path)["after_batches"] == str(chosen)
    assert ("parent" in header(tmp_path)) == (chosen == 0)
    written = load_file(tmp_path / BEST)
    assert all(torch.equal(t, written[k]) for k, t in seen[chosen].items())


def test_a_data_set_by_name(tmp_path: Path) -> None:
    """Digits; what is held out of them is in no batch."""
    data = prepared("digits", device=CPU, batch_size=100, share=0.25, augment="crop")
    assert (data.shape, data.num_classes, data.about["held_out"]) == ((1, 32, 32), 10, 324)
    assert sum(len(batch.y) for batch in data.held.in_order()) == 324
    two = [
        prepared("digits", device=CPU, batch_size=100, share=0.25, rank=rank, world=2)
        for rank in (0, 1)
    ]
    shares = [torch.cat([b.index for b in data.held.in_order()]) for data in two]
    assert torch.equal(torch.cat(shares).sort().values, torch.arange(324))
    assert len(pair(data.train.nth(12))[1]) == 100
    files = []
    for i in range(4):
        files.append(str(tmp_path / f"{i}.safetensors"))
        save_file(build_network("lenet1", (1, 32, 32), 10, seed=i).state_dict(), files[-1])
    words = ["--model", "lenet1", "--data", "digits", "--evolver", "pso", "--batches", "1"]
    words += ["--generations", "1", "--out", str(tmp_path / "out"), "--evolve-head"]
    words += ["--dtype", "bfloat16", "--policy", "parent", "--augment", "crop"]
    several = ["--parents", files[1], "--parents", files[2], files[3]]
    done = call("evolve", files[0], *words, *several)
    assert done.exit_code == 0, done.output
    assert "batches have 1165 images" in done.output
    record = json.loads((tmp_path / "out" / RECORD).read_text())
    assert record["options"]["parents"] == [files[i] for i in (1, 2, 0, 3)]
    assert not record["options"]["exempt_head"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"model": "torchvision/resnet19"}, "torchvision has no classifier 'resnet19'; it has res"),
        ({"model": "torchvision/fcn_resnet50"}, "no classifier"),
        ({"model": "transformers/vit"}, "unknown model 'transformers/vit'"),
        ({"model": "timm/resnet18"}, "pip install timm"),
        ({"evolver": "cma"}, "unknown evolver 'cma'; there are de, sade"),
        ({"parents": 3}, r"at least 6 parents, not 3; fewer are enough for de \(4\), .*pso \(2\)"),
        ({"parents": 0}, "not 0"),
        ({"data": "cifar99"}, "neither a folder nor one of digits"),
        ({"data": "digits"}, "images of digits have their size"),
        ({"data": "digits", "size": None}, "0.pt: its head .* is for 3 classes, the data have 10"),
        ({"policy": "recalibrate"}, "inherit or parent"),
        ({"policy": "sometimes"}, "policy must be"),
        ({"precision": "fp8"}, "precision must be"),
        ({"held_out": 1.0}, "held_out is a share"),
        ({"held_out": 0.96}, "too few to evolve on and hold out 35"),
        ({"batches": 0}, "batches must be at least 1"),
        ({"device": "abacus"}, "device 'abacus' cannot be had"),
    ],
)
def test_mistakes_are_explained(
    task: Task, tmp_path: Path, change: dict, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Exit status 2, one line, and nothing written."""
    monkeypatch.setitem(sys.modules, "timm", None)
    given = vars(task) | change
    if "parents" in change:
        given["parents"] = task.parents[: change["parents"]]
    words = [w for k, v in given.items() if isinstance(v, str | int | float) and k != "exempt_head"
             for w in (f"--{k.replace('_', '-')}", str(v))]  # fmt: skip
    done = call("evolve", *given["parents"], *words, "--out", str(tmp_path / "out"))
    assert done.exit_code == 2, done.output
    assert re.search(message, done.output), done.output
    assert "Traceback" not in done.output
    assert not (tmp_path / "out").exists()


def test_wrong_files_are_named(task: Task, tmp_path: Path) -> None:
    """A parent or an image that is missing, broken or another network's."""
    state = torch.load(task.parents[0])["model"]
    name = next(iter(state))
    odd = tmp_path / "odd.pt"
    for broken, message in (
        ({**state, name: torch.zeros(1)}, r"odd\.pt .* has shape \(1,\), here \("),
        ({k: t for k, t in state.items() if k != name}, r"odd\.pt .* is missing"),
        ({**state, "more": torch.zeros(1)}, r"odd\.pt .* more is not of this model"),
        ([1], r"odd\.pt holds no state dict"),
    ):
        torch.save(broken, odd)
        with pytest.raises(ValueError, match=message):
            evolve_files(replace(task, parents=(*task.parents[:5], str(odd))), show=False)
    with pytest.raises(ValueError, match="nowhere"):
        evolve_files(replace(task, parents=(*task.parents[:5], "nowhere.pt")), show=False)


def test_images_that_are_missing_or_broken_are_named(task: Task, tmp_path: Path) -> None:
    """A folder without classes, a class without images, an image that is half there."""
    with pytest.raises(ValueError, match="no folder of images"):
        evolve_files(replace(task, data=str(tmp_path)), show=False)
    folder = tmp_path / "data"
    shutil.copytree(task.data, folder / "train")
    assert data_of(folder).about["class_names"] == ["blue", "green", "red"]
    whole = (folder / "train/red/2.jpg").read_bytes()
    (folder / "train/red/2.jpg").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match=r"train/red/2\.jpg cannot be read as an image"):
        evolve_files(replace(task, data=str(folder), batches=4), tmp_path / "out", show=False)
    (folder / "train/red/2.jpg").write_bytes(whole)
    evolve_files(replace(task, data=str(folder), batches=4), tmp_path / "out", show=False)
    (folder / "train/empty").mkdir()
    with pytest.raises(ValueError, match="empty"):
        data_of(folder)


def test_folders_of_other_evolutions_are_left_alone(task: Task, tmp_path: Path) -> None:
    """What differs is named; files that are none of ours stay."""
    evolve_files(task, tmp_path, show=False)
    before = {f: f.read_bytes() for f in tmp_path.iterdir()}
    for other, named in (
        (replace(task, seed=4), "seed"),
        (replace(task, batches=3, precision="bf16"), "batches, autocast"),
        (replace(task, parents=task.parents[::-1]), "parents"),
        (replace(task, augment="none"), "data, augment"),
    ):
        with pytest.raises(ValueError, match=f"an evolution of other {named}: take another folder"):
            evolve_files(other, tmp_path, show=False)
    assert before == {f: f.read_bytes() for f in tmp_path.iterdir()}
    evolve_files(task, tmp_path, show=False)  # finished: nothing changes
    assert {f: f.read_bytes() for f in tmp_path.iterdir()} == before
    (tmp_path / RECORD).unlink()
    with pytest.raises(ValueError, match=r"other networks, without best\.json"):
        evolve_files(task, tmp_path, show=False)
    (tmp_path / "new").mkdir()
    save_file({"mine": torch.ones(2)}, tmp_path / "new" / BEST)
    with pytest.raises(ValueError, match="other networks"):
        evolve_files(task, tmp_path / "new", show=False)


def test_folders_of_the_first_version_are_resumed(tmp_path: Path) -> None:
    """An evolution is named by what version 0.1.0 hashed, under its words and in its order."""
    files = [tmp_path / f"{i}.pt" for i in range(6)]
    for i, file in enumerate(files):
        file.write_bytes(bytes([i]))
    given = {"batches": 2, "precision": "bf16", "seed": 3, "microbatch": 7}
    task = Task("resnet8", tuple(map(str, files)), "images", **given)
    about = {"data": "x", "classes": 3, "class_names": ["a"]}
    text = json.dumps(task.identity(about))
    assert hashlib.sha256(text.encode()).hexdigest()[:12] == "47b958e7db63"


def test_counters_and_types_that_files_lack(task: Task) -> None:
    """Old files without BatchNorm's counters, and in half precision, are taken."""
    model = build_network("resnet8", (3, 16, 16), 3, seed=0)
    old = {k: t.half() for k, t in model.state_dict().items() if "tracked" not in k}
    (found,) = fitted(model, [old], ["old.pt"], 3)
    assert {k: (t.shape, t.dtype) for k, t in found.items()} == {
        k: (t.shape, t.dtype) for k, t in model.state_dict().items()
    }


@pytest.mark.parametrize("name", ["googlenet", "inception_v3", "vit_b_32", "squeezenet1_1"])
def test_networks_of_torchvision_that_are_special(name: str) -> None:
    """Auxiliary heads as the file has them, images of another size, no linear layer."""
    size = {"inception_v3": 96, "googlenet": 64}.get(name, 64)
    model = build_external(f"torchvision/{name}", (3, size, size), 2)
    state = dict(model.state_dict())
    tried(model, (3, size, size), 2, CPU)
    assert not any("aux" in k.lower() for k in state)
    fitted(model, [state], ["a.pt"], 2)
    if name == "squeezenet1_1":
        with pytest.raises(ValueError, match=r"classifier\.1\.weight has shape \(2, 512"):
            fitted(build_external(f"torchvision/{name}", (3, size, size), 3), [state], ["a.pt"], 3)
    if name == "googlenet":
        aux = build_external(f"torchvision/{name}", (3, size, size), 2, ["aux1.conv.conv.weight"])
        tried(aux, (3, size, size), 2, CPU)
        assert any("aux1" in k for k in aux.state_dict())


def test_networks_that_cannot_take_the_images() -> None:
    """The size is named; so is what is no classifier."""
    with pytest.raises(ValueError, match="cannot take images of 3 x 16 x 16"):
        tried(build_external("torchvision/alexnet", (3, 16, 16), 2), (3, 16, 16), 2, CPU)
    with pytest.raises(ValueError, match="no logits"):
        tried(torch.nn.Identity(), (3, 4, 4), 2, CPU)


def test_networks_of_timm(monkeypatch: pytest.MonkeyPatch) -> None:
    """Asked for by name, with the data's channels and classes; an unknown name is said."""
    made = []

    def create_model(name: str, *, pretrained: bool, num_classes: int, in_chans: int) -> object:
        made.append((name, pretrained, num_classes, in_chans))
        return torch.nn.Flatten()

    fake = SimpleNamespace(
        create_model=create_model, is_model="tiny".__eq__, list_models=lambda: ["tiny", "huge"]
    )
    monkeypatch.setitem(sys.modules, "timm", fake)
    assert isinstance(build_external("timm/tiny", (1, 8, 8), 5), torch.nn.Flatten)
    assert made == [("tiny", False, 5, 1)]
    with pytest.raises(ValueError, match="timm has no classifier 'tinny'; it has tiny"):
        build_external("timm/tinny", (1, 8, 8), 5)


def test_nothing_is_decoded_after_the_end(
    task: Task, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The batch ahead would keep the process for as long as it takes."""
    made = []
    monkeypatch.setattr(
        evolve_files_module, "prepared", lambda *a, **k: made.append(prepared(*a, **k)) or made[0]
    )
    evolve_files(task, tmp_path, show=False)
    with pytest.raises(RuntimeError, match="shutdown"):
        made[0].train.nth(99)
