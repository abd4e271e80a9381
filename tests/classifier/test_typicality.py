"""typicality: the relative Mahalanobis distance of the paper, the same in memory, saved and exported."""

import io
from pathlib import Path

import numpy as np
import pytest
import soundfile
from scipy.spatial.distance import mahalanobis
from sklearn.covariance import shrunk_covariance
from sklearn.decomposition import PCA

from hubbub.classifier import calibration, typicality
from hubbub.classifier.base import ClassifierError
from hubbub.classifier.calibration import Confidence, pool_familiarity
from hubbub.classifier.load import load_torch
from hubbub.classifier.torch_classifier import TorchClassifier
from hubbub.classifier.typicality import Typicality, TypicalityError
from hubbub.config.recipe import Recipe
from hubbub.config.sections import Evaluate
from hubbub.data.clips import ClipsError
from hubbub.data.open import open_clips
from hubbub.inference.predict import predict_recording
from hubbub.serve.batcher import BatchedClassifier, Batcher
from tests.helpers.classifiers import small_classifier
from tests.helpers.open_set import assert_kept, familiarity, probabilities_and_typicality

RATE = 16_000
RNG = np.random.default_rng(0)
NOISE = RNG.normal(0, 0.1, 5 * RATE).astype(np.float32)
KINDS = [
    (),
    ("evaluate.shifts=[0.01,-0.2]",),
    ("network.mode=head",),
    ("head.name=logreg", "head.pool=segment", "head.compress=true", 'windows.levels=["recorded","rms"]'),
    ("head.name=lda", "head.pool=mean+max"),
]


