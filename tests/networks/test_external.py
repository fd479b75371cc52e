"""Networks of torchvision and timm by name, and whether checkpoints are theirs."""

import sys
import textwrap
from pathlib import Path
from types import SimpleNamespace

import pytest
import safetensors.torch
import torch
import torchvision

import nslab.networks
from nslab.networks import build_network, check_network
from nslab.networks.external import build_external, fitted, loading_code, try_model, with_heads

CPU = torch.device("cpu")


def test_names_that_any_run_may_have() -> None:
    """Weights follow from the seed alone, as those of our own networks."""
    first, again, other = (
        build_network("torchvision/squeezenet1_1", (3, 32, 32), 3, seed=s).state_dict()
        for s in (1, 1, 2)
    )
    assert all(torch.equal(t, again[k]) for k, t in first.items())
    assert any(not torch.equal(t, other[k]) for k, t in first.items())
    for name, message in (
        ("resnet21", "unknown network 'resnet21': did you mean resnet"),
        ("torchvision/resnet19", "torchvision has no classifier 'resnet19'; it has res"),
        ("torchvision/resnet18+aux", "no classifier"),
        ("torchvision/fcn_resnet50", "no classifier"),
        ("keras/vit", "neither torchvision/<name>, timm/<name> nor"),
    ):
        with pytest.raises(ValueError, match=message):
            check_network(name)


def test_counters_and_types_that_files_lack() -> None:
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
    try_model(model, (3, size, size), 2, CPU)
    assert not any("aux" in k.lower() for k in state)
    fitted(model, [state], ["a.pt"], 2)
    if name == "squeezenet1_1":
        with pytest.raises(ValueError, match=r"classifier\.1\.weight has shape \(2, 512"):
            fitted(build_external(f"torchvision/{name}", (3, size, size), 3), [state], ["a.pt"], 3)
    if name == "googlenet":
        aux = build_external(
            with_heads("torchvision/googlenet", ["aux1.conv.conv.weight"]), (3, size, size), 2
        )
        try_model(aux, (3, size, size), 2, CPU)
        assert any("aux1" in k for k in aux.state_dict())


def test_networks_that_cannot_take_the_images() -> None:
    """The size is named; so is what is no classifier."""
    with pytest.raises(ValueError, match="cannot take images of 3 x 16 x 16"):
        try_model(build_external("torchvision/alexnet", (3, 16, 16), 2), (3, 16, 16), 2, CPU)
    with pytest.raises(ValueError, match="no logits"):
        try_model(torch.nn.Identity(), (3, 4, 4), 2, CPU)


@pytest.mark.parametrize(
    "name",
    ["mlp", "bottleneck/mlp", "torchvision/googlenet", "torchvision/googlenet+aux"],
)
def test_the_printed_code_loads_the_network(name: str, tmp_path: Path) -> None:
    """With its bottleneck, and with auxiliary heads only if it has them."""
    shape, file = (3, 32, 32), tmp_path / "best.safetensors"
    state = build_network(name, shape, 2, seed=0).state_dict()
    safetensors.torch.save_file(state, file)
    names = {"nslab": nslab, "torchvision": torchvision, "safetensors": safetensors}
    exec(textwrap.dedent("\n".join(loading_code(name, shape, 2, file))), names)
    loaded = names["model"].state_dict()  # type: ignore[attr-defined]
    assert loaded.keys() == state.keys()
    assert all(torch.equal(loaded[k], t) for k, t in state.items())


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


def test_names_of_a_network_inside_another() -> None:
    """A wrapper's names begin with those of what it holds; files have them or not."""

    class Wrapper(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = torch.nn.Linear(3, 2)

    wrapper = Wrapper()
    plain = {k.removeprefix("model."): t + 1 for k, t in wrapper.state_dict().items()}
    for state in (plain, {f"model.{k}": t for k, t in plain.items()}):
        (found,) = fitted(wrapper, [state], ["a.pt"], 2)
        assert torch.equal(found["model.bias"], plain["bias"])
