"""The scripts of docs/recipes.md, run as they stand, with Natural Selection and with every loss: a
framework trains the weights that a plain loop over the same batches does."""

import copy
import functools
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from accelerate.state import AcceleratorState, GradientState
from torch import Tensor, nn
from torch.nn.modules.module import register_module_forward_pre_hook

from nslab.networks.logits import logits_of
from nslab.networks.modes import unwrap_model
from nslab.objectives import NS, OBJECTIVES
from nslab.objectives.competition import group_scores
from nslab.objectives.criterion import Criterion
from nslab.objectives.weighted import PlainLoss

PAGE = (Path(__file__).parents[2] / "docs/recipes.md").read_text(encoding="utf-8")
EDL_LINE = re.compile(r"nslab\.EDL\(\)\.criterion\(")
OR = re.compile(r"^ *\S.*\n( *)# or: (.+)$", re.M)
LOSSES = {key: cls for key, cls in OBJECTIVES.items() if issubclass(cls, PlainLoss)}
NS_KEY = "ns"
MISSING = "pip install -e '.[recipes]'"


def scripts(title: str) -> list[str]:
    """The scripts of a section."""
    section = PAGE.partition(f"\n## {title}\n")[2].partition("\n## ")[0]
    return re.findall(r"```python\n(.*?)```", section, re.S)


def with_loss(script: str, key: str) -> str:
    """A script with its lines ``# or:``, and with another loss."""
    script = OR.sub(r"\1\2", script)
    changed = EDL_LINE.sub(f'nslab.OBJECTIVES["{key}"]().criterion(', script)
    assert changed != script
    return changed


@dataclass
class Recorder:
    """What a script fed its network while training, and the network before that."""

    first: nn.Module | None = None
    root: nn.Module | None = None
    batches: list[tuple[Tensor, Tensor]] = field(default_factory=list)
    x: Tensor | None = None

    def hook(self, module: nn.Module, inputs: tuple[Any, ...]) -> None:
        """Of the outermost module that is given images with gradients on."""
        ready = module.training and torch.is_grad_enabled() and inputs
        if not ready or not isinstance(inputs[0], Tensor) or inputs[0].dim() != 4:
            return
        self.see(module, inputs[0])

    def see(self, module: nn.Module, x: Tensor) -> None:
        """A network about to be trained with images."""
        if self.root is None:
            self.root, self.first = module, copy.deepcopy(unwrap_model(module))
        if module is self.root:
            self.x = x.detach().clone()

    def labels(self, y: Tensor) -> None:
        """Of the images just seen, or about to be."""
        assert self.x is not None
        self.batches.append((self.x, y.detach().clone()))


@pytest.fixture
def recorder(monkeypatch: pytest.MonkeyPatch) -> Recorder:
    """Listens to every loss; to the network once it has a hook."""
    recorder = Recorder()
    ns_loss, forward = NS.loss, Criterion.forward

    def weighed(self: NS, model: Any, x: Any, y: Tensor, *args: Any, **kwargs: Any) -> Any:
        result = ns_loss(self, model, x, y, *args, **kwargs)
        assert recorder.x is not None
        assert torch.equal(recorder.x, x)
        recorder.labels(y)
        return result

    def called(self: Criterion, logits: Tensor, y: Tensor) -> Tensor:
        if torch.is_grad_enabled():
            recorder.labels(y)
        return forward(self, logits, y)

    monkeypatch.setattr(NS, "loss", weighed)
    monkeypatch.setattr(Criterion, "forward", called)
    return recorder


@pytest.fixture
def everywhere(recorder: Recorder) -> Iterator[Recorder]:
    """Listens to every training pass of every network."""
    handle = register_module_forward_pre_hook(recorder.hook)
    yield recorder
    handle.remove()


