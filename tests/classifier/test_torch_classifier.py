"""classifier: one object from wave to answer; saved, loaded and asked anything."""

import hashlib
import io
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from PIL import Image

import hubbub
from hubbub.audio import windows
from hubbub.audio.decode import AudioError
from hubbub.audio.logmel import FrontEndError
from hubbub.classifier import base as base_
from hubbub.classifier import calibration, pooling
from hubbub.classifier.base import ClassifierError
from hubbub.classifier.calibration import Confidence
from hubbub.classifier.load import load as load_any
from hubbub.classifier.load import load_torch
from hubbub.classifier.torch_classifier import TorchClassifier
from hubbub.config.recipe import Recipe
from hubbub.data.cache import Waves
from hubbub.inference.predict import predict_recording
from hubbub.inference.result import FileResult
from hubbub.training.batches import Waveforms
from tests.helpers.classifiers import small_classifier

LABELS = ("dog", "rain", "siren")
RATE = 16_000
RNG = np.random.default_rng(0)
NOISE = RNG.normal(0, 0.1, 3 * RATE).astype(np.float32)


HEADS = [
    (),
    ("head.name=logreg", "head.pool=mean+max"),
    ("head.name=logreg", "head.pool=segment", "evaluate.pooling=mean_logit"),
    ("head.name=mlp", "head.pool=mean", "head.compress=true"),
    ("head.name=lightgbm", "head.trees=5", "evaluate.pooling=max"),
    ("head.name=ensemble", "head.trees=5", "head.pool=max"),
    ("head.name=lda", "head.pool=mean+max", 'windows.levels=["recorded","rms"]'),
    ("head.name=logreg", "head.pool=segment", "windows.speeds=[1,0.9]", 'windows.levels=["recorded","rms"]'),
    ("network.mode=head",),
    ("evaluate.shifts=[0.01,-0.2]",),
    ("network.mode=head", "evaluate.shifts=[0.3]", "evaluate.pooling=mean_logit"),
    ("evaluate.shifts=[0.3]", "evaluate.pooling=max"),
]


@pytest.mark.parametrize("settings", HEADS, ids=" ".join)
def test_save_and_load_give_the_same_answer(settings: tuple[str, ...], tmp_path: Path) -> None:
    model = small_classifier(*settings)
    model.card = {"trained_on": "noise"}
    model.save(tmp_path / "model")
    again = TorchClassifier.load(tmp_path / "model")
    heard, expected = again.classify(NOISE, RATE), model.classify(NOISE, RATE)
    assert heard.scores == pytest.approx(expected.scores, abs=1e-6)
    assert np.allclose(heard.segments, expected.segments, atol=1e-6)
    assert again.labels == LABELS
    assert again.card == {"trained_on": "noise"}


@pytest.mark.parametrize("settings", HEADS, ids=" ".join)
def test_an_answer_is_a_distribution_over_the_labels(settings: tuple[str, ...]) -> None:
    heard = small_classifier(*settings).classify(NOISE, RATE)
    assert set(heard.scores) == set(LABELS)
    assert sum(heard.scores.values()) == pytest.approx(1, abs=1e-5)
    assert heard.score == max(heard.scores.values()) == heard.scores[heard.label]
    assert heard.top(2)[0] == (heard.label, heard.score)
    assert list(heard.segments.columns) == ["start", "end", *LABELS]
    assert heard.segments["start"].tolist() == [0.0, 1.0]
    assert heard.segments["end"].tolist() == [2.0, 3.0]
    assert np.allclose(heard.segments[list(LABELS)].sum(axis=1), 1, atol=1e-5)
    assert heard.seconds == 3.0


@pytest.mark.parametrize("settings", HEADS, ids=" ".join)
def test_one_segment_is_the_clip(settings: tuple[str, ...]) -> None:
    heard = small_classifier(*settings).classify(NOISE[: 2 * RATE], RATE)
    assert heard.segments.iloc[0][list(LABELS)].to_dict() == pytest.approx(heard.scores, abs=1e-6)


