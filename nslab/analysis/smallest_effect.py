"""The smallest effect that a comparison can detect, known before it starts."""

import statistics as numbers
from collections.abc import Sequence

from nslab.analysis.comparison import baseline_differences, lines_of
from nslab.analysis.ledger import runs_by_size
from nslab.analysis.statistics import detectable_effect
from nslab.configs import RunConfig
from nslab.configs.labels import text_of
from nslab.experiments import PRESETS, experiment
from nslab.experiments.definition import preset_sizes
from nslab.runs.results import every_run

POWER = 0.8


def smallest_effect(name: str, configs: Sequence[RunConfig]) -> str:
    """The smallest effect, in a sentence, that a paired t test of an experiment's methods against
    its baseline detects with probability 0.8 at p < 0.05. It is given in standard deviations of the
    differences and, if finished runs of the experiment show their spread, in the unit of its
    measure. Blank without a baseline.

    >>> from nslab import experiment
    >>> print(smallest_effect("ns/first", experiment("ns/first").plan("smoke", seeds=(1, 2, 3))))
    3 seeds tell differences from CE of 3.3 standard deviations or more (power 0.8, p < .05)
    """
    exp = experiment(name)
    if not exp.baseline:
        return ""
    base = text_of(str(next(iter(exp.baseline.values()))))
    n = len({config.seed for config in configs})
    if n < 2:
        return f"with one seed, no difference from {base} can be told from chance"
    effect = detectable_effect(n, POWER)
    told = f"{effect:.1f} standard deviations or more (power {POWER}, p < .05)"
    said = f"{n} seeds tell differences from {base} of {told}"
    spreads = observed_spreads(name)
    if not spreads:
        return said
    spread, count, preset = spreads
    return (
        f"{said}: {effect * spread:.2g} at the spread seen so far, {spread:.2g} (median of "
        f"{count} comparisons at preset {preset})"
    )


def observed_spreads(name: str) -> tuple[float, int, str] | None:
    """The median standard deviation of an experiment's paired differences, the number of
    comparisons behind it, and their preset, the largest that has any. None without such runs."""
    exp, runs = experiment(name), runs_by_size(every_run())
    for preset in reversed(PRESETS):
        if preset == "smoke":  # its data are different, so its spread says nothing
            break
        results = [result for size in preset_sizes(exp, preset) for result in runs.get(size, ())]
        if not results:
            continue
        found = baseline_differences(exp, lines_of(exp, results)).values()
        spreads = [numbers.stdev(values) for values in found if len(values) > 2]
        if spreads:
            return numbers.median(spreads), len(spreads), preset
    return None
