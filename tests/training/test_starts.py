"""Starts: pretrained files of torchvision, timm and people, heads for other classes."""

import dataclasses
import hashlib
import os
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from nslab.configs.evolve import EvolveConfig
from nslab.configs.initial_populations import cyclic
from nslab.configs.schedules import Constant, Triangular
from nslab.configs.train import TrainConfig
from nslab.networks import build_network, pretrained
from nslab.networks.pretrained import renamed_state, resolved_weights, weights_file
from nslab.neuroevolution.baselines import Vote
from nslab.training.starts import fitting_state, start_weights

START = "torchvision:IMAGENET1K_V1"
SHAPE = (3, 64, 64)


def pretend(monkeypatch: pytest.MonkeyPatch, home: Path, classes: int = 1000) -> Path:
    """torchvision's file of ResNet-18, with other weights and their digest in its name."""
    file = home / "new.pth"
    torch.save(build_network("resnet18", SHAPE, classes, seed=9).state_dict(), file)
    digest = hashlib.sha256(file.read_bytes()).hexdigest()[:8]
    named = home / "weights" / "torchvision" / f"resnet18-{digest}.pth"
    named.parent.mkdir(parents=True)
    file.rename(named)
    address = f"https://somewhere/{named.name}"
    monkeypatch.setattr(pretrained, "_torchvision", lambda network, tag: (tag, address))
    monkeypatch.setenv("NSLAB_DATA", str(home))
    return named


def test_names_have_the_digest_of_torchvisions_file() -> None:
    """Known without the file; another tag is another start, an unknown one is told."""
    assert resolved_weights(START, "resnet50") == "torchvision:IMAGENET1K_V1#0676ba61"
    assert resolved_weights(START, "torchvision/resnet50") == "torchvision:IMAGENET1K_V1#0676ba61"
    first = TrainConfig("cifar10", "resnet50", start=START)
    second = dataclasses.replace(first, start="torchvision:IMAGENET1K_V2")
    assert len({first.id, second.id, dataclasses.replace(first, start="").id}) == 3
    with pytest.raises(ValueError, match="did you mean IMAGENET1K_V1"):
        TrainConfig("cifar10", "resnet18", start="torchvision:IMAGENET_V1")
    with pytest.raises(ValueError, match="no weights for resnet20"):
        TrainConfig("cifar10", "resnet20", start=START)
    with pytest.raises(ValueError, match="normalised in another way"):
        TrainConfig("cifar10", "torchvision/googlenet", start=START)