def test_judging_many_clips_at_once_equals_one_by_one() -> None:
    for settings in HEADS:
        model = small_classifier(*settings)
        outputs = [model.outputs(model.cut(NOISE[:n])) for n in (100, 2 * RATE + 1, 3 * RATE)]
        offsets = np.cumsum([0, *map(len, outputs)])[:-1]
        segments, clips = model.predict_proba(np.concatenate(outputs), offsets)
        single = [model.predict_proba(e, [0]) for e in outputs]
        assert np.allclose(segments, np.concatenate([s for s, _ in single]), atol=1e-6)
        assert np.allclose(clips, np.concatenate([c for _, c in single]), atol=1e-6)


@pytest.mark.parametrize(
    "name, values", [("levels", ('"recorded"', '"rms"')), ("speeds", ("1.1", "0.9"))], ids=["levels", "speeds"]
)
def test_several_views_average_what_each_would_say(name: str, values: tuple[str, str]) -> None:
    both = small_classifier("head.name=logreg", "head.pool=mean+max", f"windows.{name}=[{','.join(values)}]")
    said = []
    for value in values:
        one = small_classifier("head.name=logreg", "head.pool=mean+max", f"windows.{name}=[{value}]")
        one.head = both.head
        said.append(one.classify(NOISE, RATE))
    heard = both.classify(NOISE, RATE)
    for label in LABELS:
        assert heard.scores[label] == pytest.approx(np.mean([h.scores[label] for h in said]), abs=1e-6)
    expected = (said[0].segments + said[1].segments) / 2
    assert np.allclose(heard.segments, expected, atol=1e-6)


# Test-time shifts, crops, and a network that is frozen but for its last layer


def test_views_are_levels_and_in_each_the_speeds_and_in_these_the_shifts() -> None:
    assert small_classifier().views == [("recorded", 1.0, 0.0)]
    assert small_classifier("evaluate.shifts=[0.1,-0.25]").views == [
        ("recorded", 1.0, 0.0),
        ("recorded", 1.0, 0.1),
        ("recorded", 1.0, -0.25),
    ]
    both = small_classifier("head.name=logreg", 'windows.levels=["rms","recorded"]', "windows.speeds=[1,0.9]")
    assert both.views == [("rms", 1.0, 0.0), ("rms", 0.9, 0.0), ("recorded", 1.0, 0.0), ("recorded", 0.9, 0.0)]


def rolled(segments: np.ndarray, share: float) -> torch.Tensor:
    return torch.from_numpy(np.roll(segments, round(share * segments.shape[1]), axis=1).copy())


@pytest.mark.parametrize("mode", ["finetune", "head"])
@pytest.mark.parametrize("how", ["mean_prob", "mean_logit", "max"])
def test_shifted_segments_are_heard_and_averaged(mode: str, how: pooling.Pooling) -> None:
    model = small_classifier(f"network.mode={mode}", "evaluate.shifts=[0.1,-0.25]", f"evaluate.pooling={how}")
    segments = np.concatenate([model.cut(wave) for wave in (NOISE, 3 * NOISE[:40_000])])
    offsets = [0, len(model.cut(NOISE))]
    with torch.inference_mode():
        views = [rolled(segments, share) for share in (0.0, 0.1, -0.25)]
        blocks = [(model.embeddings if mode == "head" else model.logits)(view).numpy() for view in views]
        logits = np.stack([model.logits(view).numpy() for view in views])
    outputs = model.outputs(segments)
    np.testing.assert_allclose(outputs, np.concatenate(blocks, axis=1), rtol=1e-4, atol=1e-5)
    assert np.abs(logits[1:] - logits[0]).max() > 1e-3, "a shift is heard"
    if how == "mean_logit":
        by_segment = pooling.probabilities(logits.mean(axis=0))
        by_clip = pooling.pool(logits.mean(axis=0), offsets, how)
    else:
        by_segment = pooling.probabilities(logits).mean(axis=0)
        by_clip = np.mean([pooling.pool(view, offsets, how) for view in logits], axis=0)
    ours = model.predict_proba(outputs, offsets)
    np.testing.assert_allclose(ours[0], by_segment, atol=1e-6)
    np.testing.assert_allclose(ours[1], by_clip, atol=1e-6)
    if how != "max":  # then the order of averaging does not matter
        flat = [pooling.pool(np.concatenate(logits[:, a:b]), [0], how)[0] for a, b in ((0, 2), (2, len(segments)))]
        np.testing.assert_allclose(ours[1], flat, atol=1e-6)


