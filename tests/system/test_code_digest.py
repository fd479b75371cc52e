"""A digest of code: what changes it, and what does not."""

import functools
import importlib.util
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from nslab.system.code_digest import code_digest

SOURCE = '''
"""Somebody's module."""
import math
from torch import nn
import torch.nn.functional as F

WIDTH = 8

def helper(x):
    return x * WIDTH

class Base(nn.Module):
    pass

class Net(Base):
    """A network."""

    slope = 0.1

    def __init__(self, classes):
        super().__init__()
        self.layer = nn.Linear(WIDTH, classes)

    def forward(self, x):
        return helper(self.layer(x))

    @property
    def twice(self):
        return 2

    @staticmethod
    def once(x):
        return x

def loss(logits, y, power=2):
    return (lambda v: v**power)(F.cross_entropy(logits, y, reduction="none"))
'''


def module(folder: Path, source: str, name: str = "theirs") -> ModuleType:
    """A module of a file."""
    file = folder / f"{name}.py"
    file.write_text(source)
    spec = importlib.util.spec_from_file_location(name, file)
    made = importlib.util.module_from_spec(spec)
    sys.modules[name] = made
    spec.loader.exec_module(made)
    return made


@pytest.fixture
def digests(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Digests of ``Net`` and ``loss`` of a source."""

    def of(source: str) -> tuple[str, str]:
        monkeypatch.setitem(sys.modules, "theirs", None)
        folder = tmp_path / str(len(list(tmp_path.iterdir())))
        folder.mkdir()
        made = module(folder, source)
        return code_digest(made.Net), code_digest(made.loss)

    return of


def test_comments_and_layout_change_nothing(digests) -> None:
    """Nor do other things in the file, or where it lies."""
    first = digests(SOURCE)
    assert digests(SOURCE) == first
    assert digests(SOURCE.replace("return helper(", "# why\n        return helper( ")) == first
    assert digests(SOURCE + "\n\ndef other():\n    return 3\n") == first
    assert all(len(d) == 12 for d in first)


@pytest.mark.parametrize(
    ("old", "new", "net", "loss"),
    [
        ("WIDTH = 8", "WIDTH = 9", True, False),
        ("x * WIDTH", "x + WIDTH", True, False),
        ("slope = 0.1", "slope = 0.2", True, False),
        ("class Base(nn.Module):\n    pass", "class Base(nn.Module):\n    deep = 1", True, False),
        ("return 2", "return 3", True, False),
        ("        return x\n", "        return -x\n", True, False),
        ("power=2", "power=3", False, True),
        ("v**power", "v*power", False, True),
        ("nn.Linear", "nn.LazyLinear", True, False),
    ],
)
def test_what_is_edited_is_another(digests, old: str, new: str, net: bool, loss: bool) -> None:
    """Also in what it uses: helpers, constants, base classes, defaults, inner functions."""
    assert old in SOURCE
    before, after = digests(SOURCE), digests(SOURCE.replace(old, new))
    assert [a != b for a, b in zip(before, after, strict=True)] == [net, loss]


def test_closures_and_partials() -> None:
    """What a function encloses, and what arguments are fixed."""

    def power(n: int):
        return lambda x: x**n

    assert code_digest(power(2)) == code_digest(power(2))
    assert code_digest(power(2)) != code_digest(power(3))
    one, two = (functools.partial(power(2), x=x) for x in (1, 2))
    assert code_digest(one) != code_digest(two)


def test_what_code_encloses_counts_by_what_it_holds() -> None:
    """Tensors, arrays, modules, objects of one's own, decorators, bound methods; what does not show
    what it holds is refused."""

    class Scale:
        def __init__(self, by: object) -> None:
            self.by = by

        def __call__(self, x: object) -> object:
            return x * self.by

        def method(self, x: object) -> object:
            return x * self.by

    def enclosing(value: object) -> object:
        def f(x: object) -> object:
            return x, value

        return f

    def linear(weight: float) -> nn.Module:
        layer = nn.Linear(2, 2)
        nn.init.constant_(layer.weight, weight)
        nn.init.zeros_(layer.bias)
        return layer

    for make in (
        lambda k: torch.tensor([1.0, k]),
        lambda k: torch.tensor([1.0, k], dtype=torch.bfloat16),
        lambda k: np.array([k, 2]),
        lambda k: np.float64(k),
        linear,
        Scale,
        lambda k: [Scale({"a": k})],
        lambda k: nn.CrossEntropyLoss(label_smoothing=k / 4),
        lambda k: torch.float32 if k == 1 else torch.float64,
    ):
        one, again, two = (code_digest(enclosing(make(k))) for k in (1.0, 1.0, 2.0))
        assert one == again != two
    assert code_digest(Scale(1)) != code_digest(Scale(2))
    assert code_digest(Scale(1).method) != code_digest(Scale(2).method)
    table = pd.DataFrame({"a": range(200)})
    with pytest.raises(ValueError, match="cannot tell when"):
        code_digest(enclosing(table))
    with pytest.raises(ValueError, match=r"cannot tell when <object object .* changes"):
        code_digest(enclosing(object()))


def test_lambdas_of_one_line() -> None:
    """Are told apart, though their text is the same."""
    one, two = lambda x: x + 1, lambda x: x + 2
    assert code_digest(one) != code_digest(two)


def test_what_runs_counts_not_what_the_file_says_by_now(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file edited and not loaded again: its functions are still the old ones."""
    monkeypatch.setitem(sys.modules, "theirs", None)
    made = module(tmp_path, "def f(x):\n    return x + 1\n")
    before = code_digest(made.f)
    (tmp_path / "theirs.py").write_text("def f(x):\n    return x + 2\n")
    assert code_digest(made.f) == before


def test_functions_that_call_one_another() -> None:
    """End all the same."""

    def even(n: int) -> bool:
        return n == 0 or odd(n - 1)

    def odd(n: int) -> bool:
        return n > 0 and even(n - 1)

    assert code_digest(even) != code_digest(odd)


def test_a_module_of_theirs_counts_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """``import helpers`` of a file beside it; installed packages by name alone."""
    found = []
    for text in ("K = 1", "K = 2"):
        monkeypatch.setitem(sys.modules, "theirs", None)
        monkeypatch.setitem(sys.modules, "helpers", None)
        module(tmp_path, text, "helpers")
        made = module(
            tmp_path, "import helpers, math\ndef f(x):\n    return helpers.K * math.pi * x"
        )
        found.append(code_digest(made.f))
    assert found[0] != found[1]


def test_the_same_in_every_process() -> None:
    """Hashes of strings differ from process to process; a digest does not."""
    code = (
        "from nslab.system.code_digest import code_digest\n"
        "def f(x, s=frozenset({'a', 'b', 'c', 'd'})):\n    return x in s\n"
        "class C:\n    names = {'x', 'y', 'z'}\n    def g(self):\n        return f(1)\n"
        "print(code_digest(C))"
    )
    said = {
        subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True
        ).stdout
        for _ in range(2)
    }
    assert len(said) == 1


