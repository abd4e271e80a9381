"""head: what a fit of a head does without, and label sets."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, log_loss

from hubbub.classifier import pooling
from hubbub.classifier.torch_classifier import TorchClassifier
from hubbub.data.cache import Segments
from hubbub.models.dense_heads import LogisticHead
from hubbub.models.head import HeadError
from hubbub.training.fitted import TrainError
from hubbub.training.head import fit_head
from hubbub.training.targets import SegmentTargets
from tests.helpers.recipes import LENGTH, plan

CELL = """
import sys
from pathlib import Path
from hubbub.config.recipe import Recipe
from hubbub.experiment.cell import run_cell
from hubbub.experiment.prepare import prepare
recipe = Recipe.load("street-cnn", ["data.limit=2", "network.width=2", "head.name=logreg", "head.c=[0.1]"])
prepared = prepare(recipe)
run_cell(prepared, prepared.splits[0], 1, Path(sys.argv[1]))
print(*{name.split(".")[0] for name in sys.modules})
"""


def test_a_cell_of_a_head_does_not_import_lightning_and_is_on_tensorboard(tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    place = tmp_path / "run" / "test-1" / "seed-1"
    done = subprocess.run([sys.executable, "-c", CELL, str(place)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    imported = done.stdout.split()
    assert "torch" in imported and "lightning" not in imported
    events = EventAccumulator(str(place / "tensorboard")).Reload()
    assert {"test_clip_accuracy", "test_segment_macro_f1"} <= set(events.Tags()["scalars"])
    assert b"head/name" in b"".join(file.read_bytes() for file in (place / "tensorboard").iterdir())


LABELS = ("dog", "rain", "siren")
WIDTH = 24


def base_of(name: str = "logreg", **head: Any) -> TorchClassifier:
    settings = {"name": name, "balanced": False, **head}
    return TorchClassifier(plan(head=settings, windows={"hop": LENGTH // 2}), LABELS, activation="sigmoid")


def embedded(clips: int = 60, seed: int = 0) -> tuple[Segments, np.ndarray, np.ndarray]:
    """Embeddings of three segments a clip, label sets of the clips, and those of their segments: a class is in some of
    the segments of its clip, and moves the embeddings of these along an axis."""
    random = np.random.default_rng(seed)
    held = random.random((clips, 3)) < 0.4
    by_segment = held[:, None] & (random.random((clips, 3, 3)) < 0.6)
    by_segment[:, 0] |= held & ~by_segment.any(axis=1)
    values = random.normal(size=(clips, 3, WIDTH)) + 4 * by_segment @ np.eye(3, WIDTH)
    segments = Segments(values.reshape(-1, WIDTH).astype(np.float32), np.arange(clips + 1) * 3)
    return segments, held.astype(np.int8), by_segment.astype(np.int8)


def timed(sets: np.ndarray, by_segment: np.ndarray) -> SegmentTargets:
    """Timed targets that are given by the segments' places alone."""

    def of(clip: int, spans: np.ndarray) -> np.ndarray:
        return by_segment[clip][np.rint(spans[:, 0]).astype(int)]

    return SegmentTargets(sets, of, lambda clip: np.stack([np.arange(3.0), np.arange(1.0, 4.0)], axis=1))


@pytest.mark.parametrize("pool", ["segment", "mean", "mean+max"])
def test_label_sets_of_clips_are_learnt_by_each_pooling(pool: str) -> None:
    segments, sets, _ = embedded()
    sets[::4, 1] = -1
    fitted = fit_head(base_of(pool=pool, c=[0.1]), segments, sets, np.arange(40), np.arange(40, 60), seed=0)
    assert fitted.chosen.activation == fitted.final.activation == "sigmoid"
    by_hand = LogisticHead(fitted.choice["c"])
    part = segments.of(np.arange(40))
    if pool == "segment":
        by_hand.fit(part.values, np.repeat(sets[:40], 3, axis=0))
    else:
        by_hand.fit(pooling.pool_embeddings(part.values, part.offsets[:-1], pool), sets[:40])
    chosen = fitted.chosen.head
    assert isinstance(chosen, LogisticHead)
    np.testing.assert_array_equal(chosen.weights_[0], by_hand.weights_[0])
    scores = fitted.final.predict_proba(segments.values, segments.offsets[:-1])[1]
    assert scores.shape == (60, 3) and scores.sum(axis=1).std() > 0.1
    assert average_precision_score(sets > 0, scores, average="macro") > 0.9