def test_a_positive_shift_is_to_the_right() -> None:
    wave = np.zeros(2 * RATE, np.float32)
    wave[1_000:2_000] = NOISE[:1_000]
    later = np.zeros_like(wave)
    later[1_000 + 8_000 : 2_000 + 8_000] = NOISE[:1_000]
    plain, shifted = small_classifier(), small_classifier("evaluate.shifts=[0.25]")
    heard = shifted.outputs(shifted.cut(wave))
    np.testing.assert_allclose(heard[:, :3], plain.outputs(plain.cut(wave)), atol=1e-5)
    np.testing.assert_allclose(heard[:, 3:], plain.outputs(plain.cut(later)), atol=1e-5)
    assert np.abs(heard[:, :3] - heard[:, 3:]).max() > 1e-4


@pytest.mark.parametrize("hop", [4_000, 32_000])
def test_what_is_scored_may_lie_closer_or_wider_than_what_is_learnt(hop: int) -> None:
    plain, other = small_classifier(), small_classifier(f"evaluate.hop={hop}")
    assert (plain.hop, other.hop) == (16_000, hop)
    np.testing.assert_array_equal(other.cut(NOISE), windows.cut(NOISE, 32_000, hop))
    np.testing.assert_array_equal(other.spans(len(NOISE)), windows.spans(len(NOISE), RATE, 32_000, hop))
    heard = other.classify(NOISE, RATE)
    assert len(heard.segments) == windows.count(len(NOISE), 32_000, hop) == {4_000: 5, 32_000: 2}[hop]
    assert heard.segments["start"].tolist() == [n * hop / RATE for n in range(len(heard.segments))]
    # Training cuts as before.
    assert other.recipe.windows == plain.recipe.windows
    waves = Waves(NOISE, np.array([0, len(NOISE)]), ("noise",), RATE, "key")
    learnt = Waveforms(waves, np.array([0]), np.array([0]), other.recipe.windows)
    assert len(learnt) == len(plain.cut(NOISE)) == 2


def test_a_last_layer_on_frozen_embeddings_says_what_the_network_says() -> None:
    whole, frozen = small_classifier(), small_classifier("network.mode=head")
    assert (whole.frozen, frozen.frozen, small_classifier("head.name=lda").frozen) == (False, True, True)
    segments = frozen.cut(NOISE)
    outputs = frozen.outputs(segments)
    with torch.inference_mode():
        features = frozen.frontend(torch.from_numpy(segments.copy()))
        np.testing.assert_allclose(outputs, frozen.network.embed(features).numpy(), rtol=1e-4, atol=1e-5)
        logits = frozen.network.logits(features).numpy()
    by_segment, by_clip = frozen.predict_proba(outputs, [0])
    np.testing.assert_allclose(by_segment, pooling.probabilities(logits), atol=1e-6)
    np.testing.assert_allclose(by_clip, pooling.pool(logits, [0], "mean_prob"), atol=1e-6)
    # Frozen or not, the same weights give the same answer.
    expected = whole.predict_proba(whole.outputs(segments), [0])
    np.testing.assert_allclose(by_segment, expected[0], atol=1e-6)
    np.testing.assert_allclose(by_clip, expected[1], atol=1e-6)
    # And its last layer may go on learning, without the embeddings being made again.
    with torch.no_grad():
        frozen.network.fc.bias[0] += 1
        logits[:, 0] += 1
    np.testing.assert_allclose(frozen.predict_proba(outputs, [0])[0], pooling.probabilities(logits), atol=1e-6)


