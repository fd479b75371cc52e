"""Overhead of Natural Selection in a training step: time, memory, and where the time goes.

After Tables XII and XIII of the NS paper. Every variant trains a network of its own on one batch of
random images: forward pass, loss, backward pass, SGD step. All variants take turns
(`nslab.system.timing`), so ratios are taken within a round. Peak memory is that of a process of its
own for each variant: ``python -m nslab.analysis.overhead``, the task as JSON on standard input.
"""

import dataclasses
import json
import math
import os
import re
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from nslab.configs.handover import packed, unpacked
from nslab.datasets import DATASETS
from nslab.networks import NETWORKS, build_network
from nslab.networks.modes import scoring
from nslab.objectives import NS, CrossEntropy
from nslab.objectives.competition import group_scores, ns_weights
from nslab.objectives.composites import Grid, composite
from nslab.system.provenance import environment
from nslab.system.safe_python import python_command
from nslab.system.timing import (
    Quartiles,
    Seconds,
    Times,
    interleaved,
    ratio,
    resident_peak,
    threads,
)
from nslab.system.validation import unknown
from nslab.types import Batch, DataInfo, ObjectiveConfig

WARM_UP, MEMORY_STEPS = 2, 5
STAGES = ("stitch_and_scale", "inference", "scores_and_weights")  # the first two: Table XIII


