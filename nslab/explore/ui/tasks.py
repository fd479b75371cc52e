"""Background tasks of the interface: other threads compute, the widgets' own thread draws."""

import asyncio
import math
import queue
import threading
import time
from collections.abc import Callable
from typing import Any

from nslab.system.progress import headless

BETWEEN_DRAWINGS = 0.2  # seconds between two drawings, at least


class UiThread:
    """The thread of the interface, with its event loop, to which other threads deliver results.

    In an interactive session with a running event loop, as in a kernel, it is ``live``: work is
    done in the background, and ``failed`` is called with errors. Otherwise work is done at once,
    and errors are raised.
    """

    def __init__(self, failed: Callable[[Exception], object]) -> None:
        self.failed = failed
        self.loop: asyncio.AbstractEventLoop | None = None
        self.thread, self._asked = threading.get_ident(), set[Callable[[], object]]()
        if not headless():
            try:
                self.loop = asyncio.get_running_loop()
            except RuntimeError:
                return

    @property
    def live(self) -> bool:
        """Whether work is done in the background."""
        return self.loop is not None

    def deliver(self, act: Callable[[], object], delay: float = 0) -> None:
        """Call ``act`` in the interface's thread, after ``delay`` seconds; from any thread."""
        if self.loop is None:
            act()
        elif delay:
            self.loop.call_soon_threadsafe(self.loop.call_later, delay, self.attempt, act)
        else:
            self.loop.call_soon_threadsafe(self.attempt, act)

    def answer(self, act: Callable[[], object]) -> None:
        """Call ``act``, which reads controls, in the interface's thread: at once if this is it.

        JupyterLab passes user actions to another thread of the kernel (a subshell). However many
        of them come before the interface's thread has time, ``act`` is called once.
        """
        if self.loop is None or threading.get_ident() == self.thread:
            self.attempt(act)
        elif act not in self._asked:
            self._asked.add(act)
            self.loop.call_soon_threadsafe(self._answer, act)

    def _answer(self, act: Callable[[], object]) -> None:
        self._asked.discard(act)  # first, so that later changes call ``act`` again
        self.attempt(act)

    def later(
        self, work: Callable[[], Any], then: Callable[[Any], object], *, slow: bool = False
    ) -> None:
        """Do ``work`` in the background, then call ``then`` with its result. Tasks are done one
        after another; ``slow`` ones have a queue of their own, so as not to hold up the others."""
        if self.loop is None:
            then(work())
            return

        def task() -> None:
            try:
                result = work()
            except Exception as error:
                failure = error
                self.deliver(lambda: self.failed(failure))
            else:
                self.deliver(lambda: then(result))

        (SLOW if slow else QUICK).put(task)

    def attempt(self, act: Callable[[], object]) -> None:
        """Call ``act``; if live, errors are passed to ``failed`` instead of raised."""
        if self.loop is None:
            act()
            return
        try:
            act()
        except Exception as error:
            self.failed(error)


class Background:
    """A thread that does tasks in order; it ends with the process."""

    def __init__(self) -> None:
        self._tasks: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None

    def put(self, task: Callable[[], None]) -> None:
        """Add a task."""
        self._tasks.put(task)
        if self._thread is None:
            self._thread = threading.Thread(target=self._serve, name="explore", daemon=True)
            self._thread.start()

    def _serve(self) -> None:
        while True:
            self._tasks.get()()


QUICK, SLOW = Background(), Background()


class TaskStopped(Exception):
    """Raised inside a task to end it."""


class Worker:
    """A task in a thread of its own that can be started, paused, stepped and stopped.

    ``task(worker)`` calls `wait_for_step` before every step, which waits while paused, and `post`
    with its results. ``on_results`` gets the results posted since its last call, in the interface's
    thread and at most five times a second; ``on_end`` is called there when the task ends.
    """

    def __init__(
        self,
        ui_thread: UiThread,
        task: "Callable[[Worker], object]",
        on_results: Callable[[list[Any]], object],
        on_end: Callable[[], object],
    ) -> None:
        self.ui_thread, self.task = ui_thread, task
        self.on_results, self.on_end = on_results, on_end
        self.pace = math.inf  # most steps per second
        self.error: Exception | None = None
        self._allowed = self._due = self._drawn = 0.0
        self._stopped = self._ended = self._waking = self._waiting = False
        self._gate = threading.Condition()
        self._notes: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None

    @property
    def state(self) -> str:
        """``ready``, ``running``, ``paused``, ``done`` or ``failed``."""
        if self._ended or self._stopped:
            return "failed" if self.error else "done"
        if self._thread is None:
            return "ready"
        return "running" if self._allowed >= 1 else "paused"

    def start(self) -> None:
        """Run until the end or a pause."""
        self._allow(math.inf)

    def pause(self) -> None:
        """Wait before the next step."""
        self._allow(0)

    def step(self, steps: int = 1) -> None:
        """Take some steps, then wait."""
        self._allow(steps)

    def stop(self) -> None:
        """End the task before its next step; results that it still posts are dropped."""
        self._stopped = True
        self._allow(0)

    def advance(self, steps: int) -> None:
        """Take some steps while the caller waits, and pass on their results; raises what the task
        raises."""
        self.step(steps)
        with self._gate:
            self._gate.wait_for(lambda: self._ended or (self._waiting and self._allowed < 1))
        self.drain()
        if self.error:
            raise self.error

    def wait_for_step(self) -> None:
        """For the task: wait until it may take a step; raises `TaskStopped` to end it."""
        with self._gate:
            self._waiting = True
            self._gate.notify_all()  # wakes `advance`
            while not self._stopped:
                left = self._due - time.monotonic()
                if self._allowed >= 1 and left <= 0:
                    break
                self._gate.wait(left if self._allowed >= 1 else None)
            self._waiting = False
            if self._stopped:
                raise TaskStopped
            self._allowed -= 1
            self._due = time.monotonic() + 1 / self.pace

    def post(self, note: Any) -> None:
        """For the task: hand over a result."""
        self._notes.put(note)
        if self.ui_thread.live and not self._waking:
            self._waking = True
            since = time.monotonic() - self._drawn
            self.ui_thread.deliver(self.drain, max(0.0, BETWEEN_DRAWINGS - since))

    def drain(self) -> None:
        """Pass posted results to ``on_results``; in the interface's thread."""
        self._waking, notes = False, []
        while not self._notes.empty():
            notes.append(self._notes.get())
        if notes and not self._stopped:
            self.on_results(notes)
        self._drawn = time.monotonic()

    def _allow(self, steps: float) -> None:
        with self._gate:
            self._allowed, self._due = steps, 0.0
            self._gate.notify_all()
        if self._thread is None and steps >= 1:
            self._thread = threading.Thread(target=self._run, name="explore-worker", daemon=True)
            self._thread.start()

    def _run(self) -> None:
        try:
            self.task(self)
        except TaskStopped:
            pass
        except Exception as error:
            self.error = error
        with self._gate:
            self._ended = True
            self._gate.notify_all()
        if self.ui_thread.live and not self._stopped:
            self.ui_thread.deliver(self.drain)
            self.ui_thread.deliver(self.on_end)
