"""What a training config refuses, and the learning rates it gives."""

import copy
import dataclasses
import itertools
import math
import re
from typing import Any

import pytest
from config_examples import (
    STEP,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from nslab.configs.schedules import Constant, Cosine, Polynomial, Step
from nslab.configs.train import TrainConfig
from nslab.objectives import CrossEntropy


@pytest.mark.usefixtures("as_users_call")
@pytest.mark.parametrize(
    ("fields", "error"),
    [
        ({"dataset": "cifar"}, ValueError),
        ({"network": "resnet9"}, ValueError),
        ({"objective": "ce"}, TypeError),
        ({"objective": CrossEntropy}, TypeError),
        ({"objective": None}, TypeError),
        ({"schedule": Cosine}, TypeError),
        ({"schedule": "cosine"}, TypeError),
        ({"epochs": "10"}, TypeError),
        ({"epochs": 10.0}, TypeError),
        ({"epochs": True}, TypeError),
        ({"epochs": None}, TypeError),
        ({"epochs": 0}, ValueError),
        ({"batch_size": -1}, ValueError),
        ({"optimizer": "rmsprop"}, TypeError),
        ({"lr": "0.1"}, TypeError),
        ({"lr": True}, TypeError),
        ({"lr": 0.0}, ValueError),
        ({"lr": math.inf}, ValueError),
        ({"lr": math.nan}, ValueError),
        ({"momentum": -0.1}, ValueError),
        ({"momentum": math.nan}, ValueError),
        ({"weight_decay": -1e-9}, ValueError),
        ({"weight_decay": math.inf}, ValueError),
        ({"warmup_epochs": -1.0}, ValueError),
        ({"warmup_epochs": math.nan}, ValueError),
        ({"nesterov": 1}, TypeError),
        ({"augment": "flip"}, TypeError),
        ({"precision": "fp8"}, TypeError),
        ({"channels_last": "yes"}, TypeError),
        ({"compile": None}, TypeError),
        ({"clip_norm": 0.0}, ValueError),
        ({"clip_norm": math.inf}, ValueError),
        ({"clip_norm": False}, TypeError),
        ({"seed": 1.5}, TypeError),
        ({"seed": True}, TypeError),
    ],
)
def test_train_config_refuses(fields: dict[str, Any], error: type[Exception]) -> None:
    """With an error that names the field, when the config is made."""
    (name,) = fields
    with pytest.raises(error, match=name.replace("dataset", "data set")):
        TrainConfig(**fields)


@pytest.mark.usefixtures("as_users_call")
@pytest.mark.parametrize(
    ("fields", "advice"),
    [
        ({"epoch": 3}, "unknown field of TrainConfig 'epoch': did you mean epochs?"),
        ({"optimizer": "sdg"}, "must be one of sgd, adamw, adam, not 'sdg': did you mean sgd?"),
    ],
)
def test_a_typo_gets_the_nearest_word(fields: dict[str, Any], advice: str) -> None:
    """As a field of any kind of run, and as the value of one that has few."""
    with pytest.raises(TypeError, match=re.escape(advice)):
        TrainConfig(**fields)
    assert copy.deepcopy(TrainConfig(epochs=3)) == TrainConfig(epochs=3)


def test_train_config_refuses_contradictions() -> None:
    """Warm-up that never ends, and Nesterov's momentum without momentum."""
    with pytest.raises(ValueError, match="epochs is 5, warmup_epochs is 5: train"):
        TrainConfig(epochs=5, warmup_epochs=5)
    with pytest.raises(ValueError, match="nesterov needs momentum"):
        TrainConfig(nesterov=True, momentum=0.0)


def test_train_config_is_frozen() -> None:
    """A run's identity cannot change under its feet."""
    with pytest.raises(dataclasses.FrozenInstanceError):
        TrainConfig().lr = 0.2  # type: ignore[misc]


def rates(config: TrainConfig, steps_per_epoch: int) -> list[float]:
    """The learning rate of every step of a training."""
    return [config.lr_at(s, steps_per_epoch) for s in range(config.epochs * steps_per_epoch)]


@pytest.mark.parametrize("steps", [1, 3, 391])
def test_bearpaw_steps(steps: int) -> None:
    """0.1, a tenth from epoch 81 on, a hundredth from epoch 122 on, to the very step."""
    config = TrainConfig(epochs=164, lr=0.1, schedule=STEP)
    expected = [0.1] * (81 * steps) + [0.01] * (41 * steps) + [0.001] * (42 * steps)
    assert rates(config, steps) == pytest.approx(expected, rel=1e-12)


def test_long_tail_steps() -> None:
    """A tenth at 100, a tenth at 160, a hundredth at 200: from 0.1 to 1e-5."""
    schedule = Step((100, 160, 200), (0.1, 0.1, 0.01))
    found = rates(TrainConfig(epochs=220, lr=0.1, schedule=schedule), 7)
    expected = [0.1] * 700 + [0.01] * 420 + [0.001] * 280 + [1e-5] * 140
    assert found == pytest.approx(expected, rel=1e-12)


def test_constant() -> None:
    """The same throughout."""
    assert set(rates(TrainConfig(lr=0.3, epochs=4), 5)) == {0.3}


def test_cosine_by_hand() -> None:
    """A quarter of the way: (2 + sqrt 2) / 4; ends at the floor; nothing decays in warm-up."""
    quarter = (2 + math.sqrt(2)) / 4
    config = TrainConfig(epochs=2, lr=1.0, schedule=Cosine())
    assert rates(config, 2) == pytest.approx([1.0, quarter, 0.5, 1 - quarter], rel=1e-12)
    warm = TrainConfig(epochs=3, lr=1.0, warmup_epochs=1.0, schedule=Cosine())
    assert rates(warm, 2) == pytest.approx([0.5, 1, 1, quarter, 0.5, 1 - quarter], rel=1e-12)
    for floor in (0.0, 0.1, 1.0):
        schedule = Cosine(floor)
        assert schedule.factor(3, 3, 13) == pytest.approx(1)
        assert schedule.factor(8, 3, 13) == pytest.approx((1 + floor) / 2)
        assert schedule.factor(13, 3, 13) == pytest.approx(floor, abs=1e-15)


def test_polynomial_by_hand() -> None:
    """(1 - progress) ** power: 1 at the start, 0 at the end, halves in between."""
    config = TrainConfig(epochs=2, lr=8.0, schedule=Polynomial(2.0))
    assert rates(config, 2) == pytest.approx([8.0, 4.5, 2.0, 0.5], rel=1e-12)
    default = Polynomial()
    assert default.factor(5, 5, 9) == 1
    assert default.factor(7, 5, 9) == pytest.approx(0.5358867312681466, rel=1e-12)  # 2 ** -0.9
    assert default.factor(9, 5, 9) == 0


@given(epochs=st.integers(2, 40), steps=st.integers(1, 30), warm=st.integers(1, 10))
@settings(deadline=None)
def test_warm_up_is_linear(epochs: int, steps: int, warm: int) -> None:
    """Equal steps from lr / n up to lr, which the last step of the warm-up reaches."""
    warm = min(warm, epochs - 1)
    config = TrainConfig(epochs=epochs, lr=0.4, warmup_epochs=float(warm), schedule=Cosine())
    n = warm * steps
    found = rates(config, steps)
    assert found[:n] == pytest.approx([0.4 * (s + 1) / n for s in range(n)], rel=1e-12)
    assert found[n] == pytest.approx(0.4, rel=1e-12), "the schedule starts from the top"


@given(
    schedule=st.sampled_from([Constant(), Cosine(), Cosine(0.3), Polynomial(), Step((2,), (0.1,))]),
    epochs=st.integers(1, 20),
    steps=st.integers(1, 20),
)
@settings(deadline=None)
def test_rates_decay(schedule: Any, epochs: int, steps: int) -> None:
    """Positive at every step, never above the base rate, never rising after the warm-up."""
    found = rates(TrainConfig(epochs=epochs, lr=0.1, schedule=schedule), steps)
    assert all(0 < rate <= 0.1 * (1 + 1e-12) for rate in found)
    assert all(b <= a * (1 + 1e-12) for a, b in itertools.pairwise(found))


@pytest.mark.parametrize(("warm", "steps"), [(0.5, 3), (0.1, 1), (1.25, 10), (0.3, 7)])
def test_fractional_warm_up_does_not_overshoot(warm: float, steps: int) -> None:
    """The base rate is the largest, also where a warm-up ends within a step."""
    config = TrainConfig(epochs=3, lr=0.1, warmup_epochs=warm)
    assert max(rates(config, steps)) <= 0.1 * (1 + 1e-12)