def clips(count: int, size: int, classes: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Embeddings of segments, three a clip, the clips' offsets and their classes, which differ."""
    of_clip = np.arange(count) % classes
    centres = RNG.normal(0, 2, (classes, size)) * RNG.uniform(0.2, 4, size)
    values = centres[np.repeat(of_clip, 3)] + RNG.normal(0, 1, (3 * count, size)) * RNG.uniform(0.2, 4, size)
    return values.astype(np.float32), np.arange(0, 3 * count, 3), of_clip


def by_hand(x: np.ndarray, train: np.ndarray, classes: np.ndarray) -> list[float]:
    """The relative distance of rows `x` to training rows, after PCA, with scikit-learn's shrunk covariances."""
    pca = PCA(min(typicality.AXES, len(train) - 1, train.shape[1]), svd_solver="full").fit(train)
    x, train = pca.transform(x), pca.transform(train)
    means = [train[classes == k].mean(axis=0) for k in np.unique(classes)]
    rest = train - np.array(means)[classes]
    whole, within = (
        np.linalg.inv(shrunk_covariance(rows.T @ rows / len(rows), typicality.SHRINKAGE)) for rows in (train, rest)
    )
    origin = train.mean(axis=0)
    return [mahalanobis(z, origin, whole) ** 2 - min(mahalanobis(z, m, within) ** 2 for m in means) for z in x]


@pytest.mark.parametrize(("count", "size"), [(90, 12), (40, 60), (400, 300)])
def test_it_is_the_papers_distance(count: int, size: int) -> None:
    values, offsets, classes = clips(count, size, 5)
    found = Typicality.fit(values, offsets, classes, compress=False)
    new = np.concatenate([values[:20], RNG.normal(0, 6, (20, size)).astype(np.float32)])
    expected = by_hand(new, values.astype(float).reshape(count, 3, size).mean(axis=1), classes)
    np.testing.assert_allclose(found.score(new), expected, rtol=0.01, atol=0.01 * np.ptp(expected))
    assert found.axes.shape[1] == min(size, count - 1, typicality.AXES)


def test_what_is_like_a_class_is_more_typical_than_what_is_like_none() -> None:
    values, offsets, classes = clips(200, 20, 4)
    found = Typicality.fit(values[:300], offsets[:100], classes[:100], compress=False)
    strange = values[300:] + RNG.normal(0, 8, (300, 20)).astype(np.float32)
    assert np.mean(found.score(values[300:])[:, None] > found.score(strange)) > 0.95


def test_compressed_embeddings_count_by_their_signed_logarithm() -> None:
    """Also the clips' means."""
    values, offsets, classes = clips(60, 8, 3)
    means = values.reshape(60, 3, 8).mean(axis=1)
    logs, of_means = (np.sign(x) * np.log1p(np.abs(x)) for x in (values, means))
    plain = Typicality.fit(of_means, np.arange(60), classes, compress=False)
    found = Typicality.fit(values, offsets, classes, compress=True)
    np.testing.assert_allclose(found.score(values), plain.score(logs), rtol=1e-3, atol=1e-2)


def test_units_that_never_differ_do_not_count() -> None:
    values, offsets, classes = clips(60, 8, 3)
    values[:, 2] = 1.5
    found = Typicality.fit(values, offsets, classes, compress=False)
    other = values.copy()
    other[:, 2] = 7
    np.testing.assert_allclose(found.score(other), found.score(values))
    alike = Typicality.fit(np.ones_like(values), offsets, classes, compress=False)
    assert np.isfinite(alike.score(values)).all()


def test_a_file_gives_the_same_scores_and_is_small() -> None:
    values, offsets, classes = clips(600, 256, 50)
    found = Typicality.fit(values, offsets, classes, compress=True)
    content = found.to_bytes()
    np.testing.assert_array_equal(Typicality.from_bytes(content, True).score(values), found.score(values))
    assert len(content) < 200_000


@pytest.mark.parametrize("harm", [lambda b: b[:-8], lambda b: b"", lambda b: b.replace(b"axes", b"axis")])
def test_a_damaged_file_is_refused(harm: object) -> None:
    content = Typicality.fit(*clips(30, 6, 3), compress=False).to_bytes()
    with pytest.raises(TypicalityError, match="distances to training clips"):
        Typicality.from_bytes(harm(content), False)  # type: ignore[operator]


def test_few_clips_are_refused() -> None:
    with pytest.raises(TypicalityError, match=r"needs 2 training clips a class on average, and there are 5 clips of 3"):
        Typicality.fit(*clips(5, 4, 3), compress=False)


def open_classifier(*settings: str) -> TorchClassifier:
    """A small classifier that knows three sounds, and rejects others by distance."""
    model = small_classifier("evaluate.unknown=distance", *settings)
    cuts = [model.cut((0.02 + 0.02 * k) * RNG.normal(0, 1, 3 * RATE).astype(np.float32)) for k in range(12)]
    offsets = np.cumsum([0, *(len(cut) for cut in cuts[:-1])])
    embeddings = model.segment_embeddings(np.concatenate(cuts))
    model.typicality = Typicality.fit(embeddings, offsets, np.arange(12) // 4, compress=model.recipe.head.compress)
    model.confidence = Confidence(threshold=0.0, typicality_weight=0.01)
    return model


@pytest.mark.parametrize("settings", KINDS, ids=" ".join)
def test_saved_loaded_and_exported_classifiers_are_alike(settings: tuple[str, ...], tmp_path: Path) -> None:
    model = open_classifier(*settings)
    expected = familiarity(model, NOISE)
    scores, typicality = probabilities_and_typicality(model, NOISE)
    np.testing.assert_allclose(expected, scores + 0.01 * typicality, rtol=1e-4, atol=1e-4)
    assert_kept(model, NOISE, expected, tmp_path, atol=1e-3)


def test_a_saved_classifier_without_its_distances_is_refused(tmp_path: Path) -> None:
    model = open_classifier()
    model.typicality = None
    model.save(tmp_path / "model")
    with pytest.raises(ClassifierError, match="is for distances to training clips, which are missing"):
        load_torch(tmp_path / "model")


@pytest.mark.parametrize("settings", [KINDS[0], KINDS[3]], ids=" ".join)
def test_a_recording_is_known_by_the_mean_of_its_segments(settings: tuple[str, ...]) -> None:
    """In one piece, as a stream of any pieces, and on the server; digital silence does not count."""
    model = open_classifier(*settings)
    wave = np.concatenate([NOISE, np.zeros(4 * RATE, np.float32), 0.01 * NOISE])
    wave = np.round(wave * 32767).astype(np.int16)
    sound = io.BytesIO()
    soundfile.write(sound, wave, RATE, format="WAV", subtype="PCM_16")
    each = familiarity(model, wave / np.float32(32768))
    assert np.isnan(each).any() and not np.isnan(each).all()
    mean = float(np.nanmean(each))
    assert pool_familiarity(each, [0], "distance")[0] == pytest.approx(mean)
    with Batcher(model) as batcher:
        served = BatchedClassifier(batcher)
        for margin in (-0.01, 0.01):
            model.confidence = served.confidence = Confidence(threshold=mean + margin, typicality_weight=0.01)
            known = [
                model.classify(wave, RATE).known,
                predict_recording(model, io.BytesIO(sound.getvalue())).known,
                predict_recording(served, io.BytesIO(sound.getvalue())).known,
            ]
            assert known == [margin < 0] * 3
    assert model.classify(np.zeros(RATE, np.float32), RATE).known is False


def test_the_weight_makes_both_spread_alike() -> None:
    values, offsets, classes = clips(90, 12, 5)
    typical = Typicality.fit(values, offsets, classes, compress=False).score(values)
    typical[7] = np.nan
    scores = RNG.dirichlet(np.ones(5), len(values)).astype(np.float32)
    found = calibration.fit(classes, scores, scores[::3], offsets, Evaluate(unknown="distance"), 1.0, typical)
    assert found.typicality_weight is not None and found.threshold is not None
    largest = calibration.pooling.apply_temperature(scores, found.segment).max(axis=1)
    counted = np.arange(len(values)) != 7
    assert found.typicality_weight * typical[counted].std() == pytest.approx(largest[counted].std())
    of_clips = [np.nanmean(part) for part in np.split(largest + found.typicality_weight * typical, offsets[1:])]
    assert np.mean(np.array(of_clips) >= found.threshold) >= 0.95 > np.mean(np.array(of_clips) > found.threshold)


def test_a_class_may_not_be_called_as_the_column(tmp_path: Path) -> None:
    rows = ["path,label"]
    for name, label in (("a.wav", "typicality"), ("b.wav", "dog")):
        soundfile.write(tmp_path / name, NOISE, RATE)
        rows.append(f"{name},{label}")
    (tmp_path / "clips.csv").write_text("\n".join(rows))
    data = Recipe.load("street-cnn", [f"data.name='{tmp_path / 'clips.csv'}'"])
    with pytest.raises(ClipsError, match="a class is called 'typicality', as a column of prediction tables is"):
        open_clips(data)
