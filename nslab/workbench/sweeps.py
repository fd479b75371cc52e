"""Sweeps: several settings of each method, one of which is chosen by validation samples alone."""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from nslab.analysis.exports import plus_minus
from nslab.configs import TrainConfig
from nslab.configs.labels import short_repr
from nslab.runs.results import Result
from nslab.system.validation import coerce, hints, unknown

VALIDATION_SHARE = 0.2  # share of the training samples held out by a sweep, unless hold_out is set
NOT_SWEPT = {
    "dataset": "compare on one data set at a time",
    "network": "compare with one model at a time",
    "objective": "list objectives as methods",
    "seed": "give seeds=[1, 2]",
    "hold_out": "give it as hold_out=100",
}
CHOSEN = "chosen"


@dataclass(frozen=True)
class Sweep:
    """The settings that were tried for each method, and the choice among them.

    Attributes:
        fields: the values of each field, in the order in which they were given.
        table: a line per method and setting: ``method``, the fields, ``validation`` and
            ``validation_loss`` (means over seeds), ``sd`` over seeds, ``test`` (mean), ``n``
            (seeds that finished), ``chosen``.
        held_out: number of training samples that were held out for the choice.
    """

    fields: Mapping[str, tuple[Any, ...]]
    table: pd.DataFrame = field(repr=False)
    held_out: int

    @property
    def chosen(self) -> dict[str, str]:
        """The chosen setting of each method, in words."""
        lines = self.table[self.table[CHOSEN]].to_dict("records")
        return {line["method"]: self.describe_setting(line) for line in lines}

    def describe_setting(self, line: Mapping[Any, Any]) -> str:
        """The setting of a line, in words."""
        return ", ".join(f"{name} = {shown(line[name])}" for name in self.fields)

    @property
    def readable(self) -> pd.DataFrame:
        """`table` for people."""
        lines = self.table.to_dict("records")
        out = self.table[["method"]].copy()
        for name in self.fields:
            out[name] = [shown(line[name]) for line in lines]
        out["validation accuracy (%)"] = [
            plus_minus(line["validation"], line["sd"]) or "failed" for line in lines
        ]
        out["test accuracy (%)"] = [
            "" if pd.isna(line["test"]) else f"{line['test']:.2f}" for line in lines
        ]
        out[CHOSEN] = ["chosen" if line[CHOSEN] else "" for line in lines]
        return out

    @property
    def notes(self) -> list[str]:
        """Sentences on how the choice was made, and on chosen values at the edge of those tried."""
        return [*self._notes()]

    def _notes(self) -> Iterator[str]:
        if len(combinations(self.fields)) == 1:
            yield (
                f"One setting was tried, so there was no choice; {self.held_out:,} validation "
                "samples were held out from training, and test samples had no part in it."
            )
        else:
            yield (
                f"Settings were chosen by the mean accuracy over seeds on {self.held_out:,} "
                "validation samples, held out from training; test samples had no part in it."
            )
        for line in self.table[self.table[CHOSEN]].to_dict("records"):
            for name, values in self.fields.items():
                if edge := border(line[name], values):
                    yield (
                        f"{line['method']}: {name} = {shown(line[name])} is the {edge} tried; "
                        f"a {edge.removesuffix('est')}er one may be better."
                    )
        if failed := int(self.table["validation"].isna().sum()):
            settings = "setting" if failed == 1 else "settings"
            yield f"{failed} {settings} failed in some seed, and could not be chosen."


def border(value: Any, values: Sequence[Any]) -> str:
    """``"smallest"`` or ``"largest"``, if a value is that of several numbers; otherwise blank.

    >>> border(0.1, (0.01, 0.1)), border(0.1, (0.01, 0.1, 1.0)), border("adam", ("adam", "sgd"))
    ('largest', '', '')
    """
    numbers = [v for v in values if isinstance(v, int | float) and not isinstance(v, bool)]
    if len(numbers) < max(2, len(values)):
        return ""
    if value == min(numbers):  # no field can be below 0, so there is nothing smaller to try
        return "smallest" if value else ""
    return "largest" if value == max(numbers) else ""


