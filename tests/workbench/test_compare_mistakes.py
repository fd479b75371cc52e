"""Mistakes in what a comparison is given: each is told before any work, with what to write."""

from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import nslab
from nslab.runs.results import every_run
from nslab.workbench.compare_methods import compare_methods
from nslab.workbench.own_objects import network_name

X, Y = torch.randn(96, 1, 6, 6, generator=torch.Generator().manual_seed(0)), torch.arange(96) % 2
DATA = {"train": (X[:64], Y[:64]), "test": (X[64:], Y[64:])}
SHORT = {"epochs": 2, "batch_size": 16, "lr": 0.05, "show": False}
pytestmark = pytest.mark.usefixtures("as_users_call")


class Net(nn.Sequential):
    """A network of one's own."""

    def __init__(self, classes: int) -> None:
        super().__init__(nn.Flatten(), nn.Linear(36, classes))


def brier(logits: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """A loss that is a plain function."""
    return ((logits.softmax(1) - nn.functional.one_hot(y, logits.shape[1])) ** 2).sum(1)


def named(parameter: str) -> Any:
    """A function of a session, with one parameter."""
    scope: dict[str, Any] = {"__name__": "__main__", "Net": Net}
    exec(f"def f({parameter}): return Net({parameter})", scope)
    return scope["f"]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"model": Net(2)}, "give the class, or a function that makes the network"),
        ({"model": "resnet21"}, "unknown network 'resnet21'"),
        ({"model": 3}, "give a name, a class of nn.Module or a function"),
        ({"model": lambda a, b, c: None}, "needs 3 arguments"),
        ({"methods": {"x": 3}}, "3 is no objective"),
        ({"methods": ["cee"]}, "unknown method 'cee'"),
        ({"methods": []}, "no methods"),
        ({"methods": [nslab.NS(), nslab.NS()]}, "two methods have one name"),
        ({"seeds": 0}, "seeds must be a whole number above 0.*, not 0$"),
        ({"methods": "ce"}, r"such as \['ce', nslab.NS\(\)\]"),
        ({"seeds": [1, 1]}, "different seeds"),
        ({"test": None}, "test is missing"),
        ({"train": "digits"}, "has its own test images"),
        ({"epoch": 2}, "has no parameter 'epoch'"),
        ({"lr": -1}, "lr must be above 0"),
        ({"learning_rate": 1}, r"'learning_rate': did you mean lr\?"),
        ({"seed": 3}, r"give seeds=3 for three seeds"),
        ({"schedule": "cosine"}, r"a value, such as Cosine\(\) from nslab.configs.schedules"),
        ({"schedule": "step"}, r"such as Step\(milestones=\.\.\., factors=\.\.\.\) from"),
        ({"hold_out": 400}, "hold_out is 400, and there are 64 training samples: hold out fewer"),
        ({"hold_out": 64}, "hold_out is 64, and there are 64"),
        ({"train_size": 60, "hold_out": 9}, "train_size is 60, and there are 55 .* besides 9 held"),
        ({"train_size": 64}, "train_size is 64, and there are 64 .* all of them by train_size=0"),
        ({"methods": {"ce", "ns"}}, "methods is a set: give a list or dict, in the order wanted"),
        ({"methods": (m for m in ["ce"])}, "methods is a generator: give a list or dict"),
        ({"train": (X, 0 * Y), "test": (X, 0 * Y)}, "all labels are one class, so there is"),
        ({"jobs": "2"}, "jobs must be a whole number of 1 or more, not '2'"),
        ({"jobs": 0}, "jobs must be a whole number of 1 or more, not 0"),
        ({"jobs": 1.5}, "jobs must be"),
        ({"methods": [("a", "ce"), ("b", "ns")]}, r"methods has pairs: give a dict, .* dict\("),
        ({"methods": {"": "ce"}}, "the name of a method is '': give some words"),
        ({"methods": {"a\nb": "ce"}}, "the name of a method is .*: give some words on one line"),
        ({"name": " "}, "the name of the data is ' '"),
        ({"jobs": 2}, r"Net is defined in \S+test_compare_mistakes.py, .*NETWORKS.*nslab\.use"),
        ({"jobs": 2, "model": named("n")}, r"network f is defined in this session, .* nslab\.use"),
        (
            {"jobs": 2, "model": "mlp", "methods": {"b": brier}},
            r"objective brier is defined in \S+test_compare_mistakes.py, .*OBJECTIVES",
        ),
    ],
)
def test_mistakes_are_explained(given: dict, message: str) -> None:
    """Before anything is computed."""
    with pytest.raises(ValueError, match=message):
        compare_methods(**{"model": Net, **DATA, **SHORT, **given})
    assert not every_run() or all(run.origin == "frozen" for run in every_run())


def test_jobs_of_run_all() -> None:
    """Too."""
    for jobs in ("2", 0, -1, 1.5, None, True):
        with pytest.raises(ValueError, match="jobs must be a whole number of 1 or more"):
            nslab.run_all([], jobs=jobs)  # type: ignore[arg-type]


class Sized(nn.Sequential):
    """A network of one's own with a parameter that is no number of classes."""

    def __init__(self, hidden: int, num_classes: int = 2) -> None:
        super().__init__(nn.Flatten(), nn.Linear(36, hidden), nn.Linear(hidden, num_classes))


def test_a_lone_parameter_that_is_no_number_of_classes() -> None:
    """Is not given that number; names that may be one are."""
    for lone in ("hidden", "width", "in_features", "num_layers", "d_model", "shape"):
        with pytest.raises(ValueError, match=rf"f needs {lone}, .*: f\({lone}=\.\.\.\)"):
            network_name(named(lone))
    with pytest.raises(ValueError, match=r"Sized\(hidden=\.\.\., num_classes=classes\)"):
        network_name(Sized)
    network_name(partial(Sized, hidden=4))
    for lone in ("n", "k", "classes", "out_features", "output_dim", "labels", "num_outputs", "dim",
                 "size", "n_final_units", "head_size"):  # fmt: skip
        network_name(named(lone))
    network_name(lambda hidden: Net(hidden))


def test_two_parameters_that_are_no_shape_and_classes() -> None:
    """Are told of by their names; those of a lambda are its author's."""
    for two, advice in (
        (
            "in_channels, num_classes",
            r"in_channels, .* shape .*\(in_channels=\.\.\., num_classes=cl",
        ),
        ("input_channels, classes", r"input_channels, .* the shape of images"),
        ("num_classes, width", r"num_classes, .* the shape of images"),
        ("shape, width", r"width, .* the number of classes"),
    ):
        with pytest.raises(ValueError, match=f"f needs {advice}"):
            network_name(named(two))
    for two in ("shape, classes", "input_shape, num_classes", "a, b", "image_size, n"):
        network_name(named(two))
    network_name(lambda channels, width: Net(width))


def test_names_of_classes_in_an_array() -> None:
    """Are as good as a list."""
    found = compare_methods(
        Net, **DATA, **SHORT, methods=["ce"], seeds=1, classes=np.array(["a", "b"])
    )
    assert len(found.results) == 1
