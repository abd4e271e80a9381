"""gallery: the surest mistakes of a run, each explained by the model of its own fold, as files that a browser shows."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile
from PIL import Image

from hubbub.classifier.load import load_torch
from hubbub.config.recipe import Recipe
from hubbub.data import write_images
from hubbub.data.open import open_clips
from hubbub.experiment import gallery
from hubbub.experiment.run import run_recipe
from hubbub.report import run_folder
from tests.helpers.runs import tiny_recipe


def samples(run: Path) -> list[dict]:
    return run_folder.read_samples(run)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "run"
    run_recipe(tiny_recipe("data.limit=3", 'protocol.folds=["1","2"]'), folder, refit=False)
    return folder


def test_the_surest_mistakes_are_shown_each_confusion_once(run: Path) -> None:
    predicted = pd.concat(pd.read_parquet(p) for p in run.glob("test-*/seed-*/predictions.parquet"))
    clips = predicted[predicted["level"] == "clip"].set_index("clip")
    scores = clips[list(clips.columns[list(clips.columns).index("end") + 1 :])]
    wrong = clips["label"] != scores.idxmax(axis=1)
    shown = [sample for sample in samples(run) if sample["kind"] == "mistake"]
    assert len(shown) == gallery.MOST["mistake"]
    assert shown[0]["score"] == pytest.approx(scores[wrong].max(axis=1).max())
    assert len({(sample["label"], sample["decided"]) for sample in shown}) == len(shown)
    for sample in samples(run):
        row = scores.loc[sample["clip"]]
        assert (sample["decided"], sample["score"]) == (row.idxmax(), pytest.approx(row.max()))
        assert sample["score_of_truth"] == pytest.approx(row[sample["label"]])
        assert (sample["kind"] == "mistake") == wrong[sample["clip"]]


def test_each_is_heard_as_the_model_of_its_fold_heard_it(run: Path) -> None:
    paths = open_clips(Recipe.load(run / "recipe.toml")).table.set_index("clip")
    for sample in samples(run):
        assert paths["fold"][sample["clip"]] == sample["fold"]
        model = load_torch(run / f"test-{sample['fold']}" / f"seed-{sample['seed']}")
        heard = model.classify(paths["path"][sample["clip"]])
        assert heard.label == sample["decided"] and heard.score == pytest.approx(sample["score"], abs=1e-5)
        wave, rate = soundfile.read(run / run_folder.GALLERY / sample["sound"])
        assert rate == model.rate_hz
        assert len(wave) / rate == pytest.approx(sample["seconds"], abs=0.1)


def test_its_pictures_differ(run: Path) -> None:
    for sample in samples(run):
        places = (run / run_folder.GALLERY / sample[key] for key in ("spectrogram", "gradcam"))
        one, other = (np.asarray(Image.open(place).convert("RGB")) for place in places)
        assert one.shape == other.shape and (one != other).any()


def test_a_run_that_goes_on_keeps_what_it_has_shown(run: Path) -> None:
    before = (run / run_folder.GALLERY / "samples.json").stat().st_mtime_ns
    run_recipe(tiny_recipe("data.limit=3", 'protocol.folds=["1","2"]'), run, refit=False)
    assert (run / run_folder.GALLERY / "samples.json").stat().st_mtime_ns == before


def test_a_rate_that_mp3_has_not_is_converted(tmp_path: Path) -> None:
    rate = 20_000
    tone = np.sin(2 * np.pi * 1000 * np.arange(2 * rate) / rate).astype(np.float32) * 1.5
    gallery.write_mp3(tmp_path / "tone.mp3", tone, rate)
    wave, written = soundfile.read(tmp_path / "tone.mp3")
    assert written == 44_100 and np.abs(wave).max() < 1.1
    spectrum = np.abs(np.fft.rfft(wave))
    assert np.argmax(spectrum) * written / len(wave) == pytest.approx(1000, abs=5)


def test_pictures_as_data_are_shown_as_the_network_sees_them(tmp_path: Path) -> None:
    grey = ["data.limit=1", "frontend.size=[32,48]", 'frontend.scale="minmax"', "train.epochs=1", "network.width=4"]
    pictures = write_images.write(
        Recipe.load("street-cnn", [*grey, "windows.length=64000", "windows.hop=64000"]), tmp_path
    )
    settings = [*grey, f"data.name={pictures}", 'protocol.folds=["1"]', "windows.length=64000", "windows.hop=64000"]
    run_recipe(Recipe.load("street-cnn", settings, quick=True), tmp_path / "run", quick=True)
    shown = samples(tmp_path / "run")
    assert shown and all(sample["sound"] is None for sample in shown)
    assert all((tmp_path / "run" / run_folder.GALLERY / sample["gradcam"]).is_file() for sample in shown)
