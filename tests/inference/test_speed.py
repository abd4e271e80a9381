"""`hubbub speed`: every part is measured, and a long recording is not decoded to its end."""

from pathlib import Path

import numpy as np
import pytest
import soundfile
from typer.testing import CliRunner

from hubbub.audio.sound import AudioError
from hubbub.classifier.base import ClassifierError
from hubbub.cli.main import app
from hubbub.inference import speed
from tests.helpers.classifiers import small_classifier
from tests.helpers.sounds import sounds


@pytest.fixture
def model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setattr(speed, "SECONDS", 0.01)
    small_classifier().save(tmp_path / "model")
    return str(tmp_path / "model")


def test_the_command_measures_every_part(model: str, tmp_path: Path) -> None:
    sounds(tmp_path, "a.wav", "b.wav", seconds=2)
    done = CliRunner().invoke(app, ["speed", model, str(tmp_path / "a.wav"), str(tmp_path / "b.wav")])
    assert done.exit_code == 0, done.output
    for work in ("load the classifier", "from command to answer", "segments/s", "files/s", "24 hours", "2 files"):
        assert work in done.output


def test_a_long_recording_counts_as_far_as_it_was_decoded(
    model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(speed, "_cold", lambda *given: 1.0)
    file = tmp_path / "long.flac"
    soundfile.write(file, np.random.default_rng(0).normal(0, 0.1, 8000 * 120), 8000)
    found = speed.measure_speed(model, [str(file)])
    assert found.files_per_s is None and found.rate > 0
    assert found.network_rate == pytest.approx(found.segments_per_s)  # its hop is a second
    assert found.sound == "1 file" and found.engine.startswith("torch")


def test_without_recordings_the_sound_is_synthetic(model: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(speed, "_cold", lambda *given: 1.0)
    found = speed.measure_speed(model)
    assert "synthetic" in found.sound and found.files_per_s and found.rate == pytest.approx(5 * found.files_per_s)


def test_what_cannot_be_measured_is_refused_with_the_reason(
    model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(speed.SpeedError, match=r"x\.png is an image or a spectrogram"):
        speed.measure_speed(model, ["x.png"])
    with pytest.raises(ClassifierError, match="nowhere is not a folder"):
        speed.measure_speed("nowhere")
    monkeypatch.setattr(speed, "_cold", lambda *given: 1.0)
    (tmp_path / "broken.wav").write_text("no sound")
    with pytest.raises(AudioError, match=r"broken\.wav"):
        speed.measure_speed(model, [str(tmp_path / "broken.wav")])
