"""Started from a folder of strangers' files: none of them runs, in no process."""

import ast
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest
from notebook_helpers import write
from plugin_helpers import write_plugin

import nslab
from nslab import TrainConfig
from nslab.analysis.overhead import OverheadSetting, peak_of_child, variants
from nslab.runs.pool import job
from nslab.runs.store import run_all
from nslab.system.safe_python import OurPackage, python_command
from nslab.workbench import notebooks
from nslab.workbench.render import render

ROOT = Path(nslab.__file__).parents[1]
# of Python, of what is installed, and our own name
NAMES = ["secrets", "types", "random", "enum", "json", "re", "pathlib", "signal", "site", "runpy"]
NAMES += ["typing", "inspect", "socket", "tempfile", "sitecustomize", "ctypes", "queue"]
NAMES += ["torch", "numpy", "pandas", "papermill", "ipykernel", "ipykernel_launcher", "IPython"]
NAMES += ["jupyterlab", "jupyter_client", "zmq", "tornado", "psutil", "yaml", "submitit", "nslab"]
SMALL = TrainConfig("digits", "mlp", epochs=1, train_size=100, batch_size=50)


@pytest.fixture
def hostile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to work in; what is imported from there leaves a mark."""
    folder = tmp_path / "cloned"
    folder.mkdir()
    for name in NAMES:
        (folder / f"{name}.py").write_text(f"open({str(folder / 'MARK')!r}, 'a').write('{name} ')")
    monkeypatch.chdir(folder)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))  # as though installed
    return folder


def nslab_command(*words: str) -> str:
    """What ``nslab`` says, started as its script is, with no folder of its own on the path."""
    code = "from nslab.cli import app; app(prog_name='nslab')"
    done = subprocess.run(
        [sys.executable, "-P", "-c", code, *words],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def untouched(folder: Path) -> bool:
    """Whether nothing of the folder was run."""
    return not (folder / "MARK").exists()


def test_the_folder_would_bite(hostile: Path) -> None:
    """``python -m`` runs what lies there: the test can tell."""
    subprocess.run([sys.executable, "-m", "nslab.papers", "NS", "7"], check=False)
    assert not untouched(hostile)


def test_several_processes_a_run(hostile: Path) -> None:
    """Torch's launcher and the processes that it starts."""
    results = run_all([SMALL], processes_per_run=2, show=False)
    assert results[0].env["processes"] == 2
    assert untouched(hostile)


