"""Set-up shared by all tests: array shapes are checked, nothing is written into the checkout, and
notebooks run with small parameters.

Shape annotations are checked by beartype in every module except the networks, whose forward passes
are also traced and compiled.
"""

import atexit
import json
import os
import re
import shutil
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from jaxtyping import config, install_import_hook

ROOT = Path(__file__).parents[1]
SHAPES = re.compile(r"^from (jaxtyping|nslab\.types) import", re.M)
PROCESSES = re.compile(
    r"^import (subprocess|multiprocessing)|^from process_helpers|\bjobs=[2-9]|subprocess=True", re.M
)
# The slowest files start first, so that no process is left with one at the end.
LONGEST = (
    "rounds/test_suite_rounds.py",
    "execution/test_ends.py",
    "workbench/test_suite.py",
    "project/test_benchmarks.py",
    "rounds/test_fire.py",
    "contract/test_evolvers.py",
    "contract/test_experiments.py",
    "training/test_loop.py",
    "training/test_loop_processes.py",
    "runs/test_evolve_checkpoints.py",
    "project/test_additions.py",
    "runs/test_image_runs.py",
    "project/test_installed.py",
    "contract/test_networks.py",
    "runs/test_store.py",
    "workbench/test_notebooks.py",
)
MODULES = {
    ".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
    for file in (ROOT / "nslab").rglob("*.py")
    if "networks" not in file.parts and SHAPES.search(file.read_text(encoding="utf-8"))
}
if not os.environ.get("NSLAB_QUICK"):  # shape checks take a third of the time
    install_import_hook(sorted(MODULES), "shapes.typechecker")

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
os.environ.setdefault("OMP_NUM_THREADS", "1")  # for kernels too: two test processes on two cores


# Kernels of notebooks under test are forked from a process that has imported what they need.
def pytest_collection_finish(session: pytest.Session) -> None:
    from nslab.workbench.kernels import fork_kernels

    if any(hasattr(item, "cell") for item in session.items):
        fork_kernels(begin=True)


# Tests that a shell starts in the background ignore SIGINT, and so would their child processes.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def _as_before(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Undo whatever a test registers, imports or sets."""
    from plugin_helpers import as_before

    with as_before(tmp_path_factory.getbasetemp()):
        yield


@pytest.fixture(autouse=True)
def _own_home(_as_before: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each test has its own NSLAB_HOME; data sets made by one test are shared by all."""
    monkeypatch.setenv("NSLAB_HOME", str(tmp_path))


@pytest.fixture(autouse=True, scope="session")
def _one_thread() -> None:
    """Use one thread per test process, since several run at once."""
    import torch

    torch.set_num_threads(1)


@pytest.fixture
def as_users_call() -> object:
    """Turn shape checks off, to see the errors that users see for a wrong type."""
    config.update("jaxtyping_disable", True)
    yield
    config.update("jaxtyping_disable", False)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Iterator[None]:
    """Check that notebooks write nothing to stderr, and show figures as legible pictures."""
    yield
    for output in getattr(item, "test_outputs", None) or []:
        assert output.get("name") != "stderr", output["text"]
        if "text/plain" in (data := output.get("data", {})):
            assert any(k.startswith("image/") for k in data) or "<Figure" not in data["text/plain"]
        assert output.get("metadata", {}).get("image/png", {}).get("width", 0) <= 1400


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put slow files first, mark tests that start processes, and append the small parameters in a
    notebook's metadata (``nslab``, ``test``) to its cell tagged ``parameters``."""
    from nslab.workbench.notebooks import parameters_of, smoke_seconds

    def length(file: Path) -> float:
        if file.suffix == ".ipynb":
            return smoke_seconds(file)
        name = file.relative_to(ROOT / "tests").as_posix() if ROOT / "tests" in file.parents else ""
        return len(LONGEST) - LONGEST.index(name) if name in LONGEST else 0

    items.sort(key=lambda item: -length(item.path))
    starts = {file: bool(PROCESSES.search(file.read_text())) for file in {i.path for i in items}}
    for item in items:
        if starts[item.path]:
            item.add_marker("process")
        cell = getattr(item, "cell", None)
        if cell is None:
            continue
        item.add_marker("notebook")
        if "parameters" not in cell.metadata.get("tags", []):
            continue
        book = json.loads(item.path.read_text(encoding="utf-8"))
        small = book["metadata"].get("nslab", {}).get("test", {})
        lacking = sorted(set(small) - set(parameters_of(item.path)))
        assert not lacking, f"{item.path.name} has no parameters {lacking}, named in its metadata"
        cell.source += "".join(f"\n{name} = {value!r}" for name, value in small.items())
