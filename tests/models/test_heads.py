"""heads: scikit-learn's logistic regression, its conventions, and what is kept of a head gives it back exactly."""

from collections.abc import Callable, Iterator
from typing import Any

import lightgbm  # noqa: F401 - its threads are limited below, so it must be loaded by then
import numpy as np
import pytest
import safetensors.numpy
import torch
from sklearn.base import clone
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import recall_score
from sklearn.model_selection import cross_val_score
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

from hubbub.config.sections import Head as HeadSettings
from hubbub.models.dense_heads import DiscriminantHead, LogisticHead, MLPHead
from hubbub.models.head import Head
from hubbub.models.heads import HEADS, build_head, candidates
from hubbub.models.tree_heads import EnsembleHead, LightGBMHead

SIZE = 12
KINDS: dict[str, Callable[[], Head]] = {
    "logreg": lambda: LogisticHead(0.1),
    "lda": lambda: DiscriminantHead(0.2),
    "mlp": lambda: MLPHead(hidden=16, epochs=30, learning_rate=1e-2),
    "lightgbm": lambda: LightGBMHead(trees=15, leaves=5, learning_rate=0.2),
    "ensemble": lambda: EnsembleHead(LightGBMHead(trees=15, leaves=5, learning_rate=0.2), MLPHead(16, 20, 1e-2)),
}


@pytest.fixture(autouse=True, scope="module")
def _one_thread() -> Iterator[None]:
    """These problems are small: on a busy machine threads would spend their time waiting for each other."""
    with threadpool_limits(1):
        yield


def problem(classes: int, apart: float, seed: int = 0, rows: int = 300) -> tuple[np.ndarray, np.ndarray]:
    """Noise around a centre a class, `apart` standard deviations out; class k is k + 1 times as frequent as class 0."""
    rng = np.random.default_rng(seed)
    share = np.arange(1, classes + 1)
    y = rng.choice(classes, rows, p=share / share.sum())
    x = rng.normal(size=(rows, SIZE)) + apart * np.eye(classes, SIZE)[y]
    return (3 * x + 7).astype(np.float32), y  # neither centred nor of unit variance


def test_a_head_without_its_methods_cannot_be_made() -> None:
    class Nothing(Head):
        pass

    with pytest.raises(TypeError, match=r"decision_function.*fit.*restore"):
        Nothing()


@pytest.mark.parametrize("c", [0.01, 1.0])
@pytest.mark.parametrize("balanced", [False, True])
@pytest.mark.parametrize("classes", [2, 5])
def test_logistic_head_is_scikit_learns(classes: int, balanced: bool, c: float) -> None:
    x, y = problem(classes, apart=1.5)
    new, _ = problem(classes, apart=1.5, seed=1)
    scale = StandardScaler().fit(x.astype(float))
    reference = LogisticRegression(C=c, class_weight="balanced" if balanced else None, tol=1e-8, max_iter=5000)
    reference.fit(scale.transform(x.astype(float)), y)
    ours = LogisticHead(c, balanced).fit(x, y).predict_proba(new)
    np.testing.assert_allclose(ours, reference.predict_proba(scale.transform(new.astype(float))), rtol=0, atol=1e-3)


@pytest.mark.parametrize("c", [1e-6, 0.01, 1.0])
@pytest.mark.parametrize("classes", [2, 5])
def test_logistic_head_of_columns_that_repeat_each_other_is_scikit_learns(classes: int, c: float) -> None:
    """As embeddings are: most axes have little variance, or none."""
    x, y = problem(classes, apart=1.5)
    rng = np.random.default_rng(1)
    mixed = x @ rng.normal(size=(SIZE, 60)) + rng.normal(size=(len(x), 60))
    x = np.concatenate([mixed, mixed[:, :9] + mixed[:, 9:18]], axis=1).astype(np.float32)
    scaled = StandardScaler().fit_transform(x.astype(float))
    reference = LogisticRegression(C=c, tol=1e-8, max_iter=5000).fit(scaled, y)
    np.testing.assert_allclose(LogisticHead(c).fit(x, y).predict_proba(x), reference.predict_proba(scaled), atol=2e-3)


