"""pooling: what plain loops say it is, and rows that come a few at a time are pooled as all at once."""

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import special

from hubbub.classifier import pooling
from hubbub.classifier.pooling import Pooling

Array = npt.NDArray[np.float32]

SIZES = (1, 4, 1, 7, 2)  # segments of five clips
OFFSETS = np.cumsum((0, *SIZES[:-1]))


def logits(seed: int = 0) -> Array:
    return np.random.default_rng(seed).normal(0, 3, (sum(SIZES), 6)).astype(np.float32)


def softmax(row: Array) -> Array:
    exponents = np.exp(row.astype(np.float64))
    return exponents / exponents.sum()


def sigmoid(row: Array) -> Array:
    return 1 / (1 + np.exp(-row.astype(np.float64)))


@pytest.mark.parametrize("activation", ["softmax", "sigmoid"])
@pytest.mark.parametrize("how", ["mean_prob", "mean_logit", "max", "linear_softmax"])
def test_pooling_equals_a_loop_over_clips(how: Pooling, activation: pooling.Activation) -> None:
    activate = softmax if activation == "softmax" else sigmoid
    expected = []
    for start, size in zip(OFFSETS, SIZES, strict=True):
        clip = logits()[start : start + size]
        if how == "mean_prob":
            scores = sum(activate(row) for row in clip) / size
        elif how == "mean_logit":
            scores = activate(sum(clip) / size)
        elif how == "linear_softmax":
            each = np.array([activate(row) for row in clip])
            scores = np.array([np.average(column, weights=column) for column in each.T])
            scores = scores / scores.sum() if activation == "softmax" else scores
        else:
            scores = np.array([max(column) for column in np.array([activate(row) for row in clip]).T])
            scores = scores / scores.sum() if activation == "softmax" else scores
        expected.append(scores)
    pooled = pooling.pool(logits(), OFFSETS, how, activation)
    assert pooled.dtype == np.float32
    np.testing.assert_allclose(pooled, expected, atol=1e-6)
    if activation == "softmax":
        np.testing.assert_allclose(pooled.sum(axis=1), 1, atol=1e-6)
    # A list of offsets will do, and one clip is the whole array.
    np.testing.assert_array_equal(pooling.pool(logits(), list(OFFSETS), how, activation), pooled)
    np.testing.assert_allclose(pooling.pool(logits()[5:6], [0], how, activation)[0], pooled[2], atol=1e-6)


@pytest.mark.parametrize("how", ["mean_prob", "mean_logit", "max", "linear_softmax"])
def test_pooling_does_not_mind_the_order_of_segments_or_clips(how: Pooling) -> None:
    pooled = pooling.pool(logits(), OFFSETS, how)
    clips = [logits()[a : a + n] for a, n in zip(OFFSETS, SIZES, strict=True)]
    backwards = np.concatenate([clip[::-1] for clip in reversed(clips)])
    again = pooling.pool(backwards, np.cumsum((0, *SIZES[:0:-1])), how)
    np.testing.assert_allclose(again[::-1], pooled, atol=1e-6)


def test_probabilities_are_the_functions_themselves_without_overflow() -> None:
    for activation, function in (("softmax", softmax), ("sigmoid", sigmoid)):
        expected = [function(row) for row in logits()]
        np.testing.assert_allclose(pooling.probabilities(logits(), activation), expected, atol=1e-6)
    extreme = np.array([[1e4, -1e4, 0.0]], np.float32)
    np.testing.assert_array_equal(pooling.probabilities(extreme), [[1, 0, 0]])
    np.testing.assert_array_equal(pooling.probabilities(extreme, "sigmoid"), [[1, 0, 0.5]])


@given(st.integers(0, 1000))
def test_probabilities_sum_to_one(seed: int) -> None:
    scores = pooling.probabilities(logits(seed))
    np.testing.assert_allclose(scores.sum(axis=-1), 1, atol=1e-6)
    assert (scores >= 0).all() and (scores.argmax(axis=1) == logits(seed).argmax(axis=1)).all()