def shown(value: Any) -> str:
    """A value of a field as short text."""
    return f"{value:g}" if isinstance(value, float) else short_repr(value)


def settings_of(sweep: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, tuple[Any, ...]]:
    """The values of each field of a sweep, checked; ``ValueError`` for what cannot be swept."""
    if not isinstance(sweep, Mapping):
        raise ValueError(
            f'sweep is {sweep!r}: give fields and their values, such as {{"lr": [0.01, 0.1]}}'
        )
    allowed = {name: hint for name, hint in hints(TrainConfig).items() if name not in NOT_SWEPT}
    found: dict[str, tuple[Any, ...]] = {}
    for name, values in sweep.items():
        if name in NOT_SWEPT:
            raise ValueError(f"{name} cannot be swept: {NOT_SWEPT[name]}")
        if name not in allowed:
            raise unknown("field of a sweep", name, allowed)
        if name in given:
            raise ValueError(f"{name} is swept, and given too: leave one out")
        if isinstance(values, str) or not isinstance(values, Sequence) or not len(values):
            raise ValueError(f"sweep: {name} is {values!r}: give a list of values")
        found[name] = tuple(coerce(f"sweep: {name}", value, allowed[name]) for value in values)
        if len(set(map(repr, found[name]))) < len(found[name]):
            raise ValueError(f"sweep: {name} has a value twice, leave one out: {list(values)}")
    return found


def combinations(fields: Mapping[str, tuple[Any, ...]]) -> list[dict[str, Any]]:
    """All settings of a grid, each with its fields by name.

    >>> combinations({"lr": (0.1, 0.2), "nesterov": (True,)})
    [{'lr': 0.1, 'nesterov': True}, {'lr': 0.2, 'nesterov': True}]
    """
    return [dict(zip(fields, v, strict=True)) for v in itertools.product(*fields.values())]


def choose(
    fields: Mapping[str, tuple[Any, ...]],
    results: Mapping[tuple[str, int, int], Result | None],
    held_out: int,
) -> tuple[Sweep, dict[str, int]]:
    """The sweep, and for each method the index of its chosen setting.

    Chosen is, among the settings that finished with every seed, the one with the best mean accuracy
    on validation samples; of equals the one with the smaller loss there, then the first. Test
    numbers are not used.

    Args:
        fields: the values of each field.
        results: by method, index of the setting among `combinations`, and seed; None for a run
            that failed.
        held_out: how many training samples are held out.

    Raises ``ValueError`` for a method without a setting that finished with every seed.
    """
    settings, lines = combinations(fields), []
    for method in dict.fromkeys(method for method, *_ in results):
        for place, setting in enumerate(settings):
            mine = [r for (m, p, _), r in results.items() if (m, p) == (method, place)]
            ended = [result.metrics for result in mine if result]
            whole = len(ended) == len(mine)
            numbers = pd.DataFrame(ended if whole else [], columns=list(METRICS))
            line = {"method": method, "place": place, **setting}
            line |= {name: numbers[metric].mean() for metric, name in METRICS.items()}
            lines.append(line | {"sd": numbers["held_out_accuracy"].std(), "n": len(ended)})
    table = pd.DataFrame(lines)
    ranked = table.dropna(subset="validation").sort_values(
        ["validation", "validation_loss", "place"], ascending=[False, True, True], kind="stable"
    )
    first = ranked.drop_duplicates("method").sort_index()  # methods in the order given
    best = {str(m): int(p) for m, p in zip(first["method"], first["place"], strict=True)}
    if lacking := [method for method in table["method"].unique() if method not in best]:
        raise ValueError(
            f"no setting of {', '.join(lacking)} ended with every seed: try other values"
        )
    table[CHOSEN] = [best[line["method"]] == line["place"] for line in lines]
    return Sweep(fields, table.drop(columns="place"), held_out), best


METRICS = {
    "held_out_accuracy": "validation",
    "held_out_loss": "validation_loss",
    "test_accuracy": "test",
}
