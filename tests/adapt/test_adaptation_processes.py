"""Adaptation by two processes: what one alone writes down, stopped inside an epoch too."""

from pathlib import Path

import pytest
import torch
from process_helpers import by_one_and_by_two

from nslab.configs import TrainConfig
from nslab.training.loop import fit

pytestmark = [pytest.mark.slow, pytest.mark.process]

WORKER = """
import json, sys
from pathlib import Path

import torch

from nslab.adapt import adapt
from nslab.configs import AdaptConfig, TrainConfig
from nslab.objectives import NS
from nslab.system.distributed import process_group
from nslab.training import pauses

torch.set_num_threads(1)
out = Path(sys.argv[1])
state = torch.load(out.parent / "source.pt", weights_only=True)
config = AdaptConfig(TrainConfig("digits", "mlp"), "digits_slanted", NS(sigma=0.6), epochs=2,
                     train_size=512, backbone_lr=1.0)
whole = adapt(config, state, show=False)

class Cut(Exception):
    pass

real, folder = pauses.Pauses.keep, out / config.id
folder.mkdir(exist_ok=True)

def keep(self, step, sums):
    real(self, step, sums)
    raise Cut

pauses.STEPS_BETWEEN_CHECKS, pauses.Pauses.keep, minutes = 4, keep, pauses.minutes
pauses.minutes = lambda: 0.0
try:
    adapt(config, state, folder, show=False)
    raise AssertionError("it went on")
except Cut:
    process_group().wait_for_everyone()
pauses.Pauses.keep, pauses.minutes = real, minutes
halved = adapt(config, state, folder, show=False)
for name, tensor in whole.model.state_dict().items():
    assert torch.equal(tensor, halved.model.state_dict()[name]), name
for mine, theirs in zip(whole.history, halved.history, strict=True):
    assert repr(mine | {"seconds": 0}) == repr(theirs | {"seconds": 0}), (mine, theirs)
text = json.dumps([*whole.history, whole.metrics])
(out / f"rank{process_group().process_index}.json").write_text(text)
"""


def test_two_processes_write_down_what_one_does(tmp_path: Path) -> None:
    """Losses, pseudo-labels, weights of classes, areas and accuracies, up to rounding; each of the
    two has all of them, also when it is stopped inside an epoch."""
    source = fit(TrainConfig("digits", "mlp", epochs=2, lr=0.05), show=False).model
    torch.save(source.state_dict(), tmp_path / "source.pt")
    (one,), (first, second) = by_one_and_by_two(WORKER, tmp_path)
    for a, b, c in zip(one, first, second, strict=True):
        assert {k: v for k, v in b.items() if k != "seconds"} == {
            k: v for k, v in c.items() if k != "seconds"
        }
        for name, value in a.items():
            # an image on the edge of two classes may fall on either side
            if isinstance(value, list | float) and name not in ("seconds", "per_class_accuracy"):
                assert b[name] == pytest.approx(value, rel=0.03, abs=0.03), name
