"""clips: the clip table is checked, limited and ordered."""

import pandas as pd
import pytest

from hubbub.data.clips import COLUMNS, ClipsError, build, limit


def table(folds: int = 3, labels: int = 2, each: int = 10) -> pd.DataFrame:
    """`each` clips a fold and label."""
    rows = [(f, k, i) for f in range(folds) for k in range(labels) for i in range(each)]
    return pd.DataFrame(
        {
            "clip": [f"{f}-{k}-{i}" for f, k, i in rows],
            "path": [f"/sounds/{f}-{k}-{i}.wav" for f, k, i in rows],
            "label": [f"label{k}" for _, k, _ in rows],
            "fold": [str(f) for f, _, _ in rows],
        }
    )


def test_limit_keeps_so_many_of_each_class_and_fold() -> None:
    clips = build("made", table())
    fewer = limit(clips, 4)
    assert (fewer.table.groupby(["fold", "label"]).size() == 4).all() and len(fewer) == 24
    assert fewer.labels == clips.labels and fewer.folds == clips.folds
    assert fewer.notes == ("REDUCED DATA: 24 of 60 clips",)
    pd.testing.assert_frame_equal(limit(clips, 4).table, fewer.table)
    assert set(limit(clips, 4, seed=1).table["clip"]) != set(fewer.table["clip"])
    order = clips.table["clip"].tolist()
    assert [order.index(clip) for clip in fewer.table["clip"]] == sorted(map(order.index, fewer.table["clip"]))
    assert limit(clips, 10) is clips


def test_folds_stand_in_the_order_of_their_numbers() -> None:
    clips = build("made", table(folds=12, labels=1, each=1))
    assert clips.folds == tuple(str(k) for k in range(12))
    named = build("made", table(labels=1, each=1).assign(fold=["b", "10", ""]))
    assert named.folds == ("10", "b"), "numbers first, the clip without a fold in none"


def test_build_fills_what_a_table_does_not_say() -> None:
    clips = build("made", table(1, 1, 2), licence="CC0", notes=("a note",))
    assert tuple(clips.table.columns) == COLUMNS
    assert clips.table[["group", "split_hint"]].eq("").all(axis=None)
    assert clips.table[["start", "end"]].isna().all(axis=None) and clips.table["start"].dtype == float
    assert clips.licence == "CC0" and clips.notes == ("a note",)


def test_a_class_named_as_a_column_of_predictions_is_refused() -> None:
    table = pd.DataFrame({"clip": ["a", "b"], "path": ["a.wav", "b.wav"], "label": ["dog", "start"]})
    with pytest.raises(ClipsError, match=r"a class is called 'start'.*Rename it"):
        build("birds", table)
