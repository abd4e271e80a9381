"""arrays: networks train on spectrograms and images as on sound, and the classifier says what it takes."""

import pickle
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from hubbub.audio.frontend import FrontEnd
from hubbub.audio.image_files import ImageError
from hubbub.classifier.base import ClassifierError
from hubbub.classifier.load import load_torch
from hubbub.classifier.torch_classifier import TorchClassifier
from hubbub.config import sections as settings
from hubbub.config.recipe import Recipe
from hubbub.data import arrays, cache, check
from hubbub.data.clips import Clips, ClipsError, build
from hubbub.data.features import ARRAYS, open_features, write_features
from hubbub.data.open import open_clips
from hubbub.experiment.resolve import fit_to_data
from hubbub.training.batches import Stored
from tests.helpers.runs import bare_run

TINY = ["data.limit=2", "train.epochs=2", "train.batch_size=16"]
GREY = ["frontend.size=[32,32]", 'frontend.scale="minmax"']
MAGMA = [*GREY, 'frontend.colours="magma"', "network.name=baseline", "network.channels=3"]


def recipe(*settings: str) -> Recipe:
    content = Recipe.load("street-cnn", [*TINY, *settings]).model_dump(exclude_none=True)
    width = {"width": 4} if content["network"]["name"] == "cnn" else {}
    content["network"] = {k: v for k, v in content["network"].items() if k != "width"} | width
    return Recipe.of(content)


@pytest.fixture(scope="module")
def sound() -> Clips:
    return open_clips(recipe())


def settings_of(recipe: Recipe) -> dict[str, Any]:
    return recipe.model_dump(mode="json", include={"audio", "windows", "frontend"})


def drawn(sound: Clips, recipe: Recipe, folder: Path) -> Clips:
    """A picture of each clip, as the recipe's front end draws it, the lowest band at its bottom."""
    frontend, waves = FrontEnd(recipe.frontend, recipe.audio.rate_hz), cache.decode_clips(sound, recipe.audio.rate_hz)
    rows = []
    for number, row in enumerate(sound.table.itertuples()):
        wave = torch.from_numpy(np.array(waves.wave(number)[: recipe.windows.length]))
        picture = (frontend.render(wave[None])[0].flip(-2) * 255).round().byte().numpy()
        path = folder / f"{row.clip}.png"
        Image.fromarray(picture if picture.ndim == 2 else picture.transpose(1, 2, 0)).save(path)
        rows.append({**row._asdict(), "path": str(path)})
    return build("pictures", pd.DataFrame(rows), kind="images", settings=settings_of(recipe))


@pytest.fixture(scope="module")
def grey(sound: Clips, tmp_path_factory: pytest.TempPathFactory) -> Clips:
    return drawn(sound, recipe(*GREY), tmp_path_factory.mktemp("grey"))


@pytest.fixture(scope="module")
def magma(sound: Clips, tmp_path_factory: pytest.TempPathFactory) -> Clips:
    return drawn(sound, recipe(*MAGMA), tmp_path_factory.mktemp("magma"))


def spectrograms(folder: Path, widths: list[int], bands: int = 64) -> Clips:
    """Noise, one file a clip."""
    rng = np.random.default_rng(0)
    rows = []
    for number, width in enumerate(widths):
        np.save(folder / f"{number}.npy", rng.normal(-40, 10, (bands, width)).astype(np.float32))
        rows.append({"clip": str(number), "path": str(folder / f"{number}.npy"), "label": "ab"[number % 2]})
    return build("hub", pd.DataFrame(rows), kind="spectrograms")


@pytest.mark.parametrize("settings", [GREY, MAGMA], ids=["grey", "magma"])
def test_a_picture_gives_what_its_sound_gives(sound: Clips, settings: list[str], tmp_path: Path) -> None:
    ours = recipe(*settings)
    kept = arrays.load_arrays(drawn(sound, ours, tmp_path), ours)
    waves, frontend = cache.decode_clips(sound, ours.audio.rate_hz), FrontEnd(ours.frontend, ours.audio.rate_hz)
    model = TorchClassifier(ours, sound.labels)
    for clip in (0, 7, 99):
        given = frontend(torch.from_numpy(np.array(kept.cut(clip, model))))
        heard = frontend(torch.from_numpy(np.array(waves.cut(clip, model)[:1])))
        assert given.shape == heard.shape
        assert (given - heard).abs().max() <= 0.5 / 255 + 1e-6  # eight bits


