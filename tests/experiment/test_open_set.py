"""Runs that say how sure they may be: temperatures from validation, and classes that were held out."""

import shlex
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import sklearn.metrics as reference
import soundfile
import torch

from hubbub.classifier import calibration, pooling
from hubbub.classifier.calibration import Confidence
from hubbub.classifier.known_outliers import KnownOutliers
from hubbub.classifier.load import load, load_torch
from hubbub.classifier.torch_classifier import TorchClassifier
from hubbub.classifier.typicality import TypicalityError
from hubbub.config.recipe import Recipe, RecipeError
from hubbub.config.sections import Evaluate
from hubbub.data import cache
from hubbub.data.cache import Segments
from hubbub.experiment.cell import fit_with_history
from hubbub.experiment.prepare import prepare
from hubbub.experiment.typicality import fit_typicality, part_typicality, refuse_few_clips, refuse_pictures
from hubbub.metrics import classification
from hubbub.models.network import NetworkError
from hubbub.report import page, run_folder
from hubbub.report.results import LEVELS
from hubbub.report.summary import as_arrays, uncalibrated
from hubbub.report.verify import verify
from hubbub.training.teacher import Heard, TeacherOutputs
from tests.helpers.classifiers import small_classifier
from tests.helpers.command_line import run_hubbub
from tests.helpers.files import read_json
from tests.helpers.runs import bare_run

