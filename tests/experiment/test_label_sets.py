"""Runs on clips with label sets, and on annotated recordings: from sound to figures, classifier and answers."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

import hubbub
from hubbub.classifier.export import Sounds, export
from hubbub.classifier.load import load_torch
from hubbub.classifier.torch_classifier import TorchClassifier
from hubbub.cli.main import app
from hubbub.config.recipe import Recipe
from hubbub.experiment.prepare import prepare
from hubbub.experiment.run import run_recipe
from hubbub.experiment.run_events import verify_events
from hubbub.experiment.score import score
from hubbub.inference.events import EventSettings
from hubbub.inference.predict import predict_files
from hubbub.inference.result import PredictOptions
from hubbub.report import run_folder
from hubbub.report.event_results import EventSummary
from hubbub.report.results import Summary
from hubbub.report.verify import verify
from hubbub.training.targets import SOMEWHERE, SegmentTargets, targets_of
from tests.helpers.label_sets import CLASSES, RATE, write_annotated, write_clips
from tests.helpers.runs import bare_run
from tests.helpers.sounds import noise

SECTIONS = {
    "protocol": {"kind": "auto", "k": 3},
    "audio": {"rate_hz": RATE},
    "frontend": {"name": "logmel", "hop": 320, "n_mels": 32},
    "train": {"batch_size": 8, "learning_rate": 1e-2, "monitor": "val_macro_map"},
}


def recipe(data: Path, network: str, length: float, epochs: int, *settings: str) -> Recipe:
    """A small recipe for label sets."""
    sections = SECTIONS | {
        "data": {"name": str(data), "multilabel": True, "chunk_s": length},
        "windows": {"length": round(length * RATE), "hop": round(length * RATE)},
        "network": {"name": network, "width": 4, "dropout": 0.0},
    }
    return Recipe.of({"title": "several at once", **sections}).with_settings([f"train.epochs={epochs}", *settings])


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_clips(tmp_path_factory.mktemp("clips"))


@pytest.fixture(scope="module")
def trained(clips: Path) -> Path:
    """A network that was trained on clips with several labels."""
    folder = clips.parent / "runs" / "network"
    run_recipe(recipe(clips, "compact", 1.0, 8, "evaluate.events=best_f1"), folder)
    return folder


@pytest.fixture(scope="module")
def annotated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_annotated(tmp_path_factory.mktemp("annotated"))


@pytest.fixture(scope="module")
def framewise(annotated: Path) -> Path:
    """A frame-wise network that was trained on annotated recordings, with filters of its scores."""
    folder, settings = annotated.parent / "runs" / "frames", ("evaluate.pooling=linear_softmax",)
    bare_run(recipe(annotated, "framewise", 4.0, 40, "evaluate.events=event_f1", *settings), folder)
    return folder


def summary_of(folder: Path) -> Summary:
    return Summary.model_validate(json.loads((folder / "summary.json").read_text()))


def test_a_network_learns_several_classes_at_once(trained: Path) -> None:
    summary = summary_of(trained)
    assert summary.multilabel and summary.clip.figure("macro_map").mean > 0.9
    assert not verify(trained)
    assert (trained / "report.html").is_file() and not (trained / "confusion_matrix.png").exists()
    cells = [place for _, _, place in run_folder.cells(trained)]
    assert len(cells) == 2
    for place in cells:
        assert (place / "cooccurrence_test.png").is_file() and (place / "precision_recall.png").is_file()
        calibration = run_folder.calibration_of(place)
        assert calibration.threshold is None and calibration.clip == 1.0  # two folds leave no validation part


def test_the_recipe_of_a_run_says_that_it_is_of_label_sets(clips: Path, trained: Path) -> None:
    """The table has one column a class, which says so by itself."""
    silent = recipe(clips, "compact", 1.0, 1).with_settings(["data.multilabel=false"])
    folder = clips.parent / "runs" / "silent"
    bare_run(silent, folder, refit=False)
    assert Recipe.load(folder / "recipe.toml").data.multilabel


@pytest.mark.parametrize("exported", [False, True])
def test_the_classifier_says_what_a_recording_holds(clips: Path, trained: Path, exported: bool) -> None:
    model = hubbub.load(trained) if exported else load_torch(trained)
    assert isinstance(model, TorchClassifier) is not exported and model.multilabel
    right = 0
    table = {line.split(",")[0]: line.split(",")[2:] for line in clips.read_text().split()[1:]}
    for name, cells in table.items():
        found = model.classify(clips.parent / name)
        right += set(found.present or ()) == {label for label, cell in zip(CLASSES, cells, strict=True) if cell == "1"}
        assert found.to_dict()["present"] == found.present
    assert right > 0.8 * len(table)


@pytest.mark.parametrize(("head", "pool"), [("logreg", "segment"), ("mlp", "mean+max"), ("lightgbm", "segment")])
def test_a_head_on_frozen_embeddings_learns_them_too(clips: Path, tmp_path: Path, head: str, pool: str) -> None:
    chosen = ("head.c=[0.1]", "head.epochs=[20]", "head.trees=20")
    asked = recipe(clips, "compact", 0.5, 1, f"head.name={head}", f"head.pool={pool}", *chosen)
    summary = bare_run(asked, tmp_path / "run")
    assert summary.clip.figure("macro_map").mean > 0.8
    assert set(hubbub.load(tmp_path / "run").classify(noise(1, RATE), RATE).scores) == set(CLASSES)


def test_predictions_of_another_program_are_scored_alike(clips: Path, trained: Path, tmp_path: Path) -> None:
    rows = run_folder.predictions(trained).reset_index()
    own = rows[rows["level"] == "clip"][["clip", "fold", *CLASSES]]
    run = score(own, clips, out=tmp_path, name="theirs", quiet=True)
    ours, theirs = summary_of(trained).clip, run.summary.clip
    for metric in ("macro_map", "micro_map", "lwlrap", "roc_auc"):
        assert theirs.figure(metric).pooled == pytest.approx(ours.figure(metric).pooled)


def test_frames_are_learnt_and_events_found(framewise: Path) -> None:
    summary = summary_of(framewise)
    assert summary.clip.figure("macro_map").mean > 0.9 and summary.segment.figure("macro_map").mean > 0.85
    events = EventSummary.model_validate_json((framewise / "events" / "event_scores.json").read_text())
    assert events.recordings == 9 and events.segment.f1.value > 0.8 and events.collar.f1.value > 0.6
    assert events.psds1 is not None and events.psds1.value > 0.4
    for _, _, place in run_folder.cells(framewise):
        calibration = run_folder.calibration_of(place)
        assert calibration.filters is not None and len(calibration.filters) == len(CLASSES)
        assert isinstance(calibration.clip, tuple) and len(calibration.clip) == len(CLASSES)


def test_the_figures_of_events_are_those_of_predictions_and_annotations(
    annotated: Path, framewise: Path, tmp_path: Path
) -> None:
    assert verify(framewise) == [] and verify_events(framewise) == []
    other = shutil.copytree(framewise, tmp_path / "run")
    file = other / "events" / "event_scores.json"
    held = json.loads(file.read_text())
    held["psds1"]["value"] += 0.01
    file.write_text(json.dumps(held))
    doubted = CliRunner().invoke(app, ["report", "--verify", str(other)])
    assert (doubted.exit_code, "does not agree: events.psds1.value is" in doubted.output) == (1, True)
    recipe = (other / "recipe.toml").read_text()
    (other / "recipe.toml").write_text(recipe.replace(str(annotated), str(tmp_path / "gone.csv")))
    done = CliRunner().invoke(app, ["report", "--verify", str(other)])
    assert (done.exit_code, "not compared: the figures of events" in done.output) == (0, True)


def test_recordings_without_times_teach_and_their_events_are_not_scored(annotated: Path, tmp_path: Path) -> None:
    """Of a third of the recordings only the classes are known. (All hold all classes; some are not named.)"""
    head, *lines = annotated.read_text().split()
    cells = [line.split(",") for line in lines]
    number = {file: int(file.removesuffix(".wav")) for file, *_ in cells}
    untimed = {file: at % 3 == 0 for file, at in number.items()}
    cells = [(file, a, b, label) for file, a, b, label in cells if label != CLASSES[number[file] // 3]]
    kept = [f"{file},,,{label}" if untimed[file] else f"{file},{a},{b},{label}" for file, a, b, label in cells]
    for wave in annotated.parent.glob("*.wav"):
        (tmp_path / wave.name).symlink_to(wave)
    table = tmp_path / "annotations.csv"
    table.write_text("\n".join([head, *dict.fromkeys(kept)]))
    asked = recipe(table, "framewise", 8.0, 2, "evaluate.events=event_f1")
    prepared = prepare(asked)
    targets = targets_of(prepared.clips, prepared.sound, prepared.base)
    assert isinstance(targets, SegmentTargets)
    for clip, name in enumerate(prepared.clips.table["clip"]):
        found = targets.of(clip, np.array([[0.0, 8.0]])).reshape(-1, len(CLASSES))
        assert (SOMEWHERE in found, 1 in found) == ((True, False) if untimed[name.partition("@")[0]] else (False, True))
        assert (-1 in prepared.segment_targets(np.array([clip]))) == untimed[name.partition("@")[0]]
    bare_run(asked, tmp_path / "run", refit=False)
    events = EventSummary.model_validate_json((tmp_path / "run" / "events" / "event_scores.json").read_text())
    assert events.recordings == sum(not one for one in untimed.values())
    assert f"NOT SCORED: {sum(untimed.values())} recordings with labels without times" in events.notes


def test_files_are_answered_frame_by_frame(annotated: Path, framewise: Path) -> None:
    """Events of a file as of the run's own figures; the rows of its table are frames."""
    model = hubbub.load(framewise)
    options = PredictOptions(events=EventSettings())
    (result,) = predict_files(model, [str(annotated.parent / "0.wav")], options=options)
    prediction = result.prediction
    assert prediction is not None and prediction.events
    assert len(prediction.spans) == 200 and prediction.spans[-1, 1] == pytest.approx(8.0)
    true = [line.split(",") for line in annotated.read_text().split()[1:] if line.startswith("0.wav")]
    hits = [
        any(e.label == label and abs(e.start - float(start)) < 0.2 for e in prediction.events)
        for _, start, _, label in true
    ]
    assert np.mean(hits) > 0.6
    whole = model.classify(annotated.parent / "0.wav")
    assert whole.present == pytest.approx(prediction.present)


