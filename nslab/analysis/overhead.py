"""Overhead of Natural Selection in a training step: time, memory, and where the time goes.

After Tables XII and XIII of the NS paper. Every variant trains a network of its own on one batch of
random images: forward pass, loss, backward pass, SGD step. Variants take turns
(`nslab.system.timing`), so that ratios can be computed within a round. Peak memory is measured in a
process of its own for each variant, ``python -m nslab.analysis.overhead``, which reads its task as
lines of text from standard input.
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
STAGES = ("stitch_and_scale", "inference", "scores_and_weights")  # Table XIII has the first two


@dataclass(frozen=True)
class OverheadSetting:
    """What is measured: ``rounds`` steps of each variant on batches shaped like a data set's, and
    the peak memory of the variants in ``memory_of`` (None: of all).

    Threads that wait for one another spin, which counts as CPU time, so times are most accurate
    with one thread. Raises ``ValueError`` for unknown names and sizes that cannot be run.
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
            raise ValueError(
                f"rounds is {self.rounds} and threads {self.threads}: both must be at least 1"
            )
        if not re.fullmatch(r"cpu|cuda(:\d+)?", self.device):
            raise ValueError(f"device is {self.device!r}, not 'cpu', 'cuda' or 'cuda:0'")

    @property
    def steps(self) -> int:
        """Training steps of an epoch; a shorter last batch counts as a whole one."""
        return -(-DATASETS[self.dataset].layout.train // self.batch_size)

    @property
    def clock(self) -> str:
        """The clock of `Overhead.seconds`: CPU time on a CPU, else wall time, since CPU time does
        not include a GPU's work."""
        return "cpu" if self.device == "cpu" else "wall"


# smoke supports no claim; paper has Table XII's network on both of its data sets.
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
    """A preset's settings; arguments that are not empty or 0 replace the preset's values."""
    if preset not in OVERHEAD_PRESETS:
        raise unknown("preset", preset, OVERHEAD_PRESETS)
    changes: dict[str, Any] = {"network": network, "batch_size": batch_size, "rounds": rounds}
    given = {name: value for name, value in (changes | {"device": device}).items() if value}
    return [dataclasses.replace(setting, **given) for setting in OVERHEAD_PRESETS[preset]]


@dataclass(frozen=True)
class TimedVariant:
    """One way to train. To measure memory, the objective's class must be importable by name, since
    another process does it."""

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
        """The scoring pass alone: logits of the composites, without gradients."""
        with torch.no_grad(), scoring(self.model) as net:
            return net(composites)


@dataclass(frozen=True)
class Overhead:
    """What was measured.

    Attributes:
        setting: what was asked for.
        steps: variant -> times of whole steps in seconds, by round.
        stages: stage of ``STAGES`` -> times in seconds, by round.
        memory: variant -> peak memory in bytes (on a CPU that of its process, on CUDA allocated).
        stages_of: the variant whose stages were timed.
        device: the device's name.
    """

    setting: OverheadSetting
    steps: Mapping[str, Times]
    stages: Mapping[str, Times]
    memory: Mapping[str, int]
    stages_of: str
    device: str

    def seconds(self, name: str) -> Seconds:
        """A variant's or a stage's times in seconds, by the setting's clock."""
        times = {**self.steps, **self.stages}[name]
        return times.cpu if self.setting.clock == "cpu" else times.wall

    def ratio(self, name: str, base: str = "ce") -> Quartiles:
        """Quartiles of the ratio of times to those of ``base``, taken within rounds."""
        return ratio(self.seconds(name), self.seconds(base))


def measure(
    setting: OverheadSetting,
    contenders: Mapping[str, TimedVariant] | None = None,
    stages_of: str = "ns_ws",
) -> Overhead:
    """Time all ``contenders`` (None: `variants`), and the stages of ``stages_of``, which must be NS
    as published.

    Images are random, so the data set itself is not needed. torch's number of threads is restored
    at the end. Raises ``ValueError`` if the device is missing, ``RuntimeError`` if a process that
    measures memory fails.
    """
    device = torch.device(setting.device)
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise ValueError(f"there is no device {setting.device!r}: take device='cpu', which is slow")
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
    """The stages of NS, each applied to the output of the one before."""
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
    """Peak memory in bytes after a few steps: of this process since its start, or on the GPU."""
    with threads(setting.threads):
        step = TimedStep(setting, variant)
        for _ in range(MEMORY_STEPS):
            step()
    if setting.device == "cpu":
        return resident_peak()
    return torch.cuda.max_memory_allocated(setting.device)


def peak_of_child(setting: OverheadSetting, variant: TimedVariant) -> int:
    """`peak` in a fresh process. Raises ``RuntimeError`` with its last output if it fails."""
    # Makes glibc return large freed blocks at once; its adaptive threshold makes equal runs differ.
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
    # The parent's paths come last, so that classes of plug-ins are found but nothing is shadowed.
    sys.path += [folder for folder in json.loads(sys.stdin.readline()) if folder not in sys.path]
    print(peak(*map(unpacked, sys.stdin)))
