"""Numbers of things in words."""


def counted(count: int, noun: str) -> str:
    """A number of things that are counted; ``noun`` takes an s.

    >>> counted(1, "seed"), counted(3, "seed"), counted(0, "figure")
    ('1 seed', '3 seeds', '0 figures')
    """
    return f"{count:,} {noun}{'' if count == 1 else 's'}"
