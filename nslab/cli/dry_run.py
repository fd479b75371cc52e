"""Dry runs: print what a command would do, without doing it."""

from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nslab.configs import RunConfig
    from nslab.workbench.notebooks import Planned


def print_dry_run(
    configs: "Sequence[RunConfig]", notebooks: "Sequence[Planned]", jobs: int, force: bool = False
) -> None:
    """Print what would run, what is finished already, and how long the rest may take.

    Args:
        configs: the runs that were asked for; runs they require are listed too.
        notebooks: the notebooks that were asked for.
        jobs: processes at once, by which the total time is divided.
        force: list finished runs and notebooks as to do.
    """
    from nslab.execution.monitor import duration
    from nslab.runs.estimates import Estimates, finished_here
    from nslab.runs.probe import probed_seconds
    from nslab.runs.results import find, stages

    todo = {c.id: c for c in configs if force or not find(c)}
    needed = {c.id: c for step in stages(todo) for c in step}
    estimates = Estimates(finished_here())
    guesses: list[float | None] = []
    counts: dict[str, int] = {}
    probed = 0
    every = needed | {c.id: c for c in configs}
    labels = distinct_labels(list(every.values()))
    for config in every.values():
        guess, result = None, None if config.id in needed else find(config)
        state = result.origin if result else "to do"
        if config.id in needed:
            guess = estimates.of(config)
            if guess is None and (guess := probed_seconds(config)) is not None:
                probed += 1
            guesses.append(guess)
        counts[state] = counts.get(state, 0) + 1
        print_line(config.id, state, guess, labels[config.id])
    for planned in notebooks:
        guess, state = None, "rendered"
        if force or not planned.rendered():
            state = "to do"
            guesses.append(guess := planned.last().get("seconds"))
        counts[state] = counts.get(state, 0) + 1
        print_line(planned.name, state, guess, "notebook")
    timed = [guess for guess in guesses if guess is not None]
    parts = [", ".join(f"{count} {state}" for state, count in counts.items())]
    if timed:
        parts.append(f"about {duration(sum(timed) / max(1, jobs))} with {max(1, jobs)} at once")
    if probed:
        parts.append(
            f"{probed} estimated from one training step on this device, without image decoding"
        )
    if unknown := len(guesses) - len(timed):
        parts.append(f"the time of {unknown} is unknown, because nothing similar has finished")
    typer.echo("; ".join(parts))


def distinct_labels(configs: "Sequence[RunConfig]") -> dict[str, str]:
    """Labels of runs, by their ids; where several runs share one, the fields that differ are
    added."""
    from nslab.analysis.run_differences import distinguished
    from nslab.configs.labels import label

    alike: dict[str, list[RunConfig]] = {}
    for config in configs:
        alike.setdefault(label(config), []).append(config)
    return {
        config.id: f"{text}; {own}" if own else text
        for text, group in alike.items()
        for config, own in zip(group, distinguished(group), strict=True)
    }


def print_smallest_effect(name: str, configs: "Sequence[RunConfig]") -> None:
    """Print the smallest difference from its baseline that an experiment can detect with the seeds
    of these configs."""
    from nslab.analysis.smallest_effect import smallest_effect

    if sentence := smallest_effect(name, configs):
        typer.echo(sentence)


def print_line(name: str, state: str, seconds: float | None, about: str) -> None:
    """Print one line of a dry run: name, state, estimated time and label."""
    from nslab.execution.monitor import duration

    guess = "unknown" if seconds is None else f"~{duration(seconds)}"
    typer.echo(f"{name}  {state:8}  {guess if state == 'to do' else '':10}  {about}")
