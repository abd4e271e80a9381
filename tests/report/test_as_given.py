"""as_given: labels before corrections are put back, and scores stay."""

import pandas as pd

from hubbub.report.as_given import with_given
from hubbub.report.predicted import as_arrays

FACTS = {"clip": ["a", "b"], "level": "clip", "group": ["a", "b"], "label": ["dog", "rain"]}
TIMES = {"start": 0.0, "end": 1.0, "dog": [0.9, 0.2], "rain": [0.1, 0.8]}


def test_a_label_is_put_back_and_a_class_that_is_gone_has_no_probability() -> None:
    found = with_given(pd.DataFrame(FACTS | TIMES), {"b": "siren", "elsewhere": "dog"})
    targets, scores, labels = as_arrays(found)
    assert labels == ("dog", "rain", "siren") and targets.tolist() == [0, 2]
    assert scores.tolist() == [[0.9, 0.1, 0.0], [0.2, 0.8, 0.0]]


def test_label_sets_are_put_back() -> None:
    sets = pd.DataFrame(FACTS | {"labels": [["dog"], ["dog", "rain"]], "unknown": [[], []]} | TIMES)
    targets, _, labels = as_arrays(with_given(sets, {"a": "dog; rain", "b": "(none)"}))
    assert labels == ("dog", "rain") and targets.tolist() == [[1, 1], [0, 0]]
