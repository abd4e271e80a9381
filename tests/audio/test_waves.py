"""audio.waves: suspicious samples are refused, corrected where that is certain, or reported in every output."""

import io
import json
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import soundfile
from fastapi.testclient import TestClient
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

import hubbub
from hubbub.audio import capture, decode, waves
from hubbub.audio.decode import AudioError
from hubbub.audio.waves import FRAME, NARROW, SILENCE, Downmixer, WaveError
from hubbub.classifier.calibration import Confidence
from hubbub.classifier.torch_classifier import ClassifierError, TorchClassifier
from hubbub.cli.main import app
from hubbub.data import cache
from hubbub.data.clips import Clips
from hubbub.errors import HubbubError
from hubbub.inference.events import EventSettings
from hubbub.inference.explain import explain
from hubbub.inference.live import LiveClassifier
from hubbub.inference.predict import predict_files, predict_recording
from hubbub.inference.scoring import Scorer
from hubbub.inference.stream import Stream, StreamError
from hubbub.report.explanation import write_explanation
from hubbub.serve.app import create_app
from tests.helpers.classifiers import small_classifier

RATE = 16_000
LABELS = ("dog", "rain", "siren")
Array = npt.NDArray[np.float32]


def make(threshold: float | None = None) -> TorchClassifier:
    model = small_classifier("windows.length=16000", "windows.hop=8000", seed=0)
    model.confidence = Confidence(30, 10, threshold)
    return model


MODEL = make()
KNOWS_ALL = make(threshold=-1e9)


