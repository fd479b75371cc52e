"""Public weights: names and checksums; their accuracy where the files and CIFAR-10 are there."""

import os
from pathlib import Path
from urllib.error import URLError

import pytest
import torch

from nslab.analysis import run_tables
from nslab.networks import build_network
from nslab.networks.pretrained_cifar import CIFAR, FILES, IMAGENET, public_weights

DATA = Path(os.environ.get("NSLAB_DATA", "nowhere"))


def test_renormalised_sees_what_it_was_trained_on() -> None:
    """Pixels normalised as for CIFAR come out as normalised for ImageNet."""
    pixels = torch.rand(4, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    both = [
        (pixels - torch.tensor(mean).view(3, 1, 1)) / torch.tensor(sd).view(3, 1, 1)
        for mean, sd in (CIFAR, IMAGENET)
    ]
    model = build_network("resnet20_public", (3, 32, 32), 10, 0)
    model.net = torch.nn.Identity()
    torch.testing.assert_close(model(both[0]), both[1])


def test_refusals(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another network, a file that is not what it should be, and no file without a network."""
    with pytest.raises(ValueError, match="did you mean resnet20_public"):
        public_weights("resnet20", tmp_path)
    with pytest.raises(ValueError, match="needs images with 3 channels"):
        build_network("resnet20_public", (1, 32, 32), 10, 0)

    def offline(*args: object, **kwargs: object) -> None:
        raise URLError("no network")

    monkeypatch.setattr(torch.hub, "download_url_to_file", offline)
    with pytest.raises(FileNotFoundError, match="put it there"):
        public_weights("resnet20_public", tmp_path)
    file = tmp_path / "weights" / "resnet_cifar10" / FILES[20]
    file.write_bytes(b"something else")
    with pytest.raises(ValueError, match="not trusted"):
        public_weights("resnet20_public", tmp_path)


@pytest.mark.slow
@pytest.mark.skipif(
    not (DATA / "weights/resnet_cifar10" / FILES[20]).exists(), reason="no public weights here"
)
def test_public_resnet20_on_real_images() -> None:
    """91.73 % on the test set; here on the training images' first 512, which it has learnt."""
    model = build_network("resnet20_public", (3, 32, 32), 10, 0)
    model.load_state_dict(public_weights("resnet20_public"))
    batch = run_tables.first_batch("cifar10", 512, 0)
    with torch.no_grad():
        right = (model.eval()(batch.x).argmax(1) == batch.y).float().mean()
    assert right > 0.96
