"""Measured overhead as tables in the form of the NS paper's Tables XII and XIII."""

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd

from nslab.analysis.overhead import STAGES, Overhead
from nslab.papers.tables import paper_table
from nslab.system.timing import Quartiles, ratio

MB = 1e6  # NOTE: the paper does not say which MB; ratios do not depend on it
UNEXPLAINED = "unexplained"
BLANK = Quartiles(math.nan, math.nan, math.nan)
PERCENT = ["percent", "q1", "q3"]


def cost_table(results: Sequence[Overhead], preset: str) -> pd.DataFrame:
    """Rows like Table XII: dataset, network, method, quantity (``time``, ``memory``), value, unit.

    A time is the median time of ``n`` steps, in seconds, times the steps of an epoch, without
    augmentation and evaluation. Memory is a peak, in MB of 10^6 bytes. ``extra`` is the median
    difference to cross-entropy, and ``ratio``, with quartiles ``ratio_q1`` and ``ratio_q3``, the
    ratio to it; both are computed within rounds. ``sd`` is blank, since single steps do not tell
    how much epochs vary.
    """
    lines = []
    for r in results:
        ce, epoch = r.seconds("ce"), r.setting.steps
        for name in r.steps:
            own = r.seconds(name)
            line = _line(r, preset, np.median(own), epoch, "s per epoch", len(own))
            line |= {"method": name, "quantity": "time", "extra": epoch * np.median(own - ce)}
            lines.append(line | _quartiles("ratio", r.ratio(name)))
        base = r.memory.get("ce", math.nan)
        for name, size in r.memory.items():
            line = _line(r, preset, size, 1 / MB, "MB", 1)
            line |= {"method": name, "quantity": "memory", "extra": (size - base) / MB}
            lines.append(line | _quartiles("ratio", BLANK._replace(median=size / base)))
    return pd.DataFrame(lines)


def stage_table(results: Sequence[Overhead], preset: str) -> pd.DataFrame:
    """Rows like Table XIII: dataset, network, operation, value (seconds per epoch, as in
    `cost_table`).

    ``share`` is the operation's share of an NS step, ``more`` its time over that of a plain step,
    both with quartiles. ``unexplained`` is what NS adds to a plain step beyond its stages. It may
    be negative, because a stage timed alone finds the caches in another state than within a step.
    """
    lines = []
    for r in results:
        ns, ce = r.seconds(r.stages_of), r.seconds("ce")
        parts = {name: r.seconds(name) for name in STAGES}
        parts[UNEXPLAINED] = ns - ce - sum(parts.values())
        for name, own in parts.items():
            line = _line(r, preset, np.median(own), r.setting.steps, "s", len(own))
            line |= {"operation": name} | _quartiles("share", ratio(own, ns))
            lines.append(line | _quartiles("more", ratio(own, ce)))
    return pd.DataFrame(lines)


def percent_table(costs: pd.DataFrame, stages: pd.DataFrame) -> pd.DataFrame:
    """What NS adds, in percent of plain training: ratios, so ours can be compared with the paper's.

    Columns: source (``paper``, ``ours``), dataset, network, device, method, part (``time``,
    ``memory``, or a stage, in percent of a plain step's time), percent, q1, q3 (blank if unknown),
    n.
    """
    more = costs[costs["method"] != "ce"].rename(columns={"quantity": "part"})
    ratios = ["ratio", "ratio_q1", "ratio_q3"]
    more[PERCENT] = 100 * (more[ratios] - 1)
    parts = stages.rename(columns={"operation": "part"}).assign(method="ns_ws")
    parts[PERCENT] = 100 * parts[["more", "more_q1", "more_q3"]]
    ours = pd.concat([more, parts], ignore_index=True).assign(source="ours")
    both = pd.concat([_paper_percent(), ours], ignore_index=True)
    return both[["source", "dataset", "network", "device", "method", "part", *PERCENT, "n"]]


def _paper_percent() -> pd.DataFrame:
    """What NS adds to time and memory in Table XII, and the times in Table XIII, in percent of the
    numbers without NS in Table XII."""
    rows = paper_table("ns/table12").to_dict("records")
    parts = paper_table("ns/table13").to_dict("records")
    at = {(r["dataset"], r["quantity"], r["method"]): r["value"] for r in rows}
    added = [(d, q, at[d, q, "ns_ws"] - base, base) for (d, q, m), base in at.items() if m == "ce"]
    added += [
        (r["dataset"], r["operation"], r["value"], at[r["dataset"], "time", "ce"]) for r in parts
    ]
    about = {"source": "paper", "network": rows[0]["network"], "device": "", "method": "ns_ws"}
    return pd.DataFrame(
        [about | {"dataset": d, "part": part, "percent": 100 * v / b} for d, part, v, b in added]
    )


def _line(r: Overhead, preset: str, value: float, scale: float, unit: str, n: int) -> dict:
    """Columns that both tables have; names of ResNets lack the suffix for the kind of shortcut, as
    in the paper."""
    network = r.setting.network
    return {
        "dataset": r.setting.dataset,
        "network": network.removesuffix("b") if network.startswith("resnet") else network,
        "value": scale * float(value),
        "sd": math.nan,
        "unit": unit,
        "n": n,
        "preset": preset,
        "device": r.device,
    }


def _quartiles(name: str, values: Quartiles) -> dict[str, float]:
    return {name: values.median, f"{name}_q1": values.q1, f"{name}_q3": values.q3}
