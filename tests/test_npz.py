"""npz: features in one file train to the very figures that sound gives, and are read without running anything."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from hubbub import experiment, material
from hubbub.classifier import load
from hubbub.data import npz, splits
from hubbub.data.clips import ClipsError
from hubbub.recipe import Recipe

TINY = ["data.limit=2", "train.epochs=2", "network.width=4", "train.batch_size=16", "evaluate.resamples=50"]
MASKED = ["augment.time_mask={frames=40}", "augment.freq_mask={bands=20}", 'protocol.folds=["1"]']


def recipe(*settings: str) -> Recipe:
    return Recipe.load("street-cnn", [*TINY, *MASKED, *settings])


@pytest.fixture(scope="module")
def features(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("npz") / "features"
    npz.write(splits.open_clips(recipe()), recipe(), folder)
    return folder / npz.ARRAYS


@pytest.fixture(scope="module")
def from_features(features: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "features"
    experiment.run(recipe(f"data.name={features}", "data.limit=100"), folder)
    return folder


def test_training_from_features_gives_the_figures_of_sound(from_features: Path, tmp_path: Path) -> None:
    experiment.run(recipe(), tmp_path / "sound")
    ours, theirs = (json.loads((f / "summary.json").read_text()) for f in (from_features, tmp_path / "sound"))
    for level in ("clip", "segment"):
        assert ours[level] == theirs[level]
    assert ours["folds"] == theirs["folds"]


def test_the_classifier_of_features_hears_sound(from_features: Path) -> None:
    clips = splits.open_clips(recipe()).table
    heard = load(from_features).classify(clips["path"][0])
    assert heard.seconds == pytest.approx(4.0) and len(heard.segments) == 2


def test_what_is_written_can_be_read_with_numpy_and_json_alone(features: Path) -> None:
    clips = splits.open_clips(recipe())
    mapping = json.loads((features.parent / npz.LABELS).read_text())
    assert mapping == {label: number for number, label in enumerate(clips.labels)}
    metadata = json.loads((features.parent / npz.METADATA).read_text())
    assert metadata["made"]["frontend"]["n_mels"] == 64 and metadata["licence"] == "CC0"
    with np.load(features, allow_pickle=False) as kept:
        assert kept["features"].shape == (200, 64, 101) and kept["features"].dtype == np.float32
        assert kept["clip"].tolist() == clips.table["clip"].tolist()
        assert kept["offsets"].tolist() == list(range(0, 201, 2))
        assert kept["times"][:2].tolist() == [[0, 2], [2, 4]]


@pytest.mark.parametrize("frames", [80, 140])
def test_features_are_padded_and_cut_as_sound_is(frames: int, tmp_path: Path) -> None:
    ours = recipe(f"frontend.frames={frames}", "train.epochs=1")
    npz.write(splits.open_clips(ours), ours, tmp_path / "f")
    sealed = [f"data.name={tmp_path / 'f' / npz.ARRAYS}", "data.limit=100"]
    theirs = recipe(f"frontend.frames={frames}", "train.epochs=1", *sealed)
    of_sound, of_file = (material.prepare(one) for one in (ours, theirs))
    for clip in (0, 57):
        heard, given = (
            m.base.features(torch.from_numpy(np.array(m.sound.cut(clip, m.base)))) for m in (of_sound, of_file)
        )
        assert heard.shape[2] == frames and torch.equal(heard, given)


@pytest.mark.parametrize("spoilt", ["nan", "rows", "compressed"])
def test_spoilt_features_are_refused(features: Path, tmp_path: Path, spoilt: str) -> None:
    shutil.copytree(features.parent, tmp_path / "f")
    file = tmp_path / "f" / npz.ARRAYS
    with np.load(features) as kept:
        content = dict(kept)
    if spoilt == "nan":
        content["features"][3, 0, 0] = np.nan
    elif spoilt == "rows":
        content["features"] = content["features"][:-1]
    (np.savez_compressed if spoilt == "compressed" else np.savez)(file, **content)
    with pytest.raises(ClipsError, match="is compressed" if spoilt == "compressed" else "not finite numbers"):
        material.prepare(recipe(f"data.name={file}", "data.limit=100"))


def test_clips_keep_all_that_honesty_needs(features: Path) -> None:
    sound, clips = splits.open_clips(recipe()), npz.open_features(features)
    columns = ["clip", "label", "fold", "group", "split_hint"]
    assert clips.table[columns].equals(sound.table[columns])
    assert (clips.labels, clips.notes, clips.licence, clips.listed) == (
        sound.labels, sound.notes, sound.licence, sound.listed,
    )  # fmt: skip


@pytest.mark.parametrize("broken", ["cut", "text", "no mapping", "pickle"])
def test_what_is_not_whole_is_refused(features: Path, tmp_path: Path, broken: str) -> None:
    shutil.copytree(features.parent, tmp_path / "f")
    file = tmp_path / "f" / npz.ARRAYS
    if broken == "cut":
        file.write_bytes(file.read_bytes()[:-1000])
    elif broken == "text":
        file.write_text("text")
    elif broken == "no mapping":
        (tmp_path / "f" / npz.LABELS).unlink()
    else:
        np.savez(file, clip=np.array([{"a": 1}], dtype=object))
    with pytest.raises(ClipsError, match=r"features\.npz"):
        npz.open_features(file)


def test_recipes_that_features_cannot_serve_are_refused(tmp_path: Path, features: Path) -> None:
    clips = splits.open_clips(recipe())
    with pytest.raises(ClipsError, match=r"frontend\.name is 'none'"):
        npz.write(clips, Recipe.load("street-yamnet"), tmp_path / "a")
    with pytest.raises(ClipsError, match=r"evaluate\.hop"):
        npz.write(clips, recipe("evaluate.hop=100"), tmp_path / "a")
    with pytest.raises(ClipsError, match="holds spectrograms"):
        npz.write(npz.open_features(features), recipe(), tmp_path / "a")
    assert not (tmp_path / "a").exists()
