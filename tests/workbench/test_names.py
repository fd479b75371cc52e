"""Names of commands, known without importing what they name."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from nslab.experiments import EXPERIMENTS, experiment
from nslab.experiments.definition import Experiment
from nslab.networks import NETWORKS
from nslab.workbench import names

AFRESH = """
import sys
from nslab.workbench import names

index = names.names()
print("torch" in sys.modules, index == names.gathered())
"""
TYPED = """
import sys
from typer.testing import CliRunner
from nslab.cli import app

for words in sys.argv[1:]:
    print(CliRunner().invoke(app, words.split()).output)
print("torch" in sys.modules)
"""


def python(code: str, *words: str) -> str:
    """What Python prints, in a process of its own."""
    command = [sys.executable, "-c", code, *words]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


@pytest.mark.slow
def test_gathered_once_for_each_state_of_the_sources(tmp_path: Path) -> None:
    """Then read; of other sources they are gathered anew; and the file that a wheel takes along
    says the same."""
    assert python(AFRESH).split() == ["True", "True"]
    (file,) = (tmp_path / "data" / "cache").glob("names-*.json")
    index = json.loads(file.read_text(encoding="utf-8"))
    shipped = json.loads(names.SHIPPED.read_text(encoding="utf-8"))
    assert shipped == index, "write it: python -m nslab.workbench.names"
    assert python(AFRESH).split() == ["False", "True"]
    file.rename(file.with_name("names-000000000000.json"))
    assert python(AFRESH).split() == ["True", "True"]
    assert [found.name for found in file.parent.glob("names-*.json")] == [file.name]


TYPOS = {
    "list": "notebooks\n  00_start_here",
    "run ns/tabel5": "did you mean ns/table5",
    "compare ns/frist": "did you mean ns/first",
    "data cifra10": "did you mean cifar10",
    "run ns/first -p network=resnt20": "did you mean resnet20",
    "run ns/table5 -p datasets=cifar10,cifar99": "unknown data set 'cifar99'",
    "run ns/first -p epoch=3": "ns/first has no parameter 'epoch': did you mean epochs",
    "run ns/first -p lr=3": "the preset fixes it",
    "evolve --model resnt20 --data digits": "did you mean resnet20",
    "evolve --model resnet20 --data digits --evolver dee": "unknown evolver 'dee': did you mean de",
    "ledger --paper n": "unknown paper with numbers 'n'",
    "ledger --paper edl": "none of its printed numbers",
    "claims --paper x": "unknown paper 'x'",
    "compare ns/first --to x.xlsx": "must end in one of .md, .csv, .html, .tex",
    "ledger --to .": "is a folder",
    "run ns/first -p methods=cee": "one of ce, ns_ws, ns_lf, not 'cee': did you mean ce",
    "run ns/table2 -p methods=[ce,nsws] -p precision=bf16": "not 'nsws': did you mean ns_ws",
    "run ns/first --log tensorbord": "unknown log 'tensorbord': did you mean tensorboard",
    "suite smoke --log tensorbord": "unknown log 'tensorbord': did you mean tensorboard",
    "queue --log tensorbord": "unknown log 'tensorbord': did you mean tensorboard",
    "runs --state finnished": "unknown state 'finnished': did you mean finished",
    "runs --paper nss": "unknown paper 'nss': did you mean ns?",
    "runs --since yesterday": "'yesterday' is no time",
    "show nosuchid": "'nosuchid' is no id of a run",
    "diff 1a2b3c4d abc": "'abc' is no id of a run",
    "plot 1a2b3c4d abc": "'abc' is no id of a run",
    "plot 1a2b3c4d --to x.jpg": "must end in .png",
}


@pytest.mark.slow
def test_typed_words_are_answered_without_torch() -> None:
    """Which takes seconds to import: the nearest name comes at once."""
    python(AFRESH)
    said = python(TYPED, *TYPOS)
    assert said.endswith("\nFalse\n")
    for expected in TYPOS.values():
        assert expected in said.replace("\n", " ") or expected in said, expected


def test_an_installed_copy_reads_the_file(monkeypatch: pytest.MonkeyPatch) -> None:
    """There the sources are what they were when it was built."""
    monkeypatch.setattr(names, "checkout", lambda: None)
    monkeypatch.setattr(names, "sys", type("Sys", (), {"modules": {}}))
    assert "ns/table5" in names.names()["experiments"]


def test_what_is_registered_now_counts() -> None:
    """A network or experiment of one's own is no mistake."""
    names.check_network("mlp")
    with pytest.raises(ValueError, match="unknown network 'my_own'"):
        names.check_network("my_own")
    for other in ("torchvision/resnet18", "bottleneck/mlp", "module:Net#0123456789ab"):
        names.check_network(other)
    for other in ("folder:nowhere", "csv:nowhere", "folder:x#0123456789ab", "digits"):
        names.check_dataset(other)
    NETWORKS.register("my_own", lambda shape, num_classes: None)
    try:
        names.check_network("my_own")
    finally:
        del NETWORKS["my_own"]


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_no_default_is_refused(name: str) -> None:
    """The check on names agrees with what experiments themselves take."""
    found: Experiment = experiment(name)
    assert found.key == name
    configs = found.plan("smoke")
    given = {"dataset": {c.dataset for c in configs}, "network": {c.training.network
             for c in configs if c.training}}  # fmt: skip
    for parameter, values in given.items():
        for key in (parameter, f"{parameter}s"):
            if key in found.allowed:
                names.check_experiment(name, {key: ",".join(v for v in values if v)})


@pytest.mark.slow
def test_runs_are_planned_and_listed_without_what_takes_seconds_to_import() -> None:
    """None of it is needed before a network is trained."""
    code = (
        "import sys, nslab\nfrom nslab.workbench import run_list\nrun_list.run_list()\n"
        "nslab.experiment('ns/first').plan('cpu')\n"
        "print({'torch._dynamo', 'torchvision', 'scipy.stats', 'sklearn'} & set(sys.modules))"
    )
    assert python(code) == "set()\n"
