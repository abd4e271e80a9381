"""write_augmented: WAVs at their recording's own rate, nothing clipped, and a list in which copies only train."""

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile

from hubbub.audio import decode
from hubbub.config.data import Protocol
from hubbub.config.recipe import Recipe
from hubbub.data import splits, write_augmented, write_images
from hubbub.data.clips import ClipsError
from hubbub.data.manifest import MANIFEST, ManifestError
from hubbub.data.open import open_data

RATES = {"a": 8_000, "b": 44_100, "c": 48_000}


@pytest.fixture
def sounds(tmp_path: Path) -> Path:
    """Six noises of two classes in three folds, one sample rate a fold; the last one nearly full scale."""
    rng = np.random.default_rng(0)
    rows = []
    for k in range(6):
        name, rate = f"{'abc'[k // 2]}{k % 2}.wav", RATES["abc"[k // 2]]
        wave = rng.normal(0, 0.1, rate // 4)
        if k == 5:
            wave *= 0.99 / np.abs(wave).max()
        soundfile.write(tmp_path / name, wave, rate)
        rows.append({"path": name, "label": "xy"[k % 2], "fold": k // 2 + 1, "group": f"g{k}"})
    pd.DataFrame(rows).to_csv(tmp_path / "list.csv", index=False)
    return tmp_path


def test_files_keep_their_rate_and_stretched_ones_are_as_long_as_they_become(sounds: Path, tmp_path: Path) -> None:
    csv = write_augmented.write(str(sounds / "list.csv"), tmp_path / "out", "d")
    table = pd.read_csv(csv)
    assert list(table) == ["path", "label", "fold", "group", "clip", "split_hint", "variant"]
    assert len(table) == 24 == table["path"].nunique()
    for row in table.itertuples():
        source, rate = decode.decode(sounds / f"{row.clip.split('_')[0]}.wav")
        wave, own = decode.decode(csv.parent / row.path)
        assert own == rate == RATES[row.clip[0]]
        assert len(wave) == round(len(source) / (0.9 if row.variant == "stretch0.9" else 1))
        if row.variant == "orig":
            assert np.array_equal(wave, source)


def test_what_passes_full_scale_is_not_clipped(sounds: Path, tmp_path: Path) -> None:
    csv = write_augmented.write(str(sounds / "list.csv"), tmp_path / "out", "orig,noise5dB")
    wave, rate = soundfile.read(csv.parent / "audio" / "fold3" / "c1_noise5dB.wav", dtype="float32")
    original, _ = soundfile.read(csv.parent / "audio" / "fold3" / "c1_orig.wav", dtype="float32")
    assert rate == 48_000 and np.abs(wave).max() > 1
    noise = wave - original
    assert 10 * np.log10(np.square(original).mean() / np.square(noise).mean()) == pytest.approx(5, abs=0.1)
    assert abs(np.corrcoef(noise, original)[0, 1]) < 0.05, "nothing is held back where it is loud"


def test_the_list_is_read_back_and_copies_only_train(sounds: Path, tmp_path: Path) -> None:
    csv = write_augmented.write(str(sounds / "list.csv"), tmp_path / "out", "emodb")
    clips = open_data(str(csv))
    assert (
        clips.kind == "sound" and clips.name == "list, sounds" and len(clips) == 42 and clips.folds == ("1", "2", "3")
    )
    assert set(clips.table["group"]) == {f"g{k}" for k in range(6)}
    for split in splits.make_splits(clips, Protocol()):
        assert (len(split.train), len(split.validation), len(split.test)) == (14, 2, 2)
        ids = clips.table["clip"].to_numpy()
        assert all(clip.endswith("_orig") for clip in ids[np.append(split.validation, split.test)])


def test_copies_of_copies_and_their_pictures_only_train(sounds: Path, tmp_path: Path) -> None:
    csv = write_augmented.write(str(sounds / "list.csv"), tmp_path / "out", "orig,noisy")
    again = write_augmented.write(str(csv), tmp_path / "again", "orig,reverb")
    settings = [f'data.name="{again}"', "audio.rate_hz=8000", "frontend.f_max_hz=4000.0", "frontend.size=[20,20]"]
    pictures = write_images.write(Recipe.load("us8k-resnet18", settings), tmp_path / "pictures")
    for made in (again, pictures):
        table = open_data(str(made)).table
        assert len(table) == 24 and (table["split_hint"] == "").sum() == 6
        assert table["clip"][table["split_hint"] == ""].str.contains("orig_orig").all()


def test_what_is_known_of_the_data_set_goes_on(tmp_path: Path, sounds: Path) -> None:
    lines, names = (sounds / "list.csv").read_text().replace(",group", ",place"), {}
    for old, new in zip(("a0", "a1", "b0", "b1", "c0", "c1"), ("ash", "bay", "elm", "fir", "oak", "yew"), strict=True):
        names[new] = (sounds / f"{old}.wav").rename(sounds / f"{new}.wav").name
        lines = lines.replace(f"{old}.wav", names[new])
    (sounds / "list.csv").write_text(lines)  # no groups, and names that tell none
    csv = write_augmented.write(str(sounds / "list.csv"), tmp_path / "out", "orig,noisy")
    clips = open_data(str(csv))
    assert any(note.startswith("NO GROUPS") for note in clips.notes)
    assert set(clips.table["group"]) == set(names.values()), "no path of this machine"


def test_masks_have_no_sound(sounds: Path, tmp_path: Path) -> None:
    with pytest.raises(
        ClipsError, match=r"specAugment1, specAugment2, specAugment3, patchAugment1, patchAugment2: mask"
    ):
        write_augmented.write(str(sounds / "list.csv"), tmp_path / "out", "b")
    assert not (tmp_path / "out").exists()


def test_unreadable_sounds_are_told_all_at_once_and_the_next_run_goes_on(sounds: Path, tmp_path: Path) -> None:
    shutil.copy(sounds / "a0.wav", tmp_path / "kept")
    for name in ("a0.wav", "b1.wav"):
        (sounds / name).write_text("no sound")
    with pytest.raises(ClipsError, match=r"2 of 6 sounds cannot be used\. .*a0\.wav.*b1\.wav"):
        write_augmented.write(str(sounds / "list.csv"), tmp_path / "out", "orig")
    assert not (tmp_path / "out" / write_augmented.CSV).exists()
    for name in ("a0.wav", "b1.wav"):
        shutil.copy(tmp_path / "kept", sounds / name)
    assert len(pd.read_csv(write_augmented.write(str(sounds / "list.csv"), tmp_path / "out", "orig"))) == 6


def test_a_folder_of_other_settings_is_refused_with_what_differs(sounds: Path, tmp_path: Path) -> None:
    write_augmented.write(str(sounds / "list.csv"), tmp_path / "out", "orig")
    with pytest.raises(ManifestError, match=r"other settings: seed is 0 there and 1 now"):
        write_augmented.write(str(sounds / "list.csv"), tmp_path / "out", "orig", seed=1)
    with pytest.raises(ManifestError, match=r"variants\.noisy is null there and"):
        write_augmented.write(str(sounds / "list.csv"), tmp_path / "out", "orig,noisy")
    with pytest.raises(ManifestError, match=r"holds other files \(a0\.wav"):
        write_augmented.write(str(sounds / "list.csv"), sounds, "orig")


@pytest.mark.parametrize("content", ["{", "[]", '{"file": "augmented.csv"}'])
def test_a_spoilt_note_of_what_made_them_is_refused(sounds: Path, tmp_path: Path, content: str) -> None:
    csv = write_augmented.write(str(sounds / "list.csv"), tmp_path / "out", "orig")
    (csv.parent / MANIFEST).write_text(content)
    with pytest.raises(ClipsError, match=r"made\.json .*Make the folder again"):
        open_data(str(csv))