ROOT = Path(__file__).parents[2]
HEAD = [
    *("data.limit=3", "network.width=4", "head.name=logreg", "head.pool=segment"),
    *("head.c=[0.01,0.1]", 'protocol.folds=["1","2"]', "train.seeds=[1,2]"),
]
HELD_OUT = ("siren", "drilling")
OPEN = [*HEAD, 'data.held_out=["siren","drilling"]']


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of a head on frozen (here: random) features, without two of the ten classes."""
    folder = tmp_path_factory.mktemp("runs") / "open"
    bare_run(Recipe.load("street-cnn", OPEN), folder, quick=True)
    return folder


def test_how_sure_a_cell_may_be_is_decided_by_its_validation_part_alone(opened: Path) -> None:
    data = prepare(Recipe.load("street-cnn", OPEN))
    split = data.splits[0]
    chosen = fit_with_history(data, split.train, split.validation, 1, Path("unused"), []).chosen
    part, targets = data.embedded.of(split.validation), data.targets[split.validation]
    by_segment, by_clip = chosen.predict_proba(part.values, part.offsets[:-1])
    expected = calibration.fit(targets, by_segment, by_clip, part.offsets[:-1], Evaluate(), 1.0)
    place = opened / "test-1" / "seed-1"
    stored = {name: value for name, value in asdict(expected).items() if name not in ("clips", "filters")}
    assert read_json(place / "metrics_test.json")["confidence"] == pytest.approx(stored)
    assert asdict(load_torch(place / "classifier").confidence) == pytest.approx(asdict(expected))
    # Its own validation figures are those before.
    assert (
        read_json(place / "metrics_val.json")["clip_log_loss"] == classification.evaluate(targets, by_clip)["log_loss"]
    )
    after = classification.evaluate(targets, pooling.apply_temperature(by_clip, expected.clip))
    before = classification.evaluate(targets, by_clip)
    assert after["log_loss"] < before["log_loss"]
    for name in ("accuracy", "balanced_accuracy", "macro_f1", "top3"):
        assert after[name] == before[name]


def test_temperatures_change_no_decision(opened: Path) -> None:
    predicted = run_folder.predictions(opened)
    raw = uncalibrated(opened, predicted)
    data = prepare(Recipe.load("street-cnn", OPEN))
    model = load(opened / "test-2" / "seed-2" / "classifier")
    assert model.confidence.clip != 1 != model.confidence.segment
    model.confidence = Confidence()
    part = data.embedded.of(data.splits[1].test)
    own = raw.loc[("2", 2)]
    for level, scores in zip(("segment", "clip"), model.predict_proba(part.values, part.offsets[:-1]), strict=True):
        np.testing.assert_allclose(as_arrays(own[own["level"] == level])[1], scores, rtol=1e-3, atol=1e-6)
    figures, expected = (classification.evaluate(*as_arrays(table)[:2]) for table in (predicted, raw))
    for name in ("accuracy", "balanced_accuracy", "macro_f1", "top3"):
        assert figures[name] == expected[name]
    assert figures["log_loss"] != expected["log_loss"]


def test_the_summary_says_calibration_with_and_without(opened: Path) -> None:
    found = read_json(opened / "summary.json")["calibration"]
    predicted = run_folder.predictions(opened)
    for said, table in ((lambda level: found[level], predicted), (lambda level: found[level]["raw"], None)):
        table = uncalibrated(opened, predicted) if table is None else table
        for level in LEVELS:
            targets, scores, _ = as_arrays(table[table["level"] == level])
            own = -np.log(np.clip(scores[np.arange(len(targets)), targets].astype(float), classification.SMALLEST, 1))
            assert said(level)["log_loss"] == pytest.approx(own.mean(), rel=1e-9)
            assert said(level)["error"] == classification.calibration(targets, scores).error


def test_held_out_classes_are_learnt_by_no_classifier(opened: Path) -> None:
    labels = load_torch(opened).labels
    assert len(labels) == 8 and not set(labels) & set(HELD_OUT)
    summary = read_json(opened / "summary.json")
    assert not summary["comparable"]
    assert any(reason.startswith("HELD OUT: 2 of 10 classes") for reason in summary["why_not_comparable"])
    data = prepare(Recipe.load("street-cnn", OPEN))
    truth = data.clips.table.set_index("clip")["label"]
    for fold, _, place in run_folder.cells(opened):
        own, strange = run_folder.read_predictions(place), run_folder.read_unknown_predictions(place)
        assert not set(own["label"]) & set(HELD_OUT) and set(strange["label"]) == set(HELD_OUT)
        assert set(strange["clip"]) == set(truth.index[truth.isin(HELD_OUT) & (own_fold(data) == fold).to_numpy()])
        assert len(strange[strange["level"] == "clip"]) == 6 == strange["clip"].nunique()
        assert list(own.columns) == list(strange.columns)


def own_fold(data: object) -> pd.Series:
    return data.clips.table.set_index("clip")["fold"]  # type: ignore[attr-defined]


def test_the_operating_point_is_that_of_the_predictions(opened: Path) -> None:
    told = read_json(opened / "summary.json")["unknown"]
    assert (told["classes"], told["clips"], told["by"]) == (list(HELD_OUT), 12, "max_logit")
    by_fold: dict[str, list[tuple[float, ...]]] = {}
    for fold, _, place in run_folder.cells(opened):
        threshold = read_json(place / "metrics_test.json")["confidence"]["threshold"]
        sides = []
        for name in ("predictions.parquet", "predictions_unknown.parquet"):
            table = pd.read_parquet(place / name)
            logits = np.log(table[table["level"] == "segment"].iloc[:, 6:].to_numpy(dtype=float))
            largest = pd.Series(logits.max(axis=1) - logits.mean(axis=1))
            sides.append(largest.groupby(table.loc[table["level"] == "segment", "clip"].to_numpy()).max())
        known, unknown = sides
        hits, scores = np.arange(len(known) + len(unknown)) < len(known), np.append(known, unknown)
        false, true, _ = reference.roc_curve(hits, scores, drop_intermediate=False)
        by_fold.setdefault(fold, []).append(
            (
                reference.roc_auc_score(hits, scores),
                false[true >= 0.95].min(),
                (known >= threshold).mean(),
                (unknown >= threshold).mean(),
            )
        )
    means = np.array([np.mean(seeds, axis=0) for seeds in by_fold.values()])
    figures = [told["max_logit"][k] for k in ("auroc", "fpr95")]
    figures += [told["at_threshold"][k] for k in ("known_kept", "unknown_passed")]
    assert [f["mean"] for f in figures] == pytest.approx(means.mean(axis=0))
    assert [f["sd"] for f in figures] == pytest.approx(means.std(axis=0, ddof=1))
    assert set(told) == {"classes", "clips", "by", "at_threshold", *calibration.UNKNOWN}


def test_verify_sees_a_changed_prediction_of_a_held_out_clip(opened: Path) -> None:
    assert verify(opened) == []
    file = opened / "test-1" / "seed-1" / "predictions_unknown.parquet"
    before = file.read_bytes()
    table = pd.read_parquet(file)
    table.iloc[:, 6:] = 1 / 8
    table.to_parquet(file, index=False)
    try:
        assert any(line.startswith("unknown.max_logit.auroc") for line in verify(opened))
    finally:
        file.write_bytes(before)


def test_the_page_says_both(opened: Path, tmp_path: Path) -> None:
    html = page.write_page(opened).read_text(encoding="utf-8")
    told = read_json(opened / "summary.json")
    assert "Open-set rejection</h2>" in html and "which the classifier uses" in html
    assert f"{told['unknown']['max_logit']['auroc']['mean']:.3f}" in html
    raw = told["calibration"]["clip"]["raw"]["error"]
    assert f"{raw:.3f} and " in html and "before temperature scaling" in html


def test_without_validation_only_the_refitted_classifier_is_calibrated(tmp_path: Path) -> None:
    """On the test predictions of the cells, which were scored before."""
    settings = [*HEAD, 'protocol.validation="none"', "head.c=[0.1]", "train.seeds=[1]", 'protocol.folds=["1"]']
    summary = bare_run(Recipe.load("street-cnn", settings), tmp_path / "run", quick=True)
    model = load_torch(tmp_path / "run" / "test-1" / "seed-1" / "classifier")
    assert model.confidence == Confidence(1.0, 1.0, None)
    assert model.classify(np.zeros(16_000, np.float32), 16_000).known is None
    table = run_folder.predictions(tmp_path / "run").reset_index()
    clips, segments = (table[table["level"] == level] for level in ("clip", "segment"))
    labels = list(model.labels)
    expected = calibration.fit(
        clips["label"].map(labels.index).to_numpy(),
        segments[labels].to_numpy(np.float32),
        clips[labels].to_numpy(np.float32),
        [int((segments["clip"] == clip).to_numpy().argmax()) for clip in clips["clip"]],
        Evaluate(),
        1.0,
    )
    assert load_torch(tmp_path / "run").confidence == expected
    assert expected.threshold is not None
    assert read_json(tmp_path / "run" / "test-1" / "seed-1" / "metrics_test.json")["confidence"]["threshold"] is None
    assert summary.unknown is None
    for figures in summary.calibration.values():
        assert (figures.raw.error, figures.raw.log_loss) == (figures.error, figures.log_loss)
    html = (tmp_path / "run" / "report.html").read_text(encoding="utf-8")
    assert "Open-set rejection" not in html


def test_a_refitted_classifier_has_the_middle_of_its_cells(opened: Path) -> None:
    found = [run_folder.calibration_of(place) for _, _, place in run_folder.cells(opened)]
    assert load(opened).confidence == calibration.average(found)
    assert load(opened).classify(np.zeros(16_000, np.float32), 16_000).known in (True, False)


def test_distances_are_those_to_the_training_clips(tmp_path: Path) -> None:
    """Of a head: weight and threshold are of the validation part, figures of the predictions' column."""
    folder = tmp_path / "run"
    settings = [*OPEN, 'evaluate.unknown="distance"', "head.c=[0.1]", "train.seeds=[1]"]
    summary = bare_run(Recipe.load("street-cnn", settings), folder, quick=True)
    assert summary.unknown is not None and summary.unknown.by == "distance"
    aurocs = []
    for _, _, place in run_folder.cells(folder):
        confidence, sides = run_folder.calibration_of(place), []
        assert confidence.typicality_weight is not None
        for table in (run_folder.read_predictions(place), run_folder.read_unknown_predictions(place)):
            assert table is not None
            assert list(table.columns[:7]) == ["clip", "level", "group", "label", "typicality", "start", "end"]
            segments, clips = (table[table["level"] == level] for level in ("segment", "clip"))
            means = segments.groupby("clip", sort=False)["typicality"].mean()
            np.testing.assert_allclose(clips["typicality"], means)
            largest = segments.iloc[:, 7:].max(axis=1)
            each = largest + confidence.typicality_weight * segments["typicality"]
            sides.append(each.groupby(segments["clip"]).mean())
        hits = np.arange(len(sides[0]) + len(sides[1])) < len(sides[0])
        aurocs.append(reference.roc_auc_score(hits, np.concatenate(sides)))
    assert summary.unknown.scores("distance")["auroc"].mean == pytest.approx(np.mean(aurocs))
    assert summary.unknown.at_threshold is not None
    assert verify(folder) == []
    assert "largest probability and distance, which the classifier uses" in (folder / "report.html").read_text()
    model = load(folder)
    assert model.typicality is not None
    assert model.classify(np.random.default_rng(0).normal(0, 0.1, 16_000), 16_000).known in (True, False)


