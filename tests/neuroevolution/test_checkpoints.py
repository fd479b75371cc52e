"""Initial populations: from runs, from noise, from files."""

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn
from torch.optim.swa_utils import AveragedModel

from nslab.analysis.run_tables import trained_model
from nslab.configs import TrainConfig
from nslab.configs.initial_populations import init_hp, init_rs, last_epochs
from nslab.configs.train import Parent
from nslab.neuroevolution.averaging import gaussian
from nslab.neuroevolution.checkpoints import from_checkpoints
from nslab.objectives import Mixup, SmoothTopK
from nslab.runs import compute, store
from nslab.runs.store import weights_of

TINY = TrainConfig(network="mlp", epochs=3, lr=0.05, batch_size=64)


def test_last_epochs_of_one_run() -> None:
    """Oldest first; the last is the final network; nothing is trained twice."""
    parents = last_epochs(TINY, 2)
    assert [p.epoch for p in parents] == [-2, -1]
    states = weights_of(parents, show=False)
    final = trained_model(store.run(parents[0].config, show=False)).state_dict()
    assert all(torch.equal(states[1][k], v) for k, v in final.items())
    assert not torch.equal(states[0]["1.weight"], states[1]["1.weight"])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(compute, "fit", None)
        again = weights_of(parents, show=False)
    assert all(torch.equal(again[0][k], v) for k, v in states[0].items())
    with pytest.raises(ValueError, match="keep_last must be at most 3, not 4"):
        last_epochs(TINY, 4)


@pytest.mark.slow
def test_init_rs_and_init_hp() -> None:
    """Other seeds; other learning rates, weight decays and objectives; all distinct runs."""
    seeds = init_rs(TINY, 3)
    assert all(p.config.with_seed(2024) == TINY for p in seeds)
    others = init_rs(TINY.with_seed(2025), 1000)
    assert len({p.config.seed for p in seeds + others}) == 1003
    varied = init_hp(TINY, 12)
    assert len({p.config.id for p in varied}) == 12
    assert varied[0].config.with_seed(TINY.seed) == TINY
    assert len({(p.config.lr, p.config.weight_decay) for p in varied}) == 9
    assert {type(p.config.objective).__name__ for p in varied} == {
        "CrossEntropy",
        "Mixup",
        "LabelSmoothing",
    }
    top_k = init_hp(TINY, 4, smoothed="top_k")
    assert [p.config.objective for p in top_k][2:] == [SmoothTopK(), Mixup(0.2, SmoothTopK())]
    assert [p.config.id for p in top_k][:2] == [p.config.id for p in varied][:2]
    short = [Parent(replace(p.config, epochs=1)) for p in varied[:4]]
    states = weights_of(short, show=False)
    assert len({float(s["1.weight"].sum()) for s in states}) == 4


def test_noise_with_the_populations_spread() -> None:
    """About the base, with the sd of each parameter; statistics and counters are the base's."""
    gen = torch.Generator().manual_seed(0)
    base = nn.Sequential(nn.Linear(40, 30), nn.BatchNorm1d(30)).state_dict()
    states = []
    for i in range(6):
        states.append({k: v + 0.1 * i if v.is_floating_point() else v for k, v in base.items()})
    made = gaussian(base, states, 400, gen)
    for name in ("0.weight", "1.weight"):
        spread = torch.stack([s[name] for s in states]).std(0)
        after = torch.stack([s[name] for s in made])
        torch.testing.assert_close(after.mean(0), base[name], atol=0.06, rtol=0)
        torch.testing.assert_close(after.std(0), spread, atol=0.04, rtol=0)
    for name in ("1.running_mean", "1.running_var", "1.num_batches_tracked"):
        assert all(torch.equal(s[name], base[name]) for s in made)
        assert all(s[name].dtype == base[name].dtype for s in made)
    with pytest.raises(ValueError, match="no spread"):
        gaussian(base, states[:1], 2, gen)