def test_a_frame_wise_network_is_exported_with_its_filters(framewise: Path, tmp_path: Path) -> None:
    model = load_torch(framewise)
    sounds = Sounds("noise", [noise(seconds, RATE, seed=k)[:, 0] for k, seconds in enumerate((4.0, 6.5, 1.0))])
    found = export(model, tmp_path / "frames.onnx", sounds)
    assert found.frames == model.frames == 100 and found.confidence == model.confidence
    wave = noise(5.0, RATE, seed=7)[:, 0]
    ours, theirs = (one.classify(wave, RATE) for one in (model, found))
    np.testing.assert_allclose(ours.segments.to_numpy(), theirs.segments.to_numpy(), atol=1e-4)


def test_an_explanation_marks_when_a_class_sounds(annotated: Path, framewise: Path) -> None:
    model, times = load_torch(framewise), [line.split(",") for line in annotated.read_text().split()[1:]]
    spans = [(float(start), float(end)) for file, start, end, label in times if (file, label) == ("0.wav", "high")]
    for occlusion, least in ((False, 2.0), (True, 1.1)):  # without one event, another in the clip is still found
        found = hubbub.explain(model, annotated.parent / "0.wav", label="high", occlusion=occlusion)
        marked = found.map.sum(axis=0)
        inside = np.any([(found.times >= start - 0.1) & (found.times <= end + 0.1) for start, end in spans], axis=0)
        assert marked[inside].mean() > least * marked[~inside].mean()
        assert len(found.segments) == 2
    assert found.hz[int(found.map.sum(axis=1).argmax())] > 1_500  # what was removed, not the network's two rows
