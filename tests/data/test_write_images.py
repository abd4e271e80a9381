"""write_images: an image is the front end's output under a unique name, also after interruptions."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile
import torch
from PIL import Image

from hubbub.audio import decode, windows
from hubbub.audio.frontend import FrontEnd
from hubbub.audio.image_files import ImageError, read_image
from hubbub.config.data import Protocol
from hubbub.config.recipe import Recipe
from hubbub.data import origins, splits, write_augmented, write_images
from hubbub.data.clips import ClipsError
from hubbub.data.manifest import MANIFEST, ManifestError
from hubbub.data.open import open_data
from hubbub.data.variants import parse_variants

RATE = 16_000
SMALL = (
    "audio.rate_hz=16000", "windows.length=16000", "windows.hop=16000", "frontend.n_fft=512", "frontend.hop=256",
    "frontend.n_mels=40", "frontend.size=[48,56]",
)  # fmt: skip


def recipe(name: Path | str, *settings: str) -> Recipe:
    return Recipe.load("us8k-resnet18", [f'data.name="{name}"', *SMALL, *settings])


def sound(folder: Path, name: str, seconds: float = 1.0, seed: int = 0, rate: int = RATE) -> None:
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(folder / name, np.random.default_rng(seed).normal(0, 0.1, round(seconds * rate)), rate)


def listed(folder: Path, rows: list[dict[str, object]]) -> Path:
    pd.DataFrame(rows).to_csv(folder / "list.csv", index=False)
    return folder / "list.csv"


@pytest.fixture
def sounds(tmp_path: Path) -> Path:
    """Six noises of two classes in three folds; the last one lasts 2.5 s."""
    rows = []
    for k in range(6):
        sound(tmp_path, f"{k}.wav", 2.5 if k == 5 else 1.0, seed=k)
        rows.append({"path": f"{k}.wav", "label": "xy"[k % 2], "fold": k // 2 + 1, "group": f"g{k}", "clip": f"c{k}"})
    return listed(tmp_path, rows)


def drawn(chosen: Recipe, path: Path, segment: int = 0) -> torch.Tensor:
    """The front end's own picture, before it is standardised."""
    frontend = FrontEnd(chosen.frontend, chosen.audio.rate_hz)
    cut = windows.cut(decode.load(path, chosen.audio.rate_hz), chosen.windows.length, chosen.windows.hop)
    picture = frontend.picture.render(frontend.logmel(torch.from_numpy(cut[segment].copy())[None]))[0]
    return picture if picture.ndim == 3 else picture[None]


@pytest.mark.parametrize(
    "settings, shape",
    [
        ((), (3, 48, 56)),
        (("frontend.colours=none",), (1, 48, 56)),
        (("frontend.colours=none", "frontend.scale=minmax", "frontend.size=[40,63]"), (1, 40, 63)),
    ],
)
def test_a_picture_is_what_the_front_end_draws(
    sounds: Path, tmp_path: Path, settings: tuple[str, ...], shape: tuple[int, int, int]
) -> None:
    chosen = recipe(sounds, *settings)
    write_images.write(chosen, tmp_path / "out")
    for file, source, segment in (("fold1/c0", "0", 0), ("fold3/c5-s0000", "5", 0), ("fold3/c5-s0002", "5", 2)):
        path = tmp_path / "out" / "spectrograms" / f"{file}_orig.png"
        pixels = read_image(path)
        own = drawn(chosen, sounds.parent / f"{source}.wav", segment)
        assert pixels.shape == shape == own.shape
        assert np.abs(pixels / 255 - own.numpy()).max() <= 0.501 / 255
        with Image.open(path) as image:
            image.load()
            assert (image.mode, image.format, image.info) == ("RGB" if shape[0] == 3 else "L", "PNG", {}), "no text"


def test_rgba_pictures_of_1000_by_400_if_asked(sounds: Path, tmp_path: Path) -> None:
    """System B's format: the same picture, opaque, which reads and trains like the one without alpha."""
    chosen = recipe(sounds, "frontend.size=[400,1000]")
    write_images.write(chosen, tmp_path / "rgb")
    write_images.write(chosen, tmp_path / "rgba", rgba=True)
    for path in sorted((tmp_path / "rgba").glob("spectrograms/*/*.png")):
        with Image.open(path) as image:
            assert (image.mode, image.size) == ("RGBA", (1000, 400)) and image.getextrema()[3] == (255, 255)
        np.testing.assert_array_equal(
            read_image(path), read_image(tmp_path / "rgb" / path.relative_to(tmp_path / "rgba"))
        )
    with pytest.raises(ManifestError, match=r"mode is \"RGBA\" there and null now"):
        write_images.write(chosen, tmp_path / "rgba")
    with pytest.raises(ImageError, match="RGBA images are coloured"):
        write_images.write(recipe(sounds, "frontend.colours=none"), tmp_path / "grey", rgba=True)


