"""Values from command lines and files, brought to the types they must have."""

import dataclasses
import math
from typing import Any, Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nslab.configs.schedules import Step
from nslab.configs.train import TrainConfig
from nslab.evolve import EVOLVERS
from nslab.experiments import EXPERIMENTS
from nslab.networks import NETWORKS
from nslab.objectives import OBJECTIVES
from nslab.system.validation import check_parameters, coerce, hints, strict
from nslab.types import ObjectiveConfig
from nslab.workbench.notebooks import parameters_of, plan, sources


@pytest.mark.parametrize(
    ("value", "hint", "expected"),
    [
        ("1e-2", float, 0.01),
        ("-3", float, -3.0),
        (3, float, 3.0),
        ("012", int, 12),
        (" 7 ", int, 7),
        ("-7", int, -7),
        (10**30, int, 10**30),
        ("true", bool, True),
        ("False", bool, False),
        (False, bool, False),
        ("012", str, "012"),
        ("none", str, "none"),
        ("none", str | None, None),
        ("", str | None, None),
        ("NULL", int | None, None),
        (None, int | None, None),
        ("3", int | None, 3),
        ("1,2", tuple[int, ...], (1, 2)),
        ("[1, 2]", tuple[int, int], (1, 2)),
        ("5", tuple[int, ...], (5,)),
        ("1, 2,", tuple[int, ...], (1, 2)),
        ("", tuple[int, ...], ()),
        ([1, 2], tuple[int, ...], (1, 2)),
        ("ce, ns_ws", tuple[Literal["ce", "ns_ws"], ...], ("ce", "ns_ws")),
        ("none", tuple[int, ...] | None, None),
        ("2024,2025", tuple[int, ...] | None, (2024, 2025)),
        ("sgd", Literal["sgd", "adamw"], "sgd"),
        ("1e-2", Any, "1e-2"),
    ],
)
def test_coerce(value: Any, hint: Any, expected: Any) -> None:
    """Text as a command line gives it, and values as a file does, get the wanted type."""
    found = coerce("p", value, hint)
    assert (type(found), found) == (type(expected), expected)


@pytest.mark.parametrize(
    ("value", "hint"),
    [
        ("1e-2", int),
        ("1e2", int),
        ("0x10", int),
        ("2.5", int),
        (2.5, int),
        ("ten", float),
        ("", float),
        (True, int),
        (False, float),
        (True, int | None),
        (True, str),
        (True, Literal["sgd"]),
        ("maybe", bool),
        (2, bool),
        (3, str),
        (None, int),
        (None, str),
        ("none", int),
        (5, tuple[int, ...]),
        ("1,x", tuple[int, ...]),
        ("1,2,3", tuple[int, int]),
        ((1, 2.5), tuple[int, ...]),
        (None, tuple[int, ...]),
        ("adam", Literal["sgd", "adamw"]),
        ({"a": 1}, float),
        ("ns", ObjectiveConfig),
        (7, ObjectiveConfig),
    ],
)
def test_coerce_refuses(value: Any, hint: Any) -> None:
    """``ValueError`` that names the parameter and shows the value."""
    with pytest.raises(ValueError, match="lr must be") as caught:
        coerce("lr", value, hint)
    shown = value.split(",")[0] if isinstance(value, str) else repr(value)
    assert shown in str(caught.value)


@given(number=st.integers(), real=st.floats(allow_nan=False))
@settings(deadline=None)
def test_numbers_survive_as_text(number: int, real: float) -> None:
    """What Python prints is read back to the bit, alone and in lists."""
    assert coerce("p", str(number), int) == number
    assert coerce("p", repr(real), float) == real
    assert math.copysign(1, coerce("p", repr(real), float)) == math.copysign(1, real)
    assert coerce("p", f"[{number}, {number}]", tuple[int, ...]) == (number, number)
    assert coerce("p", f"{real!r},{real!r}", tuple[float, float]) == (real, real)


@given(st.one_of(st.integers(), st.floats(), st.text(), st.booleans(), st.none()))
@settings(deadline=None)
def test_a_coerced_value_has_its_type(value: Any) -> None:
    """Whatever comes in: the type that was asked for comes out, or a ``ValueError``."""
    for hint in (int, float, bool, str):
        try:
            found = coerce("p", value, hint)
        except ValueError:
            continue
        assert type(found) is hint


def test_bools_are_no_numbers_inside_a_tuple_either() -> None:
    """As for a single number."""
    with pytest.raises(ValueError, match="seeds"):
        coerce("seeds", (True, 2), tuple[int, ...])