def test_a_head_on_segments_learns_timed_labels_and_one_on_clips_does_not() -> None:
    segments, sets, by_segment = embedded()
    targets = timed(sets, by_segment)
    rows, none = np.arange(60), np.arange(0)
    by_hand = LogisticHead(0.1).fit(segments.values, by_segment.reshape(-1, 3))
    on_segments = fit_head(base_of(c=[0.1]), segments, targets, rows, none, seed=0).final.head
    assert isinstance(on_segments, LogisticHead)
    np.testing.assert_array_equal(on_segments.weights_[0], by_hand.weights_[0])
    pooled, of_sets = (
        fit_head(base_of(c=[0.1], pool="mean"), segments, given, rows, none, seed=0).final.head
        for given in (targets, sets)
    )
    assert isinstance(pooled, LogisticHead) and isinstance(of_sets, LogisticHead)
    np.testing.assert_array_equal(pooled.weights_[0], of_sets.weights_[0])


@pytest.mark.parametrize("cs", [[1e-4, 1e-2, 1.0, 100.0], [100.0, 1.0, 1e-2, 1e-4]])
def test_the_candidate_with_the_highest_macro_map_is_chosen(cs: list[float]) -> None:
    segments, sets, _ = embedded()
    random = np.random.default_rng(1)
    values = segments.values + random.normal(scale=3, size=segments.values.shape).astype(np.float32)
    noisy = Segments(values, segments.offsets)
    train, validation = np.arange(30), np.arange(30, 60)
    fitted = fit_head(base_of(c=cs), noisy, sets, train, validation, seed=0)
    part, ranked = noisy.of(validation), []
    for c in cs:
        one = fit_head(base_of(c=[c]), noisy, sets, train, np.arange(0), seed=0).final
        scores = one.predict_proba(part.values, part.offsets[:-1])[1]
        macro = average_precision_score(sets[validation], scores, average="macro")
        ranked.append((round(macro, 12), -log_loss(sets[validation].ravel(), scores.ravel())))
    assert len(set(ranked)) == len(cs)
    assert fitted.choice["c"] == cs[ranked.index(max(ranked))]


@pytest.mark.parametrize("name", ["mlp", "lightgbm", "ensemble"])
def test_every_head_learns_label_sets(name: str) -> None:
    segments, sets, _ = embedded()
    sets[:, 2] = 0
    settings = {
        "epochs": [60],
        "hidden": 16,
        "learning_rate": 0.01,
        "trees": 10,
        "leaves": 4,
        "tree_learning_rate": 0.2,
    }
    final = fit_head(base_of(name, **settings), segments, sets, np.arange(40), np.arange(40, 60), seed=0).final
    scores = final.predict_proba(segments.values, segments.offsets[:-1])[1]
    assert average_precision_score(sets[:, :2], scores[:, :2]) > 0.8
    assert scores[:, 2].max() < 0.01, "a class that no clip holds"


def test_label_sets_without_any_label_and_heads_of_single_labels_are_refused() -> None:
    segments, sets, _ = embedded()
    rows, none = np.arange(60), np.arange(0)
    with pytest.raises(TrainError, match=r"no training clip holds any of the classes \(dog, rain, siren\)"):
        fit_head(base_of(), segments, np.minimum(sets, 0), rows, none, seed=0)
    with pytest.raises(HeadError, match="Use 'logreg'"):
        fit_head(base_of("lda"), segments, sets, rows, none, seed=0)
