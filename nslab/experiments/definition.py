"""`Experiment`: a table or figure of a paper as a list of runs."""

import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from nslab.configs import AdaptConfig, EvolveConfig, RunConfig
from nslab.configs.train import TrainConfig
from nslab.objectives.fast_scores import Scores, exactly_scored, fast_scored
from nslab.system.registry import EVERY
from nslab.system.validation import FIXED, MEANT, check_count, check_parameters, hints
from nslab.types import ObjectiveConfig

TableRow = dict[str, str | int | float]

# Fields that say how a run is computed and looked at, not what is computed.
NUMERICS = ("precision", "compile", "channels_last", "eval_every", "accumulate", "decoding")


@dataclass(frozen=True)
class Experiment:
    """A table or figure.

    Attributes:
        title: what it shows, in a few words.
        configs: ``configs(preset, seeds, ...)`` lists its runs.
        row: which row of the paper's table a run belongs to (column name to value).
        table: stem of the paper's CSV; None if the paper has no such table.
        measure: what the table shows of our runs: a name in ``nslab.analysis.measures.MEASURES``,
            or of a number that runs end with.
        comparable: whether its paper preset has the paper's own data and network; if not, its
            numbers stand beside the paper's, and no difference is taken.
        baseline: what a row has in place of its own values to be the baseline's row, such as
            ``{"method": "ce"}``; the first item names it. Ours are paired with it seed by seed.
        unlike: rows (their values, as text) whose printed number averages something that our runs
            do not have, and why; no difference is ever taken.
        printed_as: what the paper's table calls values of our rows that stand beside its own.
    """

    title: str
    configs: Callable[..., Sequence[RunConfig]]
    row: Callable[[Any], TableRow]
    table: str | None = None
    measure: str = "test_accuracy"
    comparable: bool = True
    baseline: Mapping[str, str | float] = field(default_factory=dict, hash=False)
    unlike: Mapping[tuple[str, ...], str] = field(default_factory=dict, hash=False)
    printed_as: Mapping[str, str] = field(default_factory=dict, hash=False)

    def plan(self, preset: str, **parameters: Any) -> list[RunConfig]:
        """The runs for a preset, parameters checked and brought to their types first.

        Beside the parameters of ``configs``, every plan takes `NUMERICS` (``precision="bf16"``,
        ``eval_every=5``), for its trainings and those they need, and ``scores="fast"``, by which
        Natural Selection scores in bfloat16 where that is proven (`nslab.objectives.fast_scores`).
        Raises ``ValueError`` for unknown presets or parameters and for values of a wrong type.
        """
        allowed, what = self.allowed, self.key or repr(self.title)
        own = hints(self.configs)
        advice = {name: FIXED for name in fixed_fields() if name not in allowed} | MEANT
        given = check_parameters({"preset": preset, **parameters}, allowed, what, advice)
        several = {name: v for name, v in given.items() if isinstance(v, tuple | list)}
        check_count(what, {name: len(values) for name, values in several.items()})
        numerics = {name: given.pop(name) for name in set(given) - set(own)}
        return [computed_with(config, numerics) for config in self.configs(**given)]

    @property
    def key(self) -> str:
        """Its name among the experiments; blank if it is not one of them."""
        registered = EVERY.get("experiment", {}).items()
        return next((key for key, value in registered if value is self), "")

    @property
    def allowed(self) -> dict[str, Any]:
        """The parameters that `plan` takes, with their types."""
        fields = hints(TrainConfig)
        numerics = {name: fields[name] for name in NUMERICS}
        return numerics | {"scores": Scores} | hints(self.configs)

    def preset_of(self, config: RunConfig, presets: tuple[str, ...]) -> str:
        """The preset with runs like this one (any seed and numerics), or ``"custom"``."""
        size = size_of(config)
        for preset in presets:
            if size in preset_sizes(self, preset):
                return preset
        return "custom"


