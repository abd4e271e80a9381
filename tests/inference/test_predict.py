"""predict: files, folders, patterns and streams to answers; one bad file never stops the rest, none is held whole."""

import io
import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile

from hubbub.audio import decode
from hubbub.audio.find_files import find
from hubbub.classifier.torch_classifier import TorchClassifier
from hubbub.errors import HubbubError
from hubbub.inference.events import EventSettings, detect_events
from hubbub.inference.predict import predict_files, predict_recording
from hubbub.inference.result import FileResult, PredictOptions
from tests.audio.test_decode import ogg_that_declares
from tests.helpers.classifiers import small_classifier
from tests.helpers.dated_wav import guano, wav

RATE = 16_000
WINDOWS = ("windows.length=16000", "windows.hop=8000")


@pytest.fixture(scope="module")
def model() -> TorchClassifier:
    return small_classifier(*WINDOWS, seed=0)


def noise(seconds: float, rate_hz: int = RATE, seed: int = 0) -> np.ndarray:
    """Noise that comes and goes, so that segments differ."""
    rng = np.random.default_rng(seed)
    times = np.arange(round(seconds * rate_hz)) / rate_hz
    return 0.2 * rng.normal(size=len(times)) * np.abs(np.sin(times * rng.uniform(0.3, 1)))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "deep").mkdir()
    soundfile.write(tmp_path / "b.wav", noise(3), RATE)
    soundfile.write(tmp_path / "deep" / "a.FLAC", noise(3), RATE, format="FLAC")
    (tmp_path / "notes.txt").write_text("not a sound")
    (tmp_path / "bad.wav").write_text("a text file")
    return tmp_path


# Finding


def test_folders_are_searched_and_files_taken_as_given(folder: Path) -> None:
    assert find([str(folder)]).files == [str(folder / name) for name in ("b.wav", "bad.wav", "deep/a.FLAC")]
    assert find([str(folder / "notes.txt")]).files == [str(folder / "notes.txt")]
    (folder / "empty").mkdir()
    with pytest.raises(HubbubError, match="nothing to classify"):
        find([str(folder / "empty")])


def test_patterns_match_as_in_a_shell_and_nothing_comes_twice(folder: Path) -> None:
    both = [str(folder / "b.wav"), str(folder / "bad.wav")]
    assert find([str(folder / "*.wav"), str(folder / "b?d.wav")]).files == both
    assert find([str(folder / "**/*.FLAC")]).files == find([str(folder / "de*")]).files
    assert find(["-", str(folder / "b.wav"), "-"]).files == ["-", str(folder / "b.wav")]
    (folder / "take[1].wav").touch()  # a name, though it could be a pattern
    assert find([str(folder / "take[1].wav")]).files == [str(folder / "take[1].wav")]


def test_a_pattern_that_matches_nothing_is_told_what_there_is(folder: Path) -> None:
    with pytest.raises(HubbubError, match=r"nothing matches .*b\.wa\?v\. Did you mean '.*b\.wav'"):
        find([str(folder / "b.wa?v")])
    with pytest.raises(HubbubError, match=r"nothing matches .*\. .* holds b\.wav, bad\.wav, deep and 1 more\."):
        find([str(folder / "zzzzzz*")])
    with pytest.raises(HubbubError, match=r"There is no folder .*nowhere that can be read"):
        find([str(folder / "nowhere" / "*.wav")])


# Answers


def test_a_file_that_cannot_be_read_gives_its_error_and_the_rest_go_on(model: TorchClassifier, folder: Path) -> None:
    (folder / "empty.wav").touch()
    paths = [*find([str(folder)]).files, str(folder / "b.wave"), str(folder / "b.wav")]
    given = list(predict_files(model, paths, "the model"))
    assert [Path(a.file).name for a in given] == ["b.wav", "bad.wav", "a.FLAC", "empty.wav", "b.wave", "b.wav"]
    assert [a.prediction is None for a in given] == [False, True, False, True, True, False]
    assert json.loads(given[1].to_json()) == {"file": str(folder / "bad.wav"), "error": given[1].error}
    assert "bad.wav" in given[1].error
    assert "is empty (0 bytes)" in given[3].error
    assert "b.wave is not a file. Did you mean" in given[4].error


