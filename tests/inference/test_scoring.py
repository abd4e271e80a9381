"""scoring: segments that come a few at a time are scored as all at once."""

import numpy as np
import pytest

from hubbub.inference.scoring import Scorer
from tests.helpers.classifiers import small_classifier
from tests.inference.test_stream import RATE, TINY, noise

DECIDING = [
    (),
    ("evaluate.pooling=mean_logit",),
    ("evaluate.pooling=max",),
    ("network.mode=head", "evaluate.shifts=[0.3]", "evaluate.pooling=mean_logit"),
    ("evaluate.shifts=[0.3]", "evaluate.pooling=max"),
    ("head.name=logreg", "head.pool=mean+max", 'windows.levels=["recorded","rms"]'),
    ("head.name=mlp", "head.pool=mean", "head.compress=true"),
    ("head.name=mlp", "head.pool=segment", "evaluate.pooling=mean_logit"),
    ("head.name=lda", "head.pool=max"),
    ("head.name=lightgbm", "head.trees=5", "evaluate.pooling=max"),
]


@pytest.mark.parametrize("settings", DECIDING, ids=" ".join)
@pytest.mark.parametrize("activation", ["softmax", "sigmoid"])
def test_scores_added_in_pieces_are_those_of_the_whole(settings: tuple[str, ...], activation: str) -> None:
    model = small_classifier(*TINY, *settings)
    if model.recipe.head.name == "none":
        model.activation = activation
    wave = noise(3 * RATE)
    segments, spans = model.cut(wave), model.spans(len(wave))
    outputs = model.outputs(segments)
    by_segment, by_clip = model.predict_proba(outputs, [0])
    for size in (1, 7, len(outputs)):
        scorer = Scorer(model)
        parts = [
            scorer.add(outputs[start : start + size], segments[start : start + size], spans[start : start + size])[0]
            for start in range(0, len(outputs), size)
        ]
        np.testing.assert_allclose(np.concatenate(parts), by_segment, atol=1e-6)
        scores = list(scorer.prediction(3.0).scores.values())
        np.testing.assert_allclose(scores, by_clip[0], atol=1e-6)