def test_embeddings_pool_to_means_and_largest_values() -> None:
    clips = [logits()[a : a + n] for a, n in zip(OFFSETS, SIZES, strict=True)]
    means = np.array([sum(clip) / len(clip) for clip in clips])
    largest = np.array([[max(column) for column in clip.T] for clip in clips])
    for how, expected in (("mean", means), ("max", largest), ("mean+max", np.hstack([means, largest]))):
        pooled = pooling.pool_embeddings(logits(), OFFSETS, how)
        assert pooled.dtype == np.float32
        np.testing.assert_allclose(pooled, expected, atol=1e-6)


def test_a_pooled_clip_of_one_segment_is_that_segment() -> None:
    for how, times in (("mean", 1), ("max", 1), ("mean+max", 2)):
        single = pooling.pool_embeddings(logits(), np.arange(len(logits())), how)
        np.testing.assert_array_equal(single, np.tile(logits(), times))


def test_a_day_of_segments_is_pooled_as_exactly_as_a_minute() -> None:
    """Sums in single precision would drift: 180,000 segments of a probability near .1."""
    rows = np.random.default_rng(0).uniform(0.0999, 0.1001, (180_000, 3)).astype(np.float32)
    pool = pooling.RunningPool("mean+max")
    for part in np.array_split(rows, 1000):
        pool.add(part)
    exact = np.concatenate([rows.mean(axis=0, dtype=np.float64), rows.max(axis=0)])
    np.testing.assert_allclose(pool.pooled()[0], exact, rtol=1e-7)
    np.testing.assert_allclose(pooling.pool_embeddings(rows, [0], "mean+max")[0], exact, rtol=1e-7)


# Temperatures


@st.composite
def probabilities(draw: st.DrawFn) -> Array:
    """Rows of three and more probabilities, zeros and ones among them."""
    shape = draw(st.tuples(st.integers(1, 5), st.integers(2, 6)))
    rows = np.array(draw(st.lists(st.floats(0, 30), min_size=shape[0] * shape[1], max_size=shape[0] * shape[1])))
    rows = np.exp(-rows.reshape(shape) * draw(st.sampled_from([0.1, 1.0, 10.0])))
    return (rows / rows.sum(axis=1, keepdims=True)).astype(np.float32)


@given(probabilities(), st.floats(0.05, 20))
def test_a_temperature_divides_the_logits_and_keeps_the_order(scores: Array, temperature: float) -> None:
    tempered = pooling.apply_temperature(scores, temperature)
    logits = np.log(np.maximum(scores.astype(float), pooling.SMALLEST)) / temperature
    np.testing.assert_allclose(tempered, special.softmax(logits, axis=1), rtol=1e-5, atol=1e-30)
    assert tempered.dtype == np.float32
    np.testing.assert_allclose(tempered.sum(axis=1), 1, atol=1e-5)
    order = scores.argsort(axis=1, kind="stable")
    assert (np.diff(np.take_along_axis(tempered, order, axis=1), axis=1) >= 0).all(), "no class overtakes another"
    equal = scores[:, :1] == scores
    assert (tempered == tempered[:, :1])[equal].all(), "what was equal stays equal"


@given(st.floats(-15, 15), st.floats(0.1, 10))
def test_under_sigmoid_each_class_has_its_own_logit(logit: float, temperature: float) -> None:
    scores = np.array([[special.expit(logit)]], np.float32)
    expected = special.expit(special.logit(scores.astype(float)) / temperature)
    assert pooling.apply_temperature(scores, temperature, "sigmoid") == pytest.approx(expected, abs=1e-6)


def test_sigmoids_that_reached_their_ends_stay_there() -> None:
    np.testing.assert_array_equal(
        pooling.apply_temperature(np.array([[0.0, 1.0, 0.5]], np.float32), 0.5, "sigmoid"),
        np.array([[0, 1, 0.5]], np.float32),
    )


def test_a_temperature_of_one_leaves_every_bit() -> None:
    scores = np.random.default_rng(0).dirichlet(np.ones(7), 5).astype(np.float32)
    assert pooling.apply_temperature(scores, 1.0) is scores