def test_a_head_for_other_classes_is_new(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All else is the file's; with the same classes the head is too."""
    file = pretend(monkeypatch, tmp_path)
    given = torch.load(file, weights_only=True)
    config = TrainConfig("cifar10", "resnet18", start=START, seed=1)
    fresh = build_network("resnet18", SHAPE, 10, seed=1)
    before = {name: t.clone() for name, t in fresh.state_dict().items()}
    begun = start_weights(fresh, config).state_dict()
    assert all(torch.equal(begun[n], before[n]) for n in ("fc.weight", "fc.bias"))
    assert all(torch.equal(begun[n], given[n]) for n in given if not n.startswith("fc."))
    whole = start_weights(build_network("resnet18", SHAPE, 1000, seed=1), config).state_dict()
    assert all(torch.equal(whole[n], given[n]) for n in given)


def test_what_is_missing_is_told_with_name_digest_and_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And a file that is not what its name says is not trusted."""
    named = pretend(monkeypatch, tmp_path)
    assert weights_file(START, "resnet18") == named
    with named.open("ab") as opened:
        opened.write(b"!")
    with pytest.raises(ValueError, match="is not trusted"):
        weights_file(START, "resnet18")
    named.unlink()

    def offline(*args: object, **more: object) -> None:
        raise OSError("no network")

    monkeypatch.setattr(torch.hub, "download_url_to_file", offline)
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "hub"))
    with pytest.raises(FileNotFoundError) as told:
        weights_file(START, "resnet18")
    assert all(word in str(told.value) for word in (named.name, str(named.parent), "SHA-256"))
    assert not named.exists()


def test_files_of_weights_are_known_by_their_content(tmp_path: Path) -> None:
    """Moved it is the same start; changed it is another, and a run planned before says so."""
    file, moved = tmp_path / "a.safetensors", tmp_path / "b.safetensors"
    state = build_network("mlp", (1, 32, 32), 10, seed=3).state_dict()
    save_file(state, file)
    config = TrainConfig("digits", "mlp", start=f"file:{file}")
    begun = start_weights(build_network("mlp", (1, 32, 32), 10, seed=0), config).state_dict()
    assert all(torch.equal(begun[name], state[name]) for name in state)
    file.rename(moved)
    assert TrainConfig("digits", "mlp", start=f"file:{moved}").id == config.id
    save_file({name: t + 1 for name, t in state.items()}, file)
    assert TrainConfig("digits", "mlp", start=f"file:{file}").id != config.id
    with pytest.raises(ValueError, match="has changed since the run was planned"):
        start_weights(build_network("mlp", (1, 32, 32), 10, seed=0), config)
    with pytest.raises(ValueError, match="does not exist"):
        TrainConfig("digits", "mlp", start=f"file:{tmp_path / 'none.pt'}")
    with pytest.raises(ValueError, match=f"a file of weights is file:{file}"):
        TrainConfig("digits", "mlp", start=str(file))


def test_weights_of_another_network_are_refused() -> None:
    """A difference beside the head's is named, and so is what lacks."""
    model = build_network("mlp", (1, 32, 32), 10, seed=0)
    other = build_network("mlp", (1, 28, 28), 10, seed=0).state_dict()
    with pytest.raises(ValueError, match=r"x\.pt: .* has shape"):
        fitting_state(model, other, "x.pt")
    with pytest.raises(ValueError, match="they lack"):
        fitting_state(model, {}, "x.pt")
    with pytest.raises(ValueError, match="they have more"):
        fitting_state(model, model.state_dict() | {"more": torch.zeros(1)}, "x.pt")


def test_old_names_of_densenets_are_todays() -> None:
    """torchvision's first files of DenseNet-121 have a dot more."""
    own = build_network("densenet121", SHAPE, 10, seed=0).state_dict()
    old = {
        name.replace("norm1", "norm.1").replace("norm2", "norm.2")
        .replace("conv1", "conv.1").replace("conv2", "conv.2") if "denselayer" in name else name: t
        for name, t in own.items()
    }  # fmt: skip
    assert set(old) != set(own)
    assert set(renamed_state(old)) == set(own)


def test_a_cyclic_rate_gives_its_minima() -> None:
    """Every other epoch from the first on, all of one run that keeps them."""
    base = TrainConfig("digits", "mlp", schedule=Triangular(2, 0.01), lr=1.0)
    parents = cyclic(base, 4)
    assert [parent.epoch for parent in parents] == [1, 3, 5, 7]
    assert len({parent.config.id for parent in parents}) == 1
    assert parents[0].config.keep_last == parents[0].config.epochs == 7
    ends = [parents[0].config.lr_at(5 * parent.epoch, 5) for parent in parents]
    assert ends == pytest.approx([0.01] * 4)
    assert EvolveConfig(base, "cyclic", size=4, method=Vote()).columns()["method"] == "fge"
    with pytest.raises(ValueError, match="Triangular"):
        EvolveConfig(dataclasses.replace(base, schedule=Constant()), "cyclic", 4, Vote())


@pytest.mark.parametrize(("start", "network", "said"), [
    ("timm:a1_in1k", "resnet8", "take a network timm/<name>"),
    ("timm:", "timm/resnet18", "it lacks the name of the weights"),
    ("torchvision:", "resnet18", "it lacks the name of the weights"),
])  # fmt: skip
def test_starts_that_are_none_are_told_at_once(start: str, network: str, said: str) -> None:
    """Before anything is fetched."""
    with pytest.raises(ValueError, match=said):
        resolved_weights(start, network)


def test_timms_files_are_known_by_their_content(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file in its place is used, without timm; fetched it is put there; missing it is told."""
    monkeypatch.setenv("NSLAB_DATA", str(tmp_path))
    source = tmp_path / "source.safetensors"
    save_file({"weight": torch.ones(2)}, source)
    asked: list[tuple[str, str]] = []

    class Hub:
        @staticmethod
        def hf_hub_download(repository: str, name: str) -> str:
            asked.append((repository, name))
            return str(source)

    monkeypatch.setitem(sys.modules, "huggingface_hub", Hub)
    name = resolved_weights("timm:a1_in1k", "timm/resnet18")
    assert asked == [("timm/resnet18.a1_in1k", "model.safetensors")]
    assert name == f"timm:a1_in1k#{hashlib.sha256(source.read_bytes()).hexdigest()[:12]}"
    assert resolved_weights("timm:a1_in1k", "timm/resnet18") == name
    assert len(asked) == 1
    file = weights_file(name, "timm/resnet18")
    assert file == tmp_path / "weights" / "timm" / "resnet18.a1_in1k.safetensors"
    save_file({"weight": torch.zeros(2)}, file)
    os.utime(file, (1, 1))  # clocks of files tick slowly
    with pytest.raises(ValueError, match="is not trusted"):
        weights_file(name, "timm/resnet18")
    file.unlink()
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(FileNotFoundError, match=r"put model\.safetensors of timm/resnet18\.a1"):
        weights_file(name, "timm/resnet18")
