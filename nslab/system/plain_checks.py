"""Checks of single arguments of users: a name, a number of jobs."""

from typing import Any


def check_line(what: str, name: Any) -> None:
    """``ValueError`` for a name that is blank, or has several lines; ``what`` says what it names.

    >>> check_line("the name of a method", "NS (pairs)")
    """
    if isinstance(name, str) and (not name.strip() or len(name.splitlines()) > 1):
        raise ValueError(f"{what} is {name!r}: give some words on one line")


def check_jobs(jobs: Any) -> None:
    """``ValueError`` unless ``jobs``, the number of runs computed at once, is 1 or more.

    >>> check_jobs(2)
    """
    if isinstance(jobs, bool) or not hasattr(jobs, "__index__") or jobs < 1:
        raise ValueError(f"jobs must be a whole number of 1 or more, not {jobs!r}")


__all__ = ["check_jobs", "check_line"]
