"""What to label next: the mix, where random draws are uniform, what diverse and uncertain picks are."""

from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from hubbub.archive import choose, quick_head
from hubbub.archive.choose import Pick, next_segments
from hubbub.archive.vectors import Vectors, append
from hubbub.data.archive_labels import LabelState
from tests.helpers.archives import kinds

KINDS, SEGMENTS = 5, 300
#: Of half of the segments the kind is the first one.
KIND = np.where(np.arange(SEGMENTS) % 2, 0, np.arange(SEGMENTS) // 2 % KINDS)
EVERY = np.ones(SEGMENTS, bool)


@pytest.fixture(scope="module")
def vectors(tmp_path_factory: pytest.TempPathFactory) -> Vectors:
    folder = tmp_path_factory.mktemp("kinds")
    append(folder, 0, kinds(KIND))
    return Vectors(folder, SEGMENTS, 64)


def known(segments: list[int], drawn: dict[int, float] | None = None) -> LabelState:
    """Complete labels of some segments."""
    rows = np.array(sorted(segments), np.int64)
    y = (KIND[rows][:, None] == np.arange(KINDS)).astype(np.int8).reshape(len(rows), KINDS)
    weights = np.array([(drawn or {}).get(row, np.nan) for row in rows.tolist()])
    flags = np.ones(len(rows), bool)
    return LabelState(tuple("abcde"), rows, y, flags, ~flags, weights)


def picks(
    vectors: Vectors, labels: LabelState, count: int, seed: int = 0, mask: npt.NDArray[np.bool_] = EVERY
) -> list[Pick]:
    scores = quick_head.scores(vectors, labels.segments, labels.y) if len(labels.segments) else None
    return next_segments(vectors, scores, labels, mask, count, np.random.default_rng(seed))


def reasons(found: list[Pick]) -> Counter[str]:
    return Counter(pick.reason for pick in found)


def test_the_first_ones_are_diverse_and_random_and_find_each_kind(vectors: Vectors) -> None:
    found = picks(vectors, known([]), 10)
    assert reasons(found) == {"diverse": 8, "random": 2}
    assert len({pick.segment for pick in found}) == 10
    assert set(KIND[[pick.segment for pick in found]]) == set(range(KINDS))


def test_a_seed_gives_the_same_picks_and_another_one_others(vectors: Vectors) -> None:
    first, again, other = (picks(vectors, known([]), 20, seed) for seed in (1, 1, 2))
    assert first == again and first != other


def test_later_ones_are_in_the_stated_mix(vectors: Vectors) -> None:
    found = picks(vectors, known(list(range(40))), 20)
    asked = reasons([pick for pick in found if not pick.known])
    assert asked.total() == 20 and reasons(found)["random"] == 4 and asked["diverse"] == 3
    assert asked["uncertain"] == 20 - asked["random"] - 3


def test_one_at_a_time_gives_the_random_share_too(vectors: Vectors) -> None:
    found = reasons([pick for seed in range(100) for pick in picks(vectors, known([]), 1, seed)])
    assert found["random"] == pytest.approx(20, abs=12)


def test_nothing_that_is_labelled_or_not_under_the_mask_is_chosen(vectors: Vectors) -> None:
    mask = np.arange(SEGMENTS) < 60
    labels = known(list(range(50)))
    found = picks(vectors, labels, 30, mask=mask)
    chosen = [pick.segment for pick in found if pick.reason in ("diverse", "uncertain")]
    assert set(chosen) <= set(range(50, 60)) and all(mask[pick.segment] for pick in found)
    assert sum(not pick.known for pick in found) == 10


def test_a_random_draw_may_fall_on_any_segment_but_those_drawn_before_alike(vectors: Vectors) -> None:
    labels = known(list(range(150)), drawn=dict.fromkeys(range(30), 150.0))
    draws = [pick for seed in range(30) for pick in picks(vectors, labels, 100, seed) if pick.reason == "random"]
    counts = np.bincount([pick.segment for pick in draws], minlength=SEGMENTS)
    assert not counts[:30].any() and {pick.weight for pick in draws} == {270 / 20}
    assert all(pick.known == (pick.segment < 150) for pick in draws)
    # 600 draws of 270: the half that was labelled by choice is hit as often as the other.
    expected = len(draws) / 270
    assert counts[30:150].mean() == pytest.approx(expected, rel=0.15)
    assert counts[150:].mean() == pytest.approx(expected, rel=0.15)
    assert (((counts[30:] - expected) ** 2 / expected).sum()) < 340  # chi-squared of 269 degrees: p > .002


def test_a_drawn_segment_of_which_one_class_is_known_is_asked(vectors: Vectors) -> None:
    labels = known(list(range(SEGMENTS)))
    labels.y[:, 0] = -1
    assert all(not pick.known for pick in picks(vectors, labels, 20) if pick.reason == "random")
    assert all(pick.known for pick in picks(vectors, replace(labels, unsure=EVERY), 20) if pick.reason == "random")


def test_a_wrong_label_is_asked_again_once(vectors: Vectors) -> None:
    labels = known(list(range(100)))
    labels.y[20] = np.roll(labels.y[20], 1)
    found = [pick.segment for pick in picks(vectors, labels, 20) if pick.reason == "likely-wrong"]
    assert found == [20]
    scores = quick_head.scores(vectors, labels.segments, labels.y)
    later = next_segments(vectors, scores, labels, EVERY, 20, np.random.default_rng(0), again=[20])
    assert "likely-wrong" not in reasons(later)


def test_uncertain_ones_are_where_the_head_is_uncertain(vectors: Vectors) -> None:
    labels = known(list(range(0, 60)))
    scores = np.where(KIND[:, None] == 3, 0.5, 0.01) * np.ones((SEGMENTS, KINDS))
    found = next_segments(vectors, scores.astype(np.float32), labels, EVERY, 10, np.random.default_rng(0))
    uncertain = KIND[[pick.segment for pick in found if pick.reason == "uncertain"]]
    assert len(uncertain) >= 5 and (uncertain == 3).mean() > 0.7


def test_an_archive_that_is_labelled_whole_gives_nothing_to_ask(vectors: Vectors) -> None:
    everything = known(list(range(SEGMENTS)), drawn=dict.fromkeys(range(SEGMENTS), 1.0))
    assert picks(vectors, everything, 10) == []
    assert picks(vectors, known([]), 10, mask=~EVERY) == []


def test_of_a_large_archive_only_a_sample_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kind = np.random.default_rng(0).integers(0, 50, 20_000)
    append(tmp_path, 0, kinds(kind, width=64))
    large, read = Vectors(tmp_path, len(kind), 64), []
    monkeypatch.setattr(large, "take", lambda rows: read.append(len(rows)) or Vectors.take(large, rows))
    found = next_segments(large, None, known([]), np.ones(len(kind), bool), 10, np.random.default_rng(0))
    assert len(found) == 10
    assert sum(read) <= quick_head.MOST + choose.CANDIDATES + choose.OTHERS + 10