def test_a_trained_network_without_validation_has_distances_too(tmp_path: Path) -> None:
    """Those of the refitted classifier are scaled on the test predictions of the cells."""
    settings = ['evaluate.unknown="distance"', 'protocol.validation="none"', "train.epochs=1", "network.width=4"]
    folder = tmp_path / "run"
    bare_run(Recipe.load("street-cnn", [*settings, "data.limit=3", 'protocol.folds=["1"]']), folder, quick=True)
    cell = load_torch(folder / "test-1" / "seed-42" / "classifier")
    assert cell.typicality is not None and cell.confidence == Confidence()
    table, labels = run_folder.predictions(folder), list(cell.labels)
    clips, segments = (table[table["level"] == level] for level in ("clip", "segment"))
    sizes = segments.groupby("clip", sort=False).size().to_numpy()
    expected = calibration.fit(
        clips["label"].map(labels.index).to_numpy(),
        segments[labels].to_numpy(np.float32),
        clips[labels].to_numpy(np.float32),
        np.cumsum(sizes) - sizes,
        Evaluate(unknown="distance"),
        1.0,
        segments["typicality"].to_numpy(),
    )
    assert load_torch(folder).confidence == expected
    assert expected.threshold is not None and expected.typicality_weight is not None


def test_known_outliers_lower_the_familiarity(tmp_path: Path) -> None:
    """Figures are those of the predictions' column. Nothing is scaled, so no validation part is needed."""
    folder = tmp_path / "run"
    settings = [*OPEN, 'evaluate.unknown="outliers"', "head.c=[0.1]", "train.seeds=[1]", 'protocol.validation="none"']
    summary = bare_run(Recipe.load("street-cnn", settings), folder, quick=True)
    assert summary.unknown is not None and summary.unknown.by == "outliers"
    aurocs = []
    for _, _, place in run_folder.cells(folder):
        sides = []
        for table in (run_folder.read_predictions(place), run_folder.read_unknown_predictions(place)):
            assert table is not None
            segments = table[table["level"] == "segment"]
            each = segments.iloc[:, 7:].max(axis=1) * np.exp(segments["typicality"])
            sides.append(each.groupby(segments["clip"]).max())
        hits = np.arange(len(sides[0]) + len(sides[1])) < len(sides[0])
        aurocs.append(reference.roc_auc_score(hits, np.concatenate(sides)))
    assert summary.unknown.scores("outliers")["auroc"].mean == pytest.approx(np.mean(aurocs))
    assert verify(folder) == []
    assert "largest probability and known outliers, which the classifier uses" in (folder / "report.html").read_text()
    model = load(folder)
    assert isinstance(model.typicality, KnownOutliers) and model.confidence.threshold is not None
    assert model.confidence.typicality_weight is None


