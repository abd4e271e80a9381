"""Long recordings: the strongest stretches lie where the events are, and each is explained as a file of its own."""

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from torch import Tensor, nn
from typer.testing import CliRunner

from hubbub.classifier.calibration import Confidence
from hubbub.classifier.torch_classifier import TorchClassifier
from hubbub.cli.main import app
from hubbub.config.recipe import Recipe
from hubbub.inference.explain import ExplainError, explain
from hubbub.inference.stretches import WHOLE_S, explain_strongest
from hubbub.report.explanation import write_strongest
from tests.helpers.classifiers import LABELS, small_classifier

RATE = 16_000
#: Bursts of a tone: the one at 63.5 s is the loudest.
BURSTS = {20.2: 0.1, 63.5: 0.5, 110.4: 0.2}


class Loudness(nn.Module):
    """The louder a segment, the more it is the last class."""

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.fc = nn.Linear(1, num_classes)
        with torch.no_grad():
            self.fc.weight.copy_(torch.arange(float(num_classes))[:, None])
            self.fc.bias.zero_()

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(30 * x.pow(2).mean(dim=1, keepdim=True).sqrt())


@pytest.fixture(scope="module")
def model() -> TorchClassifier:
    recipe = Recipe.load("street-cnn", ["windows.length=16000", "windows.hop=8000", "frontend.name='none'"])
    return TorchClassifier(recipe, LABELS, network=Loudness)


@pytest.fixture(scope="module")
def day(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two minutes of faint noise with the bursts, each of half a second."""
    wave = 0.001 * np.random.default_rng(0).normal(size=120 * RATE)
    for at, level in BURSTS.items():
        first = round(at * RATE)
        wave[first : first + RATE // 2] += level * np.sin(2 * np.pi * 1000 * np.arange(RATE // 2) / RATE)
    file = tmp_path_factory.mktemp("day") / "day.wav"
    soundfile.write(file, wave, RATE)
    return file


def test_the_stretches_lie_around_the_events_the_strongest_first(model: TorchClassifier, day: Path) -> None:
    found = explain_strongest(model, day, "siren")
    assert not found.is_whole
    assert found.prediction.scores == pytest.approx(model.classify(day).scores, abs=1e-5)
    for part, at in zip(found.parts, (63.5, 110.4, 20.2), strict=True):
        assert part.start <= at <= at + 0.5 <= part.start + 5
        assert part.prediction.seconds == pytest.approx(5, abs=0.01)
        marked = part.start + part.times[part.map.sum(axis=0).argmax()]
        assert at - 0.3 <= marked <= at + 0.8
    best = [max(one.score for one in part.segments) for part in found.parts]
    assert best == sorted(best, reverse=True)


def test_the_predicted_class_is_explained_by_default_and_few_are_enough(model: TorchClassifier, day: Path) -> None:
    found = explain_strongest(model, day, most=1)
    assert found.label == found.prediction.label
    assert len(found.parts) == 1


def test_segments_that_are_unknown_rank_last(
    model: TorchClassifier, day: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only the loudest burst reaches the threshold, so there is one stretch."""
    monkeypatch.setattr(model, "confidence", Confidence(threshold=5.0))
    found = explain_strongest(model, day, "siren")
    assert [part.start <= 63.5 <= part.start + 5 for part in found.parts] == [True]
    monkeypatch.setattr(model, "confidence", Confidence(threshold=1e9))
    found = explain_strongest(model, day, "siren")
    assert found.prediction.known is False
    assert len(found.parts) == 3


def test_digital_silence_is_no_stretch(model: TorchClassifier, tmp_path: Path) -> None:
    soundfile.write(tmp_path / "silent.wav", np.zeros(30 * RATE), RATE)
    with pytest.raises(ExplainError, match=r"silent.wav is digital silence to its end"):
        explain_strongest(model, tmp_path / "silent.wav")


def test_a_short_recording_is_explained_as_a_whole(tmp_path: Path) -> None:
    model = small_classifier()
    wave = np.random.default_rng(0).normal(0, 0.1, 3 * RATE)
    soundfile.write(tmp_path / "short.wav", wave, RATE)
    assert len(wave) / RATE < WHOLE_S
    found, expected = explain_strongest(model, tmp_path / "short.wav"), explain(model, tmp_path / "short.wav")
    assert found.is_whole
    np.testing.assert_array_equal(found.parts[0].map, expected.map)
    card = write_strongest(model, found, tmp_path / "why")
    assert "stretches" not in card
    assert (tmp_path / "why" / "listened.wav").is_file()


def test_the_command_says_where_the_stretches_are(tmp_path: Path, day: Path) -> None:
    small_classifier("windows.hop=8000").save(tmp_path / "saved")
    words = ["explain", str(tmp_path / "saved"), str(day), "--label", "rain", "--out", str(tmp_path / "why")]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0, done.output
    card = json.loads((tmp_path / "why" / "explanation.json").read_text())
    assert card["label"] == "rain"
    assert 1 <= len(card["stretches"]) <= 3
    for one in card["stretches"]:
        assert f"{one['start']:.2f} to {one['end']:.2f} s, in {one['folder']}:" in done.stdout
        inner = json.loads((tmp_path / "why" / one["folder"] / "explanation.json").read_text())
        assert one["start"] <= inner["segments"][0]["start"] < inner["segments"][-1]["end"] <= one["end"] + 0.01
        assert {"clip.png", "listened.wav", "rest.wav"} <= {
            file.name for file in (tmp_path / "why" / one["folder"]).iterdir()
        }
    again = CliRunner().invoke(app, words)
    assert again.exit_code == 0, again.output