def test_without_a_size_a_picture_has_a_row_a_band_and_a_column_a_frame(sounds: Path, tmp_path: Path) -> None:
    chosen = Recipe.load("esc50-resnet18-final", [f'data.name="{sounds}"', "frontend.size=[64,501]"])
    content = chosen.model_dump(exclude_none=True)
    del content["frontend"]["size"]
    write_images.write(Recipe.of(content), tmp_path / "out")
    frames = FrontEnd(chosen.frontend, chosen.audio.rate_hz).logmel.frames(chosen.windows.length)
    assert read_image(tmp_path / "out" / "spectrograms" / "fold1" / "c0_orig.png").shape == (1, 64, frames)


def test_low_tones_are_low_on_paper_and_in_row_0_for_a_network(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "low.wav", 0.5 * np.sin(2 * np.pi * 100 * np.arange(RATE) / RATE), RATE)
    csv = listed(tmp_path, [{"path": "low.wav", "label": "low", "clip": "low"}])
    write_images.write(recipe(csv, "frontend.colours=none"), tmp_path / "out")
    path = tmp_path / "out" / "spectrograms" / "low_orig.png"
    assert read_image(path)[0].mean(1).argmax() < 8
    assert np.asarray(Image.open(path)).mean(1).argmax() >= 40


def test_the_list_says_what_each_picture_is(sounds: Path, tmp_path: Path) -> None:
    table = pd.read_csv(write_images.write(recipe(sounds), tmp_path / "out", "d"), dtype=str)
    assert list(table) == [
        "spec_file_name", "orig_file_name", "fsID", "fold", "classID", "class", "augmentation", "source", "variant",
        "clip", "start", "end",
    ]  # fmt: skip
    assert len(table) == table["spec_file_name"].nunique() == 4 * (5 + 3)
    there = sorted(p.name for p in (tmp_path / "out" / "spectrograms").rglob("*.png"))
    assert there == sorted(table["spec_file_name"])
    assert list(table["augmentation"].unique()) == ["original", "noisy", "pitchUp2", "stretch0.9"]
    assert table.iloc[1].to_dict() == {
        "spec_file_name": "c0_noisy.png", "orig_file_name": "0.wav", "fsID": "g0", "fold": "1", "classID": "0",
        "class": "x", "augmentation": "noisy", "source": "g0", "variant": "noisy", "clip": "c0", "start": "0.0",
        "end": "1.0",
    }  # fmt: skip
    last = table[(table["clip"] == "c5") & (table["variant"] == "orig")]
    assert list(last["spec_file_name"]) == [f"c5-s000{k}_orig.png" for k in range(3)]
    assert list(last["start"]) == ["0.0", "1.0", "2.0"] and list(last["end"]) == ["1.0", "2.0", "2.5"]


def test_a_part_of_a_recording_says_where_in_it_it_lies(tmp_path: Path) -> None:
    sound(tmp_path, "long.wav", 5)
    csv = listed(tmp_path, [{"path": "long.wav", "label": "x", "start": 1.5, "end": 3.5}])
    table = pd.read_csv(write_images.write(recipe(csv), tmp_path / "out"))
    assert table[["start", "end"]].to_numpy().tolist() == [[1.5, 2.5], [2.5, 3.5]]


def test_names_stay_apart_on_any_file_system(tmp_path: Path) -> None:
    """Ids that differ by case, by signs that no file name has, by an end like a segment's, or beyond 255 bytes."""
    ids = ["a/b", "a b", "A-B", "Dog", "dog", "x", "x-s0001", "ü", "ö", "..", "n" * 300 + "1", "n" * 300 + "2", "w.wav"]
    rows = []
    for k, one in enumerate(ids):
        sound(tmp_path, f"{k}.wav", 2 if one == "x" else 1, seed=k)
        rows.append({"path": f"{k}.wav", "label": "x", "fold": "odd/../fold", "group": f"{k}", "clip": one})
    table = pd.read_csv(write_images.write(recipe(listed(tmp_path, rows)), tmp_path / "out"))
    names = list(table["spec_file_name"])
    assert len({name.casefold() for name in names}) == len(names) == len(ids) + 1
    assert "w_orig.png" in names and {"x-s0000_orig.png", "x-s0001_orig.png"} < set(names)
    assert len(list((tmp_path / "out" / "spectrograms").glob("*/*.png"))) == len(names)
    clips = open_data(str(tmp_path / "out" / write_images.CSV))
    assert len(clips) == len(names) and clips.folds == ("odd/../fold",)


