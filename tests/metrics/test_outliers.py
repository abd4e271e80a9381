"""outliers: a clip far from everything is one; a clip in the wrong class, or in a small class, is none."""

import numpy as np

from hubbub.metrics.outliers import FAR, neighbour_distances, outlying


def clusters(seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Two classes of 40 clips each, around two directions of 12."""
    rng, classes = np.random.default_rng(seed), np.repeat([0, 1], 40)
    places = np.zeros((80, 12))
    places[classes == 0, 0], places[classes == 1, 1] = 5, 5
    return (places + rng.normal(0, 0.5, places.shape)).astype(np.float32), classes


def far_of(rows: np.ndarray, classes: np.ndarray, groups: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
    groups = np.arange(len(rows)) if groups is None else groups
    distances = neighbour_distances(rows, classes[:, None] == np.arange(2), groups, np.arange(len(rows)))
    return outlying(*distances, classes)


def test_a_clip_unlike_all_others_is_an_outlier_and_one_in_the_wrong_class_is_none() -> None:
    rows, classes = clusters()
    rows[7, :2], rows[7, 11] = -9, 40
    classes[50] = 0  # among the clips of class 1
    far, outlier = far_of(rows, classes)
    assert outlier[7] and far.argmax() == 7 and far[7] >= FAR
    assert not outlier[50]


def test_the_distance_is_to_the_nearest_of_other_recordings() -> None:
    rows = np.array([[1, 0], [1, 0.01], [0, 1], [-1, -1.01]], dtype=np.float32)
    present, every = np.ones((4, 1), dtype=bool), np.arange(4)
    alone, _ = neighbour_distances(rows, present, np.arange(4), every)
    together, _ = neighbour_distances(rows, present, np.array([0, 0, 1, 2]), every)
    assert together[0] > alone[0] and np.isclose(together[3], alone[3])


def test_a_class_without_other_recordings_counts_by_its_distance_to_all() -> None:
    rows, classes = clusters()
    own, every = neighbour_distances(rows, classes[:, None] == np.arange(2), classes, np.arange(80))
    assert np.isnan(own).all() and np.isfinite(every).all()
    far, _ = outlying(own, every, classes)
    assert np.isfinite(far).all()