def test_the_json_object_is_the_contracts(model: TorchClassifier, folder: Path) -> None:
    answer = next(predict_files(model, [str(folder / "b.wav")], "the model"))
    content = json.loads(answer.to_json())
    assert list(content) == ["file", "seconds", "label", "score", "scores", "segments", "model"]
    assert content["seconds"] == 3.0
    assert content["scores"][content["label"]] == content["score"] == max(content["scores"].values())
    assert [list(s) for s in content["segments"]] == [["start", "end", "label", "score"]] * 5
    assert content["segments"][1]["start"] == 0.5
    assert content["model"] == "the model"


BEST = PredictOptions()


def same(answer: FileResult, model: TorchClassifier, path: Path, options: PredictOptions = BEST) -> None:
    """An answer is what `TorchClassifier.classify` says of the whole file."""
    assert answer.prediction is not None
    heard, whole = answer.prediction, model.classify(path)
    rows = whole.segments[list(model.labels)].to_numpy()
    assert heard.seconds == whole.seconds and heard.label == whole.label
    assert heard.scores == pytest.approx(whole.scores, abs=1e-6)
    np.testing.assert_array_equal(heard.spans, whole.segments[["start", "end"]])
    np.testing.assert_allclose(heard.class_scores, -np.sort(-rows, axis=1)[:, : options.top], atol=1e-6)
    np.testing.assert_allclose(np.take_along_axis(rows, heard.classes, axis=1), heard.class_scores, atol=1e-6)
    if options.events:
        expected = detect_events(heard.spans, rows, model.labels, options.events)
        assert heard.events is not None
        assert [(e.label, e.start, e.end) for e in heard.events] == [(e.label, e.start, e.end) for e in expected]


@pytest.mark.parametrize("block", [3001, 2**18])
def test_recordings_of_any_length_that_share_batches_are_answered_as_one_by_one(
    model: TorchClassifier, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, block: int
) -> None:
    monkeypatch.setattr(decode, "BLOCK", block)
    paths = []
    for k, (seconds, rate_hz) in enumerate([(40, 44_100), (0.1, RATE), (1, 8_000), (3.7, 48_000), (0.5, RATE)]):
        paths.append(tmp_path / f"{k}.wav")
        soundfile.write(paths[-1], noise(seconds, rate_hz, k), rate_hz)
    options = PredictOptions(top=2, events=EventSettings(0.36, 0.34, 0.3, 0.2))
    for answer, path in zip(predict_files(model, list(map(str, paths)), options=options), paths, strict=True):
        assert answer.file == str(path)
        same(answer, model, path, options)
    assert predict_recording(model, io.BytesIO(paths[0].read_bytes()), options).seconds == 40


def test_standard_input_is_one_sounds_bytes(
    model: TorchClassifier, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def answer(content: bytes) -> FileResult:
        monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(content)))
        (only,) = predict_files(model, ["-"])
        return only

    same(answer((folder / "b.wav").read_bytes()), model, folder / "b.wav")
    assert "the stream is empty (0 bytes)" in answer(b"").error
    assert "the stream is cut off" in answer((folder / "b.wav").read_bytes()[:999]).error


def test_results_say_when_recordings_began(
    model: TorchClassifier, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dated = wav(guano("Timestamp: 2024-05-14T10:15:00+02:00"), seconds=1)
    (folder / "20200101_000000.wav").write_bytes(dated)
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(dated)))
    paths = [str(folder / "20200101_000000.wav"), "-", str(folder / "b.wav"), str(folder / "bad.wav")]
    named, piped, unknown, bad = predict_files(model, paths)
    for result in (named, piped):
        assert result.to_dict()["recorded"] == "2024-05-14T10:15:00.000+02:00"
    assert named.prediction and piped.prediction and piped.prediction.warnings == ()
    assert "file name disagree about when it was recorded" in named.prediction.warnings[0]
    assert unknown.recorded is bad.recorded is None and "recorded" not in unknown.to_dict()


