"""predictions: tables of other programs are matched to a data set's clips, and anything unclear is refused by row."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.special import log_softmax, softmax

from hubbub.data.clips import Clips, ClipsError
from hubbub.data.predictions import Predictions, PredictionsError, match_predictions, read_predictions

LABELS = ("dog", "car_horn", "rain")


def clips_of(ids: list[str], folds: str = "1122", **columns: list[str]) -> Clips:
    """Clips with these ids, of the classes in turn; the files have other endings than programs may write."""
    table = pd.DataFrame(
        {"clip": ids, "path": [f"/data/audio/{clip}.ogg" for clip in ids], "start": np.nan, "end": np.nan}
        | {"label": [LABELS[k % 3] for k in range(len(ids))], "fold": list(folds), "group": ids, "split_hint": ""}
        | columns
    )
    return Clips("mine", table, LABELS, listed=len(table))


FOUR = clips_of(["a", "b", "c", "d"])


def scores(rows: int = 4) -> pd.DataFrame:
    found = np.random.default_rng(0).dirichlet(np.ones(3), rows)
    return pd.DataFrame({"clip": list("abcd")[:rows]} | dict(zip(LABELS, found.T, strict=True)))


def clips_in(found: Predictions) -> pd.DataFrame:
    return found.table[found.table["level"] == "clip"].reset_index(drop=True)


def test_probabilities_are_taken_as_they_are() -> None:
    given = scores()
    found = match_predictions(given, FOUR)
    for level in ("segment", "clip"):
        rows = found.table[found.table["level"] == level]
        assert rows["clip"].tolist() == list("abcd") and rows["label"].tolist() == ["dog", "car_horn", "rain", "dog"]
        assert rows["fold"].tolist() == ["1", "1", "2", "2"] and set(rows["seed"]) == {0}
        np.testing.assert_array_equal(rows[list(LABELS)], given[list(LABELS)].astype(np.float32))
    assert not found.labels_alone and found.folds == "data" and not found.notes and not found.remarks


def test_the_callers_table_stays_as_it_was() -> None:
    given = scores()
    before = given.copy()
    match_predictions(given, FOUR)
    pd.testing.assert_frame_equal(given, before)


def test_labels_are_ones_and_zeros() -> None:
    given = pd.DataFrame({"file": list("dcba"), "prediction": ["rain", "dog", "car_horn", "dog"]})
    found = match_predictions(given, FOUR)
    decided = clips_in(found)[list(LABELS)].to_numpy()
    assert found.labels_alone and np.array_equal(decided, np.eye(3)[[2, 0, 1, 0]])
    assert clips_in(found)["clip"].tolist() == list("dcba")


def test_segments_are_pooled_by_the_mean_of_their_probabilities() -> None:
    given = pd.concat([scores(), scores()], ignore_index=True).assign(
        start=[0.0] * 4 + [1.0] * 4, end=[1.0] * 4 + [2] * 4
    )
    given.loc[4:, list(LABELS)] = np.roll(given.loc[4:, list(LABELS)].to_numpy(), 1, axis=0)
    found = match_predictions(given, FOUR)
    expected = given.groupby("clip")[list(LABELS)].mean()
    rows = clips_in(found).set_index("clip")
    np.testing.assert_allclose(rows[list(LABELS)], expected, rtol=1e-6)
    assert set(rows["start"]) == {0.0} and set(rows["end"]) == {2.0}
    assert (found.table["level"] == "segment").sum() == 8


def test_logits_become_probabilities_when_asked() -> None:
    given = scores()
    logits = given.assign(**{label: 3 * np.log(given[label]) + 1 for label in LABELS})
    found = match_predictions(logits, FOUR, logits=True)
    expected = softmax(logits[list(LABELS)].to_numpy(), axis=1)
    np.testing.assert_allclose(clips_in(found)[list(LABELS)], expected, rtol=1e-5)
    with pytest.raises(PredictionsError, match=r"rows 1, 2, 3 and 1 more.*--logits"):
        match_predictions(logits, FOUR)
    with pytest.raises(PredictionsError, match="probabilities already"):
        match_predictions(given, FOUR, logits=True)
    with pytest.raises(PredictionsError, match=r"column for each class.*rain"):
        match_predictions(logits.drop(columns="rain"), FOUR, logits=True)


@pytest.mark.parametrize("decimals", [1, 2, 4])
def test_rounded_probabilities_pass(decimals: int) -> None:
    given = scores().round(decimals)
    found = clips_in(match_predictions(given, FOUR))[list(LABELS)].to_numpy()
    np.testing.assert_allclose(found, given[list(LABELS)], atol=2 * 10.0**-decimals)
    np.testing.assert_allclose(found.sum(axis=1), 1, atol=3 * 10.0**-decimals)


@pytest.mark.parametrize("make", [log_softmax, lambda x, axis: 1 / (1 + np.exp(-4 * x)), lambda x, axis: x - 0.1])
def test_log_probabilities_sigmoids_and_negatives_do_not(make) -> None:
    given = scores()
    given[list(LABELS)] = make(given[list(LABELS)].to_numpy(), axis=1)
    with pytest.raises(PredictionsError, match="no probabilities"):
        match_predictions(given, FOUR)


def test_a_class_without_a_column_has_probability_zero_and_a_remark() -> None:
    given = scores().drop(columns="rain")
    given[["dog", "car_horn"]] = softmax(given[["dog", "car_horn"]], axis=1)
    found = match_predictions(given, FOUR)
    assert (clips_in(found)["rain"] == 0).all() and found.remarks == ("without a column, so of probability 0: rain",)


@pytest.mark.parametrize(
    "named",
    [
        ["a.wav", "b.wav", "c.wav", "d.wav"],
        ["/home/me/audio/a.wav", "audio/b.ogg", r"C:\audio\c.WAV", "./d"],
        ["/tmp/16k/a.flac", "b.mp3", "x/c.ogg", "d.ogg"],
    ],
)
def test_clips_are_found_by_id_file_name_and_path(named: list[str]) -> None:
    assert clips_in(match_predictions(scores().assign(clip=named), FOUR))["clip"].tolist() == list("abcd")


def test_a_file_name_in_two_folders_is_not_guessed() -> None:
    twice = clips_of(["dog/1", "cat/1", "dog/2", "cat/3"])
    found = match_predictions(scores().assign(clip=["dog/1.wav", r"cat\1.wav", "2.wav", "/x/cat/3.wav"]), twice)
    assert clips_in(found)["clip"].tolist() == ["dog/1", "cat/1", "dog/2", "cat/3"]
    with pytest.raises(ClipsError, match=r"row 2: 1.wav names 2 clips .*dog/1, cat/1"):
        match_predictions(scores().assign(clip=["dog/1", "1.wav", "dog/2", "cat/3"]), twice)
    with pytest.raises(ClipsError, match=r"row 3: cat/2\.wav"):  # the only 2.wav is of another class
        match_predictions(scores().assign(clip=["dog/1", "cat/1", "cat/2.wav", "cat/3"]), twice)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.assign(clip=["a", "b", "c", "e"]), r"row 4: e\)"),
        (lambda t: t.assign(clip=["a", "b", "c", "c"]), "c in row 3, row 4"),
        (lambda t: t[:3], r"1 of 4 clips of mine have no prediction \(d\)"),
        (lambda t: t[:0], "no rows"),
        (lambda t: t.rename(columns={"clip": "which"}), "no column names the clip"),
        (lambda t: t[["clip"]], "no column gives a prediction"),
        (lambda t: t.rename(columns={"car_horn": "car_hom"}), "'car_hom' holds numbers.*Did you mean 'car_horn'"),
        (lambda t: t.assign(dog=[0.1, np.nan, 0.2, 0.3]), "row 2: a score is missing"),
        (lambda t: t.assign(dog="0,5"), "rows 1, 2, 3 and 1 more: a score is missing"),
        (lambda t: t.assign(seed=[1, 1, 1, "x"]), "row 4: the seed"),
        (lambda t: t.assign(seed=[1, 1, 2, 2]), "the seeds predict different clips"),
        (lambda t: t.assign(fold=["1", "1", "2", ""]), "row 4: there is no fold"),
        (lambda t: t.assign(start=[0, -1, "x", ""]), "rows 2, 3: 'start' is no number"),
        (lambda t: t.assign(level="file"), "level is neither"),
        (lambda t: t[["clip"]].assign(prediction=["dog", "dog", "ran", ""]), r"row 3: ran, row 4: empty.*mean 'rain'"),
        (lambda t: t[["clip"]].assign(prediction="dog", label=["dog", "rain", "", ""]), "row 2: 'rain', not 'c"),
    ],
)  # fmt: skip
def test_what_is_not_clear_is_refused(change, message: str) -> None:
    with pytest.raises((PredictionsError, ClipsError), match=message):
        match_predictions(change(scores()), FOUR)


def test_missing_clips_are_a_caveat_where_they_are_allowed() -> None:
    found = match_predictions(scores(3), FOUR, allow_missing=True)
    assert found.notes == ("PARTIAL: 1 of 4 clips of mine have no prediction (d)",)
    assert clips_in(found)["clip"].tolist() == list("abc")


def test_the_data_sets_own_table_with_a_column_more_is_taken() -> None:
    own = pd.DataFrame({"filename": list("abcd"), "fold": [1, 1, 2, 2], "target": [0, 1, 2, 0], "take": [1, 2, 3, 4]})
    own["category"] = ["dog", "car_horn", "rain", "dog"]
    labels = match_predictions(own.assign(prediction="dog"), FOUR)
    assert labels.labels_alone and labels.folds == "data" and labels.remarks == ("not used: target, take",)
    whole = match_predictions(own.assign(clip=list("abcd")).merge(scores()), FOUR)
    assert not whole.labels_alone and whole.remarks == ("not used: filename, target, take, category",)


def test_a_seed_that_lacks_a_fold_is_refused() -> None:
    both = pd.concat([scores().assign(seed=1, fold=["1", "1", "2", "2"]), scores().assign(seed=2, fold="1")])
    with pytest.raises(PredictionsError, match="seed 2 has no clip in fold 2"):
        match_predictions(both, FOUR)


def test_copies_that_may_only_train_are_neither_needed_nor_taken() -> None:
    copied = clips_of(["a", "b", "c", "d"], split_hint=["", "", "", "train"])
    assert len(clips_in(match_predictions(scores(3), copied))) == 3
    with pytest.raises(PredictionsError, match="may only train"):
        match_predictions(scores(), copied)


def test_folds_are_the_data_sets_or_those_given_or_one() -> None:
    without = clips_of(["a", "b", "c", "d"], folds=" " * 4)
    without.table["fold"] = ""
    assert set(match_predictions(scores(), without).table["fold"]) == {"all"}
    given = match_predictions(scores().assign(fold=[1, 2, 3, 3]), without)
    assert given.folds == "given" and clips_in(given)["fold"].tolist() == ["1", "2", "3", "3"]
    other = match_predictions(scores().assign(fold=[2, 2, 1, 1]), FOUR)
    assert other.folds == "given" and "has others" in other.remarks[0]


@pytest.mark.parametrize("ending", [".csv", ".tsv", ".parquet", ".jsonl"])
def test_every_kind_of_file_is_read(tmp_path: Path, ending: str) -> None:
    given, file = scores(), tmp_path / f"theirs{ending}"
    if ending == ".parquet":
        given.to_parquet(file)
    elif ending == ".jsonl":
        lines = given.rename(columns={"clip": "file"}).set_index("file")
        rest = '"seconds": 1, "segments": [{"start": 0}], "model": "m"'
        file.write_text("".join(f'{{"file": "{f}", "scores": {x.to_json()}, {rest}}}\n' for f, x in lines.iterrows()))
    else:
        given.to_csv(file, index=False, sep="," if ending == ".csv" else "\t")
    found = match_predictions(read_predictions(file), FOUR)
    np.testing.assert_allclose(clips_in(found)[list(LABELS)], given[list(LABELS)], rtol=1e-6)


def test_a_file_that_is_no_table_is_refused(tmp_path: Path) -> None:
    for name, content in (("a.parquet", "x"), ("a.jsonl", "[1]"), ("a.xlsx", "x"), ("gone.parquet", None)):
        if content:
            (tmp_path / name).write_text(content)
        with pytest.raises(PredictionsError, match="Save it as"):
            read_predictions(tmp_path / name)