def fixed_fields() -> list[str]:
    """What presets fix where an experiment has no such parameter: all fields of its runs."""
    return sorted({*hints(TrainConfig), *hints(EvolveConfig)})


def computed_with(config: Any, numerics: Mapping[str, Any]) -> Any:
    """A config with these `NUMERICS` and ``scores``, as far as it has them, and so those inside
    it."""
    changes: dict[str, Any] = {}
    if isinstance(config, TrainConfig) and numerics.get("scores") == "fast":
        changes["objective"] = fast_scored(config.objective, config.network)
    for f in dataclasses.fields(config) if numerics else ():
        value = getattr(config, f.name)
        if isinstance(value, TrainConfig | EvolveConfig | AdaptConfig):
            changes[f.name] = computed_with(value, numerics)
        elif f.name in numerics:
            changes[f.name] = numerics[f.name]
    return replaced(config, changes)


def replaced(config: Any, changes: Mapping[str, Any]) -> Any:
    """A config with other values; itself where they are its own, as to make one takes time."""
    new = {name: value for name, value in changes.items() if value != getattr(config, name)}
    return dataclasses.replace(config, **new) if new else config


@functools.cache
def planned(experiment: Experiment, preset: str) -> tuple[RunConfig, ...]:
    """The runs of a preset as it is, planned once."""
    return tuple(experiment.plan(preset))


def preset_sizes(experiment: Experiment, preset: str) -> dict[RunConfig, tuple]:
    """What runs a preset has, whatever their seed and numerics, in order; and the values of each
    one's row. None, if it cannot be planned here: a plug-in's data may be elsewhere."""
    try:
        return _preset_sizes(experiment, preset)
    except (ValueError, OSError):
        return {}


@functools.cache
def _preset_sizes(experiment: Experiment, preset: str) -> dict[RunConfig, tuple]:
    found: dict[RunConfig, tuple] = {}
    runs = planned(experiment, preset)
    for config in {config.with_seed(0): config for config in runs}.values():
        found.setdefault(size_of(config), tuple(experiment.row(config).values()))
    return found


def size_of(config: RunConfig) -> RunConfig:
    """A config without its seed and numerics: runs of one size differ in nothing else."""
    return _exact(config.with_seed(0))


def _exact(config: Any) -> Any:
    """A config with default numerics and plain scores, and so those inside it (base, ancestor)."""
    changes: dict[str, Any] = {}
    if isinstance(config, TrainConfig):
        changes["objective"] = exactly_scored(config.objective)
    for f in dataclasses.fields(config):
        value = getattr(config, f.name)
        if isinstance(value, TrainConfig | EvolveConfig | AdaptConfig):
            changes[f.name] = _exact(value)
        # looking at held-out samples more seldom may choose another epoch
        elif f.name in NUMERICS and not (
            f.name == "eval_every" and getattr(config, "hold_out", None)
        ):
            changes[f.name] = f.default
    return replaced(config, changes)


def precision_of(config: RunConfig) -> str:
    """What a run is computed in where that is not float32 throughout, such as ``bf16``, or ``bf16
    after float32`` where the networks it starts from were trained in another."""
    own = getattr(config, "precision", "no").replace("no", "")
    for f in dataclasses.fields(config):  # type: ignore[arg-type]
        value = getattr(config, f.name)
        parts = TrainConfig | EvolveConfig | AdaptConfig
        if isinstance(value, parts) and (before := precision_of(value)) != own:
            return f"{own or 'float32'} after {before or 'float32'}"
    return own


def with_seeds(
    config: TrainConfig, objectives: list[ObjectiveConfig], seeds: tuple[int, ...]
) -> list[TrainConfig]:
    """One run per seed and objective, seed by seed: an early stop then leaves whole tables."""
    return [
        dataclasses.replace(config, objective=objective, seed=seed)
        for seed in seeds
        for objective in objectives
    ]