def bursts(seconds: float = 2.0, rate: int = RATE) -> Array:
    """Noise that comes and goes: its segments differ."""
    rng = np.random.default_rng(0)
    loud = np.repeat(rng.random(int(seconds * 4) + 1) ** 2, rate // 4)[: round(seconds * rate)]
    return (0.5 * loud * rng.uniform(-1, 1, len(loud))).astype(np.float32)


WAVE = bursts()
RIGHT = MODEL.classify(WAVE, RATE)


def streamed(samples: npt.ArrayLike, size: int = 1000, channels: int = 1) -> tuple[dict[str, float], tuple[str, ...]]:
    """What a stream of blocks gives: scores and warnings. Blocks are cut along the longer axis."""
    stream, scorer, found = Stream(MODEL, RATE, channels), Scorer(MODEL), np.asarray(samples)
    axis = int(np.argmax(found.shape))
    blocks = np.split(found, range(size, found.shape[axis], size), axis)
    for segments, spans in [*map(stream.feed, blocks), stream.end()]:
        if len(segments):
            scorer.add(MODEL.outputs(segments), segments, spans)
    return scorer.prediction(stream.seconds).scores, stream.warnings


# Numbers


KINDS: dict[str, Callable[[Array], Any]] = {
    "float64": lambda wave: wave.astype(np.float64),
    "int16": lambda wave: np.round(wave * 2**15).astype(np.int16),
    "int16, big-endian": lambda wave: np.round(wave * 2**15).astype(">i2"),
    "int32": lambda wave: np.round(wave.astype(np.float64) * 2**31).astype(np.int32),
    "int8": lambda wave: np.round(wave * 2**7).astype(np.int8),
    "uint8": lambda wave: np.round(wave * 2**7 + 128).astype(np.uint8),
    "list": lambda wave: wave.tolist(),
    "tensor": lambda wave: __import__("torch").from_numpy(wave),
}


@pytest.mark.parametrize("kind", KINDS)
def test_samples_of_any_kind_give_the_answer_of_the_float_wave(kind: str) -> None:
    tolerance = 0.02 if "8" in kind and "16" not in kind else 1e-3
    heard = MODEL.classify(KINDS[kind](WAVE), RATE)
    assert heard.scores == pytest.approx(RIGHT.scores, abs=tolerance)
    assert heard.warnings == ()
    assert streamed(KINDS[kind](WAVE))[0] == pytest.approx(RIGHT.scores, abs=tolerance)


def test_16_bit_numbers_in_32_bit_integers_are_no_silence() -> None:
    narrow = np.round(WAVE * 2**15).astype(np.int32)
    for samples in (narrow, narrow.astype(">i4"), np.stack([narrow, narrow])):
        heard = MODEL.classify(samples, RATE)
        assert heard.scores == pytest.approx(RIGHT.scores, abs=1e-3) and heard.warnings == ()
    assert streamed(narrow)[1] == (NARROW, SILENCE), "a stream cannot be scaled by what comes later"
    assert not {NARROW, SILENCE} & set(streamed(np.concatenate([narrow, narrow * 2**15]))[1])


@pytest.mark.parametrize("step", [2**8, 2**16])
def test_dither_of_24_and_16_bits_in_32_bit_integers_is_silence(step: int) -> None:
    dither = step * np.random.default_rng(0).integers(-1, 2, 2 * RATE, dtype=np.int32)
    assert MODEL.classify(dither, RATE).warnings == (SILENCE,) == streamed(dither)[1]
    assert MODEL.classify(np.zeros(2 * RATE, np.int32), RATE).warnings == (SILENCE,)


REFUSED: dict[str, tuple[Any, str]] = {
    "int16 as float": (np.round(WAVE * 2**15), "only whole numbers, up to 1.*integers kept as floats.*divide"),
    "int16 as float, resampled": (WAVE * 2**15, "beyond 256 times full scale, up to .*divide 16-bit numbers by 32768"),
    "int64": (np.round(WAVE * 2**15).astype(np.int64), "of type int64, whose full scale is not known.*int16"),
    "uint16": (np.round(WAVE * 2**15 + 2**15).astype(np.uint16), "of type uint16"),
    "bool": (WAVE > 0, "of type bool"),
    "complex": (WAVE.astype(complex), "of type complex128"),
    "objects": (WAVE.astype(object), "of type object"),
    "words": (np.array(["a"] * 2000), "of type <U1"),
    "uneven lists": ([[0.1, 0.2], [0.3]], "not an array of samples"),
    "NaN": (np.where(WAVE > 0.2, np.nan, WAVE), "NaN or infinite"),
    "too large for 32 bits": (WAVE.astype(np.float64) * 1e300, "beyond 256 times full scale"),
    "three axes": (WAVE[None, None], r"has the shape \[1, 1, 32000\]"),
    "nothing": (WAVE[:0], "no samples"),
    "one sample": (WAVE[:1], r"lasts 0\.06 ms \(1 sample\); at least 10 ms are needed"),
    "9 ms": (WAVE[: 9 * RATE // 1000], "lasts 9.00 ms"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_no_wave_is_refused_by_classify_and_by_streams(case: str) -> None:
    samples, reason = REFUSED[case]
    with pytest.raises(ClassifierError, match="^the wave .*" + reason):
        MODEL.classify(samples, RATE)
    stream = Stream(MODEL, RATE)
    with pytest.raises(StreamError, match=reason):
        stream.feed(samples)
        stream.end()


@pytest.mark.parametrize("rate", [None, True, 0, -1, 16_000.0, "16000", float("nan"), [16_000], 999, 10**30])
def test_rates_that_are_none_are_refused(rate: Any) -> None:
    with pytest.raises(HubbubError, match="rate"):
        MODEL.classify(WAVE, rate)
    with pytest.raises(AudioError, match="sample rate"):
        Stream(MODEL, rate)


@pytest.mark.parametrize("channels", [0, -1, True, 2.0, "2", None, 10**30])
def test_channels_that_are_none_are_refused(channels: Any) -> None:
    with pytest.raises(StreamError, match="give a whole number from 1"):
        Stream(MODEL, RATE, channels)


def test_a_refused_block_changes_nothing() -> None:
    stream = Stream(MODEL, RATE)
    stream.feed(WAVE)
    for wrong in (np.full(2000, 1e4), np.full(2000, np.nan), WAVE > 0):
        with pytest.raises(StreamError, match=r"the block at 2\.00 s"):
            stream.feed(wrong)
    stream.end()
    assert (stream.seconds, stream.warnings) == (2.0, ())


def test_a_float_stream_that_begins_with_silence_is_no_stream_of_integers() -> None:
    stream = Stream(MODEL, RATE)
    stream.feed(np.zeros(RATE))
    stream.feed(2.5 * WAVE)
    stream.feed(np.array([2.0, -2.0]))
    stream.end()
    assert stream.seconds == 3 + 2 / RATE and stream.warnings == ()


# Shapes


def test_channels_first_is_turned_where_that_is_unmistakable() -> None:
    several = np.stack([WAVE, 0.5 * WAVE])
    expected = MODEL.classify(several.mean(axis=0), RATE)
    for samples in (several, several.T):
        heard = MODEL.classify(samples, RATE)
        assert len(heard.segments) == 3
        assert heard.scores == pytest.approx(expected.scores, abs=1e-6)
        assert streamed(samples, channels=2)[0] == pytest.approx(expected.scores, abs=1e-5)
    assert MODEL.classify(WAVE[None], RATE).scores == MODEL.classify(WAVE[:, None], RATE).scores == RIGHT.scores


@pytest.mark.parametrize("shape", [(300, 300), (33, 16_000), (16_000, 33), (10, 20), (20, 10), (1, 1), (), (2, 2, 2)])
def test_a_shape_that_may_be_either_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(WaveError, match=r"cannot be told apart\. Give \[samples\] or \[samples, channels\]"):
        waves.as_wave(np.zeros(shape))


def test_a_stream_knows_its_channels() -> None:
    block = np.arange(6, dtype=np.float32).reshape(3, 2) / 10
    np.testing.assert_array_equal(waves.as_block(block, 2), block)
    np.testing.assert_array_equal(waves.as_block(block.T, 2), block)
    np.testing.assert_array_equal(waves.as_block(block[:2], 2), block[:2])  # [n, channels] where both would do
    np.testing.assert_array_equal(waves.as_block(block[:, 0], 1), block[:, :1])
    for wrong, channels in ((block, 1), (block, 4), (block[:, 0], 3), (block[None], 2)):
        with pytest.raises(WaveError, match=f"this stream has {channels} channels"):
            waves.as_block(wrong, channels)


# Channels


def mixed(samples: Array, sizes: list[int]) -> tuple[Array, list[str]]:
    mixer, at, parts = Downmixer(), 0, []
    while at < len(samples):
        size = sizes[len(parts) % len(sizes)]
        parts.append(mixer.feed(samples[at : at + size]))
        at += size
    return np.concatenate([*parts, mixer.end()]), mixer.warnings


OTHERS: dict[str, tuple[Callable[[Array], Array], bool]] = {
    "the same": (lambda wave: wave, False),
    "silent": (lambda wave: 0 * wave, False),
    "another sound": (lambda wave: bursts(len(wave) / RATE)[::-1].copy(), False),
    "inverted": (lambda wave: -wave, True),
    "nearly inverted": (lambda wave: -0.98 * wave, True),
    "inverted, both around .2": (lambda wave: 0.4 - wave, True),
}


@pytest.mark.parametrize("other", OTHERS)
def test_channels_are_mixed_unless_they_cancel_each_other(other: str) -> None:
    make_other, cancels = OTHERS[other]
    wave = WAVE + np.float32(0.2 if "both" in other else 0)
    samples = np.stack([0.99 * make_other(wave), wave], axis=1).astype(np.float32)
    mono, warnings = mixed(samples, [5000])
    np.testing.assert_array_equal(mono, wave if cancels else samples.mean(axis=1))
    assert any("only channel 2" in warning for warning in warnings) == cancels


def test_channels_that_cancel_later_are_told_apart_from_there_on() -> None:
    wave = np.resize(WAVE, 4 * len(WAVE))
    other = np.where(np.arange(len(wave)) < len(wave) // 2, wave, -wave)
    mono, warnings = mixed(np.stack([wave, 0.9 * other], axis=1).astype(np.float32), [len(wave)])
    np.testing.assert_allclose(mono[: len(wave) // 2], 0.95 * wave[: len(wave) // 2], atol=1e-6)
    np.testing.assert_array_equal(mono[-RATE:], wave[-RATE:])
    assert len(warnings) == 1 and "only channel 1" in warnings[0]


def test_channels_that_cancel_for_a_second_are_told() -> None:
    wave, time = siren(RATE), np.arange(4 * RATE) / RATE
    other = np.where((time >= 1) & (time < 2), -wave, wave)
    mono, warnings = mixed(np.stack([wave, other], axis=1).astype(np.float32), [1000])
    np.testing.assert_allclose(mono[2 * RATE :], wave[2 * RATE :], atol=1e-6)
    assert len(warnings) == 1 and "cancel each other" in warnings[0]
    lost = np.flatnonzero((np.abs(mono) < 1e-6) & (np.abs(wave) > 1e-3))
    assert len(lost) <= 4 * FRAME, "what is lost until it is told"


@given(
    samples=st.integers(1, 3 * FRAME),
    sizes=st.lists(st.integers(1, 2 * FRAME), min_size=1, max_size=4),
    channels=st.integers(2, 5),
)
def test_the_cut_into_blocks_changes_no_sample(samples: int, sizes: list[int], channels: int) -> None:
    if max(sizes) < 100:
        sizes = [100, *sizes]
    wave = np.random.default_rng(samples).normal(0, 0.1, (samples, channels)).astype(np.float32)
    wave[samples // 2 :, 0] = -wave[samples // 2 :, 1:].sum(axis=1)  # from there on they cancel
    whole, cut = mixed(wave, [samples]), mixed(wave, sizes)
    np.testing.assert_array_equal(whole[0], cut[0])
    assert whole[1] == cut[1]
    assert len(whole[0]) == samples


def test_files_arrays_and_streams_mix_alike(tmp_path: Path) -> None:
    samples = np.stack([WAVE, -0.97 * WAVE], axis=1)
    soundfile.write(tmp_path / "a.wav", samples, RATE, subtype="FLOAT")
    file = tmp_path / "a.wav"
    heard = [MODEL.classify(file), MODEL.classify(samples, RATE), predict_recording(MODEL, file)]
    for one in heard:
        assert one.scores == pytest.approx(RIGHT.scores, abs=1e-6)
        assert len(one.warnings) == 1 and "cancel each other" in one.warnings[0]
    scores, warnings = streamed(samples, channels=2)
    assert scores == pytest.approx(RIGHT.scores, abs=1e-6)
    assert warnings == heard[0].warnings


# Levels, silence, length


def said_of(wave: Array) -> str:
    return " ".join(MODEL.classify(wave, RATE).warnings)


def test_what_is_odd_is_said() -> None:
    assert said_of(3.9 * WAVE / np.abs(WAVE).max()) == ""
    one_step_of_8_bits = np.random.default_rng(0).integers(127, 129, 2 * RATE).astype(np.uint8)
    assert "they are very quiet" in said_of(one_step_of_8_bits)
    assert "reach 100 times full scale" in said_of(100 * WAVE / np.abs(WAVE).max())
    assert "reach 0.001 of full scale" in said_of(WAVE / np.abs(WAVE).max() / 1000)
    assert "lie around 0.50 of full scale" in said_of(0.4 * WAVE + np.float32(0.5))
    assert "lasts 0.20 s, and the classifier takes segments of 1.00 s" in said_of(WAVE[: RATE // 5])
    assert said_of(WAVE[: RATE // 4]) == ""


SILENT = {
    "zeros": np.zeros(2 * RATE, np.float32),
    "an offset": np.full(2 * RATE, 0.3, np.float32),
    "dither": (np.random.default_rng(0).integers(-1, 2, 2 * RATE) / 2**15).astype(np.float32),
}


@pytest.mark.parametrize("case", SILENT)
@pytest.mark.parametrize("rate", [RATE, 44_100])
def test_silence_is_never_known(tmp_path: Path, case: str, rate: int) -> None:
    wave = SILENT[case]
    soundfile.write(tmp_path / "a.wav", wave, rate, subtype="FLOAT")
    for heard in (KNOWS_ALL.classify(wave, rate), predict_recording(KNOWS_ALL, tmp_path / "a.wav")):
        assert heard.known is False
        assert SILENCE in heard.warnings
    assert MODEL.classify(wave, rate).known is None
    assert KNOWS_ALL.classify(WAVE, RATE).known is True


def test_a_silent_segment_makes_no_recording_known() -> None:
    """Of a recording whose one loud part is like nothing: silence alone would reach the threshold."""
    wave = np.concatenate([np.zeros(RATE, np.float32), bursts(1.0)])
    segments = KNOWS_ALL.cut(wave)
    outputs = KNOWS_ALL.outputs(segments)
    scores, _ = KNOWS_ALL.predict_proba(outputs, [0])
    knows = KNOWS_ALL.is_known(KNOWS_ALL.familiarity(scores, outputs, segments))
    assert knows is not None and knows.tolist() == [False, True, True]
    scorer, spans = Scorer(KNOWS_ALL), KNOWS_ALL.spans(len(wave))
    scorer.add(KNOWS_ALL.outputs(segments[:1]), segments[:1], spans[:1])
    assert scorer.prediction(1.0).known is False
    scorer.add(KNOWS_ALL.outputs(segments[1:]), segments[1:], spans[1:])
    assert scorer.prediction(2.0).known is True


# Files and training data


def test_a_float_file_of_integers_is_refused_in_answers_and_in_training_data(tmp_path: Path) -> None:
    import pandas as pd

    for name, scale in (("right", 1), ("times32768", 32_768)):
        soundfile.write(tmp_path / f"{name}.wav", WAVE * scale, RATE, subtype="FLOAT")
    right, wrong = predict_files(MODEL, [str(tmp_path / f"{name}.wav") for name in ("right", "times32768")])
    assert right.prediction is not None and right.prediction.warnings == ()
    assert "times32768.wav holds" in wrong.error and "divide 16-bit numbers by 32768" in wrong.error
    rows = [(name, str(tmp_path / f"{name}.wav"), np.nan, np.nan) for name in ("right", "times32768")]
    table = pd.DataFrame(rows, columns=["clip", "path", "start", "end"])
    found = cache.inspect_sounds(Clips("mine", table, ("rain",)))
    assert found["error"].iloc[0] == "" and "beyond 256 times full scale" in found["error"].iloc[1]


def test_short_clips_train_and_are_refused_by_classify(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "short.wav", WAVE[:40], RATE)
    assert len(decode.decode(tmp_path / "short.wav")[0]) == 40
    for ask in (MODEL.classify, lambda file: predict_recording(MODEL, file)):
        with pytest.raises(HubbubError, match=r"short\.wav.* lasts 2\.50 ms \(40 samples\); at least 10 ms are needed"):
            ask(tmp_path / "short.wav")


def by_listen(file: Path) -> tuple[dict[str, float], tuple[str, ...]]:
    live = LiveClassifier(MODEL, capture.open_source(str(file), RATE), EventSettings())
    list(live.run())
    return scores_of(live.prediction)


def by_files(file: Path) -> tuple[dict[str, float], tuple[str, ...]]:
    (result,) = predict_files(MODEL, [str(file)])
    assert result.prediction is not None
    return result.prediction.scores, result.prediction.warnings


def scores_of(heard: Any) -> tuple[dict[str, float], tuple[str, ...]]:
    return heard.scores, heard.warnings


def sent(file: Path) -> tuple[dict[str, float], tuple[str, ...]]:
    with TestClient(create_app(MODEL, "model"), "http://127.0.0.1", client=("127.0.0.1", 1)) as client:
        while client.get("/readyz").is_error:
            pass
        said = client.post("/v1/classify", content=file.read_bytes()).json()
    return said["scores"], tuple(said.get("warnings", ()))


WAYS: dict[str, Callable[[Path], tuple[dict[str, float], tuple[str, ...]]]] = {
    "classify": lambda file: scores_of(MODEL.classify(file)),
    "a stream": lambda file: scores_of(MODEL.classify(io.BytesIO(file.read_bytes()))),
    "predict_recording": lambda file: scores_of(predict_recording(MODEL, file)),
    "predict_files": by_files,
    "an array": lambda file: scores_of(MODEL.classify(*soundfile.read(file, dtype="float32"))),
    "explain": lambda file: scores_of(explain(MODEL, file).prediction),
    "listen": by_listen,
    "the server": sent,
}
#: Channels and what is said of them.
ALIKE: dict[str, tuple[Array, int]] = {
    "mono": (WAVE[:, None], 0),
    "stereo": (np.stack([WAVE, WAVE[::-1]], axis=1), 0),
    "inverted": (np.stack([WAVE, -WAVE], axis=1), 1),
    "two of six inverted": (np.stack([WAVE, -WAVE, *[0 * WAVE] * 4], axis=1), 1),
    "late": (np.stack([WAVE, np.where(np.arange(len(WAVE)) < RATE, WAVE, -WAVE)], axis=1), 1),
    "quiet": (WAVE[:, None] / 300, 1),
    "offset": (0.4 + WAVE[:, None], 1),
    "short": (WAVE[: RATE // 8, None], 1),
    "a click": (np.eye(1, RATE, RATE // 2, dtype=np.float32).T, 0),
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("kind", ALIKE)
@pytest.mark.parametrize("rate", [RATE, 44_100])
def test_a_sound_has_one_answer_whatever_way_it_comes(tmp_path: Path, kind: str, way: str, rate: int) -> None:
    samples, warned = ALIKE[kind]
    soundfile.write(tmp_path / "a.wav", samples, rate, subtype="FLOAT")
    right, warnings = WAYS["classify"](tmp_path / "a.wav")
    assert len(warnings) == warned
    scores, said = WAYS[way](tmp_path / "a.wav")
    assert scores == pytest.approx(right, abs=1e-5)
    assert said == warnings


# Every output says it


@pytest.fixture(scope="module")
def odd(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("odd") / "odd.wav"
    soundfile.write(file, np.stack([WAVE, -WAVE], axis=1), RATE)
    return file


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return MODEL.save(tmp_path_factory.mktemp("model") / "classifier")


@pytest.mark.parametrize(
    "form",
    [
        "",
        "--csv",
        "--audacity",
        "--raven",
        "--events",
        *(f"--out heard.{kind}" for kind in ("csv", "jsonl", "parquet")),
    ],
)
def test_the_command_warns_in_every_format(
    odd: Path, saved: Path, form: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(app, ["classify", str(odd), "--model", str(saved), *form.split()])
    assert done.exit_code == 0, done.output
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"warning: {odd}: The channels cancel each other")


def test_json_holds_the_warnings(odd: Path, saved: Path) -> None:
    done = CliRunner().invoke(app, ["classify", str(odd), "--json", "--model", str(saved)])
    assert done.stderr == ""
    (warning,) = json.loads(done.stdout)["warnings"]
    assert "cancel each other" in warning


def test_listen_holds_the_warnings(odd: Path, saved: Path) -> None:
    done = CliRunner().invoke(app, ["listen", str(odd), "--json", "--model", str(saved)])
    (warning,) = json.loads(done.stdout.splitlines()[-1])["warnings"]
    assert "cancel each other" in warning
    done = CliRunner().invoke(app, ["listen", str(odd), "--model", str(saved)])
    assert "warning: WAV s16le, 16000 Hz, 2 channels: The channels cancel each other" in done.stderr


def test_explain_holds_the_warnings(odd: Path, saved: Path, tmp_path: Path) -> None:
    why = explain(MODEL, odd)
    assert "cancel each other" in write_explanation(MODEL, why, tmp_path / "why")["warnings"][0]
    assert why.prediction.scores == pytest.approx(RIGHT.scores, abs=1e-2)  # of 16 bits
    done = CliRunner().invoke(app, ["explain", str(saved), str(odd), "--out", str(tmp_path / "again")])
    assert done.exit_code == 0 and f"warning: {odd}: The channels cancel each other" in done.stderr
    assert "warnings" not in write_explanation(MODEL, explain(MODEL, WAVE, RATE), tmp_path / "right")
    quiet = bursts(rate=44_100) / 400  # resampled, it reaches a little less far
    assert explain(MODEL, quiet, 44_100).prediction.warnings == MODEL.classify(quiet, 44_100).warnings != ()


# With a real classifier


@pytest.fixture(scope="module")
def yamnet(home: Callable[[str, str], Path]) -> TorchClassifier:
    home("weights", "yamnet.h5")
    model: TorchClassifier = hubbub.load("yamnet")
    return model


def siren(rate: int) -> Array:
    """Up and down, between 300 and 1100 Hz."""
    time = np.arange(4 * rate) / rate
    phase = 2 * np.pi * np.cumsum(700 + 400 * np.sin(2 * np.pi * 0.8 * time)) / rate
    noise = 0.002 * np.random.default_rng(1).standard_normal(len(time))
    return (0.4 * np.sin(phase) + 0.1 * np.sin(2 * phase) + noise).astype(np.float32)


def test_yamnet_answers_stereo_as_mono(yamnet: TorchClassifier, tmp_path: Path) -> None:
    rate = 32_000
    wave = siren(rate)
    found = {}
    for name, other in (("mono", wave), ("inverted", -wave), ("nearly", -0.98 * wave), ("silent", 0 * wave)):
        file = tmp_path / f"{name}.wav"
        soundfile.write(file, np.stack([wave, other], axis=1), rate, subtype="PCM_16")
        found[name] = predict_recording(yamnet, file)
    assert {heard.label for heard in found.values()} == {found["mono"].label} != {"Silence"}
    assert [bool(found[name].warnings) for name in ("mono", "inverted", "nearly", "silent")] == [
        False,
        True,
        True,
        False,
    ]


def test_yamnet_answers_integers_and_channels_first_as_floats(yamnet: TorchClassifier) -> None:
    wave = siren(RATE)
    right = yamnet.classify(wave, RATE)
    for samples in (np.round(wave * 32_767).astype(np.int16), np.stack([wave, wave])):
        heard = yamnet.classify(samples, RATE)
        assert (heard.label, len(heard.segments)) == (right.label, len(right.segments))
        assert heard.score == pytest.approx(right.score, abs=0.02)


@pytest.mark.parametrize("samples", [b"RIFF", bytearray(8_000), memoryview(bytes(8_000))])
def test_bytes_are_no_samples(samples: object) -> None:
    with pytest.raises(WaveError, match=r"is bytes.*io\.BytesIO.*numpy\.frombuffer"):
        waves.as_wave(samples)


def test_masked_samples_are_refused_and_none_masked_are_heard() -> None:
    wave = np.linspace(-1, 1, 16_000, dtype=np.float32)
    with pytest.raises(WaveError, match=r"has masked samples.*wave\.filled\(0\)"):
        waves.as_wave(np.ma.masked_array(wave, mask=wave > 0.9))
    assert np.array_equal(waves.as_wave(np.ma.masked_array(wave)), wave)


def test_a_rate_beside_a_file_must_be_its_own(tmp_path: Path, served_model: Path) -> None:
    model = hubbub.load(served_model)
    soundfile.write(tmp_path / "x.wav", np.random.default_rng(0).normal(0, 0.1, 8_000), 8_000)
    assert model.classify(tmp_path / "x.wav", rate_hz=8_000).label == model.classify(tmp_path / "x.wav").label
    with pytest.raises(ClassifierError, match=r"rate_hz 16000: .*x\.wav says 8000 Hz itself\. Leave rate_hz out"):
        model.classify(tmp_path / "x.wav", rate_hz=16_000)


def test_a_block_of_no_samples_is_nothing() -> None:
    mixer = Downmixer()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        mixed = [mixer.feed(np.zeros((0, 2), np.float32)), mixer.end()]
    assert sum(map(len, mixed)) == 0 and mixer.warnings == []
