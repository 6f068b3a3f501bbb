"""Work done ahead: items are made in a thread of their own while earlier ones are used."""

from collections.abc import Generator, Iterable
from queue import Full, Queue
from threading import Event, Thread
from typing import TypeVar

Item = TypeVar("Item")
Made = tuple[Item | None, BaseException | None] | None  # an item, or the error in its place; None is the end
LOOK_SECONDS = 0.1  # how often a thread with nobody to take its items looks whether it is to stop


def ahead(items: Iterable[Item], depth: int) -> Generator[Item, None, None]:
    """Yields the items in their order; up to `depth` are made before they are asked for.

    What fails in the making is raised where the item would have come. Closing this generator stops the thread after
    the item that it makes, and closes `items`.

    Args:
        items: are iterated in the thread, from the first time on that one is asked for.
        depth: at least 1.
    """
    ready: Queue[Made[Item]] = Queue(depth)
    stopped = Event()
    thread = Thread(target=_make, args=(items, ready, stopped), daemon=True, name="ahead")
    thread.start()
    try:
        while (made := ready.get()) is not None:
            item, error = made
            if error is not None:
                raise error
            yield item  # type: ignore[misc]  # an item where there is no error
    finally:
        made = error = None  # an error whose traceback leads to itself would be kept, and all that it refers to
        stopped.set()
        thread.join()


def _make(items: Iterable[Item], ready: "Queue[Made[Item]]", stopped: Event) -> None:
    iterator = iter(items)
    try:
        for item in iterator:
            if not _put((item, None), ready, stopped):
                return
        _put(None, ready, stopped)
    except BaseException as error:  # of whatever kind, it is the other thread's to handle
        _put((None, error), ready, stopped)
    finally:
        close = getattr(iterator, "close", None)
        if close:
            close()


def _put(made: "Made[Item]", ready: "Queue[Made[Item]]", stopped: Event) -> bool:
    """Returns: whether it was put, and not stopped before there was room."""
    while not stopped.is_set():
        try:
            ready.put(made, timeout=LOOK_SECONDS)
        except Full:
            continue
        return True
    return False
