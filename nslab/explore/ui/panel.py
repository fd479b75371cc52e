"""The class that all panels inherit from."""

from typing import Any, ClassVar

from nslab.explore.ui import controls
from nslab.explore.ui.canvas import Canvas
from nslab.explore.ui.runner import Runner
from nslab.explore.ui.tasks import UiThread
from nslab.runs.store import Result


class Panel:
    """A figure, a line of text, the runs that are shown, and where results of threads arrive."""

    name: ClassVar[str]
    widget: Any

    def __init__(self, canvas: Canvas) -> None:
        self.runs: list[Result] = []
        self.figure = canvas.figure
        self.status = controls.Status(self.name)
        self.ui_thread = UiThread(self.status.fail)

    @property
    def parameters(self) -> dict[str, Any]:
        """What the figure shows."""
        raise NotImplementedError

    def advance(self, steps: int) -> None:
        """Go on for some steps, where something goes on by itself."""

    def close(self) -> None:
        """End what goes on."""


class LivePanel(Panel):
    """A panel whose work is started, paused, stepped and reset."""

    runner: Runner

    def advance(self, steps: int) -> None:
        """Take some steps while the caller waits."""
        self.runner.advance(steps)

    def close(self) -> None:
        """End the work."""
        self.runner.close()
