"""prepare: what cannot be tested and what was left out is said with every figure."""

from pathlib import Path

import pytest

from hubbub.config.recipe import Recipe
from hubbub.data.splits import SplitError
from hubbub.experiment.prepare import prepare
from hubbub.experiment.provenance import environment_of
from hubbub.runtime.processes import processor_name
from tests.helpers.sounds import sounds


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
