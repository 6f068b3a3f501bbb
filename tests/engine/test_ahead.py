"""Items made ahead in a thread: their order, errors and stops are those of the items themselves."""

import threading
import time
from contextlib import closing

import pytest

from transavs.engine.ahead import ahead


def numbers(count, log, fail_at=None):
    """Yields 0, 1, ..., and writes down what it does and where."""
    try:
        for number in range(count):
            if number == fail_at:
                raise ValueError(f"item {number}")
            log.append(number)
            yield number
    finally:
        log.append(f"closed in {threading.current_thread().name}")


def threads():
    return [thread for thread in threading.enumerate() if thread.name == "ahead"]


def wait_until(condition):
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.mark.parametrize("depth", [1, 3, 100])
def test_all_items_come_in_their_order(depth):
    log = []
    assert list(ahead(numbers(20, log), depth)) == list(range(20))
    assert log == [*range(20), "closed in ahead"] and not threads()


def test_items_are_made_while_earlier_ones_are_used_but_not_more_than_the_depth():
    log = []
    items = ahead(numbers(50, log), depth=3)
    assert next(items) == 0
    wait_until(lambda: len(log) == 5)  # one is out, three wait, one has no room yet
    time.sleep(0.3)
    assert len(log) == 5
    items.close()


def test_nothing_begins_before_the_first_item_is_asked_for():
    log = []
    ahead(numbers(3, log), 1)
    assert log == [] and not threads()


def test_an_error_comes_where_its_item_would_have():
    log, found = [], []
    with pytest.raises(ValueError, match="item 3"):
        for number in ahead(numbers(9, log, fail_at=3), depth=2):
            found.append(number)
    assert found == [0, 1, 2] and log[-1] == "closed in ahead" and not threads()


def test_closing_stops_the_thread_and_closes_the_items():
    log = []
    items = ahead(numbers(10**6, log), depth=2)
    next(items)
    items.close()
    assert log[-1] == "closed in ahead" and len(log) < 10 and not threads()


def test_leaving_a_loop_over_it_stops_the_thread_too():
    log = []
    for _ in ahead(numbers(10**6, log), depth=2):
        break
    wait_until(lambda: not threads())
    assert log[-1] == "closed in ahead"


def test_one_may_work_ahead_of_another():
    log = []
    doubled = (2 * number for number in ahead(numbers(30, log), 2))
    assert list(ahead(doubled, 4)) == list(range(0, 60, 2))

    def broken():
        with closing(ahead(numbers(10**6, log), 2)) as inner:
            for number in inner:
                yield 1 // (3 - number)

    with pytest.raises(ZeroDivisionError):
        list(ahead(broken(), 4))
    assert log[-1] == "closed in ahead" and not threads()
