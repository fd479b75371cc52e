"""Checks of single values that people give: a name, a number of jobs."""

from typing import Any


def check_line(what: str, name: Any) -> None:
    """``ValueError`` for a name that is blank, or longer than a line.

    >>> check_line("the name of a method", "NS (pairs)")
    """
    if isinstance(name, str) and (not name.strip() or len(name.splitlines()) > 1):
        raise ValueError(f"{what} is {name!r}: some words on one line are meant")


def check_jobs(jobs: Any) -> None:
    """``ValueError`` unless ``jobs`` says how many runs are computed at once.

    >>> check_jobs(2)
    """
    if isinstance(jobs, bool) or not hasattr(jobs, "__index__") or jobs < 1:
        raise ValueError(f"jobs must be a whole number of 1 or more, not {jobs!r}")


__all__ = ["check_jobs", "check_line"]