def test_a_terminal_is_not_waited_for(model: TorchClassifier, monkeypatch: pytest.MonkeyPatch) -> None:
    main, terminal = os.openpty()
    with open(terminal) as stdin, os.fdopen(main):
        monkeypatch.setattr(sys, "stdin", stdin)
        (only,) = predict_files(model, ["-"])
    assert "standard input is a terminal. Pipe a sound into it" in only.error


def test_a_tiny_file_that_declares_hours_is_one_error_among_answers(model: TorchClassifier, folder: Path) -> None:
    (folder / "bomb.ogg").write_bytes(ogg_that_declares(1000))
    bomb, sound = predict_files(model, [str(folder / "bomb.ogg"), str(folder / "b.wav")])
    assert "bomb.ogg" in bomb.error
    same(sound, model, folder / "b.wav")


def test_what_is_no_sound_is_answered_by_models_of_such(model: TorchClassifier, folder: Path) -> None:
    given = small_classifier(*WINDOWS, "frontend.name=precomputed", "frontend.n_mels=32", "frontend.frames=48")
    np.save(folder / "a.npy", np.random.default_rng(0).normal(size=(32, 48)).astype(np.float32))
    seen, heard = predict_files(given, [str(folder / "a.npy"), str(folder / "b.wav")])
    same(seen, given, folder / "a.npy")
    assert "takes only such, not sound" in heard.error
    (told,) = predict_files(model, [str(folder / "a.npy")])
    assert "a.npy" in told.error


def test_how_much_is_done_is_told(model: TorchClassifier, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decode, "BLOCK", RATE)
    soundfile.write(tmp_path / "a.wav", noise(10), RATE)
    told: list[float] = []
    list(predict_files(model, [str(tmp_path / "a.wav")], progress=lambda path, share: told.append(share)))
    np.testing.assert_allclose(told, [*np.arange(0.1, 1.05, 0.1), 1, 1])


# Length

MEASURE = r"""
import re, sys
from hubbub.inference.predict import predict_files, predict_recording
from hubbub.classifier.load import load
def peak():  # ru_maxrss would begin with the peak of the process that started this one
    return int(re.search(r"VmHWM:\s+(\d+) kB", open("/proc/self/status").read())[1])
model = load(sys.argv[1])
list(predict_files(model, [sys.argv[2]]))
before = peak()
answer, = predict_files(model, [sys.argv[3]])
print(before, peak(), answer.prediction.seconds, len(answer.prediction.spans))
"""


@pytest.mark.slow
def test_hours_take_no_more_memory_than_a_minute(tmp_path: Path) -> None:
    """Two hours at 16 kHz are 460 MB of samples; all that grows is a few numbers a segment."""
    small_classifier(*WINDOWS, seed=0).save(tmp_path / "model")
    for name, minutes in (("minute", 1), ("hours", 120)):
        with soundfile.SoundFile(tmp_path / f"{name}.flac", "w", RATE, 1) as file:
            minute = noise(60)
            for _ in range(minutes):
                file.write(minute)
    words = [sys.executable, "-c", MEASURE, *(str(tmp_path / n) for n in ("model", "minute.flac", "hours.flac"))]
    done = subprocess.run(words, capture_output=True, text=True, env=os.environ | {"OMP_NUM_THREADS": "1"}, check=True)
    before, after, seconds, segments = map(float, done.stdout.split())
    assert seconds == 2 * 3600 and segments == 2 * 3600 * 2 - 1
    assert after - before < 60_000  # kB
    assert after < 1_000_000


def test_samples_too_loud_for_figures_are_one_file_s_error(model: TorchClassifier, tmp_path: Path) -> None:
    """The power of 1e25 is beyond 32 bits: scores would be NaN."""
    soundfile.write(tmp_path / "loud.wav", np.full(16_000, 1e25, np.float32), 16_000, subtype="FLOAT")
    soundfile.write(tmp_path / "most.wav", np.full(16_000, 255.5, np.float32), 16_000, subtype="FLOAT")
    loud, most = predict_files(model, [str(tmp_path / "loud.wav"), str(tmp_path / "most.wav")])
    assert "16000 samples beyond 256 times full scale" in loud.error
    assert most.prediction is not None and np.isfinite(list(most.prediction.scores.values())).all()
    assert any("256 times full scale" in warning for warning in most.prediction.warnings)
