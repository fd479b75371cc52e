"""The README's code runs as it stands there."""

import re
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from nslab.workbench.notebooks import sources

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```python\n(.*?)```", README, re.DOTALL)


class YourNet(nn.Sequential):
    """A network that knows nothing of nslab."""

    def __init__(self) -> None:
        super().__init__(nn.Flatten(), nn.Linear(64, 10))


@pytest.fixture
def yours() -> dict[str, Any]:
    """What the snippets suppose a reader to have: a model, its data, and a loader of them."""
    images, labels = load_digits(return_X_y=True)
    x = torch.tensor(images, dtype=torch.float32).view(-1, 1, 8, 8) / 16
    y = torch.tensor(labels)
    found: dict[str, Any] = {"model": YourNet(), "YourNet": YourNet, "x": x[:32], "y": y[:32]}
    found |= {"train_x": x[:160], "train_y": y[:160], "test_x": x[160:320], "test_y": y[160:320]}
    found["your_loader"] = DataLoader(TensorDataset(x[:64], y[:64]), batch_size=32)
    return found


def test_the_gallery_shows_every_notebook() -> None:
    """None by a blank picture; `make figures`, then `make pictures` renews them."""
    shown = re.findall(r'<a href="notebooks/(\w+)\.ipynb"><img src="([^"]+)"', README)
    assert sorted(name for name, _ in shown) == [file.stem for file in sources()]
    for name, picture in shown:
        with Image.open(ROOT / picture) as image:
            assert len(image.convert("RGB").getcolors(1 << 20) or range(9)) > 1, name


def test_a_snippet_for_each_use() -> None:
    """A training loop, losses, a comparison; evolution is a command, which the shell takes."""
    assert len(BLOCKS) == 3
    assert "nslab evolve --model" in README


@pytest.mark.slow
@pytest.mark.parametrize("block", BLOCKS, ids=["loop", "losses", "comparison"])
def test_snippets_run(
    block: str,
    yours: dict[str, Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """From top to bottom, in an empty folder, with a loss that can be descended or a verdict."""
    monkeypatch.chdir(tmp_path)
    exec(compile(block, "README.md", "exec"), yours)
    if "loss" in yours:
        yours["loss"].backward()
        assert all(p.grad.isfinite().all() for p in yours["model"].parameters())
    else:
        said = capsys.readouterr().out
        assert all(re.search(rf"{name} (is|cannot be) ", said) for name in ("NS", "EDL")), said
        assert "<img" in (tmp_path / "comparison.html").read_text(encoding="utf-8")
