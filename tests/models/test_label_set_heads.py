"""heads of label sets: each class is scikit-learn's binary classifier on the rows in which it was annotated."""

from collections.abc import Callable, Iterator
from typing import Any

import lightgbm  # its threads are limited below, so it must be loaded by then
import numpy as np
import pytest
import safetensors.numpy
import torch
from scipy.special import expit
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score, log_loss, recall_score
from sklearn.neural_network import MLPClassifier
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

from hubbub.models.dense_heads import DiscriminantHead, LogisticHead, MLPHead
from hubbub.models.head import Head, HeadError
from hubbub.models.one_vs_rest import constant_logits, pair_weights
from hubbub.models.tree_heads import EnsembleHead, LightGBMHead
from tests.models.test_heads import KINDS, SIZE

CLASSES = 5
SET_KINDS = {name: make for name, make in KINDS.items() if name != "lda"}


@pytest.fixture(autouse=True, scope="module")
def _one_thread() -> Iterator[None]:
    with threadpool_limits(1):
        yield


def problem(apart: float, seed: int = 0, rows: int = 400, unknown: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """Noise, moved by `apart` deviations along an axis for each class that a row holds, rare ones and frequent ones; so
    many pairs are not annotated."""
    random = np.random.default_rng(seed)
    held = random.random((rows, CLASSES)) < np.linspace(0.08, 0.6, CLASSES)
    x = random.normal(size=(rows, SIZE)) + apart * held @ np.eye(CLASSES, SIZE)
    y = np.where(random.random(held.shape) < unknown, -1, held).astype(np.int8)
    return (3 * x + 7).astype(np.float32), y


def reference(x: np.ndarray, y: np.ndarray, new: np.ndarray, make: Callable[[], Any]) -> np.ndarray:
    """scikit-learn's probability that each class is present, fitted to its annotated rows, all rows scaled alike."""
    scale = StandardScaler().fit(x.astype(float))
    rows, found = scale.transform(x.astype(float)), []
    for k in range(y.shape[1]):
        own = y[:, k] >= 0
        found.append(make().fit(rows[own], y[own, k]).predict_proba(scale.transform(new.astype(float)))[:, 1])
    return np.stack(found, axis=1)


@pytest.mark.parametrize("c", [0.01, 1.0])
@pytest.mark.parametrize("balanced", [False, True])
@pytest.mark.parametrize("unknown", [0.0, 0.4])
def test_logistic_head_is_scikit_learns_for_each_class(unknown: float, balanced: bool, c: float) -> None:
    x, y = problem(1.5, unknown=unknown)
    new, _ = problem(1.5, seed=1)
    weight = "balanced" if balanced else None
    expected = reference(x, y, new, lambda: LogisticRegression(C=c, class_weight=weight, tol=1e-8, max_iter=5000))
    np.testing.assert_allclose(LogisticHead(c, balanced).fit(x, y).predict_proba(new), expected, rtol=0, atol=1e-3)


@pytest.mark.parametrize("c", [1e-6, 0.01, 1.0])
def test_logistic_head_of_columns_that_repeat_each_other_is_scikit_learns(c: float) -> None:
    x, y = problem(1.5, unknown=0.2)
    random = np.random.default_rng(1)
    mixed = x @ random.normal(size=(SIZE, 60)) + random.normal(size=(len(x), 60))
    x = np.concatenate([mixed, mixed[:, :9] + mixed[:, 9:18]], axis=1).astype(np.float32)
    expected = reference(x, y, x, lambda: LogisticRegression(C=c, tol=1e-8, max_iter=5000))
    np.testing.assert_allclose(LogisticHead(c).fit(x, y).predict_proba(x), expected, atol=2e-3)


def test_logistic_head_of_few_rows_and_many_columns_is_scikit_learns() -> None:
    random = np.random.default_rng(0)
    y = np.array([[1, 0, 0], [0, 1, 0], [1, 1, 0], [0, 0, 1]] * 3, np.int8)
    x = (random.normal(size=(12, 512)) + 2 * y @ random.normal(size=(3, 512))) * (random.random(512) < 0.3)
    x, y = np.repeat(x, 9, axis=0).astype(np.float32), np.repeat(y, 9, axis=0)
    expected = reference(x, y, x, lambda: LogisticRegression(C=0.003, tol=1e-8, max_iter=5000))
    np.testing.assert_allclose(LogisticHead(0.003).fit(x, y).predict_proba(x), expected, atol=2e-3)


def test_classes_that_can_be_told_apart_without_error_have_finite_weights() -> None:
    x, y = problem(20, unknown=0.2)
    expected = reference(x, y, x, lambda: LogisticRegression(C=100, tol=1e-8, max_iter=5000))
    np.testing.assert_allclose(LogisticHead(100).fit(x, y).predict_proba(x), expected, atol=1e-3)


def test_logistic_heads_that_share_a_fit_are_those_fitted_alone() -> None:
    x, y = problem(1.5, unknown=0.2)
    together = [LogisticHead(c) for c in (1.0, 0.01, 0.1)]
    start = LogisticHead(1.0).fit(2 * x[:200] + 5, y[:200])
    LogisticHead.fit_each(together, x, y, start)
    for head in together:
        np.testing.assert_allclose(head.predict_proba(x), LogisticHead(head.c).fit(x, y).predict_proba(x), atol=1e-3)


def test_the_perceptron_is_as_good_as_scikit_learns() -> None:
    """Their random numbers differ, so their probabilities do; over some seeds the losses are the same."""
    x, y = problem(1.5, rows=800)
    new, truth = problem(1.5, seed=1, rows=800)
    scale = StandardScaler().fit(x.astype(float))

    def theirs(seed: int) -> np.ndarray:
        model = MLPClassifier((16,), alpha=0.5, learning_rate_init=1e-2, random_state=seed)
        for _ in range(10):
            model.partial_fit(scale.transform(x.astype(float)), y, classes=np.arange(CLASSES))
        return np.asarray(model.predict_proba(scale.transform(new.astype(float))))

    heads = [MLPHead(16, 10, 1e-2, alpha=0.5, seed=seed).fit(x, y).predict_proba(new) for seed in range(6)]
    losses = [[log_loss(truth.ravel(), scores.ravel()) for scores in found] for found in (heads, map(theirs, range(6)))]
    assert np.mean(losses[0]) == pytest.approx(np.mean(losses[1]), rel=0.02)
    assert max(map(max, losses)) < 1.1 * min(map(min, losses))


def test_one_training_gives_the_perceptrons_of_all_its_epochs() -> None:
    x, y = problem(1.5, unknown=0.2)
    together = [MLPHead(hidden=8, epochs=epochs) for epochs in (5, 2, 9)]
    MLPHead.fit_each(together, x, y)
    for head in together:
        alone = MLPHead(hidden=8, epochs=head.epochs).fit(x, y)
        np.testing.assert_array_equal(head.predict_proba(x), alone.predict_proba(x))


@pytest.mark.parametrize("unknown", [0.0, 0.4])
def test_lightgbm_head_has_the_trees_of_each_class(unknown: float) -> None:
    x, y = problem(1.5, unknown=unknown)
    head = LightGBMHead(trees=10, leaves=5, learning_rate=0.2, balanced=True, max_bin=255).fit(x, y)
    logits, weights = head.decision_function(x), pair_weights(y, True)
    for k in range(CLASSES):
        own = np.flatnonzero(y[:, k] >= 0)
        whole = lightgbm.Dataset(x, y[:, k], params={"max_bin": 255, "verbosity": -1})
        data = whole.subset(own.tolist()).construct()
        data.set_label(y[own, k]).set_weight(weights[own, k])
        settings = {
            "objective": "binary", "num_leaves": 5, "learning_rate": 0.2, "feature_fraction": 0.9, "seed": 0,
            "deterministic": True, "force_col_wise": True, "verbosity": -1,
        }  # fmt: skip
        expected = lightgbm.train(settings, data, 10).predict(x, raw_score=True)
        np.testing.assert_allclose(logits[:, k], expected, atol=1e-4)
    assert set(head.texts()) == {f"lightgbm{k}" for k in range(CLASSES)}


@pytest.mark.parametrize("kind", SET_KINDS)
def test_head_learns_what_can_be_told_apart(kind: str) -> None:
    x, y = problem(6, rows=600)
    new, truth = problem(6, seed=1)
    head = SET_KINDS[kind]().fit(x, y)
    assert head.decision_function(new).shape == truth.shape
    assert average_precision_score(truth, head.predict_proba(new)) > 0.95
    assert (head.predict(new) == truth).mean() > 0.95
    assert head.score(new, truth) == (head.predict(new) == truth).all(axis=1).mean()


@pytest.mark.parametrize("kind", SET_KINDS)
def test_rows_in_which_a_class_is_not_annotated_say_nothing_about_it(kind: str) -> None:
    """In three of four rows: taken as absent there, the class would hardly be found."""
    x, y = problem(6)
    other = y.copy()
    other[100:, 2] = -1
    wrong = np.where(other < 0, 0, other).astype(np.int8)
    new, truth = problem(6, seed=1)
    found, misled = (
        recall_score(truth[:, 2], SET_KINDS[kind]().fit(x, targets).predict(new)[:, 2]) for targets in (other, wrong)
    )
    assert found > 0.65 and misled < found - 0.25


@pytest.mark.parametrize("kind", SET_KINDS)
def test_what_is_kept_restores_the_head(kind: str) -> None:
    x, y = problem(2, unknown=0.3)
    y[:, 1], y[:, 3] = 0, -1
    head = SET_KINDS[kind]().fit(x, y)
    arrays = safetensors.numpy.load(safetensors.numpy.save(head.arrays()))
    assert all(array.dtype == np.float32 and np.isfinite(array).all() for array in arrays.values())
    texts = {name: text.encode().decode() for name, text in head.texts().items()}
    again = SET_KINDS[kind]().restore(arrays, texts, CLASSES, multilabel=True)
    np.testing.assert_array_equal(again.decision_function(x), head.decision_function(x))
    np.testing.assert_array_equal(again.predict_proba(x), head.predict_proba(x))
    np.testing.assert_array_equal(again.predict(x), head.predict(x))
    np.testing.assert_array_equal(again.classes_, head.classes_)


@pytest.mark.parametrize("kind", SET_KINDS)
def test_classes_without_a_present_or_an_absent_row_have_a_constant_logit(kind: str) -> None:
    x, y = problem(2, rows=300)
    y[:, 0], y[:, 1], y[:, 2] = 0, 1, -1
    y[:100, 0] = -1
    logits = SET_KINDS[kind]().fit(x, y).decision_function(x)
    expected = [np.log(0.5 / 200.5), np.log(300.5 / 0.5), np.log(0.5 / 300.5)]
    np.testing.assert_allclose(logits[:, :3], np.tile(expected, (300, 1)), rtol=1e-4)
    assert logits[:, 3:].std(axis=0).min() > 0.1
    alone = SET_KINDS[kind]().fit(x, y[:, 3:]).decision_function(x)
    if kind in ("logreg", "lightgbm"):  # a perceptron shares its hidden units
        np.testing.assert_allclose(logits[:, 3:], alone, atol=1e-2)


def test_constant_logits_are_log_odds_of_rows() -> None:
    y = np.array([[1, 0, -1, 1], [1, 0, -1, -1], [1, 0, -1, 0]], np.int8)
    np.testing.assert_allclose(expit(constant_logits(y)), [3.5 / 4, 0.5 / 4, 0.5 / 4, 1.5 / 3], rtol=1e-6)


@pytest.mark.parametrize("kind", SET_KINDS)
def test_probabilities_are_those_of_each_logit(kind: str) -> None:
    x, y = problem(2)
    head = SET_KINDS[kind]().fit(x, y)
    logits, scores = head.decision_function(x), head.predict_proba(x)
    np.testing.assert_allclose(scores, expit(logits.astype(float)), atol=1e-6)
    assert scores.sum(axis=1).std() > 0.1
    np.testing.assert_array_equal(head.predict(x), scores >= 0.5)


def test_ensemble_is_the_mean_of_its_members() -> None:
    x, y = problem(2)
    head = KINDS["ensemble"]().fit(x, y)
    assert isinstance(head, EnsembleHead)
    trees, mlp = head.trees.predict_proba(x), head.mlp.predict_proba(x)
    assert np.abs(trees - mlp).max() > 0.05
    np.testing.assert_allclose(head.predict_proba(x), (trees + mlp) / 2, atol=1e-6)


@pytest.mark.parametrize("kind", SET_KINDS)
def test_same_seed_same_head_and_rows_stay_as_they_were(kind: str) -> None:
    x, y = problem(1, unknown=0.2)
    before = x.copy(), y.copy()
    first = SET_KINDS[kind]()
    assert first.fit(x, y) is first
    np.testing.assert_array_equal(clone(first).fit(x, y).predict_proba(x), first.predict_proba(x))
    np.testing.assert_array_equal(x, before[0])
    np.testing.assert_array_equal(y, before[1])


@pytest.mark.parametrize(
    "make",
    [
        lambda balanced: LogisticHead(0.1, balanced),
        lambda balanced: MLPHead(hidden=8, epochs=20, balanced=balanced),
        lambda balanced: LightGBMHead(trees=10, leaves=4, balanced=balanced),
    ],
)
def test_balancing_finds_more_of_each_rare_class(make: Callable[[bool], Head]) -> None:
    x, y = problem(1.5, rows=800, unknown=0.2)
    new, truth = problem(1.5, seed=1)
    rare = {b: recall_score(truth[:, 0], make(b).fit(x, y).predict(new)[:, 0]) for b in (False, True)}
    assert rare[True] > rare[False] + 0.1


def test_pair_weights_have_mean_one_over_the_annotated_rows() -> None:
    _, y = problem(1, unknown=0.3)
    for balanced in (False, True):
        weights = pair_weights(y, balanced)
        assert not weights[y < 0].any()
        np.testing.assert_allclose(weights.sum(axis=0), (y >= 0).sum(axis=0), rtol=1e-4)
    np.testing.assert_allclose((weights * (y > 0)).sum(axis=0), (weights * (y == 0)).sum(axis=0), rtol=1e-4)


@pytest.mark.parametrize("classes", [1, 2, 5])
@pytest.mark.parametrize("kind", [LogisticHead, MLPHead])
def test_a_dense_head_in_torch_gives_the_logits_of_each_class(kind: Any, classes: int) -> None:
    x, y = problem(1)
    head = kind(compress=True).fit(x, y[:, :classes])
    with torch.no_grad():
        ours = head.module()(torch.from_numpy(x)).numpy()
    assert ours.shape == (len(x), classes)
    np.testing.assert_allclose(ours, head.decision_function(x), rtol=1e-5, atol=1e-5)


def test_discriminant_analysis_is_for_rows_of_one_class() -> None:
    with pytest.raises(HeadError, match="'lda' is for clips of one label each"):
        DiscriminantHead().fit(*problem(1))
