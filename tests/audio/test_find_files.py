"""audio.find_files: every recording below a folder is found once; skipped files are counted by reason."""

import contextlib
import os
from pathlib import Path

import pytest

from hubbub.audio import decode
from hubbub.audio.find_files import (
    DANGLING,
    EMPTY,
    HIDDEN,
    LOST,
    OTHER,
    REPEATED,
    SPECIAL,
    FindError,
    describe,
    find,
    search,
)  # fmt: skip
from hubbub.errors import HubbubError
from tests.helpers.sounds import sounds


def names(folder: Path) -> list[str]:
    return [os.path.relpath(path, folder) for path in search(folder).files]


def test_every_ending_that_is_searched_for_is_found(tmp_path: Path) -> None:
    for ending in decode.EXTENSIONS:
        (tmp_path / f"x{ending.upper()}").touch()
    assert len(search(tmp_path).files) == len(decode.EXTENSIONS) and search(tmp_path).left_out == {}


@pytest.mark.parametrize("ending", [".wave", ".oga", ".au", ".snd", ".caf", ".w64", ".rf64", ".aif", ".aifc"])
def test_what_is_searched_for_is_decoded(tmp_path: Path, ending: str) -> None:
    import soundfile

    kind = {".wave": "WAV", ".aif": "AIFF", ".aifc": "AIFF", ".oga": "OGG", ".snd": "AU"}.get(
        ending, ending[1:].upper()
    )
    soundfile.write(tmp_path / f"x{ending}", [0.1, -0.1] * 400, 8000, format=kind)
    assert [len(decode.decode(path)[0]) for path in search(tmp_path).files] == [800]


def test_a_folder_s_own_files_come_before_those_of_its_folders(tmp_path: Path) -> None:
    sounds(tmp_path, "z.wav", "a/2.wav", "a/1.wav", "a/deep/0.wav", "b/0.wav")
    assert names(tmp_path) == ["z.wav", "a/1.wav", "a/2.wav", "a/deep/0.wav", "b/0.wav"]


def test_what_is_left_out_is_counted_by_reason(tmp_path: Path) -> None:
    sounds(tmp_path, "a.wav", ".Trashes/old.wav", "._a.wav", "__MACOSX/b.wav")
    for name in (".DS_Store", "Thumbs.db", "notes.txt", "sheet.PDF", "more.pdf", "README"):
        (tmp_path / name).touch()
    os.mkfifo(tmp_path / "pipe.wav")
    os.symlink("/dev/zero", tmp_path / "zero.wav")
    os.symlink("gone.wav", tmp_path / "dangling.wav")
    os.symlink("loop.wav", tmp_path / "loop.wav")
    (tmp_path / "none").mkdir()
    found = search(tmp_path)
    assert names(tmp_path) == ["a.wav"]
    assert {reason: len(left) for reason, left in found.left_out.items()} == {
        HIDDEN: 5, OTHER: 4, SPECIAL: 2, DANGLING: 2, EMPTY: 1,
    }  # fmt: skip
    assert "4 files with other endings (.pdf, none, .txt): README, more.pdf, notes.txt and 1 more" in describe(
        found.left_out
    )
    assert describe(found.left_out, LOST) == [
        "2 broken links: dangling.wav, loop.wav",
        "2 pipes, devices or sockets, not files: pipe.wav, zero.wav",
    ]


def test_links_are_followed_and_circles_are_not(tmp_path: Path) -> None:
    place, elsewhere = tmp_path / "place", tmp_path / "elsewhere"
    sounds(place, "a.wav")
    sounds(elsewhere, "far.wav")
    os.symlink(elsewhere, place / "linked")
    os.symlink(elsewhere / "far.wav", place / "one.wav")
    os.symlink(place, elsewhere / "back")
    for name in ("x", "y"):  # with glob's own walk 2 ** 40 paths
        os.symlink(".", place / name)
    assert names(place) == ["a.wav", "one.wav", "linked/far.wav"]
    assert sorted(search(place).left_out[REPEATED]) == ["linked/back", "x", "y"]
    assert find([str(place / "**" / "*.wav")]).files == sorted(search(place).files)


def test_double_stars_match_as_in_a_shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sounds(tmp_path, "a.wav", "b/a.wav", "b/c/a.wav", "b/c/d.wav", ".hidden/a.wav", "bird/a.wav")
    monkeypatch.chdir(tmp_path)
    assert find(["**/a.wav"]).files == ["a.wav", "b/a.wav", "b/c/a.wav", "bird/a.wav"]
    assert find(["b/**/d.wav"]).files == ["b/c/d.wav"] and find(["b/**/c/*.wav"]).files == ["b/c/a.wav", "b/c/d.wav"]
    assert find(["b*/**/a.wav"]).files == ["b/a.wav", "b/c/a.wav", "bird/a.wav"]
    assert sorted(find(["b/**"]).files) == ["b/a.wav", "b/c/a.wav", "b/c/d.wav"]
    assert find([str(tmp_path / "**" / "d.wav")]).files == [str(tmp_path / "b" / "c" / "d.wav")]


def test_paths_that_hold_nothing_are_named_though_others_hold_something(tmp_path: Path) -> None:
    sounds(tmp_path, "full/a.wav")
    (tmp_path / "bare").mkdir()
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "x.txt").touch()
    found = find([str(tmp_path / name) for name in ("bare", "full", "notes")])
    assert found.files == [str(tmp_path / "full" / "a.wav")]
    assert found.without == [str(tmp_path / "bare"), str(tmp_path / "notes")]
    assert found.left_out[OTHER] == [str(tmp_path / "notes" / "x.txt")]
    with pytest.raises(FindError, match=r"nothing to classify .*Left out: 1 file with another ending \(\.txt\)"):
        find([str(tmp_path / "notes")])


def test_names_that_are_no_text_are_found_and_named_as_bytes(tmp_path: Path) -> None:
    name = os.fsdecode(b"gr\xfcn.wav")
    (tmp_path / name).touch()
    (tmp_path / os.fsdecode(b"\xfc.txt")).touch()
    assert [os.path.basename(path) for path in search(tmp_path).files] == [name]
    assert describe(search(tmp_path).left_out) == [r"1 file with another ending (.txt): \udcfc.txt"]


@pytest.mark.parametrize("path", ["", "\0", "x" * 300, "x/" * 3000, "\udcff", "**\0", "[", "/dev/null", "*" * 99])
def test_no_path_ends_in_a_traceback(path: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with contextlib.suppress(HubbubError):
        assert find([path]).files == [path], "whoever opens it says what is wrong"


def test_a_pattern_of_many_stars_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sounds(tmp_path, "a/" * 12 + "a.wav")
    monkeypatch.chdir(tmp_path)
    assert len(find(["/".join(["**"] * 30) + "/a.wav"]).files) == 1
