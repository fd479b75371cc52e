"""A number and a noun in the right form."""


def counted(count: int, noun: str) -> str:
    """A number and ``noun``, which gets an s unless the number is 1.

    >>> counted(1, "seed"), counted(3, "seed"), counted(0, "figure")
    ('1 seed', '3 seeds', '0 figures')
    """
    return f"{count:,} {noun}{'' if count == 1 else 's'}"
