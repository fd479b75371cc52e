"""Compare mixed precision and compiled networks on a device with the same network in float64."""

import copy
import shutil
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from importlib.util import find_spec

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nslab.configs import TrainConfig
from nslab.networks import build_network
from nslab.objectives import NS
from nslab.training.compilation import compiled
from nslab.training.loop import fit
from nslab.types import AUTOCAST
from nslab.workbench.device_check.findings import Finding, largest_error
from nslab.workbench.device_check.small_network import images, small_network

MIXED, COMPILED = "mixed precision", "compiled networks"
# largest error of logits in units of their standard deviation, and 1 - cosine of gradients
LIMITS = {"no": (1e-4, 1e-6), "tf32": (1e-2, 1e-3), "bf16": (0.08, 0.02), "fp16": (0.01, 1e-3)}
BITS = {"no": 24, "tf32": 11, "bf16": 8, "fp16": 11}  # of a significand


@contextmanager
def full_float32() -> Iterator[None]:
    """Switch off TF32, which a GPU otherwise uses for convolutions of float32."""
    before = torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False
    try:
        yield
    finally:
        torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32 = before


def pass_through(net: nn.Module, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Logits, and the gradient of the mean cross-entropy with respect to all parameters, as one
    vector."""
    net.zero_grad()
    logits = net(x)
    exact = logits if logits.dtype == torch.float64 else logits.float()
    F.cross_entropy(exact, y).backward()
    gradient = torch.cat([p.grad.flatten() for p in net.parameters() if p.grad is not None])
    return logits.detach(), gradient.double().cpu()


def against(found: tuple[Tensor, Tensor], wanted: tuple[Tensor, Tensor]) -> tuple[float, float]:
    """Largest error of logits in units of their standard deviation, and 1 - cosine of the
    gradients."""
    exact = wanted[0].double().cpu()
    error = largest_error(found[0] / float(exact.std()), exact / float(exact.std()), 1.0)
    return error, float(1 - F.cosine_similarity(found[1], wanted[1], dim=0))


def check_precision(device: torch.device) -> Iterator[Finding]:
    """Check a ResNet's logits and gradients in each precision, and NS weights from bf16 scores with
    folded BatchNorm."""
    draws = torch.Generator().manual_seed(0)
    x, y = torch.randn(32, 3, 32, 32, generator=draws), torch.arange(32) % 10
    net = build_network("resnet8", (3, 32, 32), 10, seed=0).train()
    wanted = pass_through(copy.deepcopy(net).double(), x.double(), y)
    there = copy.deepcopy(net).to(device)
    for name, (logits, gradients) in LIMITS.items():
        why = f"products of {BITS[name]} bits through nine layers with BatchNorm, forth and back"
        skipped: str = ""
        errors: tuple[float | None, float | None] = (None, None)
        if name == "tf32" and device.type == "cpu":
            skipped = "a CPU has no TF32"
        elif name == "tf32" and not torch.backends.cudnn.allow_tf32:
            skipped = "TF32 is switched off here"
        else:
            try:
                errors = _in_precision(name, there, x.to(device), y.to(device), wanted)
            except (RuntimeError, ValueError) as cause:
                skipped = f"not available on {device.type} ({str(cause).partition(chr(10))[0]})"
        for what, error, limit in zip(
            ("logits", "gradients"), errors, (logits, gradients), strict=True
        ):
            yield Finding(MIXED, f"{what}, {name}", error, limit, why, skipped)
    model, (few, labels) = small_network(), images(48)
    plain = NS((2, 2), 2.5, -1.0).weights(model.double(), few.double(), labels)
    ns = NS((2, 2), 2.5, -1.0, fold_batchnorm=True, score_dtype="bfloat16")
    found = ns.weights(model.float().to(device), few.to(device), labels.to(device))
    why = "products of 8 bits: logits of 10 are known to 0.04, and scores to as much of themselves"
    yield Finding(MIXED, "weights by folded bf16 scores", largest_error(found, plain), 0.1, why)


def _in_precision(
    name: str, net: nn.Module, x: Tensor, y: Tensor, wanted: tuple[Tensor, Tensor]
) -> tuple[float, float]:
    autocast = AUTOCAST.get(name)  # type: ignore[call-overload]

    class Cast(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = net

        def forward(self, x: Tensor) -> Tensor:
            with torch.autocast(x.device.type, autocast, enabled=autocast is not None):
                return self.net(x)

    if name == "no":
        with full_float32():
            return against(pass_through(Cast(), x, y), wanted)
    return against(pass_through(Cast(), x, y), wanted)


def lacks_compiler(device: torch.device) -> str:
    """Why `torch.compile` cannot work on a device; empty if no reason is known."""
    if device.type == "cpu":
        there = any(map(shutil.which, ("g++", "c++", "clang++")))
        return "" if there else "there is no C++ compiler"
    return "" if find_spec("triton") else "Triton is not installed"


def check_compiled(device: torch.device) -> Iterator[Finding]:
    """Check three training steps and an evaluation of a network that is compiled as for training;
    then `check_training`."""
    why = "float32 in another order of sums, three steps of SGD"
    names = ("weights after three steps", "evaluation of half as many")
    if skipped := lacks_compiler(device):
        for name in names:
            yield Finding(COMPILED, name, None, 1e-4, why, skipped)
        return
    size = 24
    plain, (x, y) = small_network().train().double(), images(size)
    there = copy.deepcopy(plain).float().to(device)
    with warnings.catch_warnings(), full_float32():
        warnings.simplefilter("ignore")  # those of the compiler itself
        fast = compiled(there, device, size, 2)
        for net, images_, labels in (
            (plain, x.double(), y),
            (fast, x.to(device), y.to(device)),
        ):
            optimizer = torch.optim.SGD(net.parameters(), lr=0.05, momentum=0.9)
            for _ in range(3):
                optimizer.zero_grad()
                F.cross_entropy(net(images_), labels).backward()
                optimizer.step()
        with torch.no_grad():
            plain.eval(), fast.eval()
            half = x[: size // 2]  # as many as there are composites of pairs
            seen = largest_error(fast(half.to(device)), plain(half.double()))
    vectors = [
        torch.cat([p.detach().flatten().double().cpu() for p in net.parameters()])
        for net in (there, plain)
    ]
    errors = (largest_error(vectors[0], vectors[1]), seen)
    for name, error in zip(names, errors, strict=True):
        yield Finding(COMPILED, name, error, 1e-4, why)
    yield from check_training(device)


def check_training(device: torch.device) -> Iterator[Finding]:
    """Compare short trainings of the same config: float32 with bf16 and, on a GPU, with bf16 and
    CUDA graphs."""
    name = "loss of a training with NS"
    config = TrainConfig(
        "digits",
        "resnet8",
        NS((1, 2), 2.5, -1.0),
        epochs=2,
        batch_size=64,
        lr=0.02,
        augment="crop",
        train_size=300,
    )
    base = fit(config, show=False).history[-1]["train_loss"]
    ways = {"bf16": replace(config, precision="bf16")}
    ways |= {"bf16, CUDA graphs": replace(config, precision="bf16", compile=True)}
    for way, other in ways.items():
        why = "ten steps of bf16 against float32: the losses of four such epochs agree within 2 %"
        if other.compile and device.type == "cpu":
            said = "a CPU launches no kernels: there are no CUDA graphs"
            yield Finding(COMPILED, f"{name}, {way}", None, 0.05, why, said)
            continue
        loss = fit(other, show=False).history[-1]["train_loss"]
        part = COMPILED if other.compile else MIXED
        yield Finding(part, f"{name}, {way}", abs(loss / base - 1), 0.05, why)
