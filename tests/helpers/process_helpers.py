"""Processes that do something at the same time."""

import os
import pickle
from collections.abc import Callable, Sequence


def at_once(acts: Sequence[Callable[[], object]]) -> list[BaseException | None]:
    """Do each in a forked process of its own, all from the same moment; what each raised."""
    start, begin = os.pipe()
    children = []
    for act in acts:
        told, tell = os.pipe()
        if child := os.fork():
            os.close(tell)
            children.append((child, told))
            continue
        os.close(begin)
        os.read(start, 1)  # ends when all are there
        error: BaseException | None = None
        try:
            act()
        except BaseException as raised:
            error = raised.with_traceback(None)
        os.write(tell, pickle.dumps(error))
        os._exit(0)
    os.close(start)
    os.close(begin)
    ended = []
    for child, told in children:
        with open(told, "rb") as pipe:
            text = pipe.read()
        os.waitpid(child, 0)
        ended.append(pickle.loads(text) if text else ChildProcessError("it was killed"))
    return ended
