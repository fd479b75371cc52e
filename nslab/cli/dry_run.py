"""Dry run: what a command would do, said without doing it."""

from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nslab.configs import RunConfig
    from nslab.workbench.notebooks import Planned


def print_dry_run(
    configs: "Sequence[RunConfig]", notebooks: "Sequence[Planned]", jobs: int, force: bool = False
) -> None:
    """Say what would run, what is there already, and how long it will take as far as is known."""
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
    said_of = labels_apart(list(every.values()))
    for config in every.values():
        guess, result = None, None if config.id in needed else find(config)
        state = result.origin if result else "to do"
        if config.id in needed:
            guess = estimates.of(config)
            if guess is None and (guess := probed_seconds(config)) is not None:
                probed += 1
            guesses.append(guess)
        counts[state] = counts.get(state, 0) + 1
        print_line(config.id, state, guess, said_of[config.id])
    for planned in notebooks:
        guess, state = None, "rendered"
        if force or not planned.rendered():
            state = "to do"
            guesses.append(guess := planned.last().get("seconds"))
        counts[state] = counts.get(state, 0) + 1
        print_line(planned.name, state, guess, "notebook")
    timed = [guess for guess in guesses if guess is not None]
    said = [", ".join(f"{count} {state}" for state, count in counts.items())]
    if timed:
        said.append(f"about {duration(sum(timed) / max(1, jobs))} with {max(1, jobs)} at once")
    if probed:
        said.append(f"{probed} by one step of their network on this device, decoding left out")
    if unknown := len(guesses) - len(timed):
        said.append(f"the time of {unknown} is unknown, as nothing like them is finished")
    typer.echo("; ".join(said))


def labels_apart(configs: "Sequence[RunConfig]") -> dict[str, str]:
    """What each run is called, by its id; where several are called the same, with what tells them
    apart."""
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
    """Say the smallest difference to its baseline that an experiment can show with these seeds."""
    from nslab.analysis.smallest_effect import smallest_effect

    if said := smallest_effect(name, configs):
        typer.echo(said)


def print_line(name: str, state: str, seconds: float | None, about: str) -> None:
    """A line of a dry run."""
    from nslab.execution.monitor import duration

    guess = "unknown" if seconds is None else f"~{duration(seconds)}"
    typer.echo(f"{name}  {state:8}  {guess if state == 'to do' else '':10}  {about}")
