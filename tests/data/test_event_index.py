"""event_index: events by recording and class, in order, joined where they overlap."""

import pandas as pd

from hubbub.data.event_index import events_by_class


def test_events_are_in_order_and_joined_within_a_class_of_a_recording() -> None:
    rows = [("b", 5, 6, "dog"), ("a", 3, 5, "dog"), ("a", 1, 4, "dog"), ("a", 2, 3, "rain"), ("a", 5, 6, "dog"),
            ("b", 1, 2, "dog"), ("b", 3, 3, "owl")]  # fmt: skip
    found = events_by_class(pd.DataFrame(rows, columns=["path", "start", "end", "label"]))
    assert {path: {label: list(zip(*map(list, times), strict=True)) for label, times in own.items()}
            for path, own in found.items()} == {
        "a": {"dog": [(1, 5), (5, 6)], "rain": [(2, 3)]},
        "b": {"dog": [(1, 2), (5, 6)]},
    }  # fmt: skip


def test_no_events_are_an_empty_index() -> None:
    assert events_by_class(pd.DataFrame({"path": [], "start": [], "end": [], "label": []})) == {}
