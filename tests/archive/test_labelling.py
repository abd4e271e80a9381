"""A simulated person: labels that hubbub asks for teach more than random ones."""

from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import pytest

from benchmarks.labelling import Step, chosen, random_ones, simulate, truth_of
from hubbub.archive.archive import Archive
from hubbub.archive.index import index
from hubbub.archive.quick_head import Space
from hubbub.archive.vectors import Vectors, append
from tests.helpers.archives import kinds


@pytest.fixture(scope="module")
def vectors(tmp_path_factory: pytest.TempPathFactory) -> Vectors:
    folder = tmp_path_factory.mktemp("kinds")
    append(folder, 0, kinds(np.arange(200) % 4))
    return Vectors(folder, 200, 64)


TRUTH = (np.arange(200)[:, None] % 4 == np.arange(4)).astype(np.int8)


def numbers(way: Iterable[Step]) -> list[tuple[int, int]]:
    return [(asked, len(labels.segments)) for asked, labels, _ in way]


def test_both_ways_label_ten_segments_at_a_time(vectors: Vectors) -> None:
    space = Space.of(vectors)
    assert numbers(random_ones(vectors, space, TRUTH, 30, seed=0)) == [(10, 10), (20, 20), (30, 30)]
    found = numbers(chosen(vectors, space, TRUTH, 30, seed=0))
    assert [asked for asked, _ in found] == [10, 20, 30] and all(known <= asked for asked, known in found)


def test_the_figures_are_of_all_seeds_and_of_what_is_not_labelled(vectors: Vectors) -> None:
    found = simulate(vectors, TRUTH, 20, seeds=(0, 1))
    assert all(list(way.by_labels) == [10, 20] and len(way.by_labels[20]) == 2 for way in found.values())
    assert found["chosen"].mean(20) == pytest.approx(1) and found["chosen"].deviation(20) < 1e-6


@pytest.mark.slow
def test_labels_that_hubbub_asks_for_teach_more_than_random_ones(
    home: Callable[[str, str], Path], tmp_path: Path
) -> None:
    """On each fifth clip of UrbanSound8K, as embedding takes time; the whole is in docs/results.md."""
    home("weights", "yamnet.h5")
    clips = sorted((home("data", "urbansound8k") / "audio").rglob("*.*"))[::5]
    (tmp_path / "recordings").mkdir()
    for clip in clips:
        (tmp_path / "recordings" / clip.name).symlink_to(clip)
    index(tmp_path / "recordings", tmp_path / "archive", model="yamnet")
    archive = Archive(tmp_path / "archive")
    found = simulate(archive.vectors, truth_of(archive, "urbansound8k"), 30, seeds=range(4))
    assert found["chosen"].mean(30) > found["random"].mean(30) + 0.05
    assert found["chosen"].mean(30) > 0.72
