"""Tables of evolution runs for figures: their outcomes, and what happened in each generation."""

from collections.abc import Sequence
from typing import Any

import pandas as pd

from nslab.configs.evolve import EvolveConfig
from nslab.configs.labels import LABELS
from nslab.configs.serialization import decode
from nslab.configs.train import TrainConfig
from nslab.evolve import MUTATIONS
from nslab.experiments.de.presets import table_row
from nslab.runs.store import Result

# The paper's names of the strategies, in its order.
SYMBOLS = {name: label.paper_name for name, label in LABELS.items() if name in MUTATIONS}


def evolution_columns(result: Result) -> dict[str, Any]:
    """Columns that identify a run: data set, network, method, initial population, its size, batch
    size, L2 factor and augmentation of the training, seed, id."""
    config = decode(result.config)
    evolved = isinstance(config, EvolveConfig)
    base = config.base if evolved else config
    return {
        **({} if evolved else {"initialization": ""}),
        **table_row(config),
        "size": config.size if evolved else 1,
        "batch_size": config.batch_size,
        "weight_decay": base.weight_decay,
        "augment": base.augment,
        "seed": config.seed,
        "run": result.id,
    }


def outcome_table(results: Sequence[Result], metric: str = "test_accuracy") -> pd.DataFrame:
    """A line per run: `evolution_columns`, the final ``value`` of ``metric``, and whether it has
    ``learnt`` (is above chance). For evolutions also the test accuracy at the start and after the
    last batch, and the batch after which the chosen network was found (0: it is a parent)."""
    lines = []
    for result in results:
        numbers = result.metrics
        extra = ("start_test_accuracy", "last_test_accuracy", "chosen_batch")
        line = {"value": numbers[metric], "learnt": result.learnt}
        line |= {name: numbers.get(name) for name in extra}
        lines.append(evolution_columns(result) | line)
    return pd.DataFrame(lines)


def generation_table(results: Sequence[Result]) -> pd.DataFrame:
    """A line per evolution and generation (``step``, from 1): best and mean loss on the batch,
    trials scored and won, and, after the last generation of each batch, held-out numbers and
    diversity (NaN in other generations)."""
    lines = []
    for result in results:
        if not isinstance(decode(result.config), EvolveConfig):
            continue
        for step, row in enumerate(result.history, start=1):
            flat = {k: v for k, v in row.items() if not isinstance(v, list)}
            lines.append(evolution_columns(result) | {"step": step} | flat)
    return pd.DataFrame(lines)


def factor_history(results: Sequence[Result]) -> pd.DataFrame:
    """`generation_table` of runs of plain DE, with their ``F`` and ``Cr`` [DE Fig. S6]."""
    pairs = {}
    for result in results:
        method = decode(result.config).method
        pairs[result.id] = method.f, method.cr
    table = generation_table(results)
    found = [pairs[run] for run in table["run"]]
    return table.assign(F=[f for f, _ in found], Cr=[cr for _, cr in found])


def factor_summary(results: Sequence[Result]) -> pd.DataFrame:
    """A line per F and Cr, means over seeds: ``won``, the percentage of targets whose trial won,
    and ``gain``, the chosen network's test accuracy minus the best parent's, in points."""
    history, outcome = factor_history(results), outcome_table(results)
    known = history.drop_duplicates("run").set_index("run")[["F", "Cr"]]
    sums = history.groupby("run")[["wins", "size"]].sum()
    gain = outcome["value"] - outcome["start_test_accuracy"]
    lines = known.assign(
        won=100 * sums["wins"] / sums["size"], gain=gain.set_axis(outcome["run"]).astype(float)
    )
    return lines.groupby(["F", "Cr"], as_index=False).mean()


def strategy_table(results: Sequence[Result]) -> pd.DataFrame:
    """A line per adaptive evolution, generation and strategy: its probability in the next
    generation, its trials (``asked``) and those that ``won``, and the means of its memories of F,
    Cr and frequency."""
    lines = []
    for result in results:
        config = decode(result.config)
        strategies = getattr(getattr(config, "method", None), "strategies", ())
        for step, row in enumerate(result.history, start=1):
            for s, name in enumerate(strategies):
                lines.append(
                    evolution_columns(result)
                    | {
                        "step": step,
                        "strategy": SYMBOLS.get(name, name),
                        "probability": row["strategy_probability"][s],
                        "asked": row["strategy_asked"][s],
                        "won": row["strategy_wins"][s],
                        "F": row["f"][s],
                        "Cr": row["cr"][s],
                        "frequency": row["frequency"][s],
                    }
                )
    return pd.DataFrame(lines)


def success_table(strategies: pd.DataFrame, window: int) -> pd.DataFrame:
    """Trials and success rate (``rate``, in percent) of each strategy in successive windows of
    ``window`` generations, summed over runs: the lower half of [DE Fig. 6]. ``until`` is the
    window's last generation."""
    until = ((strategies["step"] - 1) // window + 1) * window
    last = strategies["step"].max()
    grouped = strategies.assign(until=until.clip(upper=last)).groupby(
        ["strategy", "until"], sort=False
    )
    sums = grouped[["asked", "won"]].sum().reset_index()
    return sums.assign(rate=100 * sums["won"] / sums["asked"].where(sums["asked"] > 0))


def lineage_table(results: Sequence[Result]) -> pd.DataFrame:
    """Training, then evolution from it, as in [DE Fig. S2] and [DE Fig. S4]: a line per epoch of
    Adam and per batch of evolution.

    ``x`` counts epochs and goes on counting batches after them; ``batch`` counts from 1 (0 in
    training). ``lineage`` is ``"soup"`` for an evolution from random weights (the paper's
    primordial soup), whose ``x`` begins after 0, else it names the training's L2 factor.
    """
    lines, ends = [], dict[str, int]()
    for result in results:
        config = decode(result.config)
        if isinstance(config, TrainConfig):
            ends[config.id] = len(result.history)
            for row in result.history:
                line = _step(result, "adam", row["epoch"] + 1, row, "train_loss")
                lines.append(line | {"batch": 0})
    for result in results:
        config = decode(result.config)
        if isinstance(config, EvolveConfig):
            begin = ends.get(config.base.id, 0) if config.init != "random" else 0
            evaluated = [row for row in result.history if "held_out_loss" in row]
            for k, row in enumerate(evaluated, start=1):
                lines.append(_step(result, "evolution", begin + k, row, "best") | {"batch": k})
    return pd.DataFrame(lines)


def _step(result: Result, phase: str, x: int, row: dict[str, Any], loss: str) -> dict[str, Any]:
    known = evolution_columns(result)
    soup = known["initialization"] == "random"
    return known | {
        "lineage": "soup" if soup else f"ancestor, L2 {known['weight_decay']:g}",
        "phase": phase,
        "x": x,
        "train_loss": row[loss],
        "held_out_loss": row["held_out_loss"],
        "held_out_accuracy": row["held_out_accuracy"],
    }