def test_a_spectrogram_gives_what_its_sound_gives(sound: Clips, tmp_path: Path) -> None:
    ours = recipe()
    write_features(sound, ours, tmp_path / "f")
    clips = open_features(tmp_path / "f" / ARRAYS)
    kept, waves = arrays.load_arrays(clips, ours), cache.decode_clips(sound, ours.audio.rate_hz)
    model = TorchClassifier(ours, sound.labels)
    for clip in (0, 55):
        features = model.features(torch.from_numpy(np.array(kept.cut(clip, model))))
        assert torch.equal(features, model.features(torch.from_numpy(np.array(waves.cut(clip, model)))))
        np.testing.assert_array_equal(kept.spans(clip, model), waves.spans(clip, model))


@pytest.mark.parametrize("name", ["values", "clips.npz"])
@pytest.mark.parametrize("damage", ["half of it noise", "cut", "gone"])
def test_arrays_that_are_damaged_in_the_cache_are_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, name: str, damage: str
) -> None:
    monkeypatch.setenv("HUBBUB_CACHE", str(tmp_path / "cache"))
    clips, ours = spectrograms(tmp_path, [101] * 6), recipe()
    before = arrays.load_arrays(clips, ours)
    values = np.array(before.values)
    file = tmp_path / "cache" / "arrays" / before.key / name
    content = file.read_bytes()
    file.unlink()  # what is mapped stays
    if damage != "gone":
        noise = np.random.default_rng(0).bytes(len(content) // 2) if damage == "half of it noise" else b""
        file.write_bytes(content[: len(content) - len(content) // 2] + noise)
    again = arrays.load_arrays(clips, ours)
    np.testing.assert_array_equal(again.values, values)
    assert (again.contents, again.offsets.tolist()) == (before.contents, before.offsets.tolist())
    assert [record.getMessage().split(":")[0] for record in caplog.records] == ["warning"]


def test_images_are_the_same_data_at_any_size(grey: Clips) -> None:
    """Networks that take other sizes can be compared; an image with another pixel is another one."""
    small, large = (arrays.load_arrays(grey, recipe(*GREY, f"frontend.size=[{n},{n}]")) for n in (16, 31))
    assert small.values.shape != large.values.shape and small.contents == large.contents
    first = Path(grey.table["path"][0])
    pixels = np.array(Image.open(first))
    pixels[0, 0] ^= 255
    Image.fromarray(pixels).save(first)
    changed = arrays.load_arrays(grey, recipe(*GREY, "frontend.size=[16,16]")).contents
    assert changed[0] != small.contents[0] and changed[1:] == small.contents[1:]


def test_arrays_are_read_once_and_travel_by_name(grey: Clips, monkeypatch: pytest.MonkeyPatch) -> None:
    ours = recipe(*GREY)
    kept = arrays.load_arrays(grey, ours)
    monkeypatch.setattr(arrays.image_files, "read_image", lambda *_: pytest.fail("read again"))
    again = arrays.load_arrays(grey, ours)
    np.testing.assert_array_equal(again.values, kept.values)
    assert again.contents == kept.contents and len(set(kept.contents)) == len(grey)
    sent = pickle.dumps(kept)
    assert len(sent) < kept.values.nbytes / 10
    np.testing.assert_array_equal(pickle.loads(sent).values, kept.values)


def test_a_source_gives_each_clip_with_its_target(magma: Clips) -> None:
    kept = arrays.load_arrays(magma, recipe(*MAGMA))
    source = Stored(kept, np.array([3, 5]), magma.targets())
    source.to(torch.device("cpu"))
    assert source.targets.tolist() == magma.targets()[[3, 5]].tolist()
    np.testing.assert_array_equal(source.fetch(torch.tensor([1, 0])).numpy(), kept.values[[5, 3]])


def test_a_network_trains_on_pictures_and_then_hears_sound(
    magma: Clips, sound: Clips, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hubbub.data.open.open_section", lambda *_, **__: magma)
    ours = recipe(*MAGMA, 'protocol.folds=["1"]', "augment.gain={}", "augment.mixup={}", "train.epochs=4")
    said: list[str] = []
    bare_run(ours, tmp_path / "run", log=said.append)
    assert any("left out" in line and "gain" in line for line in said)
    resolved = Recipe.load(tmp_path / "run" / "recipe.toml")
    assert resolved.augment.gain is None and resolved.augment.mixup is not None
    model = load_torch(tmp_path / "run")
    for clip in (0, 42):
        heard, seen = model.classify(sound.table["path"][clip]), model.classify(magma.table["path"][clip])
        assert heard.label == seen.label
        assert heard.score == pytest.approx(seen.score, abs=0.02)
        assert seen.seconds == pytest.approx(2.0)
    predicted = pd.read_parquet(tmp_path / "run" / "test-1" / "seed-42" / "predictions.parquet")
    assert set(predicted["clip"]) == set(magma.table["clip"][magma.table["fold"] == "1"])


def test_where_it_is_not_known_how_pictures_were_made_only_such_are_taken(
    magma: Clips, sound: Clips, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hubbub.data.open.open_section", lambda *_, **__: replace(magma, settings=None))
    bare_run(recipe(*MAGMA, 'protocol.folds=["1"]'), tmp_path / "run")
    model = load_torch(tmp_path / "run")
    assert model.recipe.frontend.name == "precomputed"
    assert model.classify(magma.table["path"][0]).label in magma.labels
    with pytest.raises(ClassifierError, match="takes only such, not sound"):
        model.classify(sound.table["path"][0])


def test_other_settings_than_the_pictures_were_made_with_are_refused(magma: Clips) -> None:
    with pytest.raises(ClipsError, match=r"frontend.n_fft = 512, and the recipe has 1024"):
        fit_to_data(recipe(*MAGMA, "frontend.n_fft=1024"), magma)
    with pytest.raises(ClipsError, match=r"audio.rate_hz = 16000"):
        fit_to_data(recipe(*MAGMA, "audio.rate_hz=22050"), magma)
    # What comes after a picture was made may differ.
    fit_to_data(recipe(*MAGMA, "frontend.size=[16,16]", 'frontend.standardise="imagenet"'), magma)
    given, _ = fit_to_data(recipe(*MAGMA, "frontend.n_fft=1024", 'frontend.name="precomputed"'), magma)
    assert given.frontend.name == "precomputed"


def test_a_network_that_hears_is_refused_pictures_and_given_is_refused_sound(magma: Clips, sound: Clips) -> None:
    with pytest.raises(ClipsError, match="yamnet takes sound"):
        fit_to_data(Recipe.load("street-yamnet"), magma)
    with pytest.raises(ClipsError, match="'precomputed' does not take"):
        fit_to_data(recipe(*GREY, 'frontend.name="precomputed"'), sound)
    assert fit_to_data(recipe(), sound) == (recipe(), ())


def test_scoring_other_segments_is_for_sound(magma: Clips) -> None:
    with pytest.raises(ClipsError, match=r"evaluate\.hop cuts sound into other segments"):
        fit_to_data(recipe(*MAGMA, "evaluate.hop=16000"), magma)


def test_spectrograms_are_checked_by_content(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clips = spectrograms(tmp_path, [25, 25, 25])
    np.save(tmp_path / "2.npy", np.load(tmp_path / "0.npy"))
    (tmp_path / "1.npy").write_bytes(b"text")
    monkeypatch.setattr(check, "open_clips", lambda *_, **__: clips)
    broken, twice = (one.text for one in check.check_data("hub").of("wrong"))
    assert re.match(r"1 file cannot be used: .*1\.npy cannot be read as a spectrogram", broken)
    assert twice == "1 spectrogram occurs more than once: 0 = 2"


def test_given_needs_a_size_or_frames() -> None:
    with pytest.raises(ValueError, match="needs size"):
        settings.FrontEnd(name="precomputed")


def test_colours_for_a_grey_recipe_and_a_mixture_are_refused(magma: Clips, grey: Clips) -> None:
    with pytest.raises(ClipsError, match="coloured images, and the recipe's are grey"):
        arrays.load_arrays(magma, recipe(*GREY))
    table = magma.table.assign(path=[*grey.table["path"][:2], *magma.table["path"][2:]])
    with pytest.raises(ClipsError, match="grey and coloured images"):
        arrays.load_arrays(replace(magma, table=table), recipe(*MAGMA))


def test_a_broken_picture_is_named_and_nothing_is_kept(
    magma: Clips, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HUBBUB_CACHE", str(tmp_path / "cache"))
    whole = Path(magma.table["path"][0]).read_bytes()
    (tmp_path / "cut.png").write_bytes(whole[: len(whole) // 2])
    paths = [str(tmp_path / "cut.png"), *magma.table["path"][1:]]
    with pytest.raises(ImageError, match=r"cut\.png"):
        arrays.load_arrays(replace(magma, table=magma.table.assign(path=paths)), recipe(*MAGMA))
    assert not [p for p in (tmp_path / "cache").rglob("*") if p.is_file()]


def test_spectrograms_of_any_length_are_padded_and_cut_to_frames(tmp_path: Path) -> None:
    clips = spectrograms(tmp_path, [10, 25, 40, 25])
    settings = ["frontend.frames=25", 'frontend.ref="max"', 'frontend.name="precomputed"', 'frontend.scale="top_db"']
    kept = arrays.load_arrays(clips, recipe(*settings))
    assert kept.values.shape == (4, 64, 25) and kept.values.dtype == np.float32
    short, long = np.load(tmp_path / "0.npy"), np.load(tmp_path / "2.npy")
    np.testing.assert_array_equal(kept.values[0][:, :10], short)
    assert (kept.values[0][:, 10:] == -80).all()
    np.testing.assert_array_equal(kept.values[2], long[:, :25])
    assert np.isnan(kept.times).all()


def test_spectrograms_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ClipsError, match=r"has 10 frames, not 101\. Set frontend\.frames"):
        arrays.load_arrays(spectrograms(tmp_path, [10, 25]), recipe())
    frames = ["frontend.frames=25"]
    with pytest.raises(ClipsError, match=r"shape \[128, 25\], and frontend.n_mels is 64"):
        arrays.load_arrays(spectrograms(tmp_path, [25, 25], bands=128), recipe(*frames))
    clips = spectrograms(tmp_path, [25, 25])
    np.save(tmp_path / "1.npy", np.full((64, 25), np.nan, np.float32))
    with pytest.raises(ImageError, match="not finite"):
        arrays.load_arrays(clips, recipe(*frames))
    np.save(tmp_path / "1.npy", np.array([{"a": 1}]), allow_pickle=True)
    with pytest.raises(ImageError, match=r"1\.npy cannot be read as a spectrogram"):
        arrays.load_arrays(clips, recipe(*frames))


def test_a_spectrogram_file_is_classified(tmp_path: Path) -> None:
    clips = spectrograms(tmp_path, [25, 40])
    model = TorchClassifier(recipe("frontend.frames=25", 'frontend.name="precomputed"'), clips.labels, seed=0)
    assert model.classify(tmp_path / "1.npy").label in clips.labels
    np.save(tmp_path / "odd.npy", np.zeros((3, 25), np.float32))
    with pytest.raises(ClassifierError, match=r"odd\.npy has the shape \[3, 25\]"):
        model.classify(tmp_path / "odd.npy")
    with pytest.raises(ClassifierError, match="takes sound"):
        TorchClassifier(Recipe.load("street-yamnet"), clips.labels).classify(tmp_path / "1.npy")
