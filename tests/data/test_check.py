"""check: a good data set has no findings, and each thing that can be wrong with one is found."""

from pathlib import Path

import numpy as np
import pytest
import soundfile

from hubbub.config.data import Data, Protocol
from hubbub.config.recipe import Recipe
from hubbub.data.check import check_data, check_leaks
from hubbub.data.clips import ClipsError
from hubbub.experiment.prepare import prepare
from hubbub.experiment.provenance import environment_of
from tests.helpers.sounds import noise, sounds

RATE_HZ = 8_000


@pytest.fixture
def pets(tmp_path: Path) -> Path:
    """Eight good clips of two classes in four folds; a folder and the list of it."""
    folder = tmp_path / "pets"
    lines = ["path,label,fold,group"]
    for i in range(8):
        name = f"{'dog' if i % 2 else 'cat'}/{i}.wav"
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(folder / name, noise(0.2, RATE_HZ, seed=i), RATE_HZ)
        lines.append(f"{name},{name.split('/')[0]},{i // 2 + 1},{i}")
    (folder / "pets.csv").write_text("\n".join(lines) + "\n")
    return folder


def wrong(data: Path) -> list[str]:
    """What is wrong with a data set."""
    return [finding.text for finding in check_data(str(data)).of("wrong")]


def test_a_good_data_set_has_no_findings(pets: Path) -> None:
    for name in (pets, pets / "pets.csv"):
        found = check_data(str(name))
        assert found.clips == 8 and [one.label for one in found.classes] == ["cat", "dog"]
        assert not found.of("wrong") and not found.of("warning")


def test_a_broken_file_is_found(pets: Path) -> None:
    (pets / "cat" / "0.wav").write_bytes((pets / "cat" / "0.wav").read_bytes()[:500])
    (pets / "dog" / "1.wav").write_text("not a sound")
    findings = wrong(pets)
    assert len(findings) == 1 and findings[0].startswith("2 files cannot be used: ")
    assert str(pets / "cat" / "0.wav") in findings[0] and str(pets / "dog" / "1.wav") in findings[0]


def test_silence_is_found(pets: Path) -> None:
    soundfile.write(pets / "dog" / "3.wav", np.zeros(1000), RATE_HZ)
    assert wrong(pets) == ["1 clip is digital silence: dog/3.wav"]


def test_duplicates_are_found_across_formats(pets: Path) -> None:
    samples, _ = soundfile.read(pets / "cat" / "0.wav", dtype="int16")
    soundfile.write(pets / "dog" / "copy.flac", samples, RATE_HZ)
    assert wrong(pets) == ["one sound, two labels, 1 time: cat/0.wav 'cat' = dog/copy.flac 'dog'"]


def test_an_odd_duration_of_a_known_data_set_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HUBBUB_HOME", str(tmp_path))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "user"))
    folder = tmp_path / "data" / "esc50"
    folder.mkdir(parents=True)
    lines = ["filename,fold,target,category,esc10,src_file,take"]
    for i, seconds in enumerate((5.0, 4.0, 5.0, 5.5)):
        target, category = i % 2, ("dog", "rooster")[i % 2]
        soundfile.write(folder / f"1-{i}-A-{target}.wav", noise(seconds, RATE_HZ, seed=i), RATE_HZ)
        lines.append(f"1-{i}-A-{target}.wav,1,{target},{category},True,{i},A")
    (folder / "esc50.csv").write_text("\n".join(lines) + "\n")
    (found,) = check_data("esc50", ["data.allow_missing=true"]).of("wrong")
    assert [found.text] == ["2 clips do not last 5 s: 1-1-A-1, 1-3-A-1"]
    with pytest.raises(ClipsError, match="4 clips are listed"):
        check_data("esc50")


def test_findings_stand_beside_each_other(pets: Path) -> None:
    (pets / "cat" / "0.wav").write_text("not a sound")
    soundfile.write(pets / "dog" / "1.wav", np.zeros(1000), RATE_HZ)
    soundfile.write(pets / "dog" / "3.wav", noise(0.2, RATE_HZ, seed=5), RATE_HZ)
    starts = [line.split(":")[0] for line in wrong(pets)]
    assert starts == ["1 file cannot be used", "1 clip is digital silence", "1 sound occurs more than once"]


# Leaks of a recipe


def recipe(pets: Path) -> Recipe:
    return Recipe(data=Data(name=str(pets / "pets.csv")), protocol=Protocol())


def test_a_clean_recipe_has_no_leaks(pets: Path) -> None:
    found = check_leaks(recipe(pets))
    assert found.leaks == () and found.warnings == ()