def test_logits_and_embeddings_have_gradients() -> None:
    model = small_classifier("network.mode=head")
    segments = torch.from_numpy(model.cut(NOISE).copy()).requires_grad_()
    embeddings = model.embeddings(segments)
    torch.testing.assert_close(model.logits(segments), model.network.head(embeddings))
    model.logits(segments)[:, 0].sum().backward()
    assert segments.grad is not None and (segments.grad.norm(dim=1) > 0).all()


def test_spectra_stay_in_full_precision() -> None:
    model = small_classifier()
    segments = torch.from_numpy(model.cut(NOISE).copy())
    seen: list[torch.Tensor] = []
    model.frontend.register_forward_hook(lambda module, given, out: seen.append(out))
    with torch.inference_mode():
        exact = model.logits(segments)
        with torch.autocast("cpu", torch.bfloat16):
            rough = model.logits(segments)
    assert rough.dtype == torch.bfloat16
    torch.testing.assert_close(seen[1], seen[0], rtol=0, atol=0)
    assert ((rough - exact).norm() / exact.norm()) < 0.05


@pytest.mark.parametrize(("name", "embedding"), [("esresnext", 2_048), ("audioclip", 1_024)])
def test_the_large_networks_make_classifiers(name: str, embedding: int, tmp_path: Path) -> None:
    rate = 44_100
    settings = ["windows.length=5512", "windows.hop=5512", "network.mode=head", "evaluate.shifts=[0.01]"]
    model = TorchClassifier(Recipe.load(f"esc50-{name}", settings), LABELS, seed=1)
    noise = NOISE[:11_024]
    assert model.outputs(model.cut(noise)).shape == (2, 2 * embedding)
    expected = model.classify(noise, rate)
    model.save(tmp_path / "model")
    heard = TorchClassifier.load(tmp_path / "model").classify(noise, rate)
    assert heard.scores == pytest.approx(expected.scores, abs=1e-6)
    assert len(heard.segments) == 2


def test_a_recording_at_another_rate_in_stereo_or_a_file_is_heard_alike(tmp_path: Path) -> None:
    model = small_classifier()
    tone = (0.3 * np.sin(2 * np.pi * 440 * np.arange(4 * 44_100) / 44_100)).astype(np.float32)
    low = (0.3 * np.sin(2 * np.pi * 440 * np.arange(4 * RATE) / RATE)).astype(np.float32)
    expected = model.classify(low, RATE).scores
    assert model.classify(tone, 44_100).scores == pytest.approx(expected, abs=5e-3)
    assert model.classify(np.stack([tone, tone], axis=1), 44_100).scores == pytest.approx(expected, abs=5e-3)
    soundfile.write(tmp_path / "tone.flac", tone, 44_100, subtype="PCM_24")
    from_file = model.classify(tmp_path / "tone.flac").scores
    assert from_file == pytest.approx(model.classify(tone, 44_100).scores, abs=1e-4)
    assert model.classify(io.BytesIO((tmp_path / "tone.flac").read_bytes())).scores == from_file
    assert model.classify(str(tmp_path / "tone.flac")).scores == from_file


