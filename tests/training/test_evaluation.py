"""When and how training evaluates, and that its surroundings do not change a run."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from nslab.configs import TrainConfig
from nslab.training.loop import fit

QUICK = TrainConfig(network="lenet5", epochs=3, lr=0.05, augment="crop", batch_size=64)


@pytest.mark.slow
def test_evaluation_every_so_many_epochs() -> None:
    """Rows between have no test numbers; training and the last epoch's numbers stay the same."""
    config = replace(QUICK, epochs=5)
    often, seldom = fit(config, show=False), fit(replace(config, eval_every=2), show=False)
    assert [("test_accuracy" in row) for row in seldom.history] == [False, True, False, True, True]
    for one, other in zip(often.history, seldom.history, strict=True):
        assert all(one[name] == value for name, value in other.items() if name != "seconds")
    assert often.metrics["test_accuracy"] == seldom.metrics["test_accuracy"]
    assert seldom.metrics["best_epoch"] in (1, 3, 4)


@pytest.mark.slow
def test_choice_and_patience_with_seldom_evaluation() -> None:
    """The network is chosen among epochs that were looked at; training ends after such a one."""
    config = replace(QUICK, epochs=40, lr=0.2, hold_out=100, patience=4, eval_every=3, keep_last=0)
    found = fit(config, show=False)
    looked = [e for e, row in enumerate(found.history) if "held_out_loss" in row]
    assert looked == [e for e in range(len(found.history)) if e % 3 == 2 or e == 39]
    assert found.metrics["chosen_epoch"] in looked
    assert len(found.history) - 1 in looked
    assert len(found.history) - 1 - found.metrics["chosen_epoch"] >= 4 or len(found.history) == 40


def test_evaluation_has_the_precision_of_training(monkeypatch: pytest.MonkeyPatch) -> None:
    """Under bf16 both run in bf16, whatever is evaluated."""
    seen, forward = set(), nn.Conv2d.forward

    def watched(self: nn.Conv2d, x: Tensor) -> Tensor:
        out = forward(self, x)
        seen.add((self.training, out.dtype))
        return out

    monkeypatch.setattr(nn.Conv2d, "forward", watched)
    fit(replace(QUICK, epochs=1, precision="bf16"), show=False)
    assert seen == {(True, torch.bfloat16), (False, torch.bfloat16)}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ACCELERATE_GRADIENT_ACCUMULATION_STEPS", "4"),
        ("ACCELERATE_DYNAMO_BACKEND", "INDUCTOR"),
        ("ACCELERATE_USE_FSDP", "true"),
        ("ACCELERATE_USE_DEEPSPEED", "1"),
    ],
)
def test_the_environment_does_not_change_a_run(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    """What accelerate would take from a cluster's variables is refused, with what to do."""
    monkeypatch.setenv(name, value)
    with pytest.raises(ValueError, match=rf"{name}=.*unset it"):
        fit(QUICK, show=False)


def test_neutral_variables_of_a_launcher_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    """`accelerate launch` sets these; a precision there does not replace the config's."""
    expected = fit(replace(QUICK, epochs=1), show=False).metrics
    monkeypatch.setenv("ACCELERATE_GRADIENT_ACCUMULATION_STEPS", "1")
    monkeypatch.setenv("ACCELERATE_DYNAMO_BACKEND", "no")
    monkeypatch.setenv("ACCELERATE_MIXED_PRECISION", "bf16")
    found = fit(replace(QUICK, epochs=1), show=False).metrics
    assert found | {"seconds": 0} == expected | {"seconds": 0}
