"""`hubbub data check`: what a person reads, in which order, and the exit status."""

from pathlib import Path

import numpy as np
import pytest
import soundfile
from typer.testing import CliRunner

from hubbub.cli.main import app
from hubbub.cli.options import out
from hubbub.errors import HubbubError
from tests.helpers.sounds import sounds


@pytest.fixture(autouse=True)
def wide(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(out, "width", 200)


def checked(folder: Path, *options: str) -> tuple[int, list[str]]:
    """The exit status, and the lines."""
    result = CliRunner().invoke(app, ["data", "check", str(folder), *options])
    return result.exit_code, result.output.splitlines()


def folder_of(place: Path, labels: int, each: int = 3) -> Path:
    sounds(place, *(f"class{label:02}/{number}.wav" for label in range(labels) for number in range(each)), seconds=0.5)
    return place


def test_a_good_folder_gives_its_classes_and_no_problems(tmp_path: Path) -> None:
    status, lines = checked(folder_of(tmp_path, 2))
    assert status == 0 and lines[-1] == "no problems found"
    assert lines[0] == f"{tmp_path.name}: 6 clips of 2 classes, 3 s (0.5 s each), 6 recordings, no folds"
    assert lines[1].split() == ["class", "clips", "length", "recordings", "sample", "rates", "[Hz]"]
    assert lines[2].split() == ["class00", "3", "2", "s", "3", "8,000"]


def test_the_data_are_read_with_the_options_of_train(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "mine", 2)
    assert ", 3 recordings, " in checked(folder, "--group", r"(\d)\.wav")[1][0]
    folder_of(tmp_path / "later", 2, each=1)
    assert checked(folder, "--test", str(tmp_path / "later"))[1][0].endswith("folds test, train")
    files = [str(file.relative_to(folder)) for file in sorted(folder.rglob("*.wav"))]
    listed = tmp_path / "list.csv"
    listed.write_text("take,kind\n" + "".join(f"{file},{file[:7]}\n" for file in files))
    columns = ("--set", "data.columns.path=take", "--set", "data.columns.label=kind")
    assert checked(listed, *columns, "--set", f"data.root={folder}")[1][0].startswith("list: 6 clips of 2 classes")
    with pytest.raises(HubbubError, match=r"--set train\.epochs=3: nothing is trained here"):
        CliRunner().invoke(app, ["data", "check", str(folder), "--set", "train.epochs=3"], catch_exceptions=False)


def test_what_is_not_looked_for_among_broken_files_is_said(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, 2)
    (folder / "class00" / "0.wav").write_text("not a sound")
    status, lines = checked(folder)
    assert status == 1 and "clips with the same recorded sound are looked for only where all can be used" in "".join(
        lines
    )


def test_many_classes_are_shortened_to_those_of_the_fewest_recordings(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, 50)
    (folder / "class33" / "0.wav").unlink()
    status, lines = checked(folder)
    assert status == 0 and len(lines) <= 25
    assert lines[2].split()[0] == "class33"
    assert "and 44 more of at least as many recordings; --all lists them" in lines
    everything = checked(folder, "--all")[1]
    assert [line.split()[0] for line in everything[2:52]] == [f"class{label:02}" for label in range(50)]


def test_the_severe_comes_first_and_only_what_is_wrong_fails(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, 2)
    (folder / "class00" / "notes.txt").write_text("seen in June\n")
    (folder / "Class01").mkdir()
    soundfile.write(folder / "Class01" / "a.wav", np.random.default_rng(9).normal(0, 0.1, 4000), 8000)
    status, lines = checked(folder)
    assert status == 0 and lines[-1].endswith("warnings")
    assert any(line.startswith("left out: 1 file with another ending (.txt)") for line in lines)
    assert any(line.startswith("warning: SIMILAR LABELS: 'Class01' and 'class01'") for line in lines)
    soundfile.write(folder / "class00" / "silent.wav", np.zeros(4000), 8000)
    status, lines = checked(folder)
    assert status == 1 and lines[-1].startswith("1 wrong, ")
    kinds = [line.split(":")[0] for line in lines if line.startswith(("wrong:", "warning:", "note:"))]
    assert kinds == sorted(kinds, key=["wrong", "warning", "note"].index) and kinds[0] == "wrong"
    (silent,) = (line for line in lines if line.startswith("wrong"))
    assert (
        silent
        == "wrong: 1 clip is digital silence: class00/silent.wav. Remove such clips, or copy or record them again."
    )