def test_users_files(tmp_path: Path) -> None:
    """Safetensors, a state dict, one inside another with DataParallel's prefix."""
    state = nn.Linear(3, 2).state_dict()
    files = [tmp_path / name for name in ("a.safetensors", "b.pt", "c.pth")]
    save_file(state, files[0])
    torch.save(state, files[1])
    torch.save({"epoch": 3, "state_dict": {f"module.{k}": v for k, v in state.items()}}, files[2])
    for found in from_checkpoints(files):
        assert found.keys() == state.keys()
        assert all(torch.equal(found[k], v) for k, v in state.items())


@pytest.mark.parametrize("prefix", ["", "module.", "_orig_mod.module.", "module._orig_mod.model."])
@pytest.mark.parametrize(
    "keys", [(), ("model_state_dict",), ("model",), ("state_dict", "model"), ("ema",)]
)
def test_names_that_scripts_give(tmp_path: Path, prefix: str, keys: tuple[str, ...]) -> None:
    """Of DataParallel, torch.compile and wrappers, one inside another; beside other things."""
    state = nn.Linear(3, 2).state_dict()
    whole: object = {prefix + k: t for k, t in state.items()}
    for key in reversed(keys):
        whole = {"epoch": 3, "best": 0.5, "optimizer": {"lr": [0.1]}, key: whole}
    torch.save(whole, tmp_path / "a.pt")
    (found,) = from_checkpoints([tmp_path / "a.pt"])
    assert found.keys() == state.keys()
    assert all(torch.equal(found[k], t) for k, t in state.items())


def test_averaged_models(tmp_path: Path) -> None:
    """torch's own, with their counter; trained weights come before their average."""
    averaged = AveragedModel(nn.Linear(3, 2))
    plain = nn.Linear(3, 2).state_dict()
    torch.save(averaged.state_dict(), tmp_path / "swa.pt")
    torch.save({"ema": averaged.module.state_dict(), "model": plain}, tmp_path / "both.pt")
    swa, both = from_checkpoints([tmp_path / "swa.pt", tmp_path / "both.pt"])
    assert swa.keys() == plain.keys()
    assert torch.equal(swa["weight"], averaged.module.weight)
    assert torch.equal(both["weight"], plain["weight"])


@pytest.mark.parametrize(
    ("beside", "culprit"),
    [
        (argparse.Namespace(lr=0.1), "argparse.Namespace"),
        (np.float64(93.2), "numpy.*scalar"),
        (Path("runs"), "pathlib.*Path"),
    ],
)
def test_what_is_not_executed_is_named(tmp_path: Path, beside: object, culprit: str) -> None:
    """Objects beside the weights: what they are, why they are not read, and the way out."""
    torch.save({"model": nn.Linear(2, 2).state_dict(), "more": beside}, tmp_path / "a.pt")
    with pytest.raises(ValueError, match=rf"a\.pt .* also holds {culprit}.*, and .* may run code"):
        from_checkpoints([tmp_path / "a.pt"])


def test_weights_that_are_nan_are_named(tmp_path: Path) -> None:
    """The file and the tensor: it would never win, and might spread."""
    state = nn.Linear(2, 2).state_dict()
    for value in (float("nan"), float("inf")):
        state["bias"][1] = value
        torch.save(state, tmp_path / "a.pt")
        with pytest.raises(ValueError, match=r"a\.pt: bias is NaN or infinite: leave the file out"):
            from_checkpoints([tmp_path / "a.pt"])


def test_files_that_are_refused(tmp_path: Path) -> None:
    """None there, rubbish, a whole pickled module, and something else: each named, nothing run."""
    cases = {"missing.pt": "does not exist", "bad.safetensors": "cannot be read"}
    cases |= {"bad.pt": "cannot be read", "list.pt": "no state dict"}
    cases |= {
        "module.pt": r"also holds torch\.nn\.modules\.linear\.Linear",
        "odd.pt": "its keys: a",
    }
    (tmp_path / "bad.safetensors").write_bytes(b"rubbish")
    (tmp_path / "bad.pt").write_bytes(b"rubbish")
    torch.save(nn.Linear(2, 2), tmp_path / "module.pt")
    torch.save([1, 2], tmp_path / "list.pt")
    torch.save({"a": 1}, tmp_path / "odd.pt")
    for name, message in cases.items():
        with pytest.raises(ValueError, match=f"{name}.*{message}"):
            from_checkpoints([tmp_path / name])
