"""Any network on any data, by name: what is counted, how classes are matched, what is refused."""

import shutil
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from image_helpers import CLASSES, images, make_images
from PIL import Image
from torch import Tensor, nn

import nslab
import nslab.workbench.evaluation as evaluation
from nslab.datasets import load
from nslab.datasets.image_folder import MEAN, STD
from nslab.workbench.evaluation import evaluate

__all__ = ["images"]  # a fixture


class ByColour(nn.Module):
    """Says which colour an image has; its three classes begin at ``first``."""

    def __init__(self, outputs: int = 3, first: int = 0) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(()))
        self.drop, self.outputs, self.first = nn.Dropout(0.9), outputs, first
        self.seen: list[Tensor] = []

    def forward(self, x: Tensor) -> tuple[Tensor, None]:
        self.seen.append(x)
        colours = self.drop(self.scale * x.mean((2, 3)).flip(1))
        logits = F.pad(colours, (self.first, self.outputs - self.first - 3), value=-20.0)
        return logits, None


def test_a_plain_folder_is_evaluated_whole(images: Path) -> None:
    """Tuples are taken apart, modes are lent, batches change nothing."""
    model = ByColour().train()
    model.drop.eval()
    found = nslab.evaluate(model, f"folder:{images}", size=32, batch_size=7)
    assert found["n"] == 36
    assert found["top1"] == 100
    assert found["top5"] == 100
    assert (model.training, model.drop.training) == (True, False)
    assert {len(x) for x in model.seen} == {7, 1}
    at_once = evaluate(ByColour(), f"folder:{images}", size=32)
    assert at_once == pytest.approx(found, rel=1e-6)
    wide = evaluate(
        ByColour(7, 2), f"folder:{images}", size=32, classes=["a", "b", *CLASSES, *"cd"]
    )
    assert wide["top1"] == 100
    assert wide["loss"] == pytest.approx(found["loss"], rel=1e-5)


def test_loss_and_places(tmp_path: Path) -> None:
    """Against the numbers that cross-entropy gives; the mean and sd asked for."""
    make_images(tmp_path, 2)
    model = ByColour(8, 3)
    names = [*"abc", *CLASSES, *"de"]
    found = evaluate(model, f"folder:{tmp_path}", size=24, mean=(0.5,) * 3, std=(0.2,) * 3,
                     classes=names)  # fmt: skip
    (x,) = model.seen
    with torch.no_grad():
        logits = model.eval()(x)[0]
    y = torch.arange(3).repeat_interleave(2) + 3
    assert found["loss"] == pytest.approx(float(F.cross_entropy(logits, y)), rel=1e-6)
    assert x.shape == (6, 3, 24, 24)
    other = ByColour(8, 3)
    evaluate(other, f"folder:{tmp_path}", size=24, classes=names)
    pixels = x * 0.2 + 0.5
    wanted = (pixels - torch.tensor(MEAN).view(3, 1, 1)) / torch.tensor(STD).view(3, 1, 1)
    assert torch.allclose(other.seen[0], wanted, atol=1e-5)


def test_prepared_images_and_reduced_ones(tmp_path: Path) -> None:
    """Files of just the size stay as they are; decoding is passed on."""
    for name in "ab":
        (tmp_path / name).mkdir()
        Image.effect_noise((64, 64), 40).convert("RGB").save(tmp_path / name / "x.png")
        Image.effect_noise((600, 600), 90).convert("RGB").save(tmp_path / name / "y.jpg")
    model, other = ByColour(3), ByColour(3)
    kw = {"mean": (0.0,) * 3, "std": (1.0,) * 3, "size": 64, "classes": ["a", "b", "c"]}
    evaluate(model, f"folder:{tmp_path}", **kw)
    evaluate(other, f"folder:{tmp_path}", decoding="reduced", **kw)
    pixels = np.asarray(Image.open(tmp_path / "a" / "x.png"))
    assert torch.equal(
        (model.seen[0][0] * 255).round().byte(), torch.tensor(pixels).permute(2, 0, 1)
    )
    same = [torch.equal(a, b) for a, b in zip(model.seen[0], other.seen[0], strict=True)]
    assert same == [True, False, True, False]


def test_test_trees_come_first(images: Path, tmp_path: Path) -> None:
    """Of a folder with splits the test images alone; from either name."""
    shutil.copytree(images, tmp_path / "train")
    make_images(tmp_path / "val", 3)
    assert evaluate(ByColour(), f"folder:{tmp_path}", size=32)["n"] == 9
    assert evaluate(ByColour(), f"folder:{tmp_path / 'val'}", size=32)["n"] == 9
    stored = load(f"folder:{images}").name  # its digest names the split of runs
    assert evaluate(ByColour(), stored, size=32)["n"] == 6


