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

# Fields that say how a run is computed and how often it is evaluated, not what is computed.
NUMERICS = ("precision", "compile", "channels_last", "eval_every", "accumulate", "decoding")


@dataclass(frozen=True)
class Experiment:
    """A table or figure.

    Attributes:
        title: what it shows, in a few words.
        configs: ``configs(preset, seeds, ...)`` lists its runs.
        row: maps a run to its row of the paper's table (column name -> value).
        table: stem of the paper's CSV; None if the paper has no such table.
        measure: which number of our runs the table shows: a name in
            ``nslab.analysis.measures.MEASURES``, or of a number in a run's final results.
        comparable: whether its preset ``paper`` has the paper's own data and network; if not, its
            numbers are shown beside the paper's, but no difference is computed.
        baseline: the values that turn any row into its baseline's row, such as
            ``{"method": "ce"}``; the first item names the baseline. Runs are compared with those
            of the baseline seed by seed.
        unlike: rows (their values, as text) whose printed number averages over something that our
            runs lack -> the reason; no difference is ever computed for them.
        printed_as: value of our rows -> the value in the paper's table that it is compared with.
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
        """The runs for a preset; parameters are checked and converted to their types first.

        Besides the parameters of ``configs``, every plan takes those in `NUMERICS`, such as
        ``precision="bf16"`` or ``eval_every=5``, which also hold for the trainings that a run
        depends on, and ``scores="fast"``, with which Natural Selection computes scores in bfloat16
        where that has been tested (`nslab.objectives.fast_scores`). Raises ``ValueError`` for
        unknown presets or parameters and for values of a wrong type.
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
        """Its name in ``EXPERIMENTS``; blank if it is not registered."""
        registered = EVERY.get("experiment", {}).items()
        return next((key for key, value in registered if value is self), "")

    @property
    def allowed(self) -> dict[str, Any]:
        """The parameters that `plan` takes, with their types."""
        fields = hints(TrainConfig)
        numerics = {name: fields[name] for name in NUMERICS}
        return numerics | {"scores": Scores} | hints(self.configs)

    def preset_of(self, config: RunConfig, presets: tuple[str, ...]) -> str:
        """The first of ``presets`` that has this run, whatever its seed and numerics, or
        ``"custom"``."""
        size = size_of(config)
        for preset in presets:
            if size in preset_sizes(self, preset):
                return preset
        return "custom"


def fixed_fields() -> list[str]:
    """Names of all fields of trainings and evolutions. A preset fixes those that are not parameters
    of the experiment."""
    return sorted({*hints(TrainConfig), *hints(EvolveConfig)})


def computed_with(config: Any, numerics: Mapping[str, Any]) -> Any:
    """A config, and the configs inside it, with the given `NUMERICS` and ``scores`` where they have
    such fields."""
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
    """A config with some values changed; the same object if they are its own already, because
    creating a config takes time."""
    new = {name: value for name, value in changes.items() if value != getattr(config, name)}
    return dataclasses.replace(config, **new) if new else config


@functools.cache
def planned(experiment: Experiment, preset: str) -> tuple[RunConfig, ...]:
    """The runs of a preset with default parameters, cached."""
    return tuple(experiment.plan(preset))


def preset_sizes(experiment: Experiment, preset: str) -> dict[RunConfig, tuple]:
    """The runs of a preset without seed and numerics, in order, each with the values of its row.
    Empty if it cannot be planned here, for instance because a plug-in's data are missing."""
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
    """A config with seed 0 and default numerics: equal for runs that differ in nothing else."""
    return _exact(config.with_seed(0))


def _exact(config: Any) -> Any:
    """A config, and the configs inside it (base, ancestor), with default numerics and exact
    scores."""
    changes: dict[str, Any] = {}
    if isinstance(config, TrainConfig):
        changes["objective"] = exactly_scored(config.objective)
    for f in dataclasses.fields(config):
        value = getattr(config, f.name)
        if isinstance(value, TrainConfig | EvolveConfig | AdaptConfig):
            changes[f.name] = _exact(value)
        # with held-out samples, how often they are evaluated may change which epoch is chosen
        elif f.name in NUMERICS and not (
            f.name == "eval_every" and getattr(config, "hold_out", None)
        ):
            changes[f.name] = f.default
    return replaced(config, changes)


def precision_of(config: RunConfig) -> str:
    """The precision of a run: blank for float32 throughout, else such as ``bf16``, or ``bf16 after
    float32`` if the networks it starts from were trained in another precision."""
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
    """One run per seed and objective, seed by seed, so that an interrupted experiment has finished
    all objectives for its first seeds."""
    return [
        dataclasses.replace(config, objective=objective, seed=seed)
        for seed in seeds
        for objective in objectives
    ]
