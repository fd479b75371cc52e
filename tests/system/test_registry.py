"""Registries: a key is given once, what is registered is checked, and may be defined again."""

from dataclasses import dataclass
from typing import Any

import pytest

from nslab import DATASETS, EVOLVERS, EXPERIMENTS, NETWORKS, OBJECTIVES, TrainConfig
from nslab.configs import RUN_KINDS
from nslab.configs.serialization import encode
from nslab.evolve import EVOLVER_CLASSES
from nslab.objectives import GCE, CrossEntropy, Focal
from nslab.runs.compute import COMPUTE
from nslab.system import registry
from nslab.system.registry import Registry


@dataclass(frozen=True)
class Doubt(Focal):
    """A class with a key of its own."""

    key = "doubt"


def test_a_class_by_its_key_a_value_by_a_given_one() -> None:
    """As decorator or call; the value comes back."""
    assert OBJECTIVES.register(Doubt) is Doubt is OBJECTIVES["doubt"]
    assert encode(TrainConfig(objective=Doubt()))["objective"]["@"] == "doubt"
    assert OBJECTIVES.register("doubt2")(CrossEntropy) is CrossEntropy

    @NETWORKS.register("mine")
    def mine(shape: Any, num_classes: int) -> Any: ...

    assert NETWORKS["mine"] is mine
    assert OBJECTIVES.origins["doubt"].module == __name__
    assert OBJECTIVES.origins["doubt"].file == __file__


@pytest.mark.parametrize("key", ["gce", "de", "cosine", "train", "vote", "regimes"])
def test_a_clash_is_refused_where_it_is_made(key: str) -> None:
    """Also with another registry whose classes configs name; both origins are named."""
    before = dict(OBJECTIVES)
    with pytest.raises(ValueError, match=rf"'{key}' is taken: .*nslab.*test_registry\.py:\d+"):
        OBJECTIVES[key] = Doubt
    with pytest.raises(ValueError, match="is taken"):
        OBJECTIVES.update({key: Doubt})
    assert dict(OBJECTIVES) == before
    assert OBJECTIVES.setdefault("gce", Doubt) is GCE


def test_names_of_other_things_may_be_the_same() -> None:
    """A network may be called like a loss: nothing takes one for the other."""
    NETWORKS["gce"] = lambda shape, num_classes: None  # type: ignore[assignment,return-value]
    assert set(NETWORKS) & set(OBJECTIVES) == {"gce"}


def test_the_same_class_defined_again_replaces_the_old() -> None:
    """A cell run again; a value of the old class says what to do."""

    def cell() -> Any:
        @OBJECTIVES.register
        @dataclass(frozen=True)
        class Again(Focal):
            key = "again"

        return Again

    old, new = cell(), cell()
    assert old is not new
    assert OBJECTIVES["again"] is new
    with pytest.raises(TypeError, match="Again was defined again since this value was made"):
        encode(TrainConfig(objective=old()))


def test_a_class_moves_from_a_cell_to_a_file() -> None:
    """As the advice about cells has it; not the other way round."""
    made = type("Doubt", (Doubt,), {"__module__": "__main__", "__qualname__": "Doubt"})
    cell = {"__name__": "__main__", "OBJECTIVES": OBJECTIVES, "made": made}
    exec("OBJECTIVES['doubt'] = made", cell)
    assert str(OBJECTIVES.origins["doubt"]) == "a cell of this notebook"
    OBJECTIVES["doubt"] = Doubt
    assert OBJECTIVES["doubt"] is Doubt
    with pytest.raises(ValueError, match=r"so objective Doubt \(a cell of this notebook\) needs"):
        exec("OBJECTIVES['doubt'] = made", cell)


class Bare:
    """No dataclass."""

    key = "bare"


@dataclass
class Thawed(Bare):
    """Not frozen."""

    key = "thawed"


@dataclass(frozen=True)
class Keyed:
    """Whose key is a field."""

    key: str = "keyed"


@dataclass(frozen=True)
class Heir(Doubt):
    """Whose key is its parent's."""


@pytest.mark.parametrize(
    ("into", "value", "message"),
    [
        (OBJECTIVES, Bare, "frozen=True"),
        (OBJECTIVES, Thawed, "frozen=True"),
        (OBJECTIVES, Keyed, "key is a field: write it without a type"),
        (OBJECTIVES, Heir, 'has no key: write `key = "a_name"` into the class itself'),
        (OBJECTIVES, Focal(), "has no key"),
        (EVOLVER_CLASSES, Doubt, "it has no min_population and no init and no ask and no tell"),
        (RUN_KINDS, Doubt, "has no kind"),
    ],
)
def test_a_class_that_cannot_be_one_is_refused(into: Any, value: Any, message: str) -> None:
    """In words that say what to change."""
    with pytest.raises(ValueError, match=message):
        into.register(value)


@pytest.mark.parametrize(
    ("into", "key", "value", "message"),
    [
        (OBJECTIVES, "my loss", Doubt, "keys are words"),
        (OBJECTIVES, "", Doubt, "keys are words"),
        (OBJECTIVES, "@", Doubt, "keys are words"),
        (OBJECTIVES, "x", Focal(), "is no class"),
        (
            NETWORKS,
            "a/b",
            CrossEntropy,
            "names with a / are kept for torchvision, timm, transformers",
        ),
        (NETWORKS, "x", lambda shape: None, r"called with \(shape, num_classes\)"),
        (NETWORKS, "x", 3, "called with"),
        (DATASETS, "x", Doubt, "not the class"),
        (DATASETS, "x", (1, 2), "it must be an instance of Dataset"),
        (DATASETS, "a/b", DATASETS["digits"], "names a file"),
        (EXPERIMENTS, "x", [TrainConfig()], "it must be an instance of Experiment"),
        (EVOLVERS, "x", type(EVOLVERS["de"]), "not the class"),
        (COMPUTE, "x", lambda config: None, r"called with \(config, context\)"),
    ],
)
def test_what_cannot_be_one_is_refused(into: Any, key: str, value: Any, message: str) -> None:
    """By plain assignment too, and nothing is added."""
    for act in (lambda: into.register(key, value), lambda: into.__setitem__(key, value)):
        with pytest.raises(ValueError, match=message):
            act()
    assert key not in into


def test_a_registry_of_ones_own() -> None:
    """Without checks; one of the same name takes its place."""
    try:
        mine: Registry[int] = Registry("number")
        mine |= {"one": 1}
        assert mine == {"one": 1}
        assert registry.EVERY["number"] is mine
    finally:
        registry.EVERY.pop("number")
