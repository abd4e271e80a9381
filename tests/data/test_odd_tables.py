"""Whatever a table or a folder holds ends in clips or in a HubbubError: hundreds of seeded hostile ones."""

import os
import random
import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile

from hubbub.data.open import open_data
from hubbub.errors import HubbubError

CELLS = (
    "", " ", "\u200b", "\u00a0", "a.wav", "./a.wav", "b.wav", "deep/c.flac", "deep\\c.flac", "deep", ".", "..", "/",
    "~", "-", "../a.wav", "/dev/zero", "/etc/passwd", "x" * 300, "x" * 300 + ".wav", "x/" * 300, "loop",
    "loop/loop.wav", "gone.wav", "pipe.wav", "dangling.wav", "a.WAV", "a", "*", "[a].wav", "C:\\sounds\\a.wav",
    "file:///a.wav", "a\nb", "a\tb", "\"", "\"\"", "'", ";", ",", "dog", "Dog", "dog ", "d\u00f6g", "NA", "None",
    "nan", "NaN", "null", "0", "1", "1.0", "01", "-1", "1e999", "-1e999", "inf", "0.05", "0,05", "1" * 5000, "\u00b2",
    "\u0663", "train", "Train", "test", "augmented", "label", "start", "\u00e9", "e\u0301", "\u202edog", "\ufeffdog",
    "\u3164", "=1+1", "<b>", "{}", "${HOME}", "%s", "\u0007", "\U0001f415", "True",
)  # fmt: skip
COLUMNS = (
    "clip", "path", "start", "end", "label", "fold", "group", "split_hint", "spec_file_name", "class", "other", "", " ",
)  # fmt: skip
ENCODINGS = ("utf-8", "utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-32", "cp1252")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two sounds and one of everything that only looks like one."""
    place = tmp_path_factory.mktemp("odd")
    (place / "deep").mkdir()
    for number, name in enumerate(("a.wav", "b.wav", "deep/c.flac")):
        soundfile.write(place / name, np.random.default_rng(number).normal(0, 0.1, 800), 8000)
    os.mkfifo(place / "pipe.wav")
    os.symlink("/dev/zero", place / "zero.wav")
    os.symlink("gone", place / "dangling.wav")
    os.symlink("loop", place / "loop")
    os.symlink(".", place / "deep" / "round")
    (place / "empty").mkdir()
    return place


def table(chance: random.Random) -> bytes:
    """A table that is right in most cells, or mere bytes."""
    if chance.random() < 0.15:
        return chance.randbytes(chance.choice((0, 1, 20, 2000)))
    columns = chance.sample(COLUMNS, chance.randint(1, len(COLUMNS)))
    if chance.random() < 0.9:
        columns = list(dict.fromkeys(["path", "label", *columns]))
    good = {
        "path": ("a.wav", "b.wav", "deep/c.flac"), "label": ("dog", "cat", "cat"), "start": ("", "0"),
        "end": ("", ".05"), "clip": tuple("abcdefgh"), "fold": ("1", "2"), "split_hint": ("", "train"),
    }  # fmt: skip
    oddness, separator = chance.choice((0.0, 0.02, 0.1, 0.5)), chance.choice(",,;\t")

    def cell(column: str, row: int) -> str:
        usual = good.get(column, ("x", "y", "z"))
        value = chance.choice(CELLS) if chance.random() < oddness else usual[row % len(usual)]
        return '"' + value.replace('"', '""') + '"' if chance.random() < 0.7 else value

    rows = [columns] + [[cell(column, row) for column in columns] for row in range(chance.choice((0, 1, 3, 8)))]
    content = chance.choice(("\n", "\r\n", "\r")).join(separator.join(row) for row in rows)
    content = content.encode(chance.choice(ENCODINGS), "replace")
    if chance.random() < 0.1:
        at = chance.randrange(len(content) + 1)
        content = content[:at] + chance.randbytes(3) + content[at:]
    return content if chance.random() < 0.9 else content[: chance.randrange(len(content) + 1)]


def test_no_table_ends_in_a_traceback(place: Path) -> None:
    opened = refused = 0
    for seed in range(500):
        chance = random.Random(seed)
        file = place / f"table{chance.choice(('.csv', '.tsv', '.txt'))}"
        file.write_bytes(table(chance))
        try:
            clips = open_data(str(file), allow_missing=chance.random() < 0.5)
        except HubbubError as error:
            refused += 1
            assert len(str(error)) > 20
        else:
            opened += 1
            assert len(clips) and clips.table["clip"].is_unique and clips.table["path"].map(os.path.isfile).all()
            assert set(clips.table["label"]) <= set(clips.labels) and clips.folds is not None
            assert set(clips.table["split_hint"]) <= {"", "train"}
    assert opened > 30 and refused > 50, "the tables are neither all wrong nor all right"


FOLDERS = (
    "train", "test", "Val", "fold1", "dog", "Dog", "dog ", "cat", "hiss\u200b", "NA", "label", "10", " ", "a\nb", "._x",
)  # fmt: skip
FILES = (
    "0.wav", "0.WAV", "0.flac", "1.au", "notes.txt", "x", "._0.wav", "x" * 250 + ".wav", "\n.wav",
    os.fsdecode(b"\xfc.wav"),
)  # fmt: skip


def grow(folder: Path, chance: random.Random, sound: Path) -> None:
    """Folders of sounds, links, pipes and empty files."""
    for _ in range(chance.randint(0, 6)):
        place = folder.joinpath(*(chance.choice(FOLDERS) for _ in range(chance.randint(0, 3))))
        place.mkdir(parents=True, exist_ok=True)
        for name in chance.sample(FILES, chance.randint(0, 3)):
            file, kind = place / name, chance.random()
            if os.path.lexists(file):
                continue
            if kind < 0.1:
                os.mkfifo(file)
            elif kind < 0.2:
                os.symlink(chance.choice(("..", ".", "gone", "/dev/zero", name)), file)
            elif kind < 0.3:
                file.touch()
            else:
                os.link(sound, file) if kind < 0.4 else shutil.copy(sound, file)


def test_no_folder_ends_in_a_traceback(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "sound.wav", np.random.default_rng(0).normal(0, 0.1, 800), 8000)
    opened = refused = 0
    for seed in range(150):
        folder = tmp_path / f"set {seed}"
        folder.mkdir()
        grow(folder, random.Random(seed), tmp_path / "sound.wav")
        try:
            clips = open_data(str(folder))
        except HubbubError:
            refused += 1
        else:
            opened += 1
            assert clips.table["path"].map(os.path.isfile).all() and "._x" not in clips.labels
            assert len({"train", "test", "Val", "fold1"} & set(clips.labels)) < 2
    assert opened > 20 and refused > 20, "the folders are neither all wrong nor all right"


@pytest.mark.parametrize(
    "name", [*CELLS, "pipe.csv", "zero.csv", "loop.csv", "deep/round", "empty", "pipe.npz", "a.xlsx", "owner/name"]
)
def test_no_name_of_a_data_set_ends_in_a_traceback(
    name: str, place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HUBBUB_HOME", str(tmp_path))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    monkeypatch.chdir(place)
    for ending in ("csv", "npz"):
        if not os.path.lexists(f"pipe.{ending}"):
            os.mkfifo(f"pipe.{ending}")
            os.symlink("/dev/zero", f"zero.{ending}")
            os.symlink(f"loop.{ending}", f"loop.{ending}")
    if name in ("/", "..", "~"):
        return  # real folders, and large
    try:
        open_data(name)
    except HubbubError:
        return
    assert os.path.isdir(name), f"{name!r} was opened"