def test_a_recipes_leaks_are_listed(pets: Path) -> None:
    soundfile.write(pets / "dog" / "7.wav", noise(0.2, RATE_HZ), RATE_HZ)  # fold 4 holds a clip of fold 1
    table = (pets / "pets.csv").read_text().replace("cat/2.wav,cat,2,2", "cat/2.wav,cat,2,5")
    (pets / "pets.csv").write_text(table)
    found = check_leaks(recipe(pets)).leaks
    assert "test fold 2: validation and test share 1 source recordings or speakers (5)" in found
    assert "test fold 1: train and test hold identical sounds (dog/7.wav = cat/0.wav)" in found
    # Two neighbouring folds stand apart in three of the four splits, and train together in one.
    assert sum("identical" in leak for leak in found) == sum("source recordings" in leak for leak in found) == 3


def test_leaks_are_sought_in_the_split_that_is_run(pets: Path) -> None:
    held = recipe(pets).model_copy(update={"data": Data(name=str(pets / "pets.csv"), held_out=("wolf",))})
    with pytest.raises(ClipsError, match="no class 'wolf' to hold out"):
        check_leaks(held)


def test_files_that_cannot_be_read_are_no_leak(pets: Path) -> None:
    for name in ("cat/0.wav", "cat/2.wav"):
        (pets / name).write_text("not a sound")
    assert check_leaks(recipe(pets)).leaks == ()


def test_every_odd_recording_is_noted_and_a_run_says_how_many(pets: Path) -> None:
    soundfile.write(pets / "cat" / "0.wav", noise(0.2, RATE_HZ) * [1, -1], RATE_HZ)
    soundfile.write(pets / "dog" / "1.wav", 0.3 + noise(0.2, RATE_HZ, seed=1) / 2, RATE_HZ)
    uncounted = bytearray((pets / "cat" / "2.wav").read_bytes())
    uncounted[40:44] = bytes(4)
    (pets / "cat" / "2.wav").write_bytes(uncounted)
    soundfile.write(pets / "dog" / "3.wav", np.random.default_rng(0).integers(-1, 2, 1600) / 2**15, RATE_HZ)
    found = check_data(str(pets / "pets.csv"))
    assert wrong(pets / "pets.csv") == ["1 clip is digital silence: dog/3.wav"]
    kinds = {finding.kind: (finding.severity, finding.clips) for finding in found.findings}
    assert kinds["channels"] == ("warning", ("cat/0.wav",)) and kinds["header"] == ("warning", ("cat/2.wav",))
    assert kinds["offset"] == ("note", ("dog/1.wav",))
    recipe = Recipe.load("street-cnn", [f"data.name={pets / 'pets.csv'}", "protocol.folds=['1']", "network.width=2"])
    for _ in range(2):  # decoded, then from the cache
        said: list[str] = []
        material = prepare(recipe, said.append)
        (line,) = [line for line in said if "decode with warnings: " in line]
        assert line.startswith("warning: 4 recordings decode with warnings: cat/0.wav (The channels cancel each other")
        assert line.endswith(" and 1 more. hubbub data check lists all.")
        assert line.removeprefix("warning: ") in environment_of(material).data.warnings


def test_notes_of_the_table_get_their_severity(pets: Path) -> None:
    table = (pets / "pets.csv").read_text().replace("cat/0.wav,cat,1", "cat/0.wav,Cat,one")
    (pets / "pets.csv").write_text(table)
    (pets / "cat" / "notes.txt").write_text("of the cat\n")
    found = check_data(str(pets / "pets.csv"))
    kinds = {finding.kind: finding for finding in found.findings}
    assert kinds["similar labels"].severity == kinds["cannot be tested"].severity == "warning"
    mixed = kinds["mixed folds"]
    assert mixed.text == "FOLDS MIXED: some are numbers (1, 2, 3 and 1 more), others texts (one)"
    assert mixed.severity == "warning" and mixed.advice
    assert found.folds == ("1", "2", "3", "4", "one")
    assert [finding.severity for finding in found.findings] == sorted(
        (finding.severity for finding in found.findings), key=["wrong", "warning", "note"].index
    )
    of_folder = check_data(str(pets))
    assert any("cat/notes.txt" in line for line in of_folder.left_out)


def test_one_class_alone_is_wrong(tmp_path: Path) -> None:
    sounds(tmp_path, "beep/1.wav", "beep/2.wav")
    found = check_data(str(tmp_path))
    assert [finding.text for finding in found.findings if "ONE CLASS" in finding.text] == [
        "ONE CLASS ALONE: 'beep'; two classes are needed to train"
    ]
    assert found.findings[0].severity == "wrong"
