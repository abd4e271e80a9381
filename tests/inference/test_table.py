"""Many files to one table, embeddings of a recording, and what a classifier says about itself."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile
import torch

import hubbub
from hubbub.audio.find_files import FindError
from hubbub.classifier.base import ClassifierError
from tests.helpers.classifiers import LABELS, small_classifier

RATE = 16_000


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for number, name in enumerate(("a.wav", "b.wav")):
        soundfile.write(tmp_path / name, np.random.default_rng(number).normal(0, 0.1, 2 * RATE), RATE)
    (tmp_path / "broken.wav").write_text("no sound")
    (tmp_path / "notes.txt").write_text("notes")
    return tmp_path


def test_a_table_has_a_row_for_each_file_and_errors_stay_in_their_row(folder: Path) -> None:
    model = small_classifier()
    table = hubbub.classify([folder, folder / "gone.wav", folder / "*.ogg"], model).set_index("file")
    assert len(table) == 5
    for name in ("a.wav", "b.wav"):
        row, expected = table.loc[str(folder / name)], model.classify(folder / name)
        assert (row["label"], row["error"], row["seconds"]) == (expected.label, "", 2.0)
        assert [row[label] for label in LABELS] == pytest.approx(list(expected.scores.values()), abs=1e-5)
    for name, why in (("broken.wav", "cannot be read"), ("gone.wav", "not a file"), ("*.ogg", "nothing matches")):
        assert why in table.loc[str(folder / name), "error"]
    assert "notes.txt" in str(table.attrs["left_out"])


def test_segments_are_rows_on_request(folder: Path) -> None:
    model = small_classifier()
    table = hubbub.classify(str(folder / "a.wav"), model, segments=True)
    expected = model.classify(folder / "a.wav").segments
    np.testing.assert_allclose(table[["start", "end", *LABELS]], expected[["start", "end", *LABELS]], atol=1e-5)


def test_rows_say_when_they_begin(folder: Path) -> None:
    (folder / "a.wav").rename(folder / "20240514T101500Z.wav")
    table = hubbub.classify(folder, small_classifier()).set_index("file")["clock"]
    expected = {"20240514T101500Z.wav": "2024-05-14T10:15:00.000+00:00", "b.wav": "", "broken.wav": ""}
    assert table.to_dict() == {str(folder / name): clock for name, clock in expected.items()}
    segments = hubbub.classify(folder / "20240514T101500Z.wav", small_classifier(), segments=True)
    begin = pd.to_datetime(segments["clock"]) - pd.Timestamp("2024-05-14T10:15:00Z")
    assert list(begin.dt.total_seconds()) == pytest.approx(list(segments["start"]), abs=5e-4)


def test_nothing_found_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FindError, match="nothing to classify"):
        hubbub.classify(tmp_path, small_classifier())
    with pytest.raises(FindError, match="the list of files is empty"):
        hubbub.classify([], small_classifier())


def test_a_class_may_be_called_like_a_column(folder: Path) -> None:
    table = hubbub.classify(folder / "a.wav", small_classifier(labels=("file", "label", "dog")))
    assert list(table.columns[-3:]) == ["file (class)", "label (class)", "dog"]


def test_a_list_of_files_is_refused_and_a_list_of_numbers_is_a_wave(folder: Path) -> None:
    model = small_classifier()
    with pytest.raises(ClassifierError, match=r"got 2 files.*hubbub.classify\(files, model\)"):
        model.classify([str(folder / "a.wav"), str(folder / "b.wav")])
    assert model.classify([0.1, -0.1] * RATE, RATE).seconds == 2.0


@pytest.mark.parametrize("settings", [(), ("network.mode=head", "evaluate.shifts=[0.3]"), ("head.name=logreg",)])
def test_embeddings_are_the_input_of_the_last_layer_or_head(folder: Path, settings: tuple[str, ...]) -> None:
    model = small_classifier(*settings)
    found = model.embed(folder / "a.wav")
    wave, seconds, _ = model.read(folder / "a.wav")
    with torch.no_grad():
        expected = model.embeddings(torch.tensor(model.cut(wave))).numpy()
    np.testing.assert_allclose(found.values, expected, atol=1e-6)
    np.testing.assert_array_equal(found.spans, model.spans(len(wave)))
    assert found.seconds == seconds
    np.testing.assert_array_equal(model.embed(wave, RATE).values, found.values)


def test_repr_says_what_it_is() -> None:
    model = small_classifier("head.name=logreg")
    model.card = {"trained_on": "street", "evaluated": "clip accuracy 0.9", "not_comparable": ["SYNTHETIC"]}
    shown = repr(model)
    assert shown.startswith("TorchClassifier of 3 classes: dog, rain, siren")
    for part in (
        "logreg on cnn",
        "16000 Hz",
        "trained on: street",
        "evaluated: clip accuracy 0.9",
        "caveat: SYNTHETIC",
    ):
        assert part in shown
