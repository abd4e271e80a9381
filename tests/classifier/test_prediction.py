"""prediction: the best classes, and the table of segments."""

import numpy as np

from hubbub.classifier.prediction import Event, Prediction, best_classes

SCORES = {"a": 0.2, "b": 0.5, "c": 0.3}
ROWS = np.array([[0.1, 0.6, 0.3], [0.3, 0.4, 0.3]], np.float32)
SPANS = np.array([[0.0, 1.0], [0.5, 1.5]])


def test_top_names_the_best_classes_first() -> None:
    prediction = Prediction(SCORES, 1.5, SPANS, *best_classes(ROWS))
    assert prediction.top(2) == [("b", 0.5), ("c", 0.3)] and len(prediction.top()) == 3
    assert (prediction.label, prediction.score) == ("b", 0.5)


def test_segments_hold_one_column_a_class_and_nan_where_a_score_was_not_kept() -> None:
    whole = Prediction(SCORES, 1.5, SPANS, *best_classes(ROWS)).segments
    assert list(whole.columns) == ["start", "end", "a", "b", "c"]
    np.testing.assert_array_equal(whole[["start", "end"]], SPANS)
    np.testing.assert_array_equal(whole[["a", "b", "c"]], ROWS)
    best = Prediction(SCORES, 1.5, SPANS, *best_classes(ROWS, 1))
    nan = np.nan
    np.testing.assert_array_equal(best.segments[["a", "b", "c"]], np.array([[nan, 0.6, nan], [nan, 0.4, nan]], "f4"))
    assert [len(kept) for kept in best.best_segments()] == [1, 1]
    assert [kept[0] for kept in best.best_segments()] == [
        Event("b", 0.0, 1.0, float(ROWS[0, 1])),
        Event("b", 0.5, 1.5, float(ROWS[1, 1])),
    ]


def test_equal_scores_keep_the_order_of_the_classes() -> None:
    assert [e.label for e in list(Prediction(SCORES, 1.5, SPANS, *best_classes(ROWS)).best_segments())[1]] == [
        *("b", "a", "c")
    ]
