"""Networks with a bottleneck and a weight-normalised head."""

import pytest
import torch
from torch import nn

from nslab.configs import TrainConfig
from nslab.networks import build_network
from nslab.networks.bottleneck import Bottlenecked
from nslab.networks.heads import head_parts, last_linear
from nslab.training import starts
from nslab.training.setup import parameter_groups


@pytest.mark.parametrize("name", ["mlp", "lenet5", "resnet8", "torchvision/resnet18", "vgg16"])
def test_features_are_the_network_without_its_head(name: str) -> None:
    """And the logits are those of a linear layer whose rows are directions times lengths."""
    shape = (3, 32, 32)
    model = build_network(f"bottleneck/{name}", shape, 7, seed=3).eval()
    assert isinstance(model, Bottlenecked)
    plain = build_network(name, shape, 7, seed=3).eval()
    plain.set_submodule(last_linear(plain), nn.Identity())
    x = torch.randn(2, *shape, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        linear, norm = model.bottleneck
        z = torch.nn.functional.linear(plain(x), linear.weight, linear.bias)
        z = norm.weight * z / (1 + norm.eps) ** 0.5 + norm.bias
        length, direction = (getattr(model.classifier.parametrizations.weight, f"original{i}")
                             for i in (0, 1))  # fmt: skip
        weight = length * direction / direction.norm(dim=1, keepdim=True)
        torch.testing.assert_close(model(x), z @ weight.T + model.classifier.bias)
    assert linear.out_features == 256
    assert head_parts(model) == ("bottleneck", "classifier")


def test_it_starts_as_the_reference_does() -> None:
    """Xavier's normal law, scales of 1, biases of 0; the classifier as torch draws it."""
    model = build_network("bottleneck/resnet20", (3, 32, 32), 1000, seed=0)
    linear, norm = model.bottleneck
    assert linear.weight.std().item() == pytest.approx((2 / (64 + 256)) ** 0.5, rel=0.03)
    assert bool((norm.weight == 1).all())
    assert not any(b.any() for b in (linear.bias, norm.bias, model.classifier.bias))
    assert model.classifier.weight.abs().max().item() <= 1 / 16
    assert model.classifier.weight.std().item() == pytest.approx(1 / 16 / 3**0.5, rel=0.02)


def test_rates_and_frozen_parts() -> None:
    """The backbone is all but bottleneck and classifier."""
    config = TrainConfig(network="bottleneck/resnet8", backbone_lr=0.1, frozen=("last_linear",))
    model = build_network(config.network, (1, 32, 32), 10, seed=0)
    backbone, rest = parameter_groups(config, model)
    assert backbone["lr_factor"] == 0.1
    assert {id(p) for p in backbone["params"]} == {id(p) for p in model.features.parameters()}
    assert {id(p) for p in rest["params"]} == {id(p) for p in model.bottleneck.parameters()}
    head_only = TrainConfig(network="bottleneck/resnet8", frozen=("backbone",))
    model = build_network(config.network, (1, 32, 32), 10, seed=0)
    (group,) = parameter_groups(head_only, model)
    trained = {*model.bottleneck.parameters(), *model.classifier.parameters()}
    assert {*map(id, group["params"])} == {*map(id, trained)}


def test_it_starts_from_the_weights_of_the_plain_network(tmp_path: object) -> None:
    """Of whichever names: DenseNet's head has the name of the new classifier."""
    for name in ("resnet8", "torchvision/densenet121"):
        plain = build_network(name, (3, 32, 32), 5, seed=9)
        file = f"{tmp_path}/plain.pt"
        torch.save(plain.state_dict(), file)
        config = TrainConfig("cifar10", f"bottleneck/{name}", start=f"file:{file}")
        fresh = build_network(config.network, (3, 32, 32), 10, seed=1)
        model = starts.start_weights(build_network(config.network, (3, 32, 32), 10, 1), config)
        head = f"{last_linear(plain)}."
        for key, tensor in plain.state_dict().items():
            if not key.startswith(head):
                assert torch.equal(model.state_dict()[f"features.{key}"], tensor)
        for key, tensor in fresh.state_dict().items():
            if not key.startswith("features."):
                assert torch.equal(model.state_dict()[key], tensor)
        again = f"{tmp_path}/whole.pt"
        torch.save(model.state_dict(), again)
        config = TrainConfig("cifar10", f"bottleneck/{name}", start=f"file:{again}")
        copied = starts.start_weights(build_network(config.network, (3, 32, 32), 10, 4), config)
        assert all(torch.equal(t, model.state_dict()[k]) for k, t in copied.state_dict().items())


def test_names_are_checked() -> None:
    """As those of the network inside."""
    with pytest.raises(ValueError, match=r"did you mean .*resnet20"):
        TrainConfig(network="bottleneck/resnet21")
    with pytest.raises(ValueError, match="no features before it"):
        Bottlenecked(nn.Linear(3, 2), 2)
