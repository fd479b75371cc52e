"""Shared by all tests: shapes are checked, nothing is written into the checkout, small notebooks.

Annotations with shapes are checked by beartype in every module except the networks, whose
forward passes are also traced and compiled.
"""

import atexit
import os
import shutil
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from jaxtyping import config, install_import_hook

MODULES = (
    "analysis checkpoint datasets evolve experiments ledger metrics objectives plots prepare rng"
)
MODULES += " bench epoch evolution_tables improve landscapes ingredients loss_tables robustness"
MODULES += " epoch_scores predictions explore overview lossnet statistics store train types"
install_import_hook([f"nslab.{name}" for name in MODULES.split()], "shapes.typechecker")

# Processes started by tests, and the kernels of notebooks under test, write here; workers of
# pytest-xdist inherit it from the first process.
if given := os.environ.get("NSLAB_TEST_HOME"):
    HOME = Path(given)
else:
    HOME = Path(tempfile.mkdtemp(prefix="nslab-tests-"))
    atexit.register(shutil.rmtree, HOME, ignore_errors=True)
os.environ.update(NSLAB_TEST_HOME=str(HOME), NSLAB_HOME=str(HOME), NSLAB_HEADLESS="1")
os.environ.setdefault("NSLAB_DATA", str(HOME / "cache"))
os.environ["ACCELERATE_USE_CPU"] = "true"
os.environ.setdefault("OMP_NUM_THREADS", "1")  # in kernels too: two at once on two cores

# A shell that starts tests in the background has them ignore SIGINT, and so would all they start.
signal.signal(signal.SIGINT, signal.default_int_handler)

# What notebooks are tested with, instead of their defaults.
NOTEBOOK_PARAMETERS = {
    "00_start_here": {"epochs": 2},
    "explorer": {"epochs": 2, "generations": 10, "steps": 3},
    "ns_method": {"epochs": 2},
    "ns_first_experiment": {"epochs": 2, "n_seeds": 1},
    "ns_overhead": {"rounds": 2, "batch_size": 16},
    "ns_classification": {"epochs": 2, "n_seeds": 2, "networks": ["lenet5"]},
    "ns_long_tail": {"epochs": 3, "n_seeds": 1, "methods": ["ce", "ogc", "pbs", "ns_lf"]},
    "ns_ablations": {"epochs": 2, "n_seeds": 1},
    "ns_stability": {"epochs": 3, "n_seeds": 2},
    "ns_scores": {"epochs": 2},
    "ns_correlation": {"epochs": 3},
    "ns_explorations": {"epochs": 3, "bases": ["ce", "gce"]},
    "de_method": {"members": 10, "shown": [0, 2], "draws": 2, "samples": 64, "batches": 1},
    "de_robustness": {"n_seeds": 1, "corruptions": ["fog", "motion_blur"], "images": 200},
    "de_small_networks": {"n_seeds": 1, "network": "mlp", "others": ["mlp", "rnn"]},
    "de_dynamics": {},
    "de_f_cr": {"network": "mlp"},
    "de_pso": {"network": "mlp"},
    "de_population_batch": {"sizes": [6], "batch_sizes": [64]},
    "edl_method": {"predictions": 200, "generations": 3},
    "edl_pretraining": {"n_seeds": 2, "generations": 2, "searches": ["gaussian", "chaotic"]},
    "edl_classification": {
        "n_seeds": 2,
        "epochs": 2,
        "losses": ["ce", "edl_log"],
        "n_rate_seeds": 1,
        "lrs": [0.02],
        "evolved": [1, 2],
        "evolutions": 1,
    },
    "de_pretrained": {"methods": ["pretrained", "de"], "ingredients": ["sade"]},
    "ledger": {},
    "edl_distribution": {"epochs": 2, "images": 200},
}


@pytest.fixture(autouse=True)
def _own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each test has a home of its own; data sets made by one test serve all."""
    monkeypatch.setenv("NSLAB_HOME", str(tmp_path))


@pytest.fixture(autouse=True, scope="session")
def _one_thread() -> None:
    """Two test processes on two cores."""
    import torch

    torch.set_num_threads(1)


@pytest.fixture
def as_users_call() -> object:
    """Without shape checking, to see the errors that users see for a wrong type."""
    config.update("jaxtyping_disable", True)
    yield
    config.update("jaxtyping_disable", False)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Iterator[None]:
    """Notebooks show their figures as pictures, none wider than can be read, and no red text."""
    yield
    for output in getattr(item, "test_outputs", None) or []:
        assert output.get("name") != "stderr", output["text"]
        if "text/plain" in (data := output.get("data", {})):
            assert any(k.startswith("image/") for k in data) or "<Figure" not in data["text/plain"]
        assert output.get("metadata", {}).get("image/png", {}).get("width", 0) <= 1400


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Append small parameters to the notebooks' cells tagged ``parameters``."""
    from nslab.notebooks import parameters_of

    for item in items:
        cell = getattr(item, "cell", None)
        if cell is None or "parameters" not in cell.metadata.get("tags", []):
            continue
        small, known = NOTEBOOK_PARAMETERS[item.path.stem], parameters_of(item.path)
        assert set(small) <= set(known), f"{item.path.name} lacks a parameter of {small}"
        cell.source += "".join(f"\n{name} = {value!r}" for name, value in small.items())
