"""What training expects of any network: a new entry of NETWORKS is bound by these without a new
test."""

from collections.abc import Iterator

import pytest
import torch
import torch.nn.functional as F
from network_helpers import equal, images, state
from torch import Tensor, nn

from nslab.networks import NETWORKS, build_network, takes_texts
from nslab.networks.torchvision_models import SMALLEST_IMAGE

# Sides of the images: as small as leaves work for every parameter, to be quick.
SIDES = {
    "lenet1": 32,
    "lenet5": 32,
    "alexnet_cifar": 32,
    "vgg19_bn_cifar": 32,
    "resnext29": 8,
    "densenet_bc_100_12": 8,
    "densenet_bc_190_40": 8,
    "vmamba_t": 36,  # 32 leave one pixel to the last stage, where nothing is scanned
    **{name: max(32, side) for name, side in SMALLEST_IMAGE.items()},
}
CLASSES = 7
TOKENS, IDS = 9, 30


def build(name: str, seed: int = 2024, channels: int = 3) -> nn.Module:
    """The network of that name for small images, or for short texts."""
    if takes_texts(name):
        return build_network(name, (TOKENS, IDS), CLASSES, seed)
    side = SIDES.get(name, 16)
    return build_network(name, (channels, side, side), CLASSES, seed)


def batch(name: str, n: int = 2, channels: int = 3) -> Tensor:
    """Images for it, or texts of 1 to 9 tokens, padded by 0."""
    if takes_texts(name):
        draws = torch.Generator().manual_seed(0)
        x = torch.randint(2, IDS, (n, TOKENS), generator=draws)
        return x * (torch.arange(TOKENS) < torch.arange(TOKENS - n + 1, TOKENS + 1)[:, None])
    side = SIDES.get(name, 16)
    return images(n, channels, side, side)


@pytest.fixture(scope="module", params=sorted(NETWORKS))
def name(request: pytest.FixtureRequest) -> str:
    """The name of each network."""
    return request.param


@pytest.fixture(scope="module")
def built(name: str) -> Iterator[nn.Module]:
    """The network, with initial weights; but a last layer of zeros, through which nothing before
    it could learn yet, is drawn."""
    model = build(name)
    draws = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, nn.Linear) and module.weight.eq(0).all():
                module.weight.normal_(std=0.1, generator=draws)
    yield model
    model.to("meta")  # one large network at a time


@pytest.mark.slow
def test_seed_and_state(name: str, built: nn.Module) -> None:
    """The seed alone decides on the weights; a state goes into any other network of the name."""
    torch.manual_seed(11)
    before = torch.get_rng_state()
    again = build(name)
    assert again.training
    assert torch.equal(torch.get_rng_state(), before), "the global generator is not touched"
    other = build(name, seed=2025)
    for key, value in again.named_parameters():
        if value.eq(0).all() or value.eq(1).all():  # as BatchNorm starts
            continue
        assert torch.equal(value, built.get_parameter(key)), key
        assert not torch.equal(value, other.get_parameter(key)), key
    x = batch(name)
    other.load_state_dict(built.state_dict(), strict=True)
    with torch.no_grad():
        assert torch.equal(other.eval()(x), built.eval()(x))


@pytest.mark.slow
def test_training(name: str, built: nn.Module) -> None:
    """Logits that are finite and a gradient for every parameter; the images stay as they are."""
    torch.manual_seed(0)
    built.train()
    x = batch(name, 4)
    kept = x.clone()
    logits = built(x)
    assert logits.shape == (4, CLASSES)
    assert logits.dtype == torch.float32
    assert torch.isfinite(logits).all()
    built.zero_grad()
    F.cross_entropy(logits, torch.tensor([0, 6, 3, 3])).backward()
    assert torch.equal(x, kept)
    for key, value in built.named_parameters():
        assert value.grad is not None, key
        assert torch.isfinite(value.grad).all(), key
        assert value.grad.abs().max() > 0, key
    built.zero_grad()
    with torch.no_grad():
        assert torch.isfinite(built(x[:2])).all(), "two images do"


def test_evaluation(name: str, built: nn.Module) -> None:
    """The same again, image by image, in any memory layout; nothing is changed by it."""
    built.eval()
    x = batch(name)
    kept = x.clone()
    with torch.no_grad():
        before, first = state(built), built(x)
        scale = first.abs().max().item()
        assert first.shape == (2, CLASSES)
        assert torch.equal(built(x), first)
        torch.testing.assert_close(built(x[:1]), first[:1], rtol=1e-3, atol=1e-4 * scale)
        if not takes_texts(name):
            found = built(x.to(memory_format=torch.channels_last))
        else:  # more padding changes nothing
            found = built(F.pad(x, (0, 5)))
        torch.testing.assert_close(found, first, rtol=1e-3, atol=1e-4 * scale)
        assert equal(state(built), before)
    assert torch.equal(x, kept)
    assert not torch.equal(first[0], first[1])


@pytest.mark.slow
@pytest.mark.parametrize("channels", [1, 2])
def test_any_channels(name: str, channels: int) -> None:
    """Grey images and others do, but for the networks that are made for colour, or for texts."""
    if takes_texts(name):
        return
    if name in SMALLEST_IMAGE or name.endswith("_public"):
        with pytest.raises(
            ValueError, match=f"{name} needs images with 3 channels, not {channels}"
        ):
            build(name, channels=channels)
        return
    with torch.device("meta"):
        model = build(name, channels=channels)
    x = batch(name, channels=channels).to("meta")
    assert model(x).shape == (2, CLASSES)