def test_logistic_head_of_few_rows_and_many_columns_is_scikit_learns() -> None:
    """As a user's first thirty recordings are: most axes have no variance at all."""
    rng = np.random.default_rng(0)
    y = np.repeat(np.arange(3), 4)
    x = (rng.normal(size=(12, 512)) + 2 * rng.normal(size=(3, 512))[y]) * (rng.random(512) < 0.3)
    x, y = np.repeat(x, 9, axis=0).astype(np.float32), np.repeat(y, 9)
    scaled = StandardScaler().fit_transform(x.astype(float))
    reference = LogisticRegression(C=0.003, tol=1e-8, max_iter=5000).fit(scaled, y)
    found = LogisticHead(0.003).fit(x, y).predict_proba(x)
    np.testing.assert_allclose(found, reference.predict_proba(scaled), atol=2e-3)


def test_of_few_rows_no_covariance_of_columns_is_searched(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its many zeros can keep LAPACK's search from ending."""
    sizes, search = list[int](), torch.linalg.eigh
    monkeypatch.setattr(torch.linalg, "eigh", lambda matrix: sizes.append(len(matrix)) or search(matrix))
    x, y = problem(3, 2.0, rows=30)
    for columns in (np.tile(x, 5), x):
        LogisticHead(0.1).fit(columns, y)
    assert sizes == [30, SIZE]


@pytest.mark.parametrize("balanced", [False, True])
@pytest.mark.parametrize("classes", [2, 5])
def test_discriminant_head_is_scikit_learns(classes: int, balanced: bool) -> None:
    x, y = problem(classes, apart=1.5)
    new, _ = problem(classes, apart=1.5, seed=1)
    priors = np.full(classes, 1 / classes) if balanced else None
    reference = LinearDiscriminantAnalysis(solver="lsqr", shrinkage=0.2, priors=priors).fit(x.astype(float), y)
    ours = DiscriminantHead(0.2, balanced).fit(x, y).predict_proba(new)
    np.testing.assert_allclose(ours, reference.predict_proba(new.astype(float)), rtol=0, atol=1e-3)


def test_discriminant_head_keeps_digits_in_single_precision() -> None:
    """Columns that differ little from their mean, as averages over a network's map do: all scores are large, and nearly
    alike."""
    rng = np.random.default_rng(0)
    y = np.arange(300) % 6
    x = (3 + 0.02 * rng.normal(size=(300, 64)) + 0.01 * rng.normal(size=(6, 64))[y]).astype(np.float32)
    reference = LinearDiscriminantAnalysis(solver="lsqr", shrinkage=0.01).fit(x.astype(float), y)
    ours = DiscriminantHead(0.01).fit(x, y).predict_proba(x)
    np.testing.assert_allclose(ours, reference.predict_proba(x.astype(float)), rtol=0, atol=2e-5)


def test_every_head_is_tested() -> None:
    assert set(KINDS) == set(HEADS) - {"zeroshot"}  # which learns nothing: tests/classifier/test_zero_shot.py


@pytest.mark.parametrize("classes", [2, 5])
@pytest.mark.parametrize("kind", KINDS)
def test_head_learns_what_can_be_told_apart(kind: str, classes: int) -> None:
    head = KINDS[kind]().fit(*problem(classes, apart=6))
    x, y = problem(classes, apart=6, seed=1)
    assert head.score(x, y) > 0.97
    assert head.decision_function(x).shape == (len(x), classes)


@pytest.mark.parametrize("classes", [2, 5])
@pytest.mark.parametrize("kind", KINDS)
def test_softmax_of_the_decision_is_the_probability(kind: str, classes: int) -> None:
    x, y = problem(classes, apart=2)
    head = KINDS[kind]().fit(x, y)
    logits, scores = head.decision_function(x).astype(float), head.predict_proba(x)
    np.testing.assert_allclose(scores, np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True), atol=1e-6)
    np.testing.assert_allclose(scores.sum(axis=1), 1, atol=1e-6)
    np.testing.assert_array_equal(head.predict(x), scores.argmax(axis=1))


