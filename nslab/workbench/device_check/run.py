"""The check of a device: its parts one after the other, then ratios."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext

import torch

from nslab.system.distributed import choose_device, process_group
from nslab.system.progress import Progress
from nslab.system.provenance import environment
from nslab.system.validation import unknown
from nslab.workbench.device_check.batches import check_batches
from nslab.workbench.device_check.findings import Finding, Ratio, Report, worst
from nslab.workbench.device_check.generations import check_generations
from nslab.workbench.device_check.losses import check_losses
from nslab.workbench.device_check.natural_selection import check_natural_selection
from nslab.workbench.device_check.precision import check_compiled, check_precision, full_float32
from nslab.workbench.device_check.ratios import breeding_ratios, memory_ratios, step_ratios
from nslab.workbench.device_check.scoring import check_fitness
from nslab.workbench.device_check.search import check_search

Part = Callable[[torch.device], Iterator[Finding]]
# parts that are compared without TF32, which a GPU's convolutions use by default
EXACT: dict[str, Part] = {
    "Natural Selection": check_natural_selection,
    "losses": check_losses,
    "generations": check_generations,
    "fitness": check_fitness,
    "EDL's search": check_search,
    "batches": check_batches,
}
ROUNDED: dict[str, Part] = {
    "mixed precision": check_precision,
    "compiled networks": check_compiled,
}
RATIOS: dict[str, Callable[[torch.device], Iterator[Ratio]]] = {
    "steps": step_ratios,
    "breeding": breeding_ratios,
    "memory": memory_ratios,
}


def check(
    device: str = "cpu", parts: Sequence[str] = (), *, ratios: bool = True, show: bool = True
) -> Report:
    """Compare what nslab computes on a device with references in float64 on the CPU, and measure
    what it costs.

    The references are plain formulas written a second time, or code that works sample by sample and
    gene by gene; an evolver's generations are compared with its own in float64. A part that raises
    an error disagrees. What cannot be compared here, for example without a compiler, is reported as
    skipped. It needs no data but random images.

    Args:
        device: ``cpu``, ``cuda`` or ``cuda:1``.
        parts: only these parts, by name; default: all.
        ratios: whether to measure times and memory, too.
        show: whether to show progress.

    Raises ``ValueError`` for unknown parts, and if this process cannot use the device.

    >>> report = check("cpu", ["batches", "fitness"], ratios=False, show=False)
    >>> report.passed, [finding.name for finding in report.findings if finding.error == 0]
    (True, ['samples of an epoch'])
    """
    for name in set(parts) - {*EXACT, *ROUNDED}:
        raise unknown("part of a check", name, [*EXACT, *ROUNDED])
    choose_device(device)
    where, started = process_group().device, time.monotonic()
    chosen = [name for name in (*EXACT, *ROUNDED) if not parts or name in parts]
    findings: list[Finding] = []
    found: list[Ratio] = []
    total = len(chosen) + (len(RATIOS) if ratios else 0)
    with Progress(total, f"check of {where}", unit="part", show=show) as bar:
        for name in chosen:
            with full_float32() if name in EXACT else nullcontext():
                findings += tried(name, (EXACT | ROUNDED)[name], where)
            bar.advance(name)
        for name, measure in RATIOS.items() if ratios else ():
            found += measure(where)
            bar.advance(name)
    env = environment() | {"checked": str(where)}
    return Report(env, findings, found, time.monotonic() - started)


def tried(name: str, part: Part, device: torch.device) -> list[Finding]:
    """The findings of a part; if it raises an error, that is one more finding, which disagrees."""
    found: list[Finding] = []
    try:
        found += part(device)  # what came before an error is kept
    except Exception as error:
        why = f"{type(error).__name__}: {error}".partition("\n")[0]
        found.append(Finding(name, why, worst([]), 0.0, "no error may be raised"))
    return found
