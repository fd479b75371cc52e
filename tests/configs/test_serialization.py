"""Configs as JSON, and the identities of runs."""

import dataclasses
import json
import os
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
from config_examples import (
    ADAPT_CHANGES,
    ARGUMENTS,
    EVALUATE_CHANGES,
    EVOLVE_CHANGES,
    NS_CHANGES,
    PRETRAIN_CHANGES,
    STEP,
    TEXT_CHANGES,
    TRAIN_CHANGES,
    Early,
    Late,
    LateFactory,
    OtherLoss,
    by_hand,
    examples,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from nslab.configs import serialization
from nslab.configs.adapt import AdaptConfig
from nslab.configs.checkpoint_files import CheckpointFiles
from nslab.configs.evaluation import EvaluateConfig
from nslab.configs.evolve import EvolveConfig
from nslab.configs.loss_search import LossSearchConfig
from nslab.configs.schedules import SCHEDULES, Constant, Cosine, Polynomial, Step
from nslab.configs.serialization import decode, encode, identity
from nslab.configs.train import TrainConfig
from nslab.datasets import DATASETS, is_text
from nslab.evolve import PSO
from nslab.networks import NETWORKS, takes_texts
from nslab.neuroevolution.baselines import BASELINES
from nslab.objectives import NS, OBJECTIVES, CrossEntropy


@pytest.fixture
def register(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Add classes to those a config may name."""
    known = serialization.classes

    def add(**classes: type) -> None:
        monkeypatch.setattr(serialization, "classes", lambda: {**known(), **classes})

    return add


@pytest.mark.parametrize("value", examples(), ids=lambda value: type(value).__name__)
def test_round_trip(value: Any) -> None:
    """Through JSON text and back: equal, of the same class, of the same identity."""
    text = json.dumps(encode(value), allow_nan=False)
    back = decode(json.loads(text))
    assert type(back) is type(value)
    assert back == value
    assert identity(back) == identity(value)


def test_every_class_of_the_registries_has_its_key() -> None:
    """Keys are unique, and the encoded value names its own."""
    known = serialization.classes()
    runs, searches = (
        {"train", "evolve", "pretrain", "adapt", "evaluate"},
        {"de", "pso", "es", "chaotic_evolution"},
    )
    losses = {"loss_form", "regimes", "shipped", "checkpoint_files", "joined_texts", "tokens"}
    assert runs | searches | losses | {*OBJECTIVES, *SCHEDULES, *BASELINES} == set(known)
    assert len(set(known.values())) == len(known)
    for key, cls in known.items():
        assert encode(cls(*ARGUMENTS.get(key, ())))["@"] == key


CATS = "folder:/data/cats#ba9876543210"


def test_where_things_lie_is_no_part_of_the_identity() -> None:
    """Folders and files may move: their content is what is hashed."""
    moved = TrainConfig(CATS.replace("/data", "/elsewhere"))
    assert moved.id == TrainConfig(CATS).id
    assert moved.id != TrainConfig(CATS.replace("ba98", "aaaa")).id
    digests = ("1" * 64, "2" * 64)
    here, there, other = (
        EvolveConfig(TrainConfig(), CheckpointFiles(files, of), 2, PSO())
        for files, of in (
            (("a.pt", "b.pt"), digests),
            (("/x/c.pt", "/x/d.pt"), digests),
            (("a.pt", "b.pt"), digests[::-1]),
        )
    )
    assert here.id == there.id != other.id


finite = st.floats(allow_nan=False, allow_infinity=False)
schedules = st.one_of(
    st.just({"@": "constant"}),
    st.fixed_dictionaries({"@": st.just("cosine"), "floor": st.floats(0, 1)}),
    st.fixed_dictionaries({"@": st.just("polynomial"), "power": st.floats(1e-3, 1e3)}),
    st.sets(st.integers(0, 300), max_size=5).map(
        lambda steps: {"@": "step", "milestones": sorted(steps), "factors": [0.5] * len(steps)}
    ),
)
objectives = st.one_of(
    st.just({"@": "ce"}),
    st.fixed_dictionaries(
        {
            "@": st.just("ns"),
            "grid": st.lists(st.integers(1, 99), min_size=2, max_size=2),
            "sigma": finite,
            "rho": finite,
            "min_weight": st.none() | finite,
            "score_dtype": st.sampled_from(["model", "bfloat16", "float16"]),
        }
    ),
)
configs = st.fixed_dictionaries(
    {
        "@": st.just("train"),
        "dataset": st.sampled_from(sorted(DATASETS)),
        "network": st.sampled_from(sorted(NETWORKS)),
        "objective": objectives,
        "epochs": st.integers(10, 10**30),
        "lr": st.floats(1e-300, 1e300),
        "schedule": schedules,
        "warmup_epochs": st.floats(0, 9),
        "clip_norm": st.none() | st.floats(1e-9, 1e9),
        "compile": st.booleans(),
        "seed": st.integers(),
    }
).filter(
    lambda config: (
        is_text(config["dataset"]) == takes_texts(config["network"])
        and (not is_text(config["dataset"]) or config["objective"] == {"@": "ce"})
    )
)


@given(configs, configs)
@settings(deadline=None, max_examples=60)
def test_round_trip_and_identity_of_any_config(one: dict[str, Any], other: dict[str, Any]) -> None:
    """To the bit, whatever the numbers; identities agree exactly where the JSON does."""
    first, second = decode(one), decode(other)
    text, other_text = json.dumps(encode(first)), json.dumps(encode(second))
    assert decode(json.loads(text)) == first
    assert decode(json.loads(text)).id == first.id
    assert {key: encode(first)[key] for key in one if key != "objective"} == {
        key: value for key, value in one.items() if key != "objective"
    }
    assert one["objective"].items() <= encode(first)["objective"].items()
    assert (first.id == second.id) == (text == other_text)


@pytest.mark.parametrize(
    "schedule", [Polynomial(power=1), Cosine(floor=0), Step((1,), (1,))], ids=repr
)
def test_whole_numbers_do_not_change_the_identity(schedule: Any) -> None:
    """A run made with power=1 has the identity of its own config read back from its folder."""
    config = TrainConfig(schedule=schedule)
    assert decode(json.loads(json.dumps(encode(config)))).id == config.id


@pytest.mark.usefixtures("as_users_call")
def test_step_from_lists() -> None:
    """Lists make the same schedule as tuples do, or are refused."""
    try:
        schedule = Step([81, 122], [0.1, 0.1])  # type: ignore[arg-type]
    except TypeError:
        return
    assert schedule == STEP
    assert hash(schedule) == hash(STEP)


def test_decode_reads_text_and_fills_in_defaults() -> None:
    """A config written by hand: fields may be missing, numbers may be text, lists are tuples."""
    found = decode(
        {"@": "train", "lr": "1e-2", "objective": {"@": "ns", "grid": [4, 2], "sigma": 1}}
    )
    assert found == TrainConfig(lr=0.01, objective=NS(grid=(4, 2), sigma=1.0))
    assert decode({"@": "step", "milestones": "81,122", "factors": "0.1,0.1"}) == STEP


@pytest.mark.usefixtures("as_users_call")
@pytest.mark.parametrize(
    ("data", "error", "message"),
    [
        (
            {"@": "adam"},
            ValueError,
            "unknown kind of config 'adam'.*here are .*train, evolve, pretrain",
        ),
        ({}, ValueError, "unknown kind of config None"),
        ({"@": "train", "lrr": 0.1}, ValueError, "train has no parameter 'lrr'"),
        ({"@": "train", "lr": "fast"}, ValueError, "train: lr must be a number, not 'fast'"),
        ({"@": "train", "lr": None}, ValueError, "train: lr must be a number, not None"),
        (
            {"@": "train", "epochs": True},
            ValueError,
            "epochs must be a whole number, not True",
        ),
        ({"@": "train", "objective": "ns"}, ValueError, "train: objective must be .* an object"),
        ({"@": "train", "objective": {"@": "cosine"}}, TypeError, "method build"),
        ({"@": "train", "schedule": {"@": "ce"}}, TypeError, "must be a schedule"),
        ({"@": "train", "schedule": {"@": "cosin"}}, ValueError, "'cosin'"),
        ({"@": "train", "epochs": -1}, ValueError, "epochs must be above 0"),
        ({"@": "ns", "grid": [2]}, ValueError, "ns: grid"),
        ({"@": "ns", "grid": [0, 2]}, ValueError, "positive whole numbers"),
        ({"@": "ns", "rho": "nan"}, ValueError, "finite"),
        ({"@": "step"}, TypeError, "milestones"),
        ({"@": "step", "milestones": [1, 2], "factors": [0.1]}, ValueError, "1 factors"),
        ({"@": "step", "milestones": [2, 1], "factors": [0.1, 0.1]}, ValueError, "increase"),
        ({"@": "step", "milestones": [1, 1], "factors": [0.1, 0.1]}, ValueError, "increase"),
    ],
)
def test_decode_refuses(data: dict, error: type[Exception], message: str) -> None:
    """An error that names the class and the field."""
    with pytest.raises(error, match=message):
        decode(data)


@pytest.mark.usefixtures("as_users_call")
def test_encode_refuses_what_json_cannot_hold() -> None:
    """Classes without a key and values of no plain type."""
    with pytest.raises(TypeError, match=r"Early has no key.*registry"):
        encode(TrainConfig(objective=Early()))
    for value in ({1, 2}, object(), 1j, b"text"):
        with pytest.raises(TypeError, match="cannot be part of a config"):
            encode(value)


def test_identity_by_hand() -> None:
    """The first digits of SHA-256 of the JSON, keys sorted, without spaces."""
    step = '{"@":"step","factors":[0.1,0.1],"milestones":[81,122]}'
    assert identity(STEP) == by_hand(step)
    assert identity(CrossEntropy()) == by_hand('{"@":"ce"}')
    assert identity(Cosine(0.25)) == by_hand('{"@":"cosine","floor":0.25}')
    late = {f.name for f in dataclasses.fields(TrainConfig) if "omitted_means" in f.metadata}
    plain = {k: v for k, v in encode(TrainConfig(schedule=STEP)).items() if k not in late}
    whole = json.dumps(plain, sort_keys=True, separators=(",", ":"))
    assert step in whole
    assert TrainConfig(schedule=STEP).id == identity(TrainConfig(schedule=STEP)) == by_hand(whole)


@pytest.mark.parametrize(
    ("base", "changes"),
    [
        (
            TrainConfig(CATS, momentum=0.9, noise="pair_flip", noise_rate=0.1, hold_out=9),
            TRAIN_CHANGES,
        ),
        (NS(), NS_CHANGES),
        (EvolveConfig(TrainConfig(epochs=20)), EVOLVE_CHANGES),
        (TrainConfig("imdb", "textcnn"), TEXT_CHANGES),
        (LossSearchConfig(), PRETRAIN_CHANGES),
        (EvaluateConfig(TrainConfig()), EVALUATE_CHANGES),
        (AdaptConfig(TrainConfig()), ADAPT_CHANGES),
    ],
    ids=[
        "TrainConfig",
        "NS",
        "EvolveConfig",
        "texts",
        "LossSearchConfig",
        "EvaluateConfig",
        "AdaptConfig",
    ],
)
def test_every_field_is_part_of_the_identity(
    register: Callable[..., None], base: Any, changes: dict[str, Any]
) -> None:
    """A change of any one field gives another identity, alone and inside a run's config."""
    register(other=OtherLoss)
    others = {*TEXT_CHANGES, *TRAIN_CHANGES} if isinstance(base, TrainConfig) else set()
    assert set(changes) | others == {f.name for f in dataclasses.fields(base)}
    made = [base, *(dataclasses.replace(base, **{name: v}) for name, v in changes.items())]
    assert len({identity(value) for value in made}) == len(made)
    if isinstance(base, NS):
        assert len({TrainConfig(objective=ns).id for ns in made}) == len(made)


def test_every_field_of_a_schedule_is_part_of_the_identity() -> None:
    """Schedules of other numbers, or of another class with the same numbers, differ."""
    made = [
        Constant(),
        Cosine(),
        Cosine(0.9),
        Polynomial(),
        Polynomial(1.0),
        STEP,
        Step((81, 123), (0.1, 0.1)),
        Step((81, 122), (0.1, 0.2)),
        Step((), ()),
    ]
    assert len({identity(value) for value in made}) == len(made)
    assert len({TrainConfig(schedule=value).id for value in made}) == len(made)


def test_equal_configs_have_equal_identities() -> None:
    """However they were made: whole numbers for floats, fields in another order, a copy."""
    config = TrainConfig(lr=1.0, momentum=0.5, clip_norm=5.0, objective=NS(sigma=1.0, rho=-1.0))
    other = TrainConfig(objective=NS(rho=-1, sigma=1), clip_norm=5, momentum=0.5, lr=1)
    assert config == other
    assert config.id == other.id == dataclasses.replace(other).id


def test_identity_is_stable_across_processes() -> None:
    """Another process with another hash seed decodes the same configs to the same identities."""
    made = [value for value in examples() if isinstance(value, TrainConfig | NS | Step)]
    code = "import json, sys; from nslab.configs.serialization import decode, identity; "
    code += "print(*(identity(decode(data)) for data in json.load(sys.stdin)))"
    seed = "1" if os.environ.get("PYTHONHASHSEED") == "0" else "0"
    done = subprocess.run(
        [sys.executable, "-c", code],
        input=json.dumps([encode(value) for value in made]),
        env={**os.environ, "PYTHONHASHSEED": seed},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == [identity(value) for value in made]


def test_later_fields_do_not_count_at_their_defaults(register: Callable[..., None]) -> None:
    """Runs made before a field existed keep their identity; another value makes another run."""
    register(toy=Early)
    old, old_run = identity(Early(7)), TrainConfig(objective=Early(7)).id
    assert old == by_hand('{"@":"toy","a":7}')
    register(toy=Late)
    assert identity(Late(7)) == old
    assert TrainConfig(objective=Late(7)).id == old_run
    changed = [Late(7, b=0.0), Late(7, c=4), Late(7, b=0.0, c=4), Late(8)]
    assert len({old, *map(identity, changed)}) == 1 + len(changed)
    assert identity(Late(7, c=4)) == by_hand('{"@":"toy","a":7,"c":4}')
    assert encode(Late(7)) == {"@": "toy", "a": 7, "b": None, "c": 3}
    assert decode({"@": "toy", "a": 7}) == Late(7)


def test_later_fields_with_a_factory(register: Callable[..., None]) -> None:
    """The same for a default that ``default_factory`` makes."""
    register(toy=Early)
    old = identity(Early(7))
    register(toy=LateFactory)
    assert identity(LateFactory(7)) == old


def test_a_key_is_of_one_class() -> None:
    """A loss called like an evolver would be read back as that."""
    with pytest.raises(ValueError, match="'de' is taken: class of evolvers AdaptiveDE"):
        OBJECTIVES["de"] = CrossEntropy
