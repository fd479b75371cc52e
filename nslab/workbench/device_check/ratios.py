"""Costs on a device, as ratios of times within rounds, and of peak memory."""

from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from nslab.analysis.overhead import OverheadSetting, TimedStep, TimedVariant, peak_of_child
from nslab.datasets import DATASETS
from nslab.datasets.loader import Loader, on_device
from nslab.evolve import EVOLVERS
from nslab.evolve.population import Population
from nslab.objectives import NS, CrossEntropy
from nslab.system.timing import Seconds, Times, interleaved, ratio
from nslab.training.compilation import compiled
from nslab.workbench.device_check.findings import Ratio
from nslab.workbench.device_check.precision import lacks_compiler

CE, NS_LF = TimedVariant(CrossEntropy()), TimedVariant(NS((1, 2), 2.5, -1.0))
NS_WS = TimedVariant(NS((2, 2)))
FOLDED = TimedVariant(NS((2, 2), fold_batchnorm=True, score_dtype="bfloat16"))
STEPS = 10  # steps per measurement on a GPU: a single one is too short for the clock


def setting_on(device: torch.device) -> OverheadSetting:
    """The network and batch to time: ResNet-32 on a GPU, ResNet-8 on a CPU, which is slower."""
    gpu = device.type == "cuda"
    return OverheadSetting(
        "cifar10",
        "resnet32" if gpu else "resnet8",
        batch_size=128,
        rounds=20 if gpu else 6,
        device=str(device),
    )


class MixedStep(TimedStep):
    """A training step in bf16; with ``fast``, compiled as for training."""

    def __init__(self, setting: OverheadSetting, variant: TimedVariant, fast: bool = False) -> None:
        super().__init__(setting, variant)
        device = self.batch.x.device
        if fast:
            self.model = compiled(self.model, device, setting.batch_size, self.objective.min_batch)

    def __call__(self) -> None:
        with torch.autocast(self.batch.x.device.type, torch.bfloat16):
            super().__call__()


def times_of(
    ways: dict[str, Callable[[], object]], rounds: int, device: torch.device
) -> dict[str, Seconds]:
    """Seconds of each way in each round, after three calls that are not timed; CPU time on a CPU,
    wall time on a GPU."""
    for way in ways.values():
        for _ in range(3):
            way()
    repeats = STEPS if device.type == "cuda" else 1

    def again(way: Callable[[], object]) -> Callable[[], None]:
        def repeated() -> None:
            for _ in range(repeats):
                way()

        return repeated

    found: dict[str, Times] = interleaved(
        {name: again(way) for name, way in ways.items()}, rounds, str(device)
    )
    return {name: t.cpu if device.type == "cpu" else t.wall for name, t in found.items()}


def step_ratios(device: torch.device) -> Iterator[Ratio]:
    """Times of training steps relative to one of cross-entropy, and of other pairs."""
    setting = setting_on(device)
    ways: dict[str, Callable[[], object]] = {
        "ce": TimedStep(setting, CE),
        "ns_lf": TimedStep(setting, NS_LF),
        "ns_ws": TimedStep(setting, NS_WS),
        "ns_ws_folded": TimedStep(setting, FOLDED),
        "ce_bf16": MixedStep(setting, CE),
    }
    if device.type == "cuda" and not lacks_compiler(device):
        ways |= {
            "ce_graphs": MixedStep(setting, CE, fast=True),
            "ns_lf_bf16": MixedStep(setting, NS_LF),
            "ns_lf_graphs": MixedStep(setting, NS_LF, fast=True),
        }
    ways["batch"] = batches_like(setting, device)
    t = times_of(ways, setting.rounds, device)
    said = f"of a step of {setting.network}, {setting.batch_size} images"
    for name, a, b, meaning in (
        ("NS-LF 1x2 / CE", "ns_lf", "ce", f"time {said}"),
        ("NS-WS 2x2 / CE", "ns_ws", "ce", f"time {said}"),
        ("NS-WS, folded bf16 scores / CE", "ns_ws_folded", "ce", f"time {said}"),
        ("bf16 / float32", "ce_bf16", "ce", f"time {said} of cross-entropy"),
        ("CUDA graphs / plain", "ce_graphs", "ce_bf16", f"time {said} of cross-entropy in bf16"),
        ("NS-LF, CUDA graphs / plain", "ns_lf_graphs", "ns_lf_bf16", f"time {said} in bf16"),
        (
            "a batch / CE",
            "batch",
            "ce",
            "time to gather, crop and normalise one, of a step",
        ),
    ):
        if a in t and b in t:
            yield Ratio.of(name, ratio(t[a], t[b]), meaning)


def batches_like(setting: OverheadSetting, device: torch.device) -> Callable[[], object]:
    """A function that makes the next batch of a loader at each call."""
    about, n = DATASETS[setting.dataset], 40 * setting.batch_size
    draw = np.random.default_rng(0)
    height, width, channels = about.layout.shape
    x = draw.integers(0, 256, (n, height, width, channels), dtype=np.uint8)
    y = draw.integers(0, about.layout.num_classes, n)
    loader = Loader(
        *on_device(x, y, device), about, batch_size=setting.batch_size, augment="crop_flip"
    )
    count = iter(range(10**9))
    return lambda: loader.nth(next(count))


def breeding_ratios(device: torch.device) -> Iterator[Ratio]:
    """The time of a generation relative to reading a population four times and writing it once."""
    sizes = (62_006, 11_689_512 if device.type == "cuda" else 1_000_000)
    for genes in sizes:
        population = Population.of(torch.randn(10, genes, device=device))
        a = population.rows[:10].clone()
        b = torch.empty_like(a)
        evolver = EVOLVERS["de"]
        state = evolver.init(population, torch.rand(10, dtype=torch.float64))
        gen = torch.Generator().manual_seed(0)
        ways: dict[str, Callable[[], object]] = {
            "generation": lambda e=evolver, s=state, g=gen: e.ask(s, g),  # type: ignore[misc]
            "copy": lambda a=a, b=b: copied(a, b),  # type: ignore[misc]
        }
        t = times_of(ways, 8, device)
        yield Ratio.of(
            f"a generation of {genes:,} genes / limit",
            ratio(t["generation"], 2.5 * t["copy"]),
            "time of rand/1/bin, ten members, over four reads and a write at copying speed",
        )


def copied(a: Tensor, b: Tensor) -> Tensor:
    """Copy ``a`` to ``b``: one read and one write of every element."""
    return b.copy_(a)


def memory_ratios(device: torch.device) -> Iterator[Ratio]:
    """Peak memory of training with NS relative to that with cross-entropy."""
    setting = replace(setting_on(device), rounds=1)
    peaks = []
    for variant in (CE, NS_WS):
        if device.type == "cuda":
            step = TimedStep(setting, variant)
            for _ in range(2):
                step()
            torch.cuda.synchronize(device)
            torch.cuda.reset_peak_memory_stats(device)
            step()
            torch.cuda.synchronize(device)
            peaks.append(torch.cuda.max_memory_allocated(device))
            del step
            torch.cuda.empty_cache()
        else:
            peaks.append(peak_of_child(setting, variant))
    value = peaks[1] / peaks[0]
    what = "allocated on the device" if device.type == "cuda" else "of a process that trains so"
    yield Ratio("peak memory, NS-WS 2x2 / CE", value, value, value, what)
