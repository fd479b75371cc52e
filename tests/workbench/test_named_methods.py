"""Words for methods mean what they mean in the papers' tables."""

import pytest
import torch

import nslab
from nslab import NS, CrossEntropy, TrainConfig
from nslab.experiments.ns.presets import trained_by
from nslab.objectives import OBJECTIVES
from nslab.workbench.named_methods import fields_of

pytestmark = pytest.mark.usefixtures("as_users_call")
BASE = TrainConfig("cifar10", "resnet20")
LF = NS(grid=(1, 2), sigma=2.5, rho=-1.0)


@pytest.mark.parametrize(
    "word", ["ns_lf", "ce_lr", "ce_constant", "cbs", "srs", "pbs", "aul", "ce"]
)
def test_as_in_the_tables(word: str) -> None:
    """The runs are those of the tables, and the run's own label is the word."""
    fields = fields_of({"first": LF, word: word})[word]
    made = TrainConfig("cifar10", "resnet20", **fields)
    assert made == trained_by(BASE, word, LF)  # type: ignore[arg-type]
    assert made.columns()["method"] == word


def test_keys_and_values() -> None:
    """Objectives are taken as they are."""
    found = fields_of({"a": "ns_ws", "b": NS(), "c": "gce", "d": nslab.objectives.GCE(q=0.5)})
    assert found["a"] == found["b"] == {"objective": NS()}
    assert found["c"] == {"objective": OBJECTIVES["gce"]()}
    assert found["d"]["objective"].q == 0.5


def test_controls_take_the_mean_weight_of_the_ns_beside_them() -> None:
    """Whatever its place in the list."""
    ns = NS(sigma=1.75, rho=-1.0)
    found = fields_of({"control": "ce_constant", "NS": ns, "rate": "ce_lr"})
    assert found["control"]["objective"] == NS(sigma=0.75, rho=0.0)
    assert found["rate"] == {"objective": CrossEntropy(), "lr_scale": 0.75}


@pytest.mark.parametrize(
    ("methods", "more", "message"),
    [
        (["ce", "ce_lr"], {}, "there are 0: add one, such as ns_lf"),
        (["ns_ws", "ns_lf", "ce_constant"], {}, "there are 2: compare one NS at a time"),
        (
            [NS(sigma=2, rho=-1), "ce_constant"],
            {},
            "mean weight of the NS is 1, then it is the loss itself",
        ),
        ([NS(sigma=1.4, rho=-0.4), "ce_constant"], {}, "is 1, then it is the loss itself"),
        ([NS(sigma=0.2, rho=-1), "ce_lr"], {}, "is -0.8, it must be above 0"),
        (["ns", "ns_ws"], {}, "'ns' and 'ns_ws' are the same training: leave out one of them"),
        (["ce", "pbs"], {"sampler": "cbs"}, "method 'pbs' sets sampler: leave it out"),
        (["ns", "ce_lr"], {"sweep": {"lr_scale": [1, 2]}}, "method 'ce_lr' sets lr_scale"),
        (["ce", "ns_fl"], {}, "unknown method 'ns_fl': did you mean ns_lf"),
        (["ce", "shuffle"], {}, "unknown method 'shuffle'"),
    ],
)
def test_what_cannot_be(methods: list, more: dict, message: str) -> None:
    """Said before any work."""
    data = (torch.rand(40, 1, 6, 6), torch.arange(40) % 2)
    with pytest.raises(ValueError, match=message):
        nslab.compare_methods("mlp", data, data, methods, epochs=1, seeds=2, **more)


def test_a_comparison_with_controls() -> None:
    """From words to a table."""
    draw = torch.Generator().manual_seed(0)
    data = (torch.rand(80, 1, 6, 6, generator=draw), torch.arange(80) % 2)
    words = ["ce", "ns_lf", "ce_constant", "ce_lr", "cbs"]
    found = nslab.compare_methods(
        "mlp", data, data, words, epochs=1, batch_size=20, seeds=2, show=False
    )
    assert found.table["method"].tolist() == words
    said = "ce_constant is the loss times 1.5, ce_lr is the learning rate times 1.5."
    assert said in str(found)
    assert len({run.id for run in found.results}) == 10


def test_words_for_texts() -> None:
    """Texts are joined, not stitched; what somebody has made is left as it is."""
    found = fields_of({"a": "ns_lf", "b": "ns", "c": NS(), "d": "ce"}, texts=True)
    composed = [getattr(found[name]["objective"], "compose", None) for name in "abcd"]
    assert composed == ["tiled", "tiled", "images", None]
