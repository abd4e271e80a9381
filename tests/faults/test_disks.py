"""Disks that are full or can only be read, and clocks that go wrong.

A command on a full disk ends with hubbub's own error that says so; what it wrote is whole, and the same command ends as
an undisturbed one does once there is room.
"""

import json
import os
import re
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

from hubbub.archive.archive import Archive
from hubbub.audio.find_files import find
from hubbub.data import origins
from hubbub.inference.formats import FORMATS
from hubbub.inference.predict import predict_files
from hubbub.inference.resume import open_results
from tests.faults.test_kills import HEAD, names, recipe_file, visible
from tests.helpers.amount import amount
from tests.helpers.archives import recordings_of_tones
from tests.helpers.classifiers import small_classifier
from tests.helpers.disks import FULL, Disk, disk, is_root
from tests.helpers.killing import start
from tests.helpers.runs import figures
from tests.helpers.sounds import sounds

Compare = Callable[[Path, Path], None]
OPTIONS = [
    word
    for setting in (
        "frontend.size=[48,56]",
        "frontend.scale=minmax",
        "frontend.n_fft=512",
        "frontend.hop=64",
        "frontend.n_mels=40",
    )
    for word in ("--set", setting)
]


def commands(folder: Path) -> dict[str, list[object]]:
    """Commands that write below the place that comes behind each."""
    recipe = recipe_file(folder, **HEAD)
    recordings_of_tones(folder / "recordings", 20)
    small_classifier("network.width=2", "windows.length=4000", "windows.hop=4000", labels=("dog", "rain")).save(
        folder / "model"
    )
    return {
        "train": ["train", recipe, "--fold", "1", "--no-refit", "--name", "run", "--out"],
        "classify": ["classify", folder / "recordings", "--model", folder / "model", "--csv", "--out"],
        "index": ["index", folder / "recordings", "--model", "small", "--to"],
        "images": ["data", "images", recipe, "--variants", "d", *OPTIONS],
    }


@pytest.fixture(scope="module")
def lines(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[object]]:
    return commands(tmp_path_factory.mktemp("inputs"))


def run(line: list[object], on: Disk, folder: Path) -> tuple[int | None, str]:
    """The exit status of a command that writes to a disk, its cache too, and what it printed."""
    words = [*line, on.place / "out"] if line[-1] in ("--out", "--to") else [*line[:3], on.place / "out", *line[3:]]
    log = folder / "log"
    log.unlink(missing_ok=True)
    cache = {"HUBBUB_CACHE": str(on.place / "cache")}
    process = start(*words, log=log, folder=folder, environment=cache, setup=on.setup)
    process.join(300)
    return process.exitcode, log.read_text()


def assert_same(name: str, place: Path, whole: Path) -> None:
    assert names(place) == names(whole)
    if name == "train":
        assert figures(place / "run") == figures(whole / "run")
    elif name == "index":
        kept = [Archive(one) for one in (place, whole)]
        paths = [sorted(one.place(number).path for number in range(one.segments)) for one in kept]
        assert paths[0] == paths[1] and len(set(paths[0])) == 60
    else:
        assert_whole(name, place, whole)


def assert_whole(name: str, place: Path, whole: Path) -> None:
    """No visible file is the half of one."""
    expected = visible(whole) if whole.exists() else {}
    for file, content in visible(place).items():
        if name == "images":
            assert content == expected[file], file
        elif name == "classify":  # the last digits depend on what shared a batch
            assert content.count(b"\n") == expected[file].count(b"\n"), file
        elif file.endswith(".json"):
            json.loads(content)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["train", "classify", "index", "images"])
def test_a_full_disk_is_told_and_the_rerun_with_room_succeeds(name: str, lines: dict, tmp_path: Path) -> None:
    with disk(tmp_path / "large") as large:
        empty = large.used
        assert run(lines[name], large, tmp_path)[0] == 0
        needed, full = large.used - empty, 0
        sizes = amount(1, 20)
        for number in range(sizes):
            size = max(int(needed * (number + 0.5) / sizes), 4096)
            with disk(tmp_path / "small", size) as small:
                status, said = run(lines[name], small, tmp_path)
                assert "Traceback" not in said, said
                if status:  # it may not need room for two copies at the end
                    full += 1
                    assert status in (1, 2) and any(word in said for word in FULL), said
                    assert_whole(name, small.place / "out", large.place / "out")
                small.resize(0)
                status, said = run(lines[name], small, tmp_path)
                assert status == 0, said
                assert_same(name, small.place / "out", large.place / "out")
    assert full >= 0.8 * sizes
    print(f"{name}: {full} full disks of {sizes} sizes up to {needed:,} bytes ({'tmpfs' if is_root() else 'limits'})")


@pytest.mark.slow
def test_disks_that_can_only_be_read_are_told_or_do_no_harm(lines: dict, tmp_path: Path) -> None:
    with disk(tmp_path / "disk") as one:
        shutil.copytree(lines["classify"][1], one.place / "recordings")
        (one.place / "home").mkdir()
        with one.read_only():
            read = ["index", one.place / "recordings", "--model", "small", "--to"]
            assert run(read, Disk(tmp_path / "free"), tmp_path)[0] == 0, "recordings are only read"
            for line, problem in (
                (lines["train"], "cannot be written"),
                (lines["classify"], "could not be written|cannot be written"),
                (lines["index"], "cannot be written"),
                (lines["images"], "could not be written|cannot be written"),
            ):
                status, said = run(line, one, tmp_path)
                assert status == 2 and "Traceback" not in said and re.search(problem, said), said
            homes = {name: str(one.place / "home") for name in ("HUBBUB_HOME", "XDG_DATA_HOME", "HOME")}
            log = tmp_path / "get.log"
            process = start("data", "get", "esc50", log=log, folder=tmp_path, environment=homes)
            process.join(300)
            assert process.exitcode == 2 and "No data home can be written" in log.read_text()
        assert sorted(path.name for path in one.place.iterdir()) == ["home", "recordings"]


YEAR_S = 365 * 86_400


@pytest.mark.parametrize("clock_s", [-YEAR_S, -3600, 0, YEAR_S])
def test_no_clock_keeps_an_answer_of_another_recording(
    clock_s: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The clock is wrong by so much while the answers are written, and right again afterwards; files are dated in the
    past or future, and replaced by others of the same size and date."""
    model = small_classifier("network.width=2", "windows.length=4000", "windows.hop=4000", labels=("dog", "rain"))
    dates = {"old.wav": 3e8, "now.wav": time.time(), "future.wav": 4e9}
    sounds(tmp_path / "in", *dates, seconds=1)
    for name, date in dates.items():
        os.utime(tmp_path / "in" / name, (date, date))
    right = time.time_ns

    def missing() -> list[str]:
        paths = find([str(tmp_path / "in")]).files
        with open_results(tmp_path / "out", FORMATS["csv"], paths, [str(tmp_path / "in")], 0.0, {}) as kept:
            for answer in predict_files(model, kept.missing):
                kept.add(answer)
        return [Path(path).name for path in kept.missing]

    monkeypatch.setattr(origins.time, "time_ns", lambda: right() + clock_s * 10**9)
    assert len(missing()) == 3
    monkeypatch.undo()
    assert missing() == []
    for name, date in dates.items():
        other = tmp_path / "in" / name
        soundfile.write(other, np.random.default_rng(99).normal(0, 0.1, 8000), 8000)
        os.utime(other, (date, date))
        assert missing() == [name]
    assert missing() == []
