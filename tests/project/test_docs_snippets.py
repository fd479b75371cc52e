"""The Python of the site's pages runs as it stands there, page by page, in one namespace each."""

import re
from pathlib import Path
from typing import Any

import pytest
import torch
from nslab_docs.staging import DOCS
from PIL import Image
from torch import nn

import nslab
from nslab.datasets import load
from nslab.objectives import OBJECTIVES

BLOCK = re.compile(r"^```python\n(.*?)^```", re.M | re.S)
BLOCKS = {
    file.relative_to(DOCS).with_suffix("").as_posix(): found
    for file in sorted(DOCS.rglob("*.md"))
    if (found := BLOCK.findall(file.read_text(encoding="utf-8")))
}
AS_THEY_STAND = (
    "tutorials/natural-selection",
    "tutorials/my-loss",
    "tutorials/my-data",
    "tutorials/evolve-checkpoints",
    "tutorials/table5",
    "explanation/runs",
)
APART = {  # where their snippets are run
    "recipes": "tests/recipes",
    "tutorials/my-network": "below",
    "tutorials/adapt": "below",
    "tutorials/texts": "below and tests/project/test_own_text_loops.py",
    "tutorials/plug-ins": "below",
    "tutorials/gpu": "tests/workbench/test_device_check.py runs nslab.check",
}
pytestmark = pytest.mark.slow


def run_blocks(page: str, names: dict[str, Any], *changes: tuple[str, str], of: Any = None) -> None:
    """Run blocks of a page one after the other, with changes that each must find its text."""
    code = "\n".join(BLOCKS[page][of] if of is not None else BLOCKS[page])
    for old, new in changes:
        assert old in code, old
        code = code.replace(old, new)
    exec(compile(code, f"docs/{page}.md", "exec"), names)


def image_folder(folder: Path, n: int = 40) -> None:
    """Digits 0 to 3 as image files, a folder for each class."""
    arrays = load("digits").arrays
    some = [(i, y) for i, y in enumerate(arrays.train_y.tolist()) if y < 4][:n]
    for i, y in some:
        file = folder / f"class {y}" / f"{i}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(arrays.train_x[i, :, :, 0]).convert("RGB").save(file)


def test_every_page_is_run_somewhere() -> None:
    """None is forgotten."""
    assert sorted(BLOCKS) == sorted({*AS_THEY_STAND, *(set(APART) & set(BLOCKS))})


@pytest.mark.parametrize("page", AS_THEY_STAND)
def test_snippets_run(page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pasted one after the other into a notebook."""
    monkeypatch.chdir(tmp_path)
    run_blocks(page, {"__name__": "__main__"})


def test_my_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A network of one's own; fine-tuning, of a small network without weights to download."""
    monkeypatch.chdir(tmp_path)
    image_folder(tmp_path / "pets")
    image_folder(tmp_path / "other", 20)
    pooled = nn.Sequential(nn.AdaptiveAvgPool2d(4), nn.Flatten(), nn.Linear(48, 4))
    run_blocks(
        "tutorials/my-network",
        {"your_model": pooled},
        ('    "resnet50",\n    start="torchvision:IMAGENET1K_V1",\n', '    "resnet8",\n'),
        ("    epochs=10,\n    batch_size=64,\n", "    epochs=1, batch_size=16, image_size=32,\n"),
        ("    backbone_lr=0.1,\n", ""),
    )


def test_adaptation() -> None:
    """As a run, and the two functions in a loop."""
    run_blocks("tutorials/adapt", {}, of=slice(0, 1))
    gen = torch.Generator().manual_seed(0)
    head = nn.Linear(8, 3)
    features = torch.randn(32, 8, generator=gen)
    batches = [(features[i : i + 8], torch.arange(i, i + 8)) for i in range(0, 32, 8)]
    names = {
        "model": head,
        "loader": batches,
        "features": features,
        "probabilities": head(features).softmax(1).detach(),
    }
    run_blocks(
        "tutorials/adapt",
        names,
        ("...  # backward and step as usual", "loss.backward()"),
        ("range(15)", "range(2)"),
        of=slice(1, 2),
    )
    assert head.weight.grad is not None


def test_texts_of_your_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A CSV of a few short texts; those with transformers are run elsewhere."""
    monkeypatch.chdir(tmp_path)
    words = {0: "cold rain snow wind", 1: "stock fund bank share"}
    lines = [f'{y},"{words[y]} {i}"' for i in range(60) for y in words]
    Path("reviews.csv").write_text("\n".join(["label,text", *lines]), encoding="utf-8")
    run_blocks("tutorials/texts", {}, of=slice(3, 4))


def test_an_encoder_in_own_training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The config of the page, of an encoder with few weights."""
    pytest.importorskip("transformers", reason="pip install transformers")
    from text_models import classifier_of, tokenizer_of

    monkeypatch.chdir(tmp_path)
    classifier_of("bert", 64).save_pretrained("tiny")
    tokenizer_of("bert", 64).save_pretrained("tiny")
    lines = [f'{y},"{("cold rain", "stock fund")[y]}"' for _ in range(40) for y in (0, 1)]
    Path("reviews.csv").write_text("\n".join(["label,text", *lines]), encoding="utf-8")
    run_blocks(
        "tutorials/texts",
        {},
        ('"ag_news"', '"csv:reviews.csv"'),
        ("transformers/bert-base-uncased", f"transformers/{tmp_path / 'tiny'}"),
        ("text_length=128", "text_length=32"),
        ("epochs=3", "epochs=1"),
        of=slice(2, 3),
    )


def test_a_plug_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file of the page, loaded as it says."""
    monkeypatch.chdir(tmp_path)
    Path("mine.py").write_text(BLOCKS["tutorials/plug-ins"][0], encoding="utf-8")
    nslab.use("mine.py")
    loss = OBJECTIVES["doubt"](scale=4.0)(torch.zeros(2, 4), torch.tensor([0, 1]))
    assert loss.item() == pytest.approx(3.0)
