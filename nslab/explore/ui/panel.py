"""The class that all panels inherit from."""

from typing import Any, ClassVar

from nslab.explore.ui import controls
from nslab.explore.ui.canvas import Canvas
from nslab.explore.ui.runner import Runner
from nslab.explore.ui.tasks import UiThread
from nslab.runs.store import Result


class Panel:
    """A panel: a figure, a status line, the runs shown, and a `UiThread` for background work."""

    name: ClassVar[str]
    widget: Any

    def __init__(self, canvas: Canvas) -> None:
        self.runs: list[Result] = []
        self.figure = canvas.figure
        self.status = controls.Status(self.name)
        self.ui_thread = UiThread(self.status.fail)

    @property
    def parameters(self) -> dict[str, Any]:
        """Values of the controls, as provenance of the figure."""
        raise NotImplementedError

    def advance(self, steps: int) -> None:
        """Take some steps of the panel's work; nothing for panels without any."""

    def close(self) -> None:
        """Stop background work."""


class LivePanel(Panel):
    """A panel whose work can be started, paused, stepped and reset."""

    runner: Runner

    def advance(self, steps: int) -> None:
        """Take some steps while the caller waits."""
        self.runner.advance(steps)

    def close(self) -> None:
        """Stop the work."""
        self.runner.close()
