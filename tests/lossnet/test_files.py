"""Loss networks written and read, and what is said of files that are none."""

import dataclasses
import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from nslab.lossnet import LossForm, LossNet, load_loss, save_loss
from nslab.rng import generator

FORMS = [
    LossForm(),
    LossForm("pairs", hidden=5, log_feature=True),
    LossForm("flat", hidden=7, classes=10),
]


def net(form: LossForm, seed: int = 0) -> LossNet:
    """A random network, float64."""
    return LossNet(form, form.initial(1, generator(seed, "net"))[0])


@pytest.mark.parametrize("form", FORMS)
def test_saved_and_loaded(form: LossForm, tmp_path: Path) -> None:
    """The same network to the bit, with where it came from."""
    n, file = dataclasses.replace(net(form), scale=0.1), tmp_path / "a" / "edl.safetensors"
    save_loss(n, file, {"seed": 3, "search": {"noise": "chaotic"}})
    again, provenance = load_loss(file)
    assert again.form == n.form
    assert again.scale == n.scale
    assert torch.equal(again.w, n.w)
    assert provenance == {"seed": 3, "search": {"noise": "chaotic"}}
    assert sorted(f.name for f in file.parent.iterdir()) == ["edl.json", "edl.safetensors"]


def test_damaged_files(tmp_path: Path) -> None:
    """Missing, cut, exchanged or foreign: an error that names the file and the trouble."""
    file, other = tmp_path / "edl.safetensors", tmp_path / "other.safetensors"
    with pytest.raises(FileNotFoundError, match="is missing"):
        load_loss(file)
    with pytest.raises(ValueError, match="ends in"):
        load_loss(tmp_path / "edl.pt")
    with pytest.raises(TypeError, match="JSON"):
        save_loss(net(LossForm()), file, {"x": torch.zeros(1)})
    assert not file.exists()
    save_loss(net(LossForm()), file, {})
    save_loss(net(LossForm(), 1), other, {})
    good, about = file.read_bytes(), json.loads(file.with_suffix(".json").read_text())
    for data in (good[:-8], b"", other.read_bytes()):
        file.write_bytes(data)
        with pytest.raises(ValueError, match="damaged"):
            load_loss(file)
    file.write_bytes(good)
    for text in ("", "{", "[]", json.dumps(about | {"form": {"hiden": 3}})):
        file.with_suffix(".json").write_text(text)
        with pytest.raises(ValueError, match="does not describe a loss network"):
            load_loss(file)
    smaller = about | {"form": about["form"] | {"hidden": 3}}
    file.with_suffix(".json").write_text(json.dumps(smaller))
    with pytest.raises(ValueError, match="holds no loss network"):
        load_loss(file)
    file.with_suffix(".json").unlink()
    with pytest.raises(FileNotFoundError, match=r"edl\.json is missing"):
        load_loss(file)
    save_file({"v": torch.zeros(64)}, other)
    with pytest.raises(ValueError, match="damaged"):
        load_loss(other)