@pytest.mark.parametrize("classes", [2, 5])
@pytest.mark.parametrize("kind", KINDS)
def test_what_is_kept_restores_the_head(kind: str, classes: int) -> None:
    x, y = problem(classes, apart=2)
    head = KINDS[kind]().fit(x, y)
    arrays = safetensors.numpy.load(safetensors.numpy.save(head.arrays()))
    assert all(array.dtype == np.float32 for array in arrays.values())
    texts = {name: text.encode().decode() for name, text in head.texts().items()}
    again = KINDS[kind]().restore(arrays, texts, classes)
    np.testing.assert_array_equal(again.predict_proba(x), head.predict_proba(x))
    np.testing.assert_array_equal(again.classes_, head.classes_)
    np.testing.assert_array_equal(again.predict(x), head.predict(x))


@pytest.mark.parametrize("classes", [2, 5])
def test_ensemble_is_the_mean_of_its_members(classes: int) -> None:
    x, y = problem(classes, apart=2)
    head = KINDS["ensemble"]().fit(x, y)
    assert isinstance(head, EnsembleHead)
    trees, mlp = head.trees.predict_proba(x), head.mlp.predict_proba(x)
    assert np.abs(trees - mlp).max() > 0.05
    np.testing.assert_allclose(head.predict_proba(x), (trees + mlp) / 2, atol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_scikit_learns_conventions(kind: str) -> None:
    x, y = problem(3, apart=3, rows=200)
    before = x.copy()
    head = KINDS[kind]()
    assert head.fit(x, y) is head
    np.testing.assert_array_equal(x, before)
    np.testing.assert_array_equal(head.classes_, [0, 1, 2])
    assert head.score(x, y) == np.mean(head.predict(x) == y)
    copy = clone(head)
    assert not hasattr(copy, "classes_")
    assert {k: v for k, v in copy.get_params().items() if not isinstance(v, Head)} == {
        k: v for k, v in head.get_params().items() if not isinstance(v, Head)
    }
    np.testing.assert_array_equal(copy.fit(x, y).predict_proba(x), head.predict_proba(x))
    scores = cross_val_score(KINDS[kind](), x.astype(float), y, cv=2)  # double precision is taken too
    assert scores.min() > 0.6


@pytest.mark.parametrize("kind", KINDS)
def test_same_seed_same_head(kind: str) -> None:
    x, y = problem(3, apart=1)
    first, second = (KINDS[kind]().fit(x, y).predict_proba(x) for _ in range(2))
    np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize("make", [lambda seed: MLPHead(8, 2, seed=seed), lambda seed: LightGBMHead(5, 5, seed=seed)])
def test_another_seed_another_head(make: Callable[[int], Head]) -> None:
    x, y = problem(3, apart=1)
    assert np.abs(make(0).fit(x, y).predict_proba(x) - make(1).fit(x, y).predict_proba(x)).max() > 1e-3


@pytest.mark.parametrize(
    "make",
    [
        lambda c: LogisticHead(0.1, compress=c),
        lambda c: DiscriminantHead(0.1, compress=c),
        lambda c: MLPHead(hidden=8, epochs=5, compress=c),
    ],
)
def test_compress_is_the_signed_logarithm_and_nothing_else(make: Callable[[bool], Head]) -> None:
    x, y = problem(3, apart=2)
    x = x - 7
    compressed = np.sign(x) * np.log1p(np.abs(x))
    with_it, by_hand, without = make(True).fit(x, y), make(False).fit(compressed, y), make(False).fit(x, y)
    np.testing.assert_array_equal(with_it.predict_proba(x), by_hand.predict_proba(compressed))
    assert np.abs(with_it.predict_proba(x) - without.predict_proba(x)).max() > 1e-2


@pytest.mark.parametrize(
    "make",
    [
        lambda balanced: LogisticHead(0.1, balanced),
        lambda balanced: DiscriminantHead(0.1, balanced),
        lambda balanced: MLPHead(hidden=8, epochs=20, balanced=balanced),
        lambda balanced: LightGBMHead(trees=10, leaves=4, balanced=balanced),
    ],
)
def test_balancing_finds_more_of_the_rare_class(make: Callable[[bool], Head]) -> None:
    x, y = problem(5, apart=1.5, rows=600)
    new, truth = problem(5, apart=1.5, seed=1, rows=600)
    rare = {b: recall_score(truth, make(b).fit(x, y).predict(new), labels=[0], average="macro") for b in (False, True)}
    assert rare[True] > rare[False] + 0.1


def test_dead_and_constant_columns_do_no_harm() -> None:
    x, y = problem(3, apart=4)
    dead = np.concatenate([x, np.zeros((len(x), 2), np.float32), np.full((len(x), 1), 0.1, np.float32)], axis=1)
    for kind in ("logreg", "lda", "mlp"):
        assert np.isfinite(KINDS[kind]().fit(dead, y).decision_function(dead)).all()
    plain, padded = KINDS["logreg"]().fit(x, y), KINDS["logreg"]().fit(dead, y)
    np.testing.assert_allclose(padded.predict_proba(dead), plain.predict_proba(x), atol=1e-4)


def test_subsample_acts_only_with_a_frequency() -> None:
    x, y = problem(3, apart=1)

    def scores(subsample: float, subsample_freq: int) -> np.ndarray:
        head = LightGBMHead(5, 5, subsample=subsample, subsample_freq=subsample_freq)
        return head.fit(x, y).predict_proba(x)

    np.testing.assert_array_equal(scores(0.5, 0), scores(1.0, 0))
    assert np.abs(scores(0.5, 1) - scores(1.0, 1)).max() > 1e-3


UNUSUAL: dict[str, Any] = {
    "hidden": 7, "learning_rate": 0.003, "alpha": 0.01, "compress": True, "balanced": False, "trees": 3, "leaves": 6,
    "tree_learning_rate": 0.3, "subsample": 0.7, "subsample_freq": 2, "colsample": 0.6, "max_bin": 31,
    "c": (0.5, 2.0), "shrinkage": (0.4, 0.9), "epochs": (1, 2),
}  # fmt: skip


def test_candidates_are_what_validation_chooses_among() -> None:
    settings = HeadSettings(**UNUSUAL)
    by_name = {name: candidates(settings.model_copy(update={"name": name})) for name in HEADS}
    assert by_name == {
        "logreg": [{"c": 0.5}, {"c": 2.0}],
        "lda": [{"shrinkage": 0.4}, {"shrinkage": 0.9}],
        "mlp": [{"epochs": 1}, {"epochs": 2}],
        "lightgbm": [{}],
        "ensemble": [{"epochs": 1}, {"epochs": 2}],
        "zeroshot": [{}],
    }


def test_every_setting_reaches_the_head() -> None:
    mlp = {"hidden": 7, "epochs": 2, "learning_rate": 0.003, "alpha": 0.01, "balanced": False, "compress": True}
    trees = {
        "trees": 3, "leaves": 6, "learning_rate": 0.3, "subsample": 0.7, "subsample_freq": 2, "colsample": 0.6,
        "max_bin": 31, "balanced": False,
    }  # fmt: skip

    def built(name: str) -> Head:
        settings = HeadSettings(name=name, **UNUSUAL)
        return build_head(settings, candidates(settings)[-1], seed=9)

    assert built("logreg").get_params() == {"c": 2.0, "balanced": False, "compress": True}
    assert built("lda").get_params() == {"shrinkage": 0.9, "balanced": False, "compress": True}
    assert built("mlp").get_params() == {**mlp, "seed": 9}
    assert built("lightgbm").get_params() == {**trees, "seed": 9}
    ensemble = built("ensemble")
    assert isinstance(ensemble, EnsembleHead)
    assert ensemble.trees.get_params() == {**trees, "seed": 9}
    assert ensemble.mlp.get_params() == {**mlp, "seed": 9}


def test_every_setting_reaches_lightgbm() -> None:
    x, y = problem(3, apart=1)
    settings = HeadSettings(name="lightgbm", **UNUSUAL)
    text = build_head(settings, {}, seed=9).fit(x, y).texts()["lightgbm"]
    written = dict(
        line.strip("[]").split(": ", 1) for line in text.splitlines() if line.startswith("[") and ": " in line
    )
    assert text.count("Tree=") == 3 * 3  # rounds times classes
    expected = {
        "objective": "multiclass", "num_class": "3", "num_leaves": "6", "learning_rate": "0.3",
        "bagging_fraction": "0.7", "bagging_freq": "2", "feature_fraction": "0.6", "max_bin": "31", "seed": "9",
    }  # fmt: skip
    assert {name: written.get(name) for name in expected} == expected


@pytest.mark.parametrize("classes", [2, 5])
@pytest.mark.parametrize("compress", [False, True])
@pytest.mark.parametrize("kind", [LogisticHead, DiscriminantHead, MLPHead])
def test_a_dense_head_in_torch_says_the_same(kind: Any, compress: bool, classes: int) -> None:
    x, y = problem(classes, apart=1.0)
    head = kind(compress=compress).fit(x, y)
    module = head.module()
    with torch.no_grad():
        ours = module(torch.from_numpy(x)).numpy()
    np.testing.assert_allclose(ours, head.decision_function(x), rtol=1e-5, atol=1e-5)
    rows = torch.from_numpy(x).requires_grad_()
    (gradient,) = torch.autograd.grad(module(rows)[:, 1].sum(), rows)
    assert gradient.abs().max() > 0


@pytest.mark.parametrize("kind", ["lightgbm", "ensemble"])
def test_trees_have_no_torch_form(kind: str) -> None:
    assert KINDS[kind]().module() is None


@pytest.mark.parametrize("classes", [2, 5])
def test_heads_that_share_a_fit_are_those_fitted_alone(classes: int) -> None:
    x, y = problem(classes, apart=1.5)
    together = [LogisticHead(c) for c in (1.0, 0.01, 0.1)]
    LogisticHead.fit_each(together, x, y)
    for head in together:
        np.testing.assert_allclose(head.predict_proba(x), LogisticHead(head.c).fit(x, y).predict_proba(x), atol=1e-3)


@pytest.mark.parametrize("classes", [2, 5])
def test_the_start_of_a_fit_does_not_change_its_end(classes: int) -> None:
    x, y = problem(classes, apart=1.5)
    start, head = LogisticHead(1.0).fit(2 * x[:200] + 5, y[:200]), LogisticHead(0.1)
    LogisticHead.fit_each([head], x, y, start)
    np.testing.assert_allclose(head.predict_proba(x), LogisticHead(0.1).fit(x, y).predict_proba(x), atol=1e-3)


def test_one_training_gives_the_perceptrons_of_all_its_epochs() -> None:
    x, y = problem(3, apart=1.5)
    together = [MLPHead(hidden=8, epochs=epochs) for epochs in (5, 2, 9)]
    MLPHead.fit_each(together, x, y)
    for head in together:
        alone = MLPHead(hidden=8, epochs=head.epochs).fit(x, y)
        np.testing.assert_array_equal(head.predict_proba(x), alone.predict_proba(x))