def test_each_variant_gives_another_picture(sounds: Path, tmp_path: Path) -> None:
    names = [
        name for name in parse_variants("b,d,emodb") if not name.startswith("gain")
    ]  # these are relative to the loudest
    write_images.write(recipe(sounds), tmp_path / "out", ",".join(names))
    pictures = {p.stem.split("_")[1]: read_image(p) for p in (tmp_path / "out/spectrograms/fold1").glob("c0_*.png")}
    assert len(pictures) == len(names) == 19
    assert len({pixels.tobytes() for pixels in pictures.values()}) == len(pictures)


def tree(folder: Path) -> dict[str, bytes]:
    """All but `.recordings.jsonl`, which holds times of change, in the order in which threads were ready."""
    return {
        p.relative_to(folder).as_posix(): p.read_bytes()
        for p in sorted(folder.rglob("*"))
        if p.is_file() and p.name != origins.JOURNAL
    }


# Kills its own process as by power loss, with so many files in place and the next one written but not yet there.
KILLED = """
import os, signal, sys
from hubbub.cli.main import app
left, real = {left}, os.replace
def replace(source, target):
    global left
    left -= 1
    if left < 0:
        os.kill(os.getpid(), signal.SIGKILL)
    real(source, target)
os.replace = replace
app(sys.argv[1:], standalone_mode=False)
"""


@pytest.mark.parametrize("command", ["images", "augment"])
def test_a_killed_run_goes_on_to_the_same_folder(sounds: Path, tmp_path: Path, command: str) -> None:
    broken, names = tmp_path / "broken", "d"
    words = ["data", command, "us8k-resnet18" if command == "images" else str(sounds), str(broken), "--variants", "d"]
    for setting in (f'data.name="{sounds}"', *SMALL) if command == "images" else ():
        words += ["--set", setting]
    assert subprocess.run([sys.executable, "-c", KILLED.format(left=10), *words]).returncode == -9
    begun = tree(broken)
    kept = {name for name in begun if "/." not in name and name.endswith((".png", ".wav"))}
    assert MANIFEST in begun and len(kept) >= 7
    assert not any(name.endswith(".csv") for name in begun), "the list is written last"
    assert any("/." in name for name in begun), "a half-written file was left behind"
    for folder in (broken, tmp_path / "apply_variant"):
        if command == "images":
            write_images.write(recipe(sounds), folder, names)
        else:
            write_augmented.write(str(sounds), folder, names)
    done = tree(broken)
    assert done == tree(tmp_path / "apply_variant")
    assert all(done[name] == begun[name] for name in kept)


def test_pictures_that_are_there_are_kept(sounds: Path, tmp_path: Path) -> None:
    write_images.write(recipe(sounds), tmp_path / "out", "d")
    before = {p: p.stat().st_mtime_ns for p in (tmp_path / "out").rglob("*.png")}
    next(iter(before)).unlink()
    write_images.write(recipe(sounds), tmp_path / "out", "d")
    after = {p: p.stat().st_mtime_ns for p in (tmp_path / "out").rglob("*.png")}
    assert sum(after[path] != before[path] for path in before) == 1


@pytest.mark.parametrize("command", ["images", "augment"])
def test_files_of_a_recording_that_was_replaced_by_an_older_one_are_made_again(
    sounds: Path, tmp_path: Path, command: str, caplog: pytest.LogCaptureFixture
) -> None:
    def write() -> dict[str, bytes]:
        if command == "images":
            write_images.write(recipe(sounds), tmp_path / "out", "orig,noisy")
        else:
            write_augmented.write(str(sounds), tmp_path / "out", "orig,noisy")
        return {name: content for name, content in tree(tmp_path / "out").items() if name.endswith((".png", ".wav"))}

    first = write()
    replaced = Path(open_data(str(sounds)).table["path"][1])
    wave, rate = soundfile.read(replaced)
    soundfile.write(tmp_path / "other.wav", wave[::-1], rate)
    os.utime(tmp_path / "other.wav", (10**9, 10**9))
    shutil.copy2(tmp_path / "other.wav", replaced)
    assert replaced.stat().st_mtime == 10**9
    second = write()
    assert second.keys() == first.keys()
    changed = {name for name in first if first[name] != second[name]}
    assert changed and all(replaced.stem in Path(name).name for name in changed)
    assert write() == second and not caplog.records
    # A folder of before there were such notes: nobody knows what its files were made of.
    (tmp_path / "out" / origins.JOURNAL).unlink()
    spoilt = tmp_path / "out" / min(changed)
    spoilt.write_bytes(b"")
    assert write() == second
    (said,) = (record.getMessage() for record in caplog.records)
    assert said.startswith(f"warning: {tmp_path / 'out'} does not say which recordings")