EDITS = {
    "imported in the function": (
        "def loss(x):\n    from theirs_helper import g\n    return g(x)\n",
        "def g(x):\n    return {}\n",
    ),
    "decorated by a class": (
        "import functools\n"
        "from theirs_helper import g\n"
        "class Scaled:\n"
        "    def __init__(self, f):\n"
        "        functools.update_wrapper(self, f)\n"
        "    def __call__(self, x):\n"
        "        return g(x)\n"
        "@Scaled\ndef inner(x):\n    return x\n"
        "def loss(x):\n    return inner(x)\n",
        "def g(x):\n    return {}\n",
    ),
    "a list of one's own": (
        "from theirs_helper import Steps\nSTEPS = Steps([1, 2])\n"
        "def loss(x):\n    return STEPS.f(x)\n",
        "class Steps(list):\n    def f(self, x):\n        return {}\n",
    ),
    "a default factory": (
        "from collections import defaultdict\nfrom theirs_helper import make\n"
        "TABLE = defaultdict(make)\ndef loss(x):\n    return TABLE[x]\n",
        "def make():\n    return {}\n",
    ),
}


@pytest.mark.parametrize("case", EDITS)
def test_an_edit_of_what_is_used_in_roundabout_ways(
    case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Edited, it is other code; written again as it was, it is the same."""
    source, helper = EDITS[case]
    monkeypatch.syspath_prepend(tmp_path)
    found = []
    for value in (1, 2, 1):
        sys.modules.pop("theirs_helper", None)
        module(tmp_path, helper.format(value), "theirs_helper")
        importlib.invalidate_caches()
        found.append(code_digest(module(tmp_path, source).loss))
    assert found[0] == found[2] != found[1]
    for name in ("theirs", "theirs_helper"):
        sys.modules.pop(name, None)


def test_a_line_moved_into_or_out_of_a_try() -> None:
    """The operations are the same, what is caught is not."""

    def caught(x: int) -> int:
        try:
            y = int(x)
            z = y + 1
        except ValueError:
            z = 0
        return z

    def not_caught(x: int) -> int:
        try:
            y = int(x)
        except ValueError:
            z = 0
        else:
            z = y + 1
        return z

    not_caught.__name__ = not_caught.__qualname__ = "caught"
    assert code_digest(caught) != code_digest(not_caught)


def test_names_of_attributes_are_no_globals(tmp_path: Path) -> None:
    """A cell that assigns `mean` changes nothing for code that calls `z.mean()`."""
    made = module(tmp_path, "def loss(z):\n    return z.mean()\n")
    before = code_digest(made.loss)
    made.mean = object()
    assert code_digest(made.loss) == before
    sys.modules.pop("theirs")


def test_sets_are_digested_alike_in_every_process() -> None:
    """Whatever order they have."""
    code = (
        "from nslab.system.code_digest import code_digest\n"
        "S = {frozenset({'a', 'b', 'c'}), frozenset({'d'}), frozenset({'e', 'f'})}\n"
        "def loss(x):\n    return x in S\n"
        "print(code_digest(loss))\n"
    )
    said = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2", "3")
    }
    assert len(said) == 1