@dataclass(frozen=True)
class OverheadSetting:
    """What is measured: ``rounds`` steps of each variant on batches shaped like a data set's, and
    the peak memory of those in ``memory_of`` (None: of all).

    Threads that wait for one another spin, and that counts as CPU time: one thread measures best.
    Raises ``ValueError`` for unknown names and sizes that cannot be run.
    """

    dataset: str = "cifar10"
    network: str = "resnet20"
    batch_size: int = 128
    grid: Grid = (2, 2)
    rounds: int = 40
    device: str = "cpu"
    threads: int = 1
    memory_of: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        for what, known in (("dataset", DATASETS), ("network", NETWORKS)):
            if (name := getattr(self, what)) not in known:
                raise unknown(what, name, known)
        m = math.prod(self.grid)
        if self.batch_size < m or self.batch_size % m:
            raise ValueError(
                f"batch_size {self.batch_size} does not fill groups of {m}: take a multiple of {m}"
            )
        if self.rounds < 1 or self.threads < 1:
            raise ValueError(f"rounds {self.rounds} and threads {self.threads} must be at least 1")
        if not re.fullmatch(r"cpu|cuda(:\d+)?", self.device):
            raise ValueError(f"device is {self.device!r}, not 'cpu', 'cuda' or 'cuda:0'")

    @property
    def steps(self) -> int:
        """Training steps of an epoch, a last short batch counted as a whole one."""
        return -(-DATASETS[self.dataset].layout.train // self.batch_size)

    @property
    def clock(self) -> str:
        """The clock that counts: CPU time, or wall where a CPU's clock does not see the work."""
        return "cpu" if self.device == "cpu" else "wall"


# smoke supports no claim; paper is Table XII's network on both its data sets.
OVERHEAD_PRESETS: dict[str, tuple[OverheadSetting, ...]] = {
    "smoke": (OverheadSetting("digits", "resnet8", 64, rounds=6, memory_of=("ce", "ns_ws")),),
    "cpu": (OverheadSetting("cifar10", "resnet20"),),
    "paper": tuple(
        OverheadSetting(name, "resnet110b", rounds=100, device="cuda")
        for name in ("cifar10", "cifar100")
    ),
}


def overhead_settings(
    preset: str, network: str = "", batch_size: int = 0, rounds: int = 0, device: str = ""
) -> list[OverheadSetting]:
    """A preset's settings; what is given and not empty replaces the preset's own."""
    if preset not in OVERHEAD_PRESETS:
        raise unknown("preset", preset, OVERHEAD_PRESETS)
    changes: dict[str, Any] = {"network": network, "batch_size": batch_size, "rounds": rounds}
    given = {name: value for name, value in (changes | {"device": device}).items() if value}
    return [dataclasses.replace(setting, **given) for setting in OVERHEAD_PRESETS[preset]]


@dataclass(frozen=True)
class TimedVariant:
    """One way to train. For memory, the objective's class must be importable by its name."""

    objective: ObjectiveConfig
    channels_last: bool = True


def variants(grid: Grid) -> dict[str, TimedVariant]:
    """Cross-entropy, NS as published (NS-WS), and NS with cheaper scoring passes."""
    return {
        "ce": TimedVariant(CrossEntropy()),
        "ns_ws": TimedVariant(NS(grid)),
        "ns_ws_folded": TimedVariant(NS(grid, fold_batchnorm=True)),
        "ns_ws_bf16": TimedVariant(NS(grid, score_dtype="bfloat16")),
        "ns_ws_folded_bf16": TimedVariant(NS(grid, fold_batchnorm=True, score_dtype="bfloat16")),
    }


class TimedStep:
    """A network, its optimizer and a batch: call it to train one step."""

    def __init__(self, setting: OverheadSetting, variant: TimedVariant) -> None:
        dataset, device = DATASETS[setting.dataset], setting.device
        classes, size = dataset.layout.num_classes, setting.batch_size
        layout = torch.channels_last if variant.channels_last else torch.contiguous_format
        draws = torch.Generator().manual_seed(0)
        x = torch.randn(size, *dataset.shape, generator=draws).to(memory_format=layout)
        y = torch.randint(classes, (size,), generator=draws)
        self.objective = variant.objective.build(DataInfo.of(y, classes))
        self.batch = Batch(x.to(device), y.to(device), torch.arange(size, device=device))
        model = build_network(setting.network, dataset.shape, classes, seed=0)
        self.model = model.to(memory_format=layout).to(device).train()
        self.optimizer = torch.optim.SGD(
            self.model.parameters(), lr=0.01, momentum=0.9, weight_decay=5e-4
        )

    def __call__(self) -> None:
        total = self.objective(self.model, self.batch).total()
        self.optimizer.zero_grad()
        total.backward()
        self.optimizer.step()

    def score(self, composites: Tensor) -> Tensor:
        """The scoring pass alone."""
        with torch.no_grad(), scoring(self.model) as net:
            return net(composites)


@dataclass(frozen=True)
class Overhead:
    """Times of whole steps by variant and of one variant's stages, in seconds and by round; peak
    memory by variant, in bytes (CPU: of its process; CUDA: allocated); the device's name."""

    setting: OverheadSetting
    steps: Mapping[str, Times]
    stages: Mapping[str, Times]
    memory: Mapping[str, int]
    stages_of: str
    device: str

    def seconds(self, name: str) -> Seconds:
        """A variant's or a stage's seconds, by the clock that counts."""
        times = {**self.steps, **self.stages}[name]
        return times.cpu if self.setting.clock == "cpu" else times.wall

    def ratio(self, name: str, base: str = "ce") -> Quartiles:
        """Time over the base's, within rounds."""
        return ratio(self.seconds(name), self.seconds(base))


def measure(
    setting: OverheadSetting,
    contenders: Mapping[str, TimedVariant] | None = None,
    stages_of: str = "ns_ws",
) -> Overhead:
    """Time all contenders (None: `variants`) and the stages of one, which must be NS as published.

    Random images stand for the data set's, which is not needed. torch's number of threads is put
    back. Raises ``ValueError`` without the device.
    """
    device = torch.device(setting.device)
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise ValueError(f"no device {setting.device!r} here: take device='cpu', which is slow")
    contenders = variants(setting.grid) if contenders is None else contenders
    wanted = contenders if setting.memory_of is None else setting.memory_of
    memory = {name: peak_of_child(setting, contenders[name]) for name in wanted}
    with threads(setting.threads):
        steps = {name: TimedStep(setting, variant) for name, variant in contenders.items()}
        both: dict[str, Callable[[], object]] = {**steps, **_stages(setting, steps[stages_of])}
        interleaved(both, WARM_UP, setting.device)
        times = interleaved(both, setting.rounds, setting.device)
    return Overhead(
        setting,
        {name: times[name] for name in steps},
        {name: times[name] for name in STAGES},
        memory,
        stages_of,
        _device_name(setting.device),
    )


def _stages(setting: OverheadSetting, step: TimedStep) -> dict[str, Callable[[], object]]:
    """The stages of NS, each on what the one before it gives."""
    batch, grid, ns = step.batch, setting.grid, NS(setting.grid)
    composites = composite(batch.x, grid)
    logits = step.score(composites)
    calls: tuple[Callable[[], object], ...] = (
        lambda: composite(batch.x, grid),
        lambda: step.score(composites),
        lambda: ns_weights(group_scores(logits, batch.y), ns.sigma, ns.rho),
    )
    return dict(zip(STAGES, calls, strict=True))


def _device_name(device: str) -> str:
    if device != "cpu":
        return torch.cuda.get_device_name(device)
    return "CPU" if torch.cuda.is_available() else str(environment()["device"])


def peak(setting: OverheadSetting, variant: TimedVariant) -> int:
    """Most bytes in use during the first steps: of this process so far, or on the device."""
    with threads(setting.threads):
        step = TimedStep(setting, variant)
        for _ in range(MEMORY_STEPS):
            step()
    if setting.device == "cpu":
        return resident_peak()
    return torch.cuda.max_memory_allocated(setting.device)


def peak_of_child(setting: OverheadSetting, variant: TimedVariant) -> int:
    """`peak` in a fresh process. Raises ``RuntimeError`` with its last words if it fails."""
    # glibc gives large freed blocks back at once instead of guessing: else equal runs differ.
    env = os.environ | {"MALLOC_MMAP_THRESHOLD_": "131072"}
    command = python_command("nslab.analysis.overhead")
    task = "\n".join([json.dumps(sys.path), packed(setting), packed(variant)]).encode()
    done = subprocess.run(command, input=task, env=env, capture_output=True, check=False)
    if done.returncode:
        raise RuntimeError(
            f"the process that measures memory ended with status {done.returncode} (negative: a "
            "signal; -9 often means out of memory, then take a smaller batch_size). It said:\n"
            + "\n".join(done.stderr.decode(errors="replace").splitlines()[-5:])
        )
    return int(done.stdout.split()[-1])


if __name__ == "__main__":
    # a class of one's own is found where this was asked, after all that is found anyway
    sys.path += [folder for folder in json.loads(sys.stdin.readline()) if folder not in sys.path]
    print(peak(*map(unpacked, sys.stdin)))