def test_empty_classes_keep_their_number(tmp_path: Path) -> None:
    """A folder of few full classes fits a network of many; one image a class is enough."""
    make_images(tmp_path, 1)
    (tmp_path / "aaa").mkdir()
    (tmp_path / "zzz").mkdir()
    with pytest.warns(UserWarning, match="no images in 2 of 5 class folders, such as 'aaa'"):
        found = evaluate(ByColour(5, 1), f"folder:{tmp_path}", size=32)
    assert found == pytest.approx({"top1": 100, "top5": 100, "loss": found["loss"], "n": 3})


def test_arrays_and_types(images: Path) -> None:
    """Arrays with their own mean and sd; a network of double precision gets such images."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(1024, 10))
    found = evaluate(model, "digits")
    data = load("digits")
    x = torch.tensor(data.arrays.test_x).permute(0, 3, 1, 2).float() / 255
    x = (x - data.dataset.mean[0]) / data.dataset.std[0]
    with torch.no_grad():
        right = model(x).argmax(1) == torch.tensor(data.arrays.test_y)
    assert found["top1"] == pytest.approx(100 * float(right.double().mean()))
    assert evaluate(ByColour().double(), f"folder:{images}", size=32)["top1"] == 100
    assert evaluate(nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten()), f"folder:{images}",
                    size=32)["n"] == 36  # fmt: skip


def test_several_right_labels(images: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Any of them counts, also by the names of classes."""
    data = evaluation.data_to_test_on(f"folder:{images}", 32)
    y = data.arrays.test_y
    accepted = np.stack([(y + 1) % 3, np.where(y == 0, 0, -1)], 1)
    several = data.__class__(data.name, data.dataset, data.arrays, accepted=accepted)
    monkeypatch.setattr(evaluation, "data_to_test_on", lambda *_: several)
    assert evaluate(ByColour(), "x")["top1"] == pytest.approx(100 / 3)
    found = evaluate(ByColour(4, 1), "x", classes=["none", *CLASSES])
    assert found["top1"] == pytest.approx(100 / 3)


@pytest.mark.usefixtures("as_users_call")
def test_what_does_not_fit_is_explained(images: Path) -> None:
    """Before a network's classes are taken for others."""
    folder = f"folder:{images}"
    for model, data, options, message in (
        (ByColour(10), folder, {}, r"has 3 class folders, the network gives 10 logits: .* empty "
         r"folder for each class without images, or give classes=\[\.\.\.\], the names of all 10"),
        (nn.Sequential(nn.Flatten(), nn.Linear(3 * 32 * 32, 2)), folder, {},
         "has 3 class folders, the network gives 2 logits: evaluate it on data of its own"),
        (nn.Sequential(nn.Flatten(), nn.Linear(1024, 12)), "digits", {},
         r"digits has 10 classes, the network gives 12 logits: .*cannot tell .*; give classes"),
        (ByColour(4), folder, {"classes": CLASSES}, "classes has 3 names, and the network gives 4"),
        (ByColour(), folder, {"classes": ["red", "green", "x"]}, "lacks 1 .* such as 'blue'"),
        (ByColour(), folder, {"classes": ["red", "green", "red"]}, "has 'red' more than once"),
        (ByColour(), str(images), {}, f"a folder of images is folder:{images}"),
        (ByColour(), "folder:/nowhere", {}, "/nowhere is not a folder"),
        (ByColour(), f"folder:{images / 'red'}", {}, "12 images in 0 class folders|0 images in 0"),
        (ByColour(), folder, {"mean": (0.5,)}, "a number for each of 3 channels"),
        (ByColour(), folder, {"std": (0.5, 0.5, 0.0)}, "an sd above 0"),
        (ByColour(), folder, {"mean": 0.5}, "number for each channel"),
        (ByColour(), folder, {"size": 0}, "size is 0: give the side"),
        (ByColour(), folder, {"size": -8}, "size is -8: give the side"),
        (ByColour(), folder, {"batch_size": 0}, "batch_size 0"),
        (ByColour(), folder, {"decoding": "fast"}, "decoding is 'fast'"),
        (nn.Flatten(), "cifar-ten", {}, "unknown data set 'cifar-ten'"),
        (lambda x: x, folder, {}, "an nn.Module and the name of data"),
        (ByColour(), None, {}, "an nn.Module and the name of data"),
    ):  # fmt: skip
        with pytest.raises(ValueError, match=message):
            evaluate(model, data, **{"size": 32} | options)


def test_odd_folders_are_told_once(images: Path, tmp_path: Path) -> None:
    """Not for what is as it should be."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        evaluate(ByColour(), f"folder:{images}", size=32)
