"""prefetch: items in order, no further ahead than asked, errors where the items are taken."""

import threading

import pytest

from hubbub.runtime.prefetch import prefetch


def test_items_come_in_order_and_no_further_ahead_than_asked() -> None:
    made: list[int] = []
    passed = threading.Semaphore(0)

    def job(number: int):
        def items():
            for k in range(10):
                made.append(number)
                passed.release()
                yield 100 * number + k

        return items

    lines = prefetch([job(n) for n in range(4)], threads=2, depth=3, ahead=2)
    first = next(lines)
    for _ in range(2 * 4):  # three in each queue, one in each hand
        assert passed.acquire(timeout=30)
    assert sorted(made) == [0] * 4 + [1] * 4
    assert [list(first), *map(list, lines)] == [[100 * n + k for k in range(10)] for n in range(4)]


def test_an_error_comes_out_where_its_items_are_taken_and_leaving_early_ends_the_threads() -> None:
    def broken():
        yield 1
        raise ValueError("no more")

    closed = threading.Event()

    def endless():
        try:
            while True:
                yield 0
        finally:
            closed.set()

    before = threading.active_count()
    lines = prefetch([broken, endless], threads=2, depth=1, ahead=2)
    items = next(lines)
    assert next(items) == 1
    with pytest.raises(ValueError, match="no more"):
        next(items)
    lines.close()
    assert closed.is_set() and threading.active_count() == before