def test_clips_that_the_teacher_names_are_outliers_besides_made_sounds() -> None:
    """Of a network with random weights: the sirens of its own data are called outliers, the rest is not."""
    data = prepare(Recipe.load("street-cnn", ["data.limit=4", 'evaluate.unknown="outliers"', "network.width=8"]))
    sirens = data.targets == data.clips.labels.index("siren")
    heard = Heard(data.sound, np.flatnonzero(sirens), np.flatnonzero(~sirens))
    taught = replace(
        data, teacher=TeacherOutputs(Segments(np.zeros((0, 1)), np.zeros(1)), np.zeros((0, 2)), Path(), None, heard)
    )
    rows, model = np.flatnonzero(~sirens), taught.base
    fit_typicality(taught, model, rows)
    assert isinstance(model.typicality, KnownOutliers) and model.typicality.weights.shape[1] == 2
    part = cache.outputs(data.sound, data.base, np.arange(len(data.clips)))
    each = part_typicality(data, model, np.arange(len(data.clips)), part)
    assert each is not None
    assert np.nanmean(each[1][sirens]) < np.nanmean(each[1][~sirens])
    alone = replace(heard, others=rows[:0])
    fit_typicality(replace(taught, teacher=replace(taught.teacher, heard=alone)), model, rows)
    assert model.typicality.weights.shape[1] == 2


