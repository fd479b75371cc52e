"""The buttons that control a worker: start, pause, step, reset."""

import math
from collections.abc import Callable, Sequence
from typing import Any

from nslab.explore.ui import controls
from nslab.explore.ui.tasks import UiThread, Worker

STATES = ("loading", "ready", "running", "paused", "done", "failed")


class Runner:
    """A worker and its controls.

    ``settings`` are the controls that a worker is made from. They are disabled while it is running
    or paused; when one of them changes, or at a reset, ``begin`` is called to make another worker.
    ``on_change`` is called whenever the state may have changed.
    """

    def __init__(
        self,
        name: str,
        steps: str,
        pace: tuple[int, int],
        ui_thread: UiThread,
        settings: Sequence[Any],
        begin: Callable[[], object],
        on_change: Callable[[], object],
    ) -> None:
        """``steps``: what the worker's steps are called, in the plural; ``pace``: steps per second
        at first, and the most that can be set."""
        self.worker: Worker | None = None
        self.settings, self.on_change, self.ui_thread = settings, on_change, ui_thread
        self.pace = controls.counter(
            f"{name}-pace", "", f"{steps} a second, ≤", pace[0], (1, pace[1])
        )
        self.start, self.pause, self.step, self.reset = (
            controls.button(f"{name}-{word}", word, icon, ui_thread, act, about)
            for word, icon, act, about in (
                (
                    "start",
                    "play",
                    lambda: self._move(Worker.start),
                    "Begin, or go on after a pause",
                ),
                ("pause", "pause", lambda: self._move(Worker.pause), "Wait before the next step"),
                ("step", "step-forward", lambda: self._move(Worker.step), f"One of the {steps}"),
                ("reset", "refresh", begin, "Begin anew"),
            )
        )
        controls.on_change(ui_thread, begin, *settings)
        controls.on_change(ui_thread, self._set_pace, self.pace)

    @property
    def buttons(self) -> tuple[Any, ...]:
        """The buttons start, pause, step and reset."""
        return self.start, self.pause, self.step, self.reset

    @property
    def state(self) -> str:
        """One of ``STATES``."""
        return "loading" if self.worker is None else self.worker.state

    def close(self) -> None:
        """Stop the worker."""
        if self.worker is not None:
            self.worker.stop()
        self.worker = None
        self.show()

    def set_task(
        self, task: Callable[[Worker], object], on_results: Callable[[list[Any]], object]
    ) -> None:
        """Make a worker for a task; it begins when the user starts it."""
        self.worker = Worker(self.ui_thread, task, on_results, self.show)
        self._set_pace()
        self.show()

    def advance(self, steps: int) -> None:
        """Take some steps as fast as possible, while the caller waits."""
        if self.worker is not None:
            self.worker.pace = math.inf
            self.worker.advance(steps)
        self.show()

    def show(self) -> None:
        """Enable the controls that can be used now, and update the panel's status."""
        state = self.state
        self.start.disabled = self.step.disabled = state not in ("ready", "paused")
        self.pause.disabled = state != "running"
        self.reset.disabled = state == "loading"
        for control in self.settings:
            control.disabled = state in ("running", "paused")
        if self.worker is not None and self.worker.error:
            self.ui_thread.failed(self.worker.error)
        elif self.worker is not None:
            self.on_change()

    def _move(self, how: Callable[[Worker], object]) -> None:
        if self.worker is not None:
            how(self.worker)
            self.show()

    def _set_pace(self) -> None:
        if self.worker is not None:
            self.worker.pace = self.pace.value
