"""Start processes that compute one run together, by torch's launcher; none outlives its parent.

``python -m nslab.execution.launcher`` takes the arguments of ``torchrun``. When torch's own
launcher is killed, the processes that it started stay behind. Here they end with the launcher, and
the launcher ends with the process that started it.
"""

import os
import sys

from nslab.execution.stopping import PARENT, follow_parent


def main(words: list[str]) -> None:
    """Start the processes and wait for them."""
    from torch.distributed import run

    follow_parent()
    os.environ[PARENT] = str(os.getpid())
    run.main(words)


if __name__ == "__main__":
    main(sys.argv[1:])
