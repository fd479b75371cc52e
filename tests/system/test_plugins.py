"""Plug-ins: loaded once, anew when edited, whole or not at all; told apart by name and digest."""

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pytest
from plugin_helpers import write_plugin

import nslab
from nslab import OBJECTIVES
from nslab.configs.serialization import decode
from nslab.system import plugins
from nslab.system.plugins import LOADED, VARIABLE
from nslab.system.provenance import environment

ROOT = Path(nslab.__file__).parents[1]
LOSS = """from dataclasses import dataclass
from nslab.objectives import OBJECTIVES, Focal

@OBJECTIVES.register
@dataclass(frozen=True)
class Mine(Focal):
    key = "{key}"
"""


def test_loaded_once_and_again_when_edited(tmp_path: Path) -> None:
    """What it had registered goes with its old text; the class is importable by its module."""
    file = write_plugin(tmp_path, source=LOSS.format(key="mine"))
    module = nslab.use(file)
    assert nslab.use(str(file)) is module is sys.modules["mine"]
    assert OBJECTIVES["mine"] is module.Mine
    assert (module.Mine.__module__, module.__file__) == ("mine", str(file))
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    assert environment()["plugins"] == {"mine": digest[:12]}
    assert LOADED["mine"].registered() == {"objective": ["mine"]}
    file.write_text(LOSS.format(key="other"))
    assert nslab.use(file) is not module
    assert "mine" not in OBJECTIVES
    assert OBJECTIVES["other"].__name__ == "Mine"
    assert os.environ[VARIABLE].split(os.pathsep) == [str(file)]


def test_without_any_nothing_is_said_of_them() -> None:
    """Results look as before."""
    assert "plugins" not in environment()


def test_files_beside_it_belong_to_it(tmp_path: Path) -> None:
    """They are imported, digested, and loaded anew when edited, however deep."""
    write_plugin(tmp_path, "deeper_part", "VALUE = 1\n")
    write_plugin(tmp_path, "part", "import json\nfrom deeper_part import VALUE\n")
    file = write_plugin(tmp_path, source="def late():\n    import part\n    return part.VALUE\n")
    assert nslab.use(file).late() == 1
    before = LOADED["mine"].digest
    write_plugin(tmp_path, "deeper_part", "VALUE = 2\n")
    assert nslab.use(file).late() == 2
    assert LOADED["mine"].digest != before
    assert LOADED["mine"].modules == {"mine", "part", "deeper_part"}


def test_of_two_parts_of_one_name_neither_is_taken_for_the_other(tmp_path: Path) -> None:
    """Python has one module of a name."""
    for name in ("one", "two"):
        write_plugin(tmp_path / name, "part", f"VALUE = {name!r}\n")
        write_plugin(tmp_path / name, name, "import part\n")
    nslab.use(tmp_path / "one/one.py")
    with pytest.raises(ValueError, match=r"two\.py fails: .*it imports part, and .*one.part\.py"):
        nslab.use(tmp_path / "two/two.py")
    assert sys.modules["part"].VALUE == "one"
    assert list(LOADED) == ["one"]


def test_a_package_and_a_module_of_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By its folder, or by name where it can be imported; its digest is of all its files."""
    write_plugin(tmp_path / "pack", "__init__", "")
    write_plugin(tmp_path / "pack", "losses", LOSS.format(key="packed"))
    nslab.use(tmp_path / "pack")
    assert LOADED["pack"].registered() == {}
    monkeypatch.syspath_prepend(tmp_path)
    module = nslab.use("pack.losses")
    assert LOADED["pack"].registered() == {"objective": ["packed"]}
    assert os.environ[VARIABLE].split(os.pathsep)[-1] == str(tmp_path / "pack.losses")
    assert nslab.use(tmp_path / "pack.losses") is module
    before = LOADED["pack"].digest
    write_plugin(tmp_path / "pack", "losses", LOSS.format(key="repacked"))
    nslab.use("pack.losses")
    assert LOADED["pack"].registered() == {"objective": ["repacked"]}
    assert LOADED["pack"].digest != before


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("1 / 0\n", r"mine\.py, line 1: ZeroDivisionError: division by zero"),
        ("x = 1\nx = (\n", r"mine\.py, line 2: '\(' was never closed"),
        (LOSS.format(key="ce"), r"mine\.py, line 4: ValueError: the key 'ce' is taken: objective "),
        (LOSS.format(key="mine") + "import torch\ntorch.zeros(-1)\n", r"line 9: RuntimeError"),
        ("import nowhere_at_all\n", "line 1: ModuleNotFoundError"),
    ],
)
def test_one_that_fails_leaves_all_as_it_was(tmp_path: Path, source: str, message: str) -> None:
    """The person's own line is named, and the version before stays."""
    good = LOSS.format(key="good")
    module = nslab.use(write_plugin(tmp_path, source=good))
    entries, asked = dict(OBJECTIVES), os.environ[VARIABLE]
    file = write_plugin(tmp_path, source=source)
    with pytest.raises(ValueError, match=message):
        nslab.use(file)
    assert dict(OBJECTIVES) == entries
    assert sys.modules["mine"] is module
    assert os.environ[VARIABLE] == asked
    assert nslab.use(write_plugin(tmp_path, source=good)) is module


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("json", "comes with Python"),
        ("nslab", "comes with Python or nslab"),
        ("my-losses", "is not a module name"),
        ("seaborn", "installed module|imported already"),
    ],
)
def test_names_that_are_taken(tmp_path: Path, name: str, message: str) -> None:
    """Nothing is hidden by a plug-in of the same name."""
    with pytest.raises(ValueError, match=message):
        nslab.use(write_plugin(tmp_path, name, ""))


