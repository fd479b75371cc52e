"""The process that computes one run: ``python -m nslab.runs.worker data/runs/<id>``."""

import json
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from nslab.configs.serialization import decode
from nslab.execution.local import UNWRITABLE
from nslab.execution.stopping import follow_parent
from nslab.runs.portability import lacking
from nslab.runs.store import run
from nslab.system.time_limits import EXIT_UNFINISHED, OutOfTime
from nslab.training.epoch import NonFiniteLoss


def main(folder: Path, options: Sequence[str]) -> int:
    """Compute the run whose ``config.json`` lies in ``folder``; returns the exit status."""
    follow_parent()
    log = [text.removeprefix("--log=") for text in options if text.startswith("--log=")]
    try:
        config = decode(json.loads((folder / "config.json").read_text(encoding="utf-8")))
        weights, force = "--weights" in options, "--force" in options
        run(config, weights=weights, force=force, resume=True, log=log)  # see `nslab.runs.pool.job`
    except OutOfTime as end:
        print(end)
        return EXIT_UNFINISHED
    except (OSError, ValueError, NonFiniteLoss) as error:
        with suppress(OSError):  # the log may lie on the disk that is full
            print(f"error: {error}", file=sys.stderr)  # says what to do
            if isinstance(error, ValueError) and (more := lacking(made_in(folder))):
                print(more, file=sys.stderr)
        return UNWRITABLE if isinstance(error, OSError) else 1
    return 0


def made_in(folder: Path) -> dict[str, Any]:
    """The environment in which a run was begun, as far as its folder records it."""
    try:
        found = json.loads((folder / "env.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), sys.argv[2:]))
