"""The process that computes one run: ``python -m nslab.runs.worker data/runs/<id>``."""

import json
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from nslab.configs.serialization import decode
from nslab.execution.local import UNWRITABLE, follow_parent
from nslab.runs.store import run
from nslab.training.epoch import NonFiniteLoss


def main(folder: Path, options: Sequence[str]) -> int:
    """Compute the run whose ``config.json`` lies in ``folder``; the exit status."""
    follow_parent()
    log = [text.removeprefix("--log=") for text in options if text.startswith("--log=")]
    try:
        config = decode(json.loads((folder / "config.json").read_text(encoding="utf-8")))
        weights, force = "--weights" in options, "--force" in options
        run(config, weights=weights, force=force, resume=True, log=log)  # see `nslab.runs.pool.job`
    except (OSError, ValueError, NonFiniteLoss) as error:
        with suppress(OSError):  # the log may lie on the disk that is full
            print(f"error: {error}", file=sys.stderr)  # says what to do
        return UNWRITABLE if isinstance(error, OSError) else 1
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), sys.argv[2:]))