def test_what_is_not_there(tmp_path: Path) -> None:
    """A file, a module, another of the same name."""
    with pytest.raises(ValueError, match=r"nowhere\.py does not exist"):
        nslab.use(tmp_path / "nowhere.py")
    with pytest.raises(ValueError, match="there is no module 'nowhere_at_all' here"):
        nslab.use("nowhere_at_all")
    nslab.use(write_plugin(tmp_path / "a", source=""))
    with pytest.raises(ValueError, match="is loaded already, from"):
        nslab.use(write_plugin(tmp_path / "b", source=""))


def python(code: str, **env: str) -> subprocess.CompletedProcess[str]:
    """Some lines in a process of their own."""
    given = {k: v for k, v in os.environ.items() if k != VARIABLE} | env
    command = [sys.executable, "-W", "default", "-c", code]
    return subprocess.run(command, capture_output=True, text=True, check=False, env=given)


def installed(folder: Path, source: str) -> dict[str, str]:
    """A package that brings a plug-in, as pip leaves it; the environment that finds it."""
    write_plugin(folder / "strange", "__init__", source)
    about = folder / "strange_losses-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: strange-losses\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text("[nslab]\nlosses = strange\n")
    return {"PYTHONPATH": os.pathsep.join([str(folder), str(ROOT)])}


LIGHT = "from nslab.system.registry import Registry\nRegistry('toy').register('a', 1)\n"
SHOW = "import sys, nslab; from nslab.system.plugins import LOADED; print({n: (p.registered(), "
SHOW += "p.installed) for n, p in LOADED.items()}, 'torch' in sys.modules)"


def test_an_installed_package_brings_one(tmp_path: Path) -> None:
    """By an entry point, wherever nslab is imported; one that fails is a warning."""
    done = python(SHOW, **installed(tmp_path / "good", LIGHT))
    assert done.stdout == "{'strange': ({'toy': ['a']}, True)} False\n", done.stderr
    broken = python(SHOW, **installed(tmp_path / "bad", "1 / 0\n"))
    assert broken.stdout == "{} False\n", broken.stderr
    assert "installed package strange-losses cannot be loaded" in broken.stderr
    assert "ZeroDivisionError" in broken.stderr


def test_the_environment_brings_those_that_were_asked_for(tmp_path: Path) -> None:
    """One that is asked for and is not there is an error."""
    file = write_plugin(tmp_path, source=LIGHT)
    done = python(SHOW, **{VARIABLE: str(file), "PYTHONPATH": str(ROOT)})
    assert done.stdout == "{'mine': ({'toy': ['a']}, False)} False\n", done.stderr
    gone = python(SHOW, **{VARIABLE: str(tmp_path / "gone.py"), "PYTHONPATH": str(ROOT)})
    assert gone.returncode == 1
    assert "gone.py does not exist" in gone.stderr
    assert f"({VARIABLE} in the environment asks for it: " in gone.stderr


def test_digests_are_by_name() -> None:
    """Nothing while nothing is loaded."""
    assert plugins.digests() == {}
    assert plugins.owner("nslab.objectives") == ""


@pytest.mark.parametrize("words", [("-m", "nslab.cli", "list"), ("-m", "nslab.papers", "NS", "7")])
def test_a_command_says_in_a_line_what_it_cannot_load(
    tmp_path: Path, words: tuple[str, ...]
) -> None:
    """Before there is a command line; an import elsewhere raises the same, without a chain."""
    env = os.environ | {VARIABLE: str(tmp_path / "gone.py"), "PYTHONPATH": str(ROOT)}
    said = f"the plug-in {tmp_path}/gone.py does not exist: give a Python file, or a module's name"
    for command in ([sys.executable, *words], [sys.executable, "-c", "import nslab"]):
        done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
        last = done.stderr.splitlines()[-1]
        assert f"{said} ({VARIABLE} in the environment asks for it: unset or" in last
        assert "During handling" not in done.stderr
        assert "direct cause" not in done.stderr
        if "-m" in command:
            assert (done.returncode, len(done.stderr.splitlines())) == (2, 1)
            assert last.startswith("error: ")


def test_a_plug_in_that_ends_python(tmp_path: Path) -> None:
    """It does not: that is an error with the line."""
    file = write_plugin(tmp_path, source=LOSS.format(key="mine") + "\nimport sys\nsys.exit(0)\n")
    with pytest.raises(ValueError, match=r"mine.py, line \d+: it ends Python .SystemExit: 0.: put"):
        nslab.use(file)
    assert "mine" not in OBJECTIVES
    assert "mine" not in sys.modules


def test_an_unknown_name_may_be_a_plug_in_s() -> None:
    """Whether or not there is one of a like name."""
    for call, name in (
        (lambda: nslab.experiment("mine/table"), "experiment"),
        (lambda: nslab.TrainConfig("digits", "minenet"), "network"),
        (lambda: nslab.load("minedata"), "data set"),
        (lambda: decode({"@": "my_very_own"}), "kind of config"),
    ):
        with pytest.raises(ValueError, match=rf"unknown {name} .*--plugin FILE, or nslab.use"):
            call()