def test_notebooks_of_ours(hostile: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Are run in the folder that they are asked from, and import nothing there."""
    ours = hostile.parent / "ours"
    write(ours, "asks", "import random, torch, secrets, types, nslab.papers")
    monkeypatch.setattr(notebooks, "notebooks_dir", lambda: ours)
    ended = render(notebooks.plan(["asks"], "smoke", {}), echo=len)
    assert [end.status for end in ended] == [0], ended[0].why()
    assert untouched(hostile)


def test_suites(hostile: Path) -> None:
    """Runs, then notebooks: one's own imports a file beside it, and nothing there stands in for
    what is installed."""
    own = hostile.parent / "own"
    own.mkdir()
    (own / "mine.py").write_text("VALUE = 42\n")
    for name in ("random", "torch", "nslab"):
        (own / f"{name}.py").write_text(f"open({str(hostile / 'MARK')!r}, 'a').write('{name} ')")
    code = "import random, torch, mine\nassert mine.VALUE == 42 and torch.zeros(1) == 0"
    write(own, "asks", code, parameters="n: int = 1\n")
    entries = [
        {"experiments": ["ns/first"], "parameters": {"seeds": [2024], "methods": ["ce"]}},
        {"notebooks": [str(own / "asks.ipynb")]},
    ]
    (hostile / "suite.yaml").write_text(json.dumps(entries))
    assert "none failed" in nslab_command("suite", "smoke", "--file", "suite.yaml")
    assert untouched(hostile)


def test_jupyterlab_and_its_kernels(hostile: Path) -> None:
    """What lies beside a notebook comes last: it can be imported, and hides nothing."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    env = os.environ | {"HOME": str(hostile.parent), "NSLAB_HOME": str(hostile.parent / "home")}
    env |= {"JUPYTER_RUNTIME_DIR": str(hostile.parent / "runtime"), "GIT_DIR": "/nowhere.git"}
    code = "from nslab.cli import app; app(prog_name='nslab')"
    words = ["lab", "--no-browser", "--allow-root", "--port", str(port)]
    with subprocess.Popen(
        [sys.executable, "-P", "-c", code, *words],
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as lab:
        try:
            assert lab.stdout
            token = lab.stdout.readline().strip().partition("token=")[2]
            base = f"http://127.0.0.1:{port}/api"
            head = {"Authorization": f"token {token}"}
            end = time.monotonic() + 60
            while True:
                try:
                    asked = urllib.request.Request(f"{base}/kernelspecs", headers=head)
                    with urllib.request.urlopen(asked, timeout=10) as page:
                        specs = json.load(page)["kernelspecs"]
                    break
                except OSError:
                    assert time.monotonic() < end
                    time.sleep(0.2)
            argv = specs["python3"]["spec"]["argv"]
            assert argv == python_command(
                "ipykernel_launcher", "-f", "{connection_file}", here=True
            )
        finally:
            lab.send_signal(signal.SIGTERM)
    assert lab.returncode == 143
    assert untouched(hostile)


def test_a_kernel_finds_what_lies_beside_its_notebook(hostile: Path) -> None:
    """As everywhere in Jupyter; installed modules come first."""
    (hostile / "mine.py").write_text("VALUE = 42\n")
    from jupyter_client.manager import start_new_kernel

    from nslab.workbench.kernels import PATH, use_safe_kernel

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(PATH, "")
        use_safe_kernel(hostile.parent / "jupyter", here=True)
        manager, client = start_new_kernel(kernel_name="python3", cwd=str(hostile))
    try:
        said: list[str] = []
        client.execute_interactive(
            "import mine, torch, random, nslab; print(mine.VALUE, nslab.__file__)",
            timeout=60,
            output_hook=lambda message: said.append(message["content"].get("text", "")),
        )
        assert "".join(said).split() == ["42", nslab.__file__]
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)
    assert untouched(hostile)


def test_a_plug_in_imports_its_sibling(hostile: Path) -> None:
    """In a process of its own too."""
    own = hostile.parent / "plug"
    own.mkdir()
    (own / "sibling.py").write_text("NAME = 'from_a_sibling'\n")
    source = (
        "from nslab.experiments import EXPERIMENTS\nimport random, torch\nfrom sibling import NAME"
        "\nfrom dataclasses import dataclass\nfrom nslab.objectives import OBJECTIVES, Focal\n"
        "@OBJECTIVES.register(NAME)\n@dataclass(frozen=True)\nclass Mine(Focal):\n    pass\n"
    )
    write_plugin(own, source=source)
    said = nslab_command("--plugin", str(own / "mine.py"), "list")
    assert "from_a_sibling [mine]" in said
    code = (
        "import nslab; nslab.use({!r}); from nslab.objectives import OBJECTIVES; "
        "c = nslab.TrainConfig('digits', 'mlp', objective=OBJECTIVES['from_a_sibling'](), "
        "epochs=1, train_size=100, batch_size=50); "
        "print(nslab.run_all([c], jobs=2, show=False)[0].metrics['epochs'])"
    ).format(str(own / "mine.py"))
    done = subprocess.run(
        [sys.executable, "-P", "-c", code], capture_output=True, text=True, check=False
    )
    assert done.stdout.split() == ["1"], done.stderr
    assert untouched(hostile)


def test_memory_is_measured_elsewhere(hostile: Path) -> None:
    """In a process that finds what this one finds, after its own."""
    setting = OverheadSetting("digits", "mlp", 64, rounds=1)
    assert peak_of_child(setting, variants((2, 2))["ce"]) > 0
    assert untouched(hostile)


def test_another_package_of_our_name_is_passed_over(
    hostile: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process of ours computes with the nslab that started it, installed or not."""
    monkeypatch.setenv("PYTHONPATH", str(hostile))  # whoever sets that trusts what lies there
    for name in NAMES:
        if name != "nslab":
            (hostile / f"{name}.py").unlink()
    made = job(SMALL)
    done = subprocess.run(made.command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert (Path(made.log).parent / "result.json").exists()
    assert untouched(hostile)
    assert OurPackage.find_spec("torch") is None


def test_no_process_is_started_otherwise() -> None:
    """Every Python that the package starts is started by `python_command`."""
    for file in sorted((ROOT / "nslab").rglob("*.py")):
        if file.name == "safe_python.py":
            continue
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            said = ast.unparse(node) if isinstance(node, ast.Attribute | ast.Constant) else ""
            assert said not in ("sys.executable", "'-m'"), file