@pytest.mark.parametrize(
    ("wave", "rate"),
    [
        (np.zeros(RATE, np.float32), RATE),
        (np.ones(RATE // 100, np.float32), RATE),
        (np.zeros((RATE, 12), np.float32), RATE),
        (RNG.normal(size=384_000).astype(np.float32), 384_000),
    ],
    ids=["silence", "ten ms", "12 channels", "384 kHz"],
)
def test_odd_but_sound_input_is_answered(wave: np.ndarray, rate: int) -> None:
    heard = small_classifier().classify(wave, rate)
    assert len(heard.segments) >= 1
    assert all(np.isfinite(p) for p in heard.scores.values())


@pytest.mark.parametrize(
    ("wave", "rate", "message"),
    [
        (np.zeros(0), RATE, "holds no samples"),
        (np.zeros((2, 2, 2)), RATE, "shape"),
        (np.array([0.0, np.nan]), RATE, "1 samples that are NaN or infinite"),
        (np.array([np.inf, 0.0]), RATE, "NaN or infinite"),
        (np.zeros(10), None, "rate_hz"),
        (np.ones(1, np.float32), RATE, r"the wave lasts 0\.06 ms \(1 sample\); at least 10 ms are needed"),
        (np.ones(2, np.float32), 384_000, "10 ms are needed"),
    ],
)
def test_unsound_waves_are_refused(wave: np.ndarray, rate: int | None, message: str) -> None:
    with pytest.raises(ClassifierError, match=message):
        small_classifier().classify(wave, rate)


def test_one_hertz_is_refused() -> None:
    with pytest.raises(AudioError, match="1 Hz"):
        small_classifier().classify(np.zeros(10), 1)


# A front end that standardises by its training part


def standardised(mean: float = -30.0, sd: float = 20.0) -> TorchClassifier:
    model = small_classifier("frontend.ref=max", "frontend.standardise=training")
    model.frontend.picture.mean.fill_(mean)
    model.frontend.picture.sd.fill_(sd)
    return model


def test_what_the_front_end_learnt_is_saved_with_the_network(tmp_path: Path) -> None:
    model, plain = standardised(), small_classifier("frontend.ref=max")
    segments = torch.from_numpy(model.cut(NOISE).copy())
    torch.testing.assert_close(model.features(segments), (plain.features(segments) + 30) / 20)
    model.save(tmp_path / "model")
    again = load_torch(tmp_path / "model")
    assert torch.equal(again.features(segments), model.features(segments))
    assert again.classify(NOISE, RATE).scores == model.classify(NOISE, RATE).scores
    assert again.fingerprint() == model.fingerprint()


def test_what_the_front_end_learnt_is_part_of_the_fingerprint() -> None:
    prints = {standardised(*figures).fingerprint() for figures in ((-30.0, 20.0), (-31.0, 20.0), (-30.0, 21.0))}
    assert len(prints) == 3


def test_a_front_end_that_learnt_nothing_says_so(tmp_path: Path) -> None:
    model = small_classifier("frontend.standardise=training")
    with pytest.raises(FrontEndError, match="has not been fitted"):
        model.classify(NOISE, RATE)
    small_classifier().save(tmp_path / "plain")
    card = json.loads((tmp_path / "plain" / "classifier.json").read_text())
    card["recipe"]["frontend"]["standardise"] = "training"
    _edit(tmp_path / "plain", recipe=card["recipe"])
    with pytest.raises(ClassifierError, match=r"not a whole classifier \('frontend:picture\.mean'\)"):
        load_torch(tmp_path / "plain")


def test_what_changes_spectrograms_comes_before_they_become_pictures() -> None:
    model = small_classifier("frontend.ref=max", "frontend.scale=minmax", "frontend.size=[8,9]")
    segments, seen = torch.from_numpy(model.cut(NOISE).copy()), []

    def hide(spectrograms: torch.Tensor) -> torch.Tensor:
        seen.append(spectrograms)
        return torch.zeros_like(spectrograms)

    pictures = model.features(segments, hide)
    torch.testing.assert_close(seen[0], model.frontend.logmel(segments))
    assert pictures.shape == (2, 8, 9) and not pictures.any()
    assert model.features(segments).any()


def test_without_a_front_end_a_network_is_given_waves() -> None:
    model = TorchClassifier(Recipe.load("esc50-yamnet"), LABELS)
    segments = torch.from_numpy(model.cut(NOISE).copy())
    assert model.frontend is None
    assert model.features(segments) is segments


def test_loading_refuses_what_is_not_whole(tmp_path: Path) -> None:
    with pytest.raises(ClassifierError, match="not a folder"):
        load_torch(tmp_path / "nothing")
    with pytest.raises(ClassifierError, match="name is empty"):
        load_torch("")  # `Path("")` is the working directory
    with pytest.raises(ClassifierError, match=r"classifier\.json is missing"):
        load_torch(tmp_path)
    model = small_classifier("head.name=logreg")
    for spoil, message in (
        (lambda f: (f / "network.safetensors").unlink(), "network.safetensors"),
        (lambda f: (f / "head.safetensors").unlink(), "not a whole classifier"),
        (lambda f: (f / "classifier.json").write_text("{"), "not a whole classifier"),
        (lambda f: _edit(f, format=99), "format 99"),
        (lambda f: _edit(f, labels=["one"]), "not a whole classifier"),
    ):
        model.save(tmp_path / "model")
        spoil(tmp_path / "model")
        with pytest.raises(ClassifierError, match=message):
            load_torch(tmp_path / "model")


def _edit(folder: Path, **changes: object) -> None:
    """Change the card as one who can write checksums would."""
    content = json.loads((folder / "classifier.json").read_text()) | changes
    del content["sha256"]["classifier.json"]
    content["sha256"]["classifier.json"] = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
    (folder / "classifier.json").write_text(json.dumps(content))


def _flip(file: Path) -> None:
    """The last letter or bit of a file turned into another."""
    content = bytearray(file.read_bytes())
    content[-2] ^= 1
    file.write_bytes(content)


@pytest.mark.parametrize("name", ["network.safetensors", "head.safetensors", "head.lightgbm.txt"])
def test_a_file_that_is_not_the_one_that_was_saved_is_refused(name: str, tmp_path: Path) -> None:
    folder = small_classifier("head.name=ensemble", "head.trees=3").save(tmp_path / "model")
    load_torch(folder)
    saved = hashlib.sha256((folder / name).read_bytes()).hexdigest()
    _flip(folder / name)
    found = hashlib.sha256((folder / name).read_bytes()).hexdigest()
    with pytest.raises(ClassifierError) as caught:
        load_torch(folder)
    assert str(caught.value).startswith(f"{folder / name} is not the file that was saved: its sha256 is {found}, ")
    assert saved in str(caught.value) and "train it again" in str(caught.value)


@pytest.mark.parametrize(
    ("found", "put"), [('"rain"', '"snow"'), ('"segment": 1.0', '"segment": 9.0'), ('"rate_hz": 16', '"rate_hz": 61')]
)
def test_a_card_that_was_changed_by_hand_is_refused(found: str, put: str, tmp_path: Path) -> None:
    card = small_classifier().save(tmp_path / "model") / "classifier.json"
    text = card.read_text()
    assert text.count(found) == 1
    card.write_text(text.replace(found, put))
    with pytest.raises(ClassifierError, match=r"classifier\.json is not the file that was saved"):
        load_torch(tmp_path / "model")
    # Indents and line ends are no content.
    card.write_text(json.dumps(json.loads(text)))
    load_torch(tmp_path / "model")


@pytest.mark.parametrize("settings", HEADS, ids=" ".join)
def test_temperatures_change_how_sure_answers_are_and_nothing_else(settings: tuple[str, ...], tmp_path: Path) -> None:
    model = small_classifier(*settings)
    outputs = np.concatenate([model.outputs(model.cut(NOISE[:n])) for n in (100, 2 * RATE + 1, 3 * RATE)])
    raw = model.predict_proba(outputs, [0, 1, 3])
    own = tuple(0.1 * (k + 1) for k in range(len(model.labels)))
    model.confidence = Confidence(segment=0.5, clip=2.5, threshold=1.25, events=own)
    tempered = model.predict_proba(outputs, [0, 1, 3])
    for before, after, temperature in zip(raw, tempered, (0.5, 2.5), strict=True):
        np.testing.assert_array_equal(after, pooling.apply_temperature(before, temperature))
        np.testing.assert_array_equal(before.argmax(axis=1), after.argmax(axis=1))
        surer = after.max(axis=1) - before.max(axis=1)
        assert (surer >= 0).all() if temperature < 1 else (surer <= 0).all()
    model.save(tmp_path / "model")
    again = load_torch(tmp_path / "model")
    assert again.confidence == model.confidence
    assert again.classify(NOISE, RATE).scores == pytest.approx(model.classify(NOISE, RATE).scores, abs=1e-6)


@pytest.mark.parametrize("how", ["max_logit", "energy", "max_prob"])
def test_a_recording_is_known_where_a_segment_of_it_is(how: calibration.Unknown) -> None:
    model = small_classifier(f"evaluate.unknown={how}")
    assert model.classify(NOISE, RATE).known is None, "nothing was validated"
    segments = model.cut(NOISE)
    outputs = model.outputs(segments)
    by_segment, _ = model.predict_proba(outputs, [0])
    low, high = np.sort(calibration.familiarity(by_segment, how))
    for threshold, each in ((low, [True, True]), ((low + high) / 2, [False, True]), (high + 1e-3, [False, False])):
        model.confidence = Confidence(threshold=float(threshold))
        assert sorted(model.is_known(model.familiarity(by_segment, outputs, segments))) == each
        heard = model.classify(NOISE, RATE)
        assert heard.known is any(each)
        prediction = predict_recording(model, io.BytesIO(wav(NOISE)))
        assert prediction.known is any(each)
        assert FileResult("a.wav", prediction).to_dict()["known"] is any(each)


def wav(wave: np.ndarray) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, wave, RATE, format="WAV", subtype="FLOAT")
    return file.getvalue()


def test_a_saved_folder_holds_data_only(tmp_path: Path) -> None:
    small_classifier("head.name=ensemble", "head.trees=3").save(tmp_path / "model")
    files = sorted(p.name for p in (tmp_path / "model").iterdir())
    assert files == ["classifier.json", "head.lightgbm.txt", "head.safetensors", "network.safetensors"]


def test_a_head_that_was_not_fitted_says_so() -> None:
    model = small_classifier("head.name=logreg")
    model.head = None
    with pytest.raises(ClassifierError, match="not been fitted"):
        model.classify(NOISE, RATE)


def test_the_fingerprint_follows_what_evidence_depends_on() -> None:
    base = small_classifier().fingerprint()
    assert small_classifier().fingerprint() == base
    assert small_classifier("evaluate.pooling=max", "train.epochs=1").fingerprint() == base
    assert small_classifier("evaluate.hop=16000", "evaluate.pooling=mean_logit").fingerprint() == base
    prints = {base}
    for setting in (
        "windows.hop=8000", "frontend.n_fft=1024", "network.width=8", "head.name=logreg", "network.mode=head",
        "evaluate.hop=8001", "evaluate.shifts=[0.1]", "evaluate.shifts=[0.2]",
    ):  # fmt: skip
        prints.add(small_classifier(setting).fingerprint())
    assert len(prints) == 8  # a head and a last layer on frozen embeddings ask for the same ones
    other = small_classifier()
    with torch.no_grad():
        other.network.fc.bias[0] += 1
    assert other.fingerprint() != base


def test_yamnet_itself_hears_a_dog(home) -> None:
    home("weights", "yamnet.h5")
    clip = home("data", "esc50") / "audio" / "1-100032-A-0.ogg"
    heard = hubbub.load("yamnet").classify(clip)
    assert len(heard.scores) == 521
    first = heard.segments.drop(columns=["start", "end"]).iloc[0]
    assert {"Dog", "Animal"} & set(first.nlargest(5).index) or heard.scores["Dog"] > 0.1
    assert len(heard.segments) == 1 + -(-(80_000 - 15_600) // 7_680)


def test_the_five_lines_of_the_readme_need_no_more_than_hubbub(tmp_path: Path) -> None:
    small_classifier().save(tmp_path / "run" / "classifier")
    soundfile.write(tmp_path / "street.wav", NOISE, RATE)
    code = "import hubbub; h = hubbub.load('run').classify('street.wav'); print(h.label, type(h) is hubbub.Prediction)"
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout.split()[1] == "True"
    assert done.stdout.split()[0] in LABELS


def test_public_names() -> None:
    assert {name: getattr(hubbub, name) for name in hubbub.__all__}["load"] is load_any
    assert hubbub.Prediction is base_.Prediction
    with pytest.raises(AttributeError, match="nothing"):
        hubbub.nothing  # noqa: B018


def test_a_picture_is_refused_by_a_classifier_of_decibels(tmp_path: Path) -> None:
    Image.fromarray(np.zeros((64, 101), np.uint8)).save(tmp_path / "p.png")
    with pytest.raises(ClassifierError, match="spectrograms are decibels"):
        TorchClassifier(Recipe.load("street-cnn"), ("a", "b")).classify(tmp_path / "p.png")
