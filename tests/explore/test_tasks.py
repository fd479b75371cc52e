"""What panels are built from: threads that pause, pictures redrawn in place, lines that say it."""

import asyncio
import threading
import time

import pytest

from nslab.explore.ui.canvas import Canvas
from nslab.explore.ui.controls import Sheet, Status, on_change, slider
from nslab.explore.ui.tasks import UiThread, Worker


def counting(heard: list[int], total: int = 1000) -> Worker:
    """A worker that counts, and is heard at once."""

    def count(worker: Worker) -> None:
        for i in range(total):
            worker.wait_for_step()
            worker.post(i)

    return Worker(UiThread(print), count, heard.extend, lambda: None)


def test_a_worker_steps_pauses_and_ends() -> None:
    """It does what it was asked for and no more."""
    heard: list[int] = []
    worker = counting(heard, 10)
    assert worker.state == "ready"
    worker.advance(3)
    assert (heard, worker.state) == ([0, 1, 2], "paused")
    worker.advance(2)
    assert heard == [0, 1, 2, 3, 4]
    worker.advance(100)
    assert (heard, worker.state) == (list(range(10)), "done")


def test_a_stopped_worker_is_silent() -> None:
    """Its thread ends before the next step, and nothing of it arrives any more."""
    heard: list[int] = []
    worker = counting(heard)
    worker.pace = 100
    worker.start()
    assert worker.state == "running"
    time.sleep(0.05)
    worker.stop()
    assert worker._thread is not None
    worker._thread.join(5)
    assert not worker._thread.is_alive()
    worker.drain()
    assert heard == []


def test_a_worker_keeps_its_pace() -> None:
    """So many steps a second, at most."""
    worker = counting([])
    worker.pace = 20
    begin = time.monotonic()
    worker.advance(5)
    assert time.monotonic() - begin >= 4 / 20


def test_errors_of_a_task_are_raised_where_one_waits() -> None:
    """And the worker says that it failed."""

    def fail(worker: Worker) -> None:
        worker.wait_for_step()
        raise ValueError("no such thing")

    worker = Worker(UiThread(print), fail, print, lambda: None)
    with pytest.raises(ValueError, match="no such thing"):
        worker.advance(1)
    assert worker.state == "failed"


def test_results_arrive_in_the_thread_of_the_widgets(monkeypatch: pytest.MonkeyPatch) -> None:
    """Work is done elsewhere; drawing, and errors, come home, a few times a second."""
    monkeypatch.setenv("NSLAB_HEADLESS", "0")
    where: dict[str, object] = {"drawings": []}

    async def session() -> None:
        ui_thread = UiThread(lambda error: where.update(error=str(error)))
        assert ui_thread.live
        ended = asyncio.Event()
        heard: list[int] = []

        def on_results(notes: list[int]) -> None:
            heard.extend(notes)
            where["drawings"].append(threading.get_ident())  # type: ignore[attr-defined]

        def count(worker: Worker) -> None:
            where["worker"] = threading.get_ident()
            for i in range(60):
                worker.wait_for_step()
                worker.post(i)

        worker = Worker(ui_thread, count, on_results, ended.set)
        worker.pace = 100
        worker.start()
        ui_thread.later(lambda: 1 / 0, print)
        ui_thread.later(threading.get_ident, lambda ident: where.update(quick=ident))
        await asyncio.wait_for(ended.wait(), 30)
        assert heard == list(range(60))

    asyncio.run(session())
    here = threading.get_ident()
    assert where["error"] == "division by zero"
    assert here not in (where["worker"], where["quick"])
    assert set(where["drawings"]) == {here}  # type: ignore[call-overload]
    assert len(where["drawings"]) < 15  # type: ignore[arg-type]


def test_what_moves_is_drawn_as_a_whole_drawing_would() -> None:
    """The same pixels, where nothing overlaps what moves."""
    canvas = Canvas("test", 200, 150, "a line")
    axes = canvas.figure.add_subplot()
    (line,) = axes.plot([0, 1], [0, 1])
    axes.set(xlim=(0, 1), ylim=(0, 1))
    canvas.follow(line)
    blank = canvas.image.value
    canvas.redraw()
    assert canvas.image.value is blank, "a picture without its contents would flash up"
    canvas.show()
    first = canvas.image.value
    line.set_ydata([1, 0])
    canvas.show()
    moved = canvas.image.value
    canvas.redraw()
    canvas.show()
    assert bytes(canvas.image.value) == bytes(moved) != bytes(first)
    line.set_ydata([0, 1])
    canvas.show()
    assert bytes(canvas.image.value) == bytes(first)


def test_statuses_say_what_to_do_and_are_escaped() -> None:
    """Text never becomes markup."""
    status = Status("test")
    status.fail(ValueError("use <digits>"))
    assert status.text == "use <digits>"
    assert "&lt;digits&gt;" in status.widget.value
    status.fail(ZeroDivisionError("division"))
    assert status.text == "ZeroDivisionError: division"


def test_tables_scroll_by_keyboard() -> None:
    """A region that takes the focus and says what it is."""
    sheet = Sheet("test", 100)
    sheet.show("<table></table>", "a < b")
    assert 'tabindex="0"' in sheet.widget.value
    assert 'aria-label="a &lt; b"' in sheet.widget.value


def test_controls_carry_symbol_and_word() -> None:
    """And a class by which they are found."""
    control = slider("test-sigma", "σ", "base weight", 0.7, (0.0, 3.0), 0.05)
    assert control.description == "σ, base weight"
    assert "nsl-test-sigma" in control._dom_classes


def test_what_another_thread_changes_is_answered_at_home(monkeypatch: pytest.MonkeyPatch) -> None:
    """Once, with the last value, however often it changed before there was time to draw."""
    monkeypatch.setenv("NSLAB_HEADLESS", "0")
    seen: list[tuple[int, float]] = []

    async def session() -> None:
        ui_thread = UiThread(print)
        control = slider("test-sigma", "σ", "base weight", 0.0, (0.0, 3.0), 0.05)
        on_change(ui_thread, lambda: seen.append((threading.get_ident(), control.value)), control)

        def move() -> None:
            for value in (0.5, 1.0, 1.5):
                control.value = value

        other = threading.Thread(target=move)
        other.start()
        other.join()
        assert not seen  # nothing is drawn in the other thread
        await asyncio.sleep(0.05)
        control.value = 2.0  # in this thread: at once
        assert seen[-1] == (threading.get_ident(), 2.0)

    asyncio.run(session())
    assert seen == [(threading.get_ident(), 1.5), (threading.get_ident(), 2.0)]
