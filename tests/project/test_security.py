"""What must not stand in the source, and files that are not trusted."""

import ast
import json
import os
import pickle
from pathlib import Path
from urllib.error import URLError

import pytest
import torchvision

from nslab.datasets import MissingDataset, load

ROOT = Path(__file__).parents[2]
# Files may be read by these alone: no code of a file is ever run.
MODULES = {"pickle", "cPickle", "dill", "cloudpickle", "shelve", "marshal", "joblib", "imp"}
CALLS = {"eval", "exec", "compile", "__import__"}
DOTTED = {
    "os.system",
    "os.popen",
    "os.execv",
    "subprocess.getoutput",
    "subprocess.getstatusoutput",
    "yaml.load",
    "yaml.load_all",
    "yaml.unsafe_load",
    "yaml.full_load",
    "pandas.read_pickle",
    "pd.read_pickle",
    "tempfile.mktemp",
    "shutil.unpack_archive",
}


def forbidden(source: str) -> list[str]:
    """What a piece of source must not have, by line."""
    found = []
    for node in ast.walk(ast.parse(source)):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [a.name.split(".")[0] for a in node.names if a.name.split(".")[0] in MODULES]
        elif isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] in MODULES:
            names = [f"{node.module}.{a.name}" for a in node.names if a.name != "UnpicklingError"]
        elif isinstance(node, ast.Call):
            called, given = ast.unparse(node.func), {k.arg: k.value for k in node.keywords}
            on = {k for k, v in given.items() if isinstance(v, ast.Constant) and v.value is True}
            if called in CALLS | DOTTED or called.endswith((".extractall", ".extract")):
                names = [called]
            if called in ("torch.load", "hub.load_state_dict_from_url") and (
                "weights_only" not in on
            ):
                names = [f"{called} without weights_only=True"]
            names += [f"{called}: {k}" for k in ("shell", "allow_pickle") if k in given and k in on]
        found += [f"line {getattr(node, 'lineno', 0)}: {name}" for name in names]
    return found


@pytest.mark.parametrize(
    "line",
    [
        "import pickle",
        "from pickle import loads",
        "import joblib.memory",
        "torch.load(f)",
        "torch.load(f, weights_only=False)",
        "yaml.load(f, Loader=yaml.Loader)",
        "subprocess.run('ls', shell=True)",
        "os.system('ls')",
        "eval(text)",
        "np.load(f, allow_pickle=True)",
        "archive.extractall(folder)",
        "pd.read_pickle(f)",
    ],
)
def test_the_search_finds(line: str) -> None:
    """Each kind."""
    assert forbidden(line)


@pytest.mark.parametrize(
    "line",
    ["torch.load(f, weights_only=True)", "yaml.safe_load(f)", "np.load(f, allow_pickle=False)"],
)
def test_the_search_lets_pass(line: str) -> None:
    """The safe forms."""
    assert not forbidden(line)


SOURCES = [f for part in ("nslab", "benchmarks") for f in sorted((ROOT / part).rglob("*.py"))]


@pytest.mark.parametrize("file", SOURCES, ids=lambda f: str(f.relative_to(ROOT)))
def test_sources_run_no_code_of_files(file: Path) -> None:
    """No pickle, no shell, no evaluated text; but for the plug-in that a person asks to be run."""
    found = [line.partition(": ")[2] for line in forbidden(file.read_text(encoding="utf-8"))]
    assert set(found) == ({"compile", "exec"} if file.name == "plugins.py" else set())


@pytest.mark.parametrize("file", sorted((ROOT / "notebooks").glob("*.ipynb")), ids=lambda f: f.stem)
def test_notebooks_do_not_either(file: Path) -> None:
    """Nor a line that goes to a shell."""
    for cell in json.loads(file.read_text(encoding="utf-8"))["cells"]:
        if cell["cell_type"] == "code":
            source = "".join(cell["source"])
            assert not any(line.lstrip().startswith(("!", "%")) for line in source.splitlines())
            assert forbidden(source) == []


class Evil:
    """Runs a command when it is unpickled."""

    def __init__(self, proof: Path) -> None:
        self.proof = proof

    def __reduce__(self) -> tuple:
        return os.mkdir, (str(self.proof),)


def test_pickles_of_a_data_set_are_opened_only_if_they_are_the_published_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """CIFAR is distributed as pickles: torchvision compares checksums before it opens them."""
    proof, folder = tmp_path / "proof", tmp_path / "cache"
    (folder / "cifar-10-batches-py").mkdir(parents=True)
    names = [*(f"data_batch_{i}" for i in range(1, 6)), "test_batch", "batches.meta"]
    for name in names:
        (folder / "cifar-10-batches-py" / name).write_bytes(pickle.dumps(Evil(proof)))
    # an archive that somebody put there is not unpacked either, nor is one that comes instead
    (folder / "cifar-10-python.tar.gz").write_bytes(b"not what was published")

    def offline(*_: object, **__: object) -> None:
        raise URLError("no network")

    utils = torchvision.datasets.utils
    monkeypatch.setattr(utils, "_get_redirect_url", lambda url, **_: url)
    monkeypatch.setattr(utils, "_urlretrieve", offline)
    with pytest.raises(MissingDataset, match="could not be downloaded"):
        load("cifar10", folder)
    assert not proof.exists()

    def another(url: str, file: str | Path, *_: object) -> None:
        Path(file).write_bytes(b"something else")

    monkeypatch.setattr(utils, "_urlretrieve", another)
    with pytest.raises(MissingDataset, match="corrupted"):
        load("cifar10", folder)
    assert not proof.exists()
