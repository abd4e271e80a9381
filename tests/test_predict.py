"""predict: files and folders to answers; one bad file never stops the rest."""

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile

from hubbub import predict
from hubbub.classifier import Classifier
from hubbub.errors import HubbubError
from hubbub.recipe import Recipe

RATE = 16_000


@pytest.fixture(scope="module")
def model() -> Classifier:
    return Classifier(Recipe.load("street-cnn", ["network.width=4", "windows.hop=16000"]), ("dog", "rain"), seed=0)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    noise = np.random.default_rng(0).normal(0, 0.1, 3 * RATE)
    (tmp_path / "deep").mkdir()
    soundfile.write(tmp_path / "b.wav", noise, RATE)
    soundfile.write(tmp_path / "deep" / "a.FLAC", noise, RATE, format="FLAC")
    (tmp_path / "notes.txt").write_text("not a sound")
    (tmp_path / "bad.wav").write_text("a text file")
    return tmp_path


def test_folders_are_searched_and_files_taken_as_given(folder: Path) -> None:
    assert predict.find([str(folder)]) == [str(folder / name) for name in ("b.wav", "bad.wav", "deep/a.FLAC")]
    assert predict.find([str(folder / "notes.txt")]) == [str(folder / "notes.txt")]
    (folder / "empty").mkdir()
    with pytest.raises(HubbubError, match="nothing to classify"):
        predict.find([str(folder / "empty")])


def test_a_file_that_cannot_be_read_gives_its_error_and_the_rest_go_on(model: Classifier, folder: Path) -> None:
    given = list(predict.answers(model, predict.find([str(folder)]), "the model"))
    assert [a.heard is None for a in given] == [False, True, False]
    assert json.loads(given[1].to_json()) == {"file": str(folder / "bad.wav"), "error": given[1].error}
    assert "bad.wav" in given[1].error


def test_the_json_object_is_the_contracts(model: Classifier, folder: Path) -> None:
    answer = next(predict.answers(model, [str(folder / "b.wav")], "the model"))
    content = json.loads(answer.to_json())
    assert list(content) == ["file", "seconds", "label", "score", "scores", "segments", "model"]
    assert content["seconds"] == 3.0
    assert content["scores"][content["label"]] == content["score"] == max(content["scores"].values())
    assert [list(s) for s in content["segments"]] == [["start", "end", "label", "score"]] * 2
    assert content["segments"][1]["start"] == 1.0
    assert content["model"] == "the model"


def test_without_a_model_and_without_weights_the_message_says_how_to_get_either(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("HUBBUB_HOME", str(tmp_path))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    with pytest.raises(HubbubError, match=r"(?s)hubbub demo.*hubbub data get yamnet"):
        predict.default_model()


def test_without_a_model_yamnet_answers_where_its_weights_are(home) -> None:
    home("weights", "yamnet.h5")
    assert predict.default_model() == "yamnet"