def test_outliers_are_for_networks_that_take_sound() -> None:
    precomputed = ("frontend.name=precomputed", "frontend.n_mels=32", "frontend.frames=48")
    with pytest.raises(TypicalityError, match="sounds of none of the classes, and this network takes spectrograms"):
        refuse_pictures(small_classifier(*precomputed, "evaluate.unknown=outliers"))
    refuse_pictures(small_classifier(*precomputed))
    refuse_pictures(small_classifier("evaluate.unknown=outliers"))


def test_a_run_that_cannot_have_distances_is_refused() -> None:
    distance = 'evaluate.unknown="distance"'
    with pytest.raises(RecipeError, match="is scaled on validation clips"):
        Recipe.load("street-cnn", [distance, 'protocol.validation="none"', 'data.held_out=["siren"]'])
    data = prepare(Recipe.load("street-cnn", ["data.limit=1", distance]))  # three training clips a class
    few = [replace(split, train=split.train[:15]) for split in data.splits]
    with pytest.raises(TypicalityError, match=r"needs 2 training clips a class on average, and there are 15 clips"):
        refuse_few_clips(data.recipe, few, np.arange(len(data.targets)) % 10)
    refuse_few_clips(Recipe.load("street-cnn"), few, data.targets)
    with pytest.raises(NetworkError, match="compares embeddings, and the output of"):
        TorchClassifier(Recipe.load("street-cnn", [distance]), data.clips.labels, network=Bounded)


class Bounded(torch.nn.Module):
    """A network that does not end in a linear layer."""

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(64, num_classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.tanh(self.layer(x.mean(dim=-1)))


@pytest.mark.slow
def test_the_commands_of_the_page_run(tmp_path: Path) -> None:
    text = (ROOT / "docs" / "confidence.md").read_text(encoding="utf-8")
    commands = [line.strip() for line in text.splitlines() if line.startswith("    hubbub ")]
    assert [command.split()[1] for command in commands] == ["bench", "report", "classify", "bench", "bench"]
    soundfile.write(tmp_path / "street.wav", np.random.default_rng(0).normal(0, 0.1, 40_000), 16_000)
    small = " ".join(f"--set {setting}" for setting in ("data.limit=2", "train.epochs=1", "network.width=4"))
    for command in commands:
        if "esc50" in command:
            continue  # minutes: its recipe is run by the test of all recipes
        extra = f" --folds 1,2 --jobs 1 --quick {small}" if " bench " in command else ""
        done = run_hubbub(*shlex.split(command.partition("#")[0] + extra)[1:], cwd=tmp_path)
        assert done.returncode == 0, (command, done.stderr[-2000:])
