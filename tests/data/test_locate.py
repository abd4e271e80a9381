"""locate: a table's files are found where it was written on another machine, and only where that is unmistakable."""

import os
from pathlib import Path

import pytest

from hubbub.data.clip_lists import from_csv
from hubbub.data.clips import Clips, ClipsError
from tests.helpers.sounds import rows, sounds

NAMES = ("audio/a.wav", "audio/b.wav", "audio/deep/c.wav")


def listed(tmp_path: Path, *paths: str) -> Clips:
    sounds(tmp_path, *NAMES)
    lines = [f"{path},{('dog', 'cat')[number % 2]}" for number, path in enumerate(paths)]
    return from_csv(rows(tmp_path / "l.csv", "path,label", *lines), group="file")


def read_from(clips: Clips, tmp_path: Path) -> list[str]:
    return [os.path.relpath(path, tmp_path) for path in clips.table["path"]]


@pytest.mark.parametrize(
    "paths",
    [
        [f"/home/ann/data/{name}" for name in NAMES],
        [f"C:\\Users\\Ann\\{name}".replace("/", "\\") for name in NAMES],
        [f"dataset/v2/{name}" for name in NAMES],
        [name.removeprefix("audio/") for name in NAMES],
        [f"/mnt/x/{name.removeprefix('audio/')}" for name in NAMES],
        [f"/mnt/x/{Path(name).with_suffix('.mp3')}" for name in NAMES],
    ],
)
def test_a_list_from_another_machine_finds_its_files_and_says_so(tmp_path: Path, paths: list[str]) -> None:
    clips = listed(tmp_path, *paths)
    assert read_from(clips, tmp_path) == list(NAMES)
    assert [note for note in clips.notes if note.startswith("PATHS")] == [
        f"PATHS: the listed files are not where the list says; '{paths[0]}' is read from {tmp_path / NAMES[0]}"
    ]


def test_absolute_paths_below_the_root_are_found_however_it_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "root"
    sounds(root, *NAMES)
    (tmp_path / "link").symlink_to(root, target_is_directory=True)
    monkeypatch.chdir(tmp_path)
    for written in (root, tmp_path / "link"):
        list_of = rows(tmp_path / "l.csv", "path,label", *(f"{written / n},{'ab'[k % 2]}" for k, n in enumerate(NAMES)))
        for given in (root, Path("root"), tmp_path / "link"):
            clips = from_csv(list_of, root=given, group="file")
            assert list(clips.table["path"]) == [str(written / name) for name in NAMES]
            assert not any(note.startswith("PATHS") for note in clips.notes)
    with pytest.raises(ClipsError, match="leaves"):
        from_csv(list_of, root=tmp_path / "root/audio/deep")


def test_a_listed_wav_is_an_ogg_behind_links(tmp_path: Path) -> None:
    """Folders that are linked twice, or from within, hold the same files under each name."""
    sounds(tmp_path, "real/a.ogg", "real/b.ogg")
    for link in ("root/one", "root/deep/two"):
        (tmp_path / link).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / link).symlink_to(tmp_path / "real", target_is_directory=True)
    (tmp_path / "audio").symlink_to(tmp_path / "real", target_is_directory=True)
    list_of = rows(tmp_path / "l.csv", "path,label", "one/a.wav,x", "deep/two/b.wav,y")
    clips = from_csv(list_of, root=tmp_path / "root", group="file")
    assert read_from(clips, tmp_path) == ["root/one/a.ogg", "root/deep/two/b.ogg"]
    within = from_csv(rows(tmp_path / "m.csv", "path,label", "audio/a.wav,x", "audio/b.wav,y"), group="file")
    assert read_from(within, tmp_path) == ["audio/a.ogg", "audio/b.ogg"]
    assert not any(note.startswith("PATHS") for note in (*clips.notes, *within.notes))


@pytest.mark.parametrize("paths", [["Audio/A.WAV", "audio/B.wav"], ["audio/a.wav", "AUDIO/B.WAV"]])
def test_case_does_not_count_where_it_tells_no_two_files_apart(tmp_path: Path, paths: list[str]) -> None:
    assert read_from(listed(tmp_path, *paths), tmp_path) == ["audio/a.wav", "audio/b.wav"]
    sounds(tmp_path, "audio/B.wav", "AUDIO/b.flac")
    if paths[1] != "audio/B.wav":
        with pytest.raises(ClipsError, match="1 of 2 listed files are missing"):
            listed(tmp_path, *paths)


@pytest.mark.parametrize(
    ("paths", "why"),
    [
        (["/data/a.wav", "/data/gone.wav", "/data/lost.wav"], r"leaves"),
        (["x/gone.wav", "x/lost.wav"], "2 of 2 listed files are missing"),
        (["audio/a.wav", "x/b.wav"], "1 of 2 listed files are missing"),
        (["x/a.wav"], "1 of 1 listed files are missing"),
        (["../a.wav", "../b.wav"], "leaves"),
        (["x/a.wav", "y/b.wav"], "2 of 2 listed files are missing"),
    ],
)  # fmt: skip
def test_files_are_not_guessed_where_folders_do_not_explain_it(tmp_path: Path, paths: list[str], why: str) -> None:
    """One file, or files of other folders each, may have the name of another."""
    with pytest.raises(ClipsError, match=why):
        listed(tmp_path, *paths)


def test_two_folders_that_both_fit_are_not_chosen_from(tmp_path: Path) -> None:
    sounds(tmp_path, "one/a.wav", "one/b.wav", "two/a.wav", "two/b.wav")
    with pytest.raises(ClipsError, match="2 of 2 listed files are missing"):
        from_csv(rows(tmp_path / "l.csv", "path,label", "a.wav,dog", "b.wav,cat"))