@pytest.fixture(autouse=True)
def clean(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """In a folder of its own; accelerate forgets what one script asked for."""
    monkeypatch.chdir(tmp_path)
    deterministic = torch.are_deterministic_algorithms_enabled()
    yield
    AcceleratorState._reset_state(reset_partial_state=True)
    GradientState._reset_state()
    assert torch.are_deterministic_algorithms_enabled() == deterministic


def run(script: str) -> dict[str, Any]:
    """The names of a script after it ran."""
    names: dict[str, Any] = {"__name__": "__main__"}
    exec(compile(script, "recipe", "exec"), names)
    return names


def composites(x: Tensor) -> Tensor:
    """Four images in the quarters of one, by torch alone."""
    b, c, h, w = x.shape
    shrunk = F.interpolate(x, (h // 2, w // 2), mode="bilinear").view(b // 4, 2, 2, c, h // 2, -1)
    return torch.cat([torch.cat([shrunk[:, i, j] for j in (0, 1)], -1) for i in (0, 1)], -2)


def reference(key: str, model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    """The loss of a batch, written out: Natural Selection over cross-entropy, or a plain loss."""
    if key != NS_KEY:
        loss, logits = LOSSES[key](), logits_of(model(x))
        if not y.is_floating_point():
            return loss.loss(logits, y).mean()
        each = [loss.loss(logits, torch.full((len(y),), k)) for k in range(10)]
        return (y * torch.stack(each, 1)).sum(1).mean()
    model.eval()
    with torch.no_grad():
        scores = group_scores(logits_of(model(composites(x))), y)
    model.train()
    w = 0.7 + scores
    log_p = logits_of(model(x)).float().log_softmax(1)
    soft = y if y.is_floating_point() else F.one_hot(y, 10).float()
    return (w * -(soft * log_p).sum(1)).mean()


def compare(
    recorder: Recorder,
    key: str,
    *,
    lr: float = 0.01,
    momentum: float = 0.9,
    accumulate: int = 1,
    dtype: torch.dtype | None = None,
    rtol: float = 1e-4,
    atol: float = 2e-5,
    steps: int = 40,
) -> None:
    """The recorded batches, in a plain loop from the same start, end at the same weights."""
    assert recorder.first is not None
    assert recorder.root is not None
    assert len(recorder.batches) == steps
    model, trained = recorder.first.train(), unwrap_model(recorder.root)
    start = copy.deepcopy(model)
    optimizer = torch.optim.SGD(model.parameters(), lr=lr, momentum=momentum)
    scaler = torch.amp.GradScaler("cpu", enabled=dtype is torch.float16)
    for n, (x, y) in enumerate(recorder.batches, 1):
        with torch.autocast("cpu", dtype=dtype, enabled=dtype is not None):
            loss = reference(key, model, x, y)
        scaler.scale(loss / accumulate).backward()
        if n % accumulate == 0:
            scaler.step(optimizer)
            scaler.update()
            optimizer.zero_grad()
    moved = 0.0
    for (name, mine), theirs, before in zip(
        model.state_dict().items(),
        trained.state_dict().values(),
        start.state_dict().values(),
        strict=True,
    ):
        torch.testing.assert_close(
            theirs, mine, rtol=rtol, atol=atol, msg=lambda said, name=name: f"{name}: {said}"
        )
        moved = max(moved, float((mine.float() - before.float()).abs().max()))
    assert moved > 10 * atol


@pytest.mark.parametrize("key", [NS_KEY, *LOSSES])
def test_plain_pytorch(everywhere: Recorder, key: str, capsys: Any) -> None:
    """It learns, too."""
    (script,) = scripts("Plain PyTorch")
    run(script if key == NS_KEY else with_loss(script, key))
    compare(everywhere, key)
    said = re.fullmatch(r"([\d.]+)% of the test images\n", capsys.readouterr().out)
    assert said
    assert float(said[1]) > 50


@pytest.mark.parametrize("key", [NS_KEY, *LOSSES])
def test_compiled_in_mixed_precision(
    recorder: Recorder, key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By a compiler that takes no time, and with scaled gradients."""
    compile_module = torch.compile

    def compiled(model: nn.Module) -> Any:
        made = compile_module(model, backend="eager")
        made.register_forward_pre_hook(recorder.hook)
        return made

    monkeypatch.setattr(torch, "compile", compiled)
    (script,) = scripts("Compiled, in mixed precision")
    run(script if key == NS_KEY else with_loss(script, key))
    compare(recorder, key, dtype=torch.float16)


@pytest.mark.parametrize("key", [NS_KEY, *LOSSES])
def test_accelerate(everywhere: Recorder, key: str) -> None:
    """Two micro-batches a step, in bfloat16."""
    (script,) = scripts("Accelerate")
    run(script if key == NS_KEY else with_loss(script, key))
    compare(everywhere, key, accumulate=2, dtype=torch.bfloat16)


LIGHTNING_SAYS = (
    "ignore:The '.*_dataloader' does not have many workers",
    "ignore:.isinstance.treespec, LeafSpec.. is deprecated",
    "ignore:The number of training batches .* is smaller than the logging interval",
)


@pytest.mark.parametrize("key", [NS_KEY, *LOSSES])
@pytest.mark.filterwarnings(*LIGHTNING_SAYS)
def test_lightning(everywhere: Recorder, key: str) -> None:
    """And validates meanwhile; the checkpoint of the module has the weights of an evolved loss."""
    pytest.importorskip("lightning", reason=MISSING)
    (script,) = scripts("Lightning")
    names = run(script if key == NS_KEY else with_loss(script, key))
    compare(everywhere, key)
    assert 0 < float(names["trainer"].callback_metrics["val_accuracy"]) <= 1
    state = names["classifier"].state_dict()
    again = names["Classifier"]()
    again.load_state_dict(state)
    assert ("criterion.weights" in state) == (key in (NS_KEY, "edl"))


@pytest.mark.parametrize("key", [NS_KEY, *LOSSES])
@pytest.mark.filterwarnings(
    "ignore:'pin_memory' argument is set as true but no accelerator is found"
)
def test_trainer_of_transformers(
    recorder: Recorder, key: str, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    """Two micro-batches a step; evaluated by the loss without weights."""
    transformers = pytest.importorskip("transformers", reason=MISSING)
    vit = transformers.ViTForImageClassification
    forward = vit.forward

    @functools.wraps(forward)
    def seen(self: Any, pixel_values: Any = None, *args: Any, **kwargs: Any) -> Any:
        if self.training and torch.is_grad_enabled():
            recorder.see(self, pixel_values)
        return forward(self, pixel_values, *args, **kwargs)

    monkeypatch.setattr(vit, "forward", seen)
    weighed, plain = scripts("Hugging Face Trainer")
    names = run(weighed if key == NS_KEY else with_loss(plain, key))
    printed = float(capsys.readouterr().out.splitlines()[-1])
    compare(recorder, key, lr=0.05, momentum=0.0, accumulate=2, steps=20)
    x = torch.stack([row["pixel_values"] for row in names["rows"][1280:]])
    y = torch.tensor([row["labels"] for row in names["rows"][1280:]])
    with torch.no_grad():
        expected = LOSSES["ce" if key == NS_KEY else key]()(names["model"].eval()(x).logits, y)
    assert printed == pytest.approx(expected.item(), rel=1e-4)


@pytest.mark.parametrize("key", [NS_KEY, *LOSSES])
def test_timm(everywhere: Recorder, key: str) -> None:
    """With soft labels of mixup and CutMix."""
    pytest.importorskip("timm", reason=MISSING)
    (script,) = scripts("timm")
    run(script if key == NS_KEY else with_loss(script, key))
    assert all(y.shape == (64, 10) for _, y in everywhere.batches)
    compare(everywhere, key, steps=20)


def test_the_module_of_the_page() -> None:
    """The first script, which explains what a trainer is given."""
    (script,) = scripts("What a trainer is given")
    run(script)


def test_every_script_is_run() -> None:
    """None is on the page that the tests above do not know."""
    titles = re.findall(r"^## (.+)$", PAGE, re.M)
    counts = {title: len(scripts(title)) for title in titles if scripts(title)}
    assert counts == {
        "What a trainer is given": 1,
        "Plain PyTorch": 1,
        "Compiled, in mixed precision": 1,
        "Lightning": 1,
        "Hugging Face Trainer": 2,
        "Accelerate": 1,
        "timm": 1,
    }
