"""Identities through time: later fields, fixes that change numbers, draws that hang on seeds."""

import csv
import dataclasses
import json
from pathlib import Path

import pytest
import torch
from config_examples import by_hand

from nslab.configs.evolve import EvolveConfig
from nslab.configs.serialization import decode, encode, identity
from nslab.configs.train import TrainConfig
from nslab.evolve import EVOLVERS, AdaptiveDE
from nslab.objectives import NS, OBJECTIVES, Mixup
from nslab.objectives.competition import shuffled_order
from nslab.objectives.nlnl import NLNL
from nslab.runs.results import find_frozen
from nslab.system.paths import frozen_dir
from nslab.types import Batch, DataInfo

FROZEN = sorted(file for file in frozen_dir().glob("*.csv") if file.name.count(".") == 1)


@pytest.mark.parametrize("file", FROZEN, ids=lambda file: file.stem)
def test_every_frozen_run_keeps_its_identity(file: Path) -> None:
    """Its config, read back, hashes to the id it was frozen under, and is found by it."""
    with file.open(encoding="utf-8") as lines:
        rows = list(csv.DictReader(lines))
    assert rows
    for row in rows:
        known = {k.partition(".")[2]: v for k, v in row.items() if k.startswith("config.") and v}
        config = decode({name: json.loads(value) for name, value in known.items()})
        assert config.id == row["id"]
        result = find_frozen(config)
        assert result is not None
        assert decode(result.config) == config


def test_a_new_default_does_not_answer_with_old_numbers() -> None:
    """A field's old meaning is what a config without it says, whatever the default is now; where
    the field changes nothing, no value of it counts."""
    now = EVOLVERS["sa-shade-tri-ensin"]
    assert isinstance(now, AdaptiveDE)
    assert now.frequency_law == "normal"
    old = encode(now)
    del old["frequency_law"]
    then = decode(old)
    assert then == dataclasses.replace(now, frequency_law="cauchy")
    assert identity(then) != identity(now)
    assert identity(then) == by_hand(json.dumps(old, sort_keys=True, separators=(",", ":")))
    off = AdaptiveDE()
    assert decode({"@": "de"}) == off
    assert identity(off) == identity(dataclasses.replace(off, frequency_law="cauchy"))
    without = {name: value for name, value in encode(off).items() if name != "frequency_law"}
    assert identity(off) == by_hand(json.dumps(without, sort_keys=True, separators=(",", ":")))


@pytest.mark.parametrize(
    ("plain", "revised"),
    [
        (TrainConfig(network="lenet5"), TrainConfig("mnist", "lenet5")),
        (TrainConfig("mnist", "lenet1"), TrainConfig("fashion_mnist", "lenet5")),
        (NS(), NS(grouping="shuffled")),
        (OBJECTIVES["gce"](), NLNL()),
        (OBJECTIVES["label_smoothing"](), Mixup()),
        (
            EvolveConfig(TrainConfig(epochs=20)),
            EvolveConfig(TrainConfig(epochs=20), precision="bf16"),
        ),
    ],
    ids=["digits", "mnist", "grouping", "nlnl", "mixup", "evaluation"],
)
def test_revisions_count_where_they_bite(plain: object, revised: object) -> None:
    """And only there: a fix gives new identities to the runs whose numbers it changes, also to
    runs that contain them."""
    assert getattr(plain, "revision", 0) == 0
    assert revised.revision == 1  # type: ignore[attr-defined]
    written = _hashed_by_hand(revised)
    assert identity(revised) == by_hand(json.dumps(written, sort_keys=True, separators=(",", ":")))
    if isinstance(revised, TrainConfig):
        whole = EvolveConfig(dataclasses.replace(revised, epochs=20))
        inner = dataclasses.replace(revised, epochs=20)
        text = json.dumps(_hashed_by_hand(whole), sort_keys=True, separators=(",", ":"))
        assert whole.id == by_hand(text)
        assert '"revision":1' in json.dumps(_hashed_by_hand(inner), separators=(",", ":"))


def _hashed_by_hand(value: object) -> object:
    if not dataclasses.is_dataclass(value) or isinstance(value, type):
        return list(value) if isinstance(value, tuple) else value
    out: dict[str, object] = {"@": encode(value)["@"]}
    for f in dataclasses.fields(value):
        item, old = getattr(value, f.name), f.metadata
        if "omitted_means" in old and (item == old["omitted_means"] or not old["used"](value)):
            continue
        out[f.name] = _hashed_by_hand(item)
    if revision := getattr(value, "revision", 0):
        out["revision"] = revision
    return out


def _batch(seed: int) -> Batch:
    gen = torch.Generator().manual_seed(0)
    x, y = torch.randn(40, 5, generator=gen), torch.randint(0, 5, (40,), generator=gen)
    return Batch(x, y, torch.arange(40), 3, seed=seed)


@pytest.mark.parametrize("objective", [NLNL(2), Mixup()], ids=["nlnl", "mixup"])
def test_draws_of_objectives_hang_on_the_seed(objective: Mixup | NLNL) -> None:
    """Two seeds draw differently, one seed the same again."""
    info = DataInfo(5, 40, torch.full((5,), 8))
    losses = [objective.build(info)(torch.nn.Identity(), _batch(seed)).loss for seed in (1, 2, 1)]
    assert torch.equal(losses[0], losses[2])
    assert not torch.equal(losses[0], losses[1])


def test_streams_of_one_seed_are_independent() -> None:
    """The partner of a blend is not the neighbour in a composite."""
    assert not torch.equal(shuffled_order(_batch(1)), shuffled_order(_batch(1), "mixup partner"))
