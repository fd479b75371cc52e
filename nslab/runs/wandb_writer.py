"""Writer of logs for Weights & Biases: offline unless the user's environment says otherwise."""

import json
import os
import shutil
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

from nslab.configs.protocol import RunConfig
from nslab.configs.serialization import encode
from nslab.runs.log_writers import LoggedNumbers, extra, log_name, write
from nslab.system.files import write_text
from nslab.system.paths import logs_dir
from nslab.system.validation import unknown

MODES = ("offline", "online", "shared", "disabled")
# It sends reports of its own errors otherwise, and a picture of the machine's use.
QUIET = {
    "silent": True,
    "console": "off",
    "disable_git": True,
    "disable_code": True,
    "x_disable_stats": True,
    "x_disable_meta": True,
}


class WandB:
    """A run of W&B, in ``data/logs/wandb``, or, with ``WANDB_MODE=online``, on its server.

    Steps of W&B only rise. So what was written is kept beside it, and where a step is missing
    before others, or a kill left it unknown what there is, all are written anew under another id,
    and what lay here of the old one is removed.
    """

    def __init__(self, config: RunConfig, fresh: bool) -> None:
        self.wandb = extra("wandb", "wandb")
        self.config = config
        self.log: Any = None
        self.state = logs_dir() / "wandb" / f"{config.id}.json"
        found: dict[str, Any] = {}
        with suppress(OSError, ValueError):
            found = json.loads(self.state.read_text(encoding="utf-8"))
        self.attempt = int(found.get("attempt", 0))
        self.held: set[tuple[str, int]] = set()
        if found and (fresh or not found.get("closed")):
            self._another()
        elif found:
            self.held = {(tag, step) for tag, steps in found["held"].items() for step in steps}

    def write(self, step: int, numbers: LoggedNumbers) -> None:
        """Write a step."""
        if self.log is None:
            self._open()
        self.log.log(dict(numbers), step=step)

    def fill(self, rows: Sequence[tuple[int, LoggedNumbers]]) -> None:
        """Write what is missing; where that is not at the end, all anew."""
        wanted = {(tag, step) for step, row in rows for tag in row}
        last = max((step for _, step in self.held), default=0)
        if any(step <= last for _, step in wanted - self.held):
            self._end("FINISHED")
            self._another()
        for step, row in rows:
            write(self, step, row)

    def close(self, status: str) -> None:
        """End the run."""
        self._end(status)
        self._keep(closed=True)

    def _open(self) -> None:
        """Begin, or go on with, this attempt at the run."""
        self._keep(closed=False)
        os.environ.setdefault("WANDB_ERROR_REPORTING", "false")
        self.log = self.wandb.init(
            project="nslab",
            id=self._id,
            name=log_name(self.config),
            config=encode(self.config),
            dir=str(logs_dir()),
            mode=mode(),
            resume="allow",
            reinit="create_new",  # a run that another needs is logged while that one is
            settings=self.wandb.Settings(**QUIET),
        )

    @property
    def _id(self) -> str:
        return f"{self.config.id}-{self.attempt}" if self.attempt else self.config.id

    def _end(self, status: str) -> None:
        if self.log is not None:
            self.log.finish(exit_code=int(status != "FINISHED"))
        self.log = None

    def _another(self) -> None:
        """Begin anew under another id; what lies here of the old one goes."""
        # not by the folder's name: of two in one second W&B gives the second another
        for file in self.state.parent.glob(f"offline-run-*/run-{self._id}.wandb"):
            shutil.rmtree(file.parent, ignore_errors=True)
        self.attempt, self.held = self.attempt + 1, set()

    def _keep(self, closed: bool) -> None:
        """Write down what W&B has of the run."""
        held: dict[str, list[int]] = {}
        for tag, step in sorted(self.held):
            held.setdefault(tag, []).append(step)
        self.state.parent.mkdir(parents=True, exist_ok=True)
        state: Mapping[str, Any] = {"attempt": self.attempt, "closed": closed, "held": held}
        write_text(self.state, json.dumps(state))


def mode() -> str:
    """``WANDB_MODE``, else ``offline``; ``ValueError`` for a mode that W&B has not."""
    found = os.environ.get("WANDB_MODE") or "offline"
    if found not in MODES:
        raise unknown("WANDB_MODE", found, MODES)
    return found


def check_wandb() -> None:
    """``ValueError`` where W&B cannot be written for: without its package, in an unknown mode, or
    online without an account."""
    wandb = extra("wandb", "wandb")
    if mode() in ("online", "shared"):
        try:
            known = wandb.login(anonymous="never", timeout=1, relogin=False)
        except Exception as error:
            raise ValueError(f"W&B cannot be used online: {error}") from None
        if not known:
            raise ValueError("W&B is to be online, and nobody is logged in: wandb login")