@pytest.mark.parametrize(
    ("value", "hint", "expected"),
    [
        (1, float, 1.0),
        (1, int, 1),
        (True, bool, True),
        (None, float | None, None),
        ("sgd", Literal["sgd"], "sgd"),
    ],
)
def test_strict(value: Any, hint: Any, expected: Any) -> None:
    """Values of the right type pass; whole numbers stand for floats and become some."""
    found = strict("p", value, hint)
    assert (type(found), found) == (type(expected), expected)


@pytest.mark.parametrize(
    ("value", "hint"),
    [
        ("1", int),
        ("0.1", float),
        (True, int),
        (True, float),
        (1.0, int),
        (1, bool),
        ("true", bool),
        (None, float),
        ("adam", Literal["sgd"]),
    ],
)
def test_strict_refuses(value: Any, hint: Any) -> None:
    """Nothing is read from text, no bool stands for a number."""
    with pytest.raises(TypeError, match="p must be"):
        strict("p", value, hint)


def test_check_parameters() -> None:
    """Values are converted by name; unknown names are listed beside those there are."""
    allowed = {"lr": float, "seeds": tuple[int, ...] | None}
    assert check_parameters({"seeds": "1,2"}, allowed, "first") == {"seeds": (1, 2)}
    assert check_parameters({}, allowed, "first") == {}
    with pytest.raises(ValueError, match=r"'lrr', 'x': did you mean lr\? It has lr, seeds"):
        check_parameters({"lrr": 1, "lr": 1, "x": 2}, allowed, "first")
    with pytest.raises(ValueError, match=r"first: lr must be a number, not 'fast'"):
        check_parameters({"lr": "fast"}, allowed, "first")


def test_seeds_and_their_number_have_a_word_each() -> None:
    """``seeds`` lists them, for every experiment; ``n_seeds`` counts them, in notebooks; whoever
    takes one for the other is told."""
    for name, experiment in EXPERIMENTS.items():
        assert hints(experiment.configs)["seeds"] == tuple[int, ...] | None, name
        with pytest.raises(
            ValueError, match=r"no parameter 'n_seeds'.*seeds=1,2,3 names the seeds"
        ):
            experiment.plan("smoke", n_seeds="3")
    for file in sources():
        found = parameters_of(file)
        assert "seeds" not in found
        assert all(found[name][0] is int for name in found if name.endswith("seeds"))
    with pytest.raises(ValueError, match=r"no parameter 'seeds'.*n_seeds=3 asks for three seeds"):
        plan(["*"], "smoke", {"seeds": "3"})
    assert plan(["ns_stability"], "smoke", {"n_seeds": "2"})[0].parameters["n_seeds"] == 2


def test_hints() -> None:
    """Fields of a dataclass in order; parameters of a function, without annotation anything."""

    def function(a, b: int | None = None) -> str:  # type: ignore[no-untyped-def]
        return f"{a}{b}"

    assert hints(function) == {"a": Any, "b": int | None}
    assert list(hints(TrainConfig)) == [f.name for f in dataclasses.fields(TrainConfig)]
    assert hints(Step) == {"milestones": tuple[int, ...], "factors": tuple[float, ...]}


@pytest.mark.parametrize(
    ("registry", "key", "meant"),
    [(OBJECTIVES, "nss", "ns"), (NETWORKS, "ResNet20", "resnet20"), (EVOLVERS, "shad", "shade")],
)
def test_a_key_that_is_missing(registry: dict[str, Any], key: str, meant: str) -> None:
    """``KeyError`` as ever, with the nearest key; to look for one is no error."""
    with pytest.raises(KeyError, match=rf"'{key}': did you mean {meant}"):
        registry[key]
    assert key not in registry
    assert registry.get(key) is None


def test_a_list_stands_for_a_tuple(as_users_call: None) -> None:
    """In Python people write both; the config has a tuple, so it can be hashed."""
    config = TrainConfig("digits", "mlp", frozen=["backbone"])  # type: ignore[arg-type]
    assert config.frozen == ("backbone",)
    assert hash(config) == hash(TrainConfig("digits", "mlp", frozen=("backbone",)))


@pytest.mark.parametrize(
    "text",
    ["[ce", "ce]"],
)
def test_lists_with_one_bracket(text: str) -> None:
    """Nothing is planned for them."""
    with pytest.raises(ValueError, match="has one bracket"):
        check_parameters({"methods": text}, {"methods": tuple[str, ...]}, "first")
