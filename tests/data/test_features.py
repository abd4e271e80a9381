"""features: training from a feature file gives the same figures as from sound, and reading it executes nothing."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from hubbub.audio import decode
from hubbub.audio.frontend import FrontEnd
from hubbub.classifier.load import load
from hubbub.config import sections
from hubbub.config.recipe import Recipe
from hubbub.data.clips import ClipsError
from hubbub.data.features import ARRAYS, LABELS, METADATA, open_features, read_hashes, read_shape, write_features
from hubbub.data.open import open_clips
from hubbub.experiment.prepare import prepare
from tests.helpers.runs import bare_run, tiny_recipe

MASKED = ["augment.time_mask={frames=40}", "augment.freq_mask={bands=20}", 'protocol.folds=["1"]']


def recipe(*settings: str) -> Recipe:
    return tiny_recipe(*MASKED, *settings)


@pytest.fixture(scope="module")
def features(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("npz") / "features"
    write_features(open_clips(recipe()), recipe(), folder)
    return folder / ARRAYS


@pytest.fixture(scope="module")
def from_features(features: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "features"
    bare_run(recipe(f"data.name={features}", "data.limit=100"), folder)
    return folder


def test_training_from_features_gives_the_figures_of_sound(from_features: Path, tmp_path: Path) -> None:
    bare_run(recipe(), tmp_path / "sound")
    ours, theirs = (json.loads((f / "summary.json").read_text()) for f in (from_features, tmp_path / "sound"))
    for level in ("clip", "segment"):
        assert ours[level] == theirs[level]
    assert ours["folds"] == theirs["folds"]


def test_the_classifier_of_features_hears_sound(from_features: Path) -> None:
    clips = open_clips(recipe()).table
    heard = load(from_features).classify(clips["path"][0])
    assert heard.seconds == pytest.approx(4.0) and len(heard.segments) == 2


def test_what_is_written_can_be_read_with_numpy_and_json_alone(features: Path) -> None:
    clips = open_clips(recipe())
    mapping = json.loads((features.parent / LABELS).read_text())
    assert mapping == {label: number for number, label in enumerate(clips.labels)}
    metadata = json.loads((features.parent / METADATA).read_text())
    assert metadata["made"]["frontend"]["n_mels"] == 64 and metadata["licence"] == "CC0"
    with np.load(features, allow_pickle=False) as kept:
        assert kept["features"].shape == (200, 64, 101) and kept["features"].dtype == np.float32
        assert kept["clip"].tolist() == clips.table["clip"].tolist()
        assert kept["offsets"].tolist() == list(range(0, 201, 2))
        assert kept["times"][:2].tolist() == [[0, 2], [2, 4]]


@pytest.mark.parametrize(
    "settings, values, low, high",
    [
        (["ref=max", "top_db=60", "scale=top_db"],
         "dB relative to the loudest cell of the segment, cut off 60 dB below the segment's loudest cell", -60, 0),
        (["ref=max", "top_db=50", "scale=minmax", "size=[32,32]"],
         "dB relative to the loudest cell of the segment, cut off 50 dB below the segment's loudest cell", -50, 0),
        (["ref=one", "top_db=0", "amin=1e-3"], "dB relative to 1", -30, None),
        (["log=offset", "offset=0.01"], "ln(mel + 0.01)", np.log(0.01), None),
    ],
)  # fmt: skip
def test_the_metadata_agree_with_the_values(
    settings: list[str], values: str, low: float, high: float | None, tmp_path: Path
) -> None:
    """Each key about the numbers is checked against them: nothing is said of scaling that has not happened."""
    ours = Recipe.load("street-cnn", ["data.limit=1", *(f"frontend.{one}" for one in settings)])
    clips = open_clips(ours)
    write_features(clips, ours, tmp_path / "f")
    metadata = json.loads((tmp_path / "f" / METADATA).read_text())
    with np.load(tmp_path / "f" / ARRAYS) as kept:
        features, offsets = kept["features"], kept["offsets"]
        assert metadata["features"] == {
            "shape": list(features.shape), "axes": ["segment", "mel band, the lowest first", "frame"],
            "dtype": str(features.dtype), "values": values, "smallest": features.min(), "largest": features.max(),
        }  # fmt: skip
        assert kept["times"].shape == (len(features), 2) and len(kept["clip"]) == len(clips) == len(offsets) - 1
    assert features.min() == pytest.approx(low, abs=1e-3)
    if high is not None:
        np.testing.assert_allclose(features.max(axis=(1, 2)), high, atol=1e-5)
    made, later = metadata["made"], metadata["later"]
    assert features.shape[1] == made["frontend"]["n_mels"] and not set(made["frontend"]) & set(later)
    assert later == {key: ours.model_dump(mode="json")["frontend"][key] for key in later} and "scale" in later
    waves = decode.load(clips.table["path"][0], made["audio"]["rate_hz"])
    first = waves[: made["windows"]["length"]]
    computed = FrontEnd(sections.FrontEnd(**made["frontend"]), made["audio"]["rate_hz"])  # without what is later
    np.testing.assert_allclose(computed.render(torch.from_numpy(first.copy())[None])[0].numpy(), features[0], atol=1e-4)


@pytest.mark.parametrize("frames", [80, 140])
def test_features_are_padded_and_cut_as_sound_is(frames: int, tmp_path: Path) -> None:
    ours = recipe(f"frontend.frames={frames}", "train.epochs=1")
    write_features(open_clips(ours), ours, tmp_path / "f")
    sealed = [f"data.name={tmp_path / 'f' / ARRAYS}", "data.limit=100"]
    theirs = recipe(f"frontend.frames={frames}", "train.epochs=1", *sealed)
    of_sound, of_file = (prepare(one) for one in (ours, theirs))
    for clip in (0, 57):
        heard, given = (
            m.base.features(torch.from_numpy(np.array(m.sound.cut(clip, m.base)))) for m in (of_sound, of_file)
        )
        assert heard.shape[2] == frames and torch.equal(heard, given)


def changed(values: np.ndarray, place: tuple[int, ...] | int, value: object) -> np.ndarray:
    values = values.copy()
    values[place] = value
    return values


SPOILT = {
    "nan": ("features", lambda old: changed(old, (3, 0, 0), np.nan), "not finite numbers"),
    "a row less": ("features", lambda old: old[:-1], "offsets do not rise from 0 to 199"),
    "flat": ("features", lambda old: old[0], "'features' is float32"),
    "of text": ("features", lambda old: old.astype(str), "'features' is <U"),
    "offsets that go back": ("offsets", lambda old: changed(old, 1, -3), "offsets do not rise"),
    "offsets that go back later": ("offsets", lambda old: changed(old, 7, 2), "offsets do not rise"),
    "offsets that begin late": ("offsets", lambda old: changed(old, 0, 1), "offsets do not rise"),
    "offsets that end early": ("offsets", lambda old: changed(old, -1, 199), "offsets do not rise"),
    "offsets of fewer clips": ("offsets", lambda old: old[[*range(50), -1]], "offsets are not 101 whole numbers"),
    "offsets with fractions": ("offsets", lambda old: old + 0.5, "'offsets' is float64"),
    "a clip without features": ("offsets", lambda old: changed(old, 1, 0), "has no features"),
    "a clip twice": ("clip", lambda old: changed(old, 1, old[0]), "twice"),
    "a time less": ("times", lambda old: old[1:], "do not fit"),
    "a hash less": ("content", lambda old: old[1:], "do not fit"),
    "a label less": ("label", lambda old: old[1:], "differ in length"),
    "a fold less": ("fold", lambda old: old[1:], "differ in length"),
    "numbers for labels": ("label", lambda old: np.arange(len(old)), "'label' is int64"),
}


@pytest.mark.parametrize("spoilt", [*SPOILT, "compressed"])
def test_spoilt_features_are_refused(features: Path, tmp_path: Path, spoilt: str) -> None:
    shutil.copytree(features.parent, tmp_path / "f")
    file = tmp_path / "f" / ARRAYS
    with np.load(features) as kept:
        content = dict(kept)
    said = "is compressed"
    if spoilt in SPOILT:
        name, spoil, said = SPOILT[spoilt]
        content[name] = spoil(content[name])
    (np.savez_compressed if spoilt == "compressed" else np.savez)(file, **content)
    with pytest.raises(ClipsError, match=said):
        prepare(recipe(f"data.name={file}", "data.limit=100"))


@pytest.mark.parametrize(
    "name, value", [("notes", [1, None]), ("notes", "abc"), ("licence", {}), ("listed", "many"), ("made", {"audio": 3})]
)
def test_facts_that_are_none_are_refused(features: Path, tmp_path: Path, name: str, value: object) -> None:
    shutil.copytree(features.parent, tmp_path / "f")
    facts = json.loads((tmp_path / "f" / METADATA).read_text())
    (tmp_path / "f" / METADATA).write_text(json.dumps(facts | {name: value}))
    with pytest.raises(ClipsError, match=rf"{name}.*Input should be .*Make it again"):
        open_features(tmp_path / "f" / ARRAYS)


def test_a_later_format_is_refused_and_none_is_the_first(features: Path, tmp_path: Path) -> None:
    shutil.copytree(features.parent, tmp_path / "f")
    file = tmp_path / "f" / METADATA
    facts = json.loads(file.read_text())
    assert facts.pop("format") == 1
    file.write_text(json.dumps(facts))
    assert len(open_features(tmp_path / "f" / ARRAYS)) == len(open_features(features))
    file.write_text(json.dumps({"format": 2, "called": facts["name"]}))
    with pytest.raises(
        ClipsError, match=r"metadata\.json is of format 2, and this version reads format 1\. Update hubbub"
    ):
        open_features(tmp_path / "f" / ARRAYS)


def test_a_header_that_lies_asks_for_no_memory(features: Path, tmp_path: Path) -> None:
    """Numpy would set aside 2 TB for these 200 spectrograms."""
    shutil.copytree(features.parent, tmp_path / "f")
    old, new = b"'shape': (200, 64, 101), }           ", b"'shape': (200, 64, 40000000000), }   "
    content = features.read_bytes()
    assert content.count(old) == 1
    (tmp_path / "f" / ARRAYS).write_bytes(content.replace(old, new))
    for read in (read_shape, read_hashes):
        with pytest.raises(ClipsError, match="'features' has another size than its header says"):
            read(tmp_path / "f" / ARRAYS)


def test_clips_keep_all_that_honesty_needs(features: Path) -> None:
    sound, clips = open_clips(recipe()), open_features(features)
    columns = ["clip", "label", "fold", "group", "split_hint"]
    assert clips.table[columns].equals(sound.table[columns])
    assert (clips.labels, clips.notes, clips.licence, clips.listed) == (
        sound.labels, sound.notes, sound.licence, sound.listed,
    )  # fmt: skip


@pytest.mark.parametrize("broken", ["cut", "text", "no mapping", "pickle"])
def test_what_is_not_whole_is_refused(features: Path, tmp_path: Path, broken: str) -> None:
    shutil.copytree(features.parent, tmp_path / "f")
    file = tmp_path / "f" / ARRAYS
    if broken == "cut":
        file.write_bytes(file.read_bytes()[:-1000])
    elif broken == "text":
        file.write_text("text")
    elif broken == "no mapping":
        (tmp_path / "f" / LABELS).unlink()
    else:
        np.savez(file, clip=np.array([{"a": 1}], dtype=object))
    with pytest.raises(ClipsError, match=r"features\.npz"):
        open_features(file)


def test_recipes_that_features_cannot_serve_are_refused(tmp_path: Path, features: Path) -> None:
    clips = open_clips(recipe())
    with pytest.raises(ClipsError, match=r"frontend\.name is 'none'"):
        write_features(clips, Recipe.load("street-yamnet"), tmp_path / "a")
    with pytest.raises(ClipsError, match=r"evaluate\.hop"):
        write_features(clips, recipe("evaluate.hop=100"), tmp_path / "a")
    with pytest.raises(ClipsError, match="holds spectrograms"):
        write_features(open_features(features), recipe(), tmp_path / "a")
    assert not (tmp_path / "a").exists()
