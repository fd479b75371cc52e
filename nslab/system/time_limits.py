"""Time limits: work that ends by itself when its time is over, and can be resumed."""

import os
import time

UNTIL = "NSLAB_UNTIL"  # seconds since 1970, in the environment of a process whose time is limited
EXIT_UNFINISHED = 75  # exit status: nothing is wrong, there is more to do (EX_TEMPFAIL of sysexits)


class OutOfTime(Exception):
    """The time of this process is over; its work is kept and can be continued."""

    def __init__(self) -> None:
        super().__init__(
            "the time is up: what is done is kept, and the same command continues from there"
        )


def time_is_up() -> bool:
    """Whether the time limit in the environment (`UNTIL`) is over; False if there is none.

    >>> time_is_up()
    False
    """
    given = os.environ.get(UNTIL, "")
    return bool(given) and time.time() >= float(given)
