"""prepare: what cannot be tested and what was left out is said with every figure."""

from pathlib import Path

import pytest
import soundfile

from hubbub.config.recipe import Recipe
from hubbub.data.leaks import LeakError
from hubbub.data.splits import SplitError
from hubbub.experiment.prepare import prepare
from hubbub.experiment.provenance import environment_of
from hubbub.runtime.processes import processor_name
from tests.helpers.sounds import rows, sounds


def test_what_is_not_tested_and_what_was_left_out_is_in_every_result(tmp_path: Path) -> None:
    sounds(tmp_path, *(f"{kind}/{number}.wav" for kind in ("cat", "dog") for number in range(8)), "thunder/0.wav")
    (tmp_path / "rain").mkdir()
    (tmp_path / "dog" / "notes.txt").touch()
    said: list[str] = []
    small = [f"data.name={tmp_path}", "protocol.kind=holdout", "network.width=2"]
    prepared = prepare(Recipe.load("street-cnn", small), said.append)
    environment = environment_of(prepared)
    assert environment.machine.processor == processor_name()
    reasons = environment.why_not_comparable
    assert "NEVER TESTED: class 'thunder' (1 clip) is in no test part; it has one recording only" in reasons
    assert "LEFT OUT: 1 class folder without recordings: rain" in reasons
    assert [line for line in said if line.startswith("warning: ")] == [f"warning: {reason}" for reason in reasons]
    assert "left out: 1 file with another ending (.txt): dog/notes.txt" in said
    assert not any("notes.txt" in reason for reason in reasons)


def test_one_class_alone_is_refused_before_anything_is_read(tmp_path: Path) -> None:
    sounds(tmp_path, *(f"dog/{number}.wav" for number in range(8)))
    said: list[str] = []
    with pytest.raises(SplitError, match=r"1 class \(dog\)\. Two classes are needed"):
        prepare(Recipe.load("street-cnn", [f"data.name={tmp_path}", "protocol.kind=holdout"]), said.append)
    assert not any("reading" in line for line in said)


def copied(folder: Path, factor: float, folds: bool) -> str:
    """Twelve noises of two classes, in three folds if asked for. The last is `cat/0.wav` again, `factor` times as
    loud, and in another fold."""
    names = [f"{kind}/{number}.wav" for number in range(6) for kind in ("cat", "dog")]
    sounds(folder, *names, seconds=1.0)
    wave, rate_hz = soundfile.read(folder / names[0])
    soundfile.write(folder / names[-1], factor * wave, rate_hz)
    lines = [f"{name},{name[:3]},{number // 4 if folds else ''}" for number, name in enumerate(names)]
    return str(rows(folder / "list.csv", "path,label,fold", *lines))


@pytest.mark.parametrize(("factor", "message"), [(1.0, "hold identical sounds"), (0.5, "hold nearly identical sounds")])
def test_copies_of_a_sound_in_two_folds_are_refused(factor: float, message: str, tmp_path: Path) -> None:
    with pytest.raises(LeakError, match=message):
        prepare(Recipe.load("street-cnn", [f"data.name={copied(tmp_path, factor, True)}", "network.width=2"]))


def test_copies_of_a_sound_are_in_one_of_the_folds_that_are_made(tmp_path: Path) -> None:
    settings = [f"data.name={copied(tmp_path, 0.5, False)}", "network.width=2", "protocol.kind=grouped"]
    prepared = prepare(Recipe.load("street-cnn", settings))
    fold = dict(zip(prepared.clips.table["clip"], prepared.clips.table["fold"], strict=True))
    assert fold["cat/0.wav"] == fold["dog/5.wav"]
    assert any(reason.startswith("NEAR-DUPLICATES JOINED: 1 pair") for reason in prepared.why_not_comparable)