def test_pictures_are_a_data_set_that_knows_what_made_it(sounds: Path, tmp_path: Path) -> None:
    chosen = recipe(sounds)
    clips = open_data(str(write_images.write(chosen, tmp_path / "out", "d")))
    assert clips.kind == "images" and clips.name == "list, pictures" and clips.labels == ("x", "y")
    assert clips.settings == {k: getattr(chosen, k).model_dump(mode="json") for k in ("audio", "windows", "frontend")}
    assert set(clips.table["group"]) == {f"g{k}" for k in range(6)}
    assert [note.split(":")[0] for note in clips.notes] == ["SEGMENTS AS CLIPS"]
    for split in splits.make_splits(clips, Protocol(validation="none")):
        held = clips.table.iloc[split.test]
        assert (held["fold"] == split.name).all() and held["clip"].str.endswith("_orig.png").all()
        assert len(split.test) == (4 if split.name == "3" else 2)


def test_licence_notes_and_straddling_recordings_go_on(tmp_path: Path, home: Callable[[str, str], Path]) -> None:
    """Of every class and fold of UrbanSound8K a clip, as system D would name it."""
    home("data", "urbansound8k")
    settings = ["data.limit=1", "data.allow_missing=true", "frontend.size=[32,32]"]
    csv = write_images.write(Recipe.load("us8k-resnet18", settings), tmp_path / "out")
    clips = open_data(str(csv))
    known = open_data("urbansound8k", allow_missing=True)
    assert (clips.licence, clips.citation) == (known.licence, known.citation)
    assert clips.straddling == known.straddling and clips.labels == known.labels
    assert any(note.startswith("REDUCED DATA") for note in clips.notes)
    assert set(clips.table["group"]) <= set(known.table["group"])
    assert (
        clips.table["clip"].str.extract(r"fold(\d+)/(\d+)-")[[0, 1]].to_numpy() == clips.table[["fold", "group"]]
    ).all(axis=None)


def test_what_makes_no_picture_is_refused(sounds: Path, tmp_path: Path) -> None:
    with pytest.raises(ImageError, match=r"frontend\.scale is 'none'.* --set frontend\.scale=minmax"):
        write_images.write(
            recipe(sounds, "frontend.scale=none", "frontend.colours=none", "frontend.standardise=none"), tmp_path
        )
    with pytest.raises(ImageError, match="has no log-mel front end"):
        write_images.write(Recipe.load("us8k-yamnet-lgbm"), tmp_path / "out")
    csv = write_images.write(recipe(sounds), tmp_path / "out")
    with pytest.raises(ImageError, match="list, pictures holds images"):
        write_images.write(recipe(csv), tmp_path / "again")


def test_a_folder_of_other_settings_is_refused_with_what_differs(sounds: Path, tmp_path: Path) -> None:
    write_images.write(recipe(sounds), tmp_path / "out")
    with pytest.raises(ManifestError, match=r"audio\.rate_hz is 16000 there and 8000 now"):
        write_images.write(recipe(sounds, "audio.rate_hz=8000", "frontend.f_max_hz=4000.0"), tmp_path / "out")
    (sounds.parent / "list.csv").write_text(sounds.read_text().replace("g0", "g1"))
    with pytest.raises(ManifestError, match="other settings: manifest is"):
        write_images.write(recipe(sounds), tmp_path / "out")


def test_unreadable_sounds_are_told_and_no_list_is_written(sounds: Path, tmp_path: Path) -> None:
    (sounds.parent / "2.wav").write_text("no sound")
    with pytest.raises(ClipsError, match=r"1 of 6 sounds cannot be used\. .*2\.wav"):
        write_images.write(recipe(sounds), tmp_path / "out")
    assert not (tmp_path / "out" / write_images.CSV).exists()
    assert len(list((tmp_path / "out").rglob("*.png"))) == 4 + 3
