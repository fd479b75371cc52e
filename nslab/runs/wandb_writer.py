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
# Without these W&B records the console, the code and how the machine is used.
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

    W&B takes steps in rising order only. So a file beside its own records what was written. If a
    step is missing before others, or a killed process left it open what was written, everything is
    written again under another id, and local files of the old one are removed.
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
        """Write what is missing; if that is not at the end, write everything again."""
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
        """Begin or continue W&B's run for this attempt."""
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
            reinit="create_new",  # a required run logs while the dependent one does
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
        """Begin again under another id; remove local files of the old one."""
        # found by the file, since W&B may change the folder's name if two start in one second
        for file in self.state.parent.glob(f"offline-run-*/run-{self._id}.wandb"):
            shutil.rmtree(file.parent, ignore_errors=True)
        self.attempt, self.held = self.attempt + 1, set()

    def _keep(self, closed: bool) -> None:
        """Record what W&B has of the run."""
        held: dict[str, list[int]] = {}
        for tag, step in sorted(self.held):
            held.setdefault(tag, []).append(step)
        self.state.parent.mkdir(parents=True, exist_ok=True)
        state: Mapping[str, Any] = {"attempt": self.attempt, "closed": closed, "held": held}
        write_text(self.state, json.dumps(state))


def mode() -> str:
    """``WANDB_MODE``, else ``offline``; ``ValueError`` for a mode that W&B does not have."""
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
            raise ValueError(
                f"W&B cannot be used online: check its server, or unset WANDB_MODE ({error})"
            ) from None
        if not known:
            raise ValueError(
                "WANDB_MODE asks for W&B online, and nobody is logged in: run `wandb login`"
            )
