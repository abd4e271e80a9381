"""Estimates from random draws: they hold the truth as often as they say, and what was chosen does not count."""

from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from hubbub.archive import labels as written
from hubbub.archive.estimate import ClassEstimate, begin_round, estimates, open_draws
from hubbub.archive.labels import Statement
from hubbub.data.archive_file import ArchiveError, connect
from hubbub.data.archive_labels import label_state

ROWS = 4_000
ALL = np.ones(ROWS, bool)


def truth_and_scores(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Which of 4,000 segments hold the class (3 %), and scores that tell it fairly well."""
    rng = np.random.default_rng(seed)
    truth = rng.random(ROWS) < 0.03
    scores = 1 / (1 + np.exp(3 - 3 * truth - rng.normal(0, 1.2, ROWS)))
    return truth, scores.astype(np.float32)


def after_a_round(folder: Path, seed: int, count: int = 200) -> tuple[ClassEstimate, np.ndarray, np.ndarray]:
    """A round all of whose draws were labelled -> the estimate, the truth, the scores."""
    truth, scores = truth_and_scores(seed)
    with closing(connect(folder, create=True)) as database:
        written.add_class(database, "owl", "ann")
        drawn = begin_round(database, "owl", scores, ALL, "ann", count, np.random.default_rng(seed))
        said = [Statement(n, "owl", "yes" if truth[n] else "no", "stratum") for n in drawn]
        written.state(database, said, "ann", f"r{seed}", ROWS)
        (found,) = estimates(database, label_state(database), ROWS)
    return found, truth, scores


@pytest.mark.slow
def test_intervals_hold_the_truth(tmp_path: Path) -> None:
    """300 archives; chance alone moves a coverage of .95 by .025 in either direction (two standard errors)."""
    held: dict[str, list[bool]] = {"segments": [], "precision": [], "recall": []}
    for seed in range(300):
        (tmp_path / str(seed)).mkdir()
        found, truth, scores = after_a_round(tmp_path / str(seed), seed)
        above = scores >= 0.5
        true = {"segments": truth.sum(), "precision": truth[above].mean(), "recall": truth[above].sum() / truth.sum()}
        for name, figure in (("segments", found.segments), ("precision", found.precision), ("recall", found.recall)):
            assert figure is not None
            held[name].append(bool(figure.low <= true[name] <= figure.high))
    assert all(0.92 <= np.mean(flags) <= 0.99 for flags in held.values()), {k: np.mean(v) for k, v in held.items()}


def test_strata_add_up(tmp_path: Path) -> None:
    found, _, scores = after_a_round(tmp_path, 0)
    assert sum(one.segments for one in found.strata) == ROWS
    assert sum(one.labelled for one in found.strata) == found.draws
    assert (found.open, found.unsure) == (0, 0)
    assert [one.high for one in found.strata[:-1]] == [one.low for one in found.strata[1:]]
    assert sum(one.segments for one in found.strata if one.low >= 0.5) == (scores >= 0.5).sum()
    assert found.segments.value is not None
    assert found.segments.low <= found.segments.value <= found.segments.high
    assert found.recall is not None
    assert (found.recall.more or 0) > 0  # 200 labels do not give a recall to within .05


def test_labels_of_everything_leave_nothing_open(tmp_path: Path) -> None:
    found, truth, scores = after_a_round(tmp_path, 1, count=8 * ROWS)
    above = scores >= 0.5
    assert found.segments.value == found.segments.low == found.segments.high == truth.sum()
    assert found.precision is not None and found.recall is not None
    assert found.precision.value == pytest.approx(truth[above].mean())
    assert found.recall.value == pytest.approx(truth[above].sum() / truth.sum())
    assert found.recall.more == 0


def test_draws_are_asked_until_they_are_labelled(tmp_path: Path) -> None:
    _, scores = truth_and_scores(0)
    with closing(connect(tmp_path, create=True)) as database:
        written.add_class(database, "owl", "ann")
        mask = np.arange(ROWS) % 2 == 0
        drawn = begin_round(database, "owl", scores, mask, "ann", 60, np.random.default_rng(0))
        assert mask[drawn].all()
        assert len(set(drawn)) == len(drawn) >= 60
        assert sorted(open_draws(database, label_state(database), "owl")) == sorted(drawn)
        said = [Statement(drawn[0], "owl", "no", "stratum"), Statement(drawn[1], None, "unsure", "stratum")]
        written.state(database, said, "ann", "r", ROWS)
        assert set(open_draws(database, label_state(database), "owl")) == set(drawn[2:])
        (found,) = estimates(database, label_state(database), ROWS)
        assert (found.draws, found.open, found.unsure) == (len(drawn), len(drawn) - 2, 1)
        assert found.segments.value is None  # strata without a label are not known
        assert open_draws(database, label_state(database), "owl") == open_draws(database, label_state(database), "owl")


def test_draws_from_the_archive_give_the_number_of_segments(tmp_path: Path) -> None:
    truth, _ = truth_and_scores(2)
    with closing(connect(tmp_path, create=True)) as database:
        written.add_class(database, "owl", "ann")
        chosen = [Statement(int(n), "owl", "yes", "search") for n in np.flatnonzero(truth)[:50]]
        written.state(database, chosen, "ann", "chosen", ROWS)
        assert estimates(database, label_state(database), ROWS) == []  # what was chosen says nothing
        drawn = np.random.default_rng(0).choice(ROWS, 300, replace=False).tolist()
        said = [Statement(n, "owl", "yes" if truth[n] else "no", "random", ROWS / 300) for n in drawn]
        written.state(database, said, "ann", "drawn", ROWS)
        (found,) = estimates(database, label_state(database), ROWS)
        assert (found.draws, found.precision, found.strata) == (300, None, ())
        assert found.segments.value == pytest.approx(ROWS * truth[drawn].mean())
        assert found.segments.low <= truth.sum() <= found.segments.high


def test_a_class_without_scores_has_no_round(tmp_path: Path) -> None:
    with closing(connect(tmp_path, create=True)) as database:
        written.add_class(database, "owl", "ann")
        scores = np.full(ROWS, np.nan, np.float32)
        with pytest.raises(ArchiveError, match="no scores yet"):
            begin_round(database, "owl", scores, ALL, "ann", 60, np.random.default_rng(0))
